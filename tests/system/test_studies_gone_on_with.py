"""Studies that are ended - by Ctrl-C, a kill - and gone on with, by the commands."""

import json
import os
import random
import signal
import time

import pytest
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
from llenergymeasure.results.study.held import held_study

RESUME = ("study", "resume", "results/s")


def runs_of(user):
    return json.loads((user.folder / "results/s/study_manifest.json").read_bytes())["runs"]


def done_in(user):
    """The number of runs that are done, 0 without a manifest."""
    if not (user.folder / "results/s/study_manifest.json").exists():
        return 0
    return sum(run["state"] == "done" for run in runs_of(user))


def saved_in(user):
    return sorted(path.parent.name for path in user.folder.glob("results/s/*/result.json"))


def assert_each_run_was_made_once(user):
    assert {run["state"] for run in runs_of(user)} == {"done"}
    assert sorted(run["folder"] for run in runs_of(user)) == saved_in(user)


@pytest.fixture
def here(user, monkeypatch):
    """`llem` in this process, in the user's folder."""
    monkeypatch.chdir(user.folder)
    for name, value in user.environment().items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_study_that_ctrl_c_interrupts_is_gone_on_with_by_the_line_that_it_ends_in(user, here):
    study = user.experiment("s.yaml", sweep={"max_output_tokens": [4, 5]}, study={"repeats": 1})
    with user.watch("run", study, workers=True) as command:
        command.wait_for("2 of 2")
        ended = command.end(signal.SIGINT)
    assert (ended.code, ended.stdout) == (130, "")
    last = "1 of 2 runs are done, in results/s; to go on with it: llem study resume results/s"
    assert ended.stderr.replace("\r", "").splitlines()[-2:] == ["error: interrupted", last]
    assert [run["state"] for run in runs_of(user)] == ["done", "interrupted"]
    again = user.llem(*RESUME, workers=True)
    assert again.code == 0
    assert again.stdout.endswith("saved in results/s\n")
    assert_each_run_was_made_once(user)
    assert [run["session"] for run in runs_of(user)] == [1, 2]
    once_more = here(*RESUME)
    assert once_more.exit_code == 0
    assert once_more.stderr == "results/s: nothing to do: every run has its result\n"
    assert once_more.stdout == again.stdout
    with held_study(user.folder / "results/s"):
        for second in (here("run", study), here(*RESUME)):
            assert second.exit_code == 1
            assert second.stderr.startswith(f"error: results/s: process {os.getpid()} (")
        assert f"running by process {os.getpid()} (" in here("study", "list").stdout
    assert user.made() == ["results"]
    assert "finished" in here("study", "list", "-r", ".").stdout


@pytest.mark.slow
def test_a_study_whose_command_is_killed_thirty_times_has_the_runs_of_one_left_alone(user):
    study = user.experiment("s.yaml", sweep={"batch_size": [1, 2]}, study={"repeats": 40, "order": "shuffled"})
    draw, command = random.Random(1), ("run", study)  # noqa: S311
    for _ in range(30):
        before, more = done_in(user), draw.randint(0, 1)
        process = user.start(*command, workers=True)
        while process.poll() is None and done_in(user) < before + more:
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 0.8))
        assert process.poll() is None, "it came to its end before it was killed thirty times"
        process.kill()
        process.communicate()
        command = RESUME if (user.folder / "results/s/study_manifest.json").exists() else command
    assert user.llem(*command, workers=True).code == 0
    assert_each_run_was_made_once(user)
    places = [(run["cell"], run["round_number"]) for run in runs_of(user)]
    assert sorted(places) == [(cell, number) for cell in (0, 1) for number in range(1, 41)]


def test_what_cannot_be_gone_on_with_is_refused_with_the_place_that_was_looked_in(user, here):
    study = user.experiment("s.yaml", sweep={"batch_size": [1, 2]})
    ended = here("run", study, "--resume")
    assert (ended.exit_code, user.made()) == (2, [])
    assert ended.stderr.startswith("error: results: there is no study with the name s to go on with; ")
    ended = here("study", "resume", "nowhere")
    assert ended.exit_code == 2
    assert ended.stderr == (
        "error: nowhere: is no study's folder: it has no study_manifest.json; to see them all: llem study list\n"
    )
    assert here("study", "list", "nowhere").exit_code == 2
