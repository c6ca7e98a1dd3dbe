"""What keeps a run from starting is told at once, with the exit code of its kind."""

import json

import pytest
from typer.testing import CliRunner

from labledger import extras
from llenergymeasure.cli.main import app

NOWHERE = {"base_url": "http://127.0.0.1:9/v1"}
MISSING = "backend openai: aiohttp not installed; run "
BAD_LINE = "bad.jsonl:1: not JSON"
SHORT = "short.jsonl: has 1 prompts and num_prompts is 5"
GONE = "gone.jsonl: no such file"
NO_SERVER = "openai.base_url: nothing answers at http://127.0.0.1:9/v1"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an experiment on a server, by name, into the working directory, which has two datasets."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text("no JSON\n")
    (tmp_path / "short.jsonl").write_text('"a"\n')

    def write(name="it.yaml", **fields):
        served = {"model": "m", "backend": "openai", "openai": NOWHERE, "energy": {"source": "none"}, **fields}
        (tmp_path / name).write_text(json.dumps(served))
        return name

    return write


@pytest.fixture
def without_aiohttp(monkeypatch):
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "aiohttp" else found(name))


def llem(*arguments):
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    return ended.exit_code, ended.stderr


PROBLEMS = [
    ({"dataset": "bad.jsonl"}, BAD_LINE),
    ({"dataset": "short.jsonl", "num_prompts": 5}, SHORT),
    ({"dataset": "gone.jsonl"}, GONE),
]


@pytest.mark.usefixtures("without_aiohttp")
@pytest.mark.parametrize(("fields", "problem"), PROBLEMS)
def test_a_missing_package_hides_no_problem_of_the_dataset(fields, problem, write):
    for arguments in (["run"], ["run", "--dry-run"], ["run", "--dry-run", "--repeat", "2"]):
        code, stderr = llem(*arguments, write(**fields))
        assert (code, stderr.count(MISSING), stderr.count(problem)) == (2, 1, 1), (arguments, stderr)


@pytest.mark.parametrize(("fields", "problem"), PROBLEMS)
def test_what_is_wrong_with_a_dataset_is_told_beside_a_server_that_is_not_there(fields, problem, write):
    for arguments in (["run"], ["run", "--dry-run"], ["run", "--dry-run", "--repeat", "2"]):
        code, stderr = llem(*arguments, write(**fields))
        assert (code, stderr.count(NO_SERVER), stderr.count(problem)) == (1, 1, 1), (arguments, stderr)


def test_results_in_a_file_system_that_keeps_no_files_are_refused_as_that(write):
    code, stderr = llem("run", write(dataset="short.jsonl"), "-o", "/proc/x")
    assert code == 1
    assert "output: /proc/x: /proc is on no disk: its file system keeps no files" in stderr
