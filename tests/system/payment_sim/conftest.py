"""`payment-sim` in the user's folder: called in this process, or run in one of its own."""

import subprocess

import pytest
from payment_sim_files import PROGRAM, SMALL
from typer.testing import CliRunner

from payment_simulator.cli.main import app


@pytest.fixture
def sim(user, monkeypatch):
    """Calls what `payment-sim` calls, with these arguments, in the user's folder, where `small.yaml` is."""
    user.write("small.yaml", SMALL)
    monkeypatch.chdir(user.folder)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments):
        ended = CliRunner().invoke(app, list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def program(user):
    """As `sim`, in a process of its own."""
    user.write("small.yaml", SMALL)

    def run(*arguments, **environment):
        ended = user.run(PROGRAM, *arguments, **environment)
        return subprocess.CompletedProcess(arguments, ended.code, ended.stdout, ended.stderr)

    return run
