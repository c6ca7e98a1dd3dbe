"""`llem run` in rounds: of several configurations, and with `--repeat`."""

import csv
import json
import re
import signal
import sys

import psutil
import pytest
from typer.testing import CliRunner

from llenergymeasure import ExperimentResult
from llenergymeasure.cli.main import app
from llenergymeasure.config.ranks import VARIABLES

SAVED = re.compile(r"saved in (results/\S+)")
A_SERVER = dict.fromkeys(("random_model", "precision", "max_input_tokens", "warmup", "decoder")) | {
    "model": "org/served",
    "backend": "openai",
}


def begun(stderr):
    """The run that each process began, as progress shows it."""
    return re.findall(r"^(round .*\(\d+ of \d+\))\r?$", stderr, re.MULTILINE)


def figures(text):
    """Some rows of a comparison, as words: columns are as wide as the names of what is compared."""
    names = ("batch_size ", "tokens/s ", "J/output token ")
    return [line.split() for line in text.splitlines() if line.strip().startswith(names)]


@pytest.fixture(scope="module")
def rounds_user(new_user):
    return new_user()


@pytest.fixture(scope="module")
def two_rounds(rounds_user):
    """Two rounds of two configurations."""
    files = [rounds_user.experiment("a.yaml"), rounds_user.experiment("b.yaml", batch_size=2)]
    return rounds_user.llem("run", *files, "--repeat", "2", "-n", "2", "--export-csv", "all.csv", workers=True)


def test_the_order_of_two_configurations_alternates_and_every_run_is_saved(rounds_user, two_rounds):
    assert two_rounds.code == 0
    assert begun(two_rounds.stderr) == [
        "round 1 of 2, a.yaml (1 of 4)",
        "round 1 of 2, b.yaml (2 of 4)",
        "round 2 of 2, b.yaml (3 of 4)",
        "round 2 of 2, a.yaml (4 of 4)",
    ]
    folders = SAVED.findall(two_rounds.stderr)
    assert sorted(folders) == sorted(f"results/{name}" for name in rounds_user.results() if "/" not in name)
    results = [ExperimentResult.from_json(rounds_user.folder / folder / "result.json") for folder in folders]
    assert [result.effective_config["batch_size"] for result in results] == [1, 2, 2, 1]
    assert results == sorted(results, key=lambda result: result.start_time)


def test_flags_override_all_configurations_and_each_run_is_a_row_of_the_csv(rounds_user, two_rounds):
    with (rounds_user.folder / "all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["num_prompts"] for row in rows] == ["2"] * 4
    assert [row["folder"] for row in rows] == SAVED.findall(two_rounds.stderr)


def test_the_answer_is_a_table_of_the_runs_and_the_comparison_that_its_last_line_shows_again(rounds_user, two_rounds):
    table, _, comparison = two_rounds.stdout.partition("\n\n")
    rows = [line.split()[:2] for line in table.splitlines()[2:]]
    assert rows == [["1", "a.yaml"], ["1", "b.yaml"], ["2", "b.yaml"], ["2", "a.yaml"]]
    last = two_rounds.stdout.splitlines()[-1]
    assert last == "again: llem results compare --by config --dir results"
    shown = rounds_user.llem(*last.split()[2:])
    assert len(figures(comparison)) == 3
    assert figures(shown.stdout) == figures(comparison)


def test_quiet_prints_the_path_of_each_run_of_one_configuration(user):
    ended = user.llem("run", user.experiment(), "--repeat", "2", "-q", workers=True)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [f"results/{name}" for name in user.results() if name.endswith("result.json")]


def test_json_is_a_list_of_the_results_as_they_are_saved(user):
    ended = user.llem("run", user.experiment("a.yaml"), user.experiment("b.yaml"), "--json", workers=True)
    saved = [json.loads(path.read_bytes()) for path in user.folder.glob("results/*/result.json")]
    assert all(document.pop("integrity") for document in saved)
    assert ended.code == 0
    assert json.loads(ended.stdout) == sorted(saved, key=lambda document: document["start_time"])


def test_a_configuration_that_fails_twice_in_a_row_is_left_out_and_the_other_goes_on(user):
    fails = user.experiment("fails.yaml", **A_SERVER, launch=["false"])
    ended = user.llem("run", user.experiment(), fails, "--repeat", "3", workers=True)
    assert ended.code == 1
    assert begun(ended.stderr) == [
        "round 1 of 3, experiment.yaml (1 of 6)",
        "round 1 of 3, fails.yaml (2 of 6)",
        "round 2 of 3, fails.yaml (3 of 6)",
        "round 2 of 3, experiment.yaml (4 of 6)",
        "round 3 of 3, experiment.yaml (5 of 6)",
    ]
    assert "error: round 2 of 3, fails.yaml: failed with exit code 1; it is not run again\n" in ended.stderr
    last = "error: 2 of 6 runs failed, 1 were not begun: fails.yaml in round 1, 2"
    assert ended.stderr.splitlines()[-1] == last
    assert len(list(user.folder.glob("results/*/result.json"))) == 3


def test_a_run_whose_process_is_killed_is_a_failure_that_names_the_signal(user):
    kills = [sys.executable, "-c", "import psutil; psutil.Process().parents()[1].kill()"]  # its keeper's parent
    ended = user.llem("run", user.experiment(**A_SERVER, launch=kills), "--repeat", "9", workers=True)
    assert ended.code == 1
    assert "round 1 of 9, experiment.yaml: was ended by SIGKILL" in ended.stderr
    assert "llem results recover" not in ended.stderr  # it had nothing yet
    assert "error: 2 of 9 runs failed" in ended.stderr
    assert ended.stdout == ""


def test_ctrl_c_ends_the_present_run_which_keeps_what_finished_and_begins_no_other(user):
    long = user.experiment("long.yaml", num_prompts=200, max_output_tokens=64)
    with user.watch("run", user.experiment(), long, "--repeat", "2", workers=True) as command:
        command.wait_for("/200 (")
        ended = command.end(signal.SIGINT)
    assert (ended.code, ended.stdout) == (130, "")
    shown = ended.stderr.replace("\r", "")
    assert len(begun(shown)) == 2
    (kept,) = user.folder.glob("results/.state/*/process_0.json")
    assert f"finished requests are kept in {kept.relative_to(user.folder)}" in shown
    assert shown.endswith("error: interrupted\n1 of 4 runs are finished; their results are in results\n")
    assert len(list(user.folder.glob("results/*/result.json"))) == 1


def test_a_run_does_not_outlive_the_command_that_is_killed_and_keeps_what_finished(user):
    long = user.experiment(num_prompts=200, max_output_tokens=64)
    with user.watch("run", long, "--repeat", "2", workers=True) as command:
        command.wait_for("/200 (")
        started = psutil.Process(command.process.pid).children(recursive=True)
        command.end(signal.SIGKILL)
    assert psutil.wait_procs(started, timeout=60)[1] == []
    assert len(list(user.folder.glob("results/.state/*/process_0.json"))) == 1


@pytest.mark.slow
def test_rounds_run_in_processes_that_begin_with_nothing_imported(user):
    ended = user.llem("run", user.experiment(), user.experiment("b.yaml", batch_size=2), "--repeat", "3", cold=True)
    assert ended.code == 0
    assert len(SAVED.findall(ended.stderr)) == 6
    assert "3 rounds of both" in ended.stdout


@pytest.fixture
def here(user, monkeypatch):
    """`llem` in this process, in the user's folder."""
    monkeypatch.chdir(user.folder)
    for name, value in user.environment().items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_a_number_of_rounds_that_is_none_is_refused(user, here, number):
    ended = here("run", user.experiment(), "--repeat", number)
    assert ended.exit_code == 2
    assert "--repeat" in ended.stderr
    assert user.made() == []


def test_a_configuration_that_cannot_run_is_named_before_any_is_run(user, here):
    ended = here("run", user.experiment(), user.write("wrong.yaml", "model: gpt2\nbatchsize: 2\n"))
    assert ended.exit_code == 2
    assert "wrong.yaml:2: batchsize" in ended.stderr
    ended = here("run", user.experiment(), user.experiment("absent.yaml", dataset="absent.jsonl"))
    assert ended.exit_code == 2
    assert "error: absent.yaml: " in ended.stderr
    assert "experiment.yaml" not in ended.stderr
    assert user.made() == []


def test_dry_run_prints_the_configurations_and_the_order_of_any_number_of_rounds(user, here):
    files = [user.experiment("a.yaml"), user.experiment("b.yaml", batch_size=2)]
    ended = here("run", *files, "--repeat", str(10**18), "--dry-run")
    assert ended.exit_code == 0
    assert re.findall(r"^ (\d|\.\.\.) +(.*)$", ended.stdout, re.MULTILINE) == [
        ("1", "a.yaml, b.yaml"),
        ("2", "b.yaml, a.yaml"),
        ("3", "a.yaml, b.yaml"),
        ("...", "and so on"),
    ]
    assert ended.stdout.endswith("runs: 2000000000000000000, each in a process of its own\n")
    assert ended.stderr.endswith("checked: they can run; nothing was run\n")
    plan = json.loads(here("run", *files, "-n", "3", "--dry-run", "--json").stdout)
    assert plan["order"] == [["a.yaml", "b.yaml"]]
    assert [each["config"]["num_prompts"] for each in plan["configurations"]] == [3, 3]
    assert user.made() == []


def test_configurations_of_one_name_are_numbered_and_one_of_flags_alone_has_its_models(user, here):
    plan = json.loads(here("run", user.experiment(), user.experiment(), "--dry-run", "--json").stdout)
    assert plan["order"] == [["experiment.yaml", "experiment.yaml (2)"]]
    plan = json.loads(here("run", "-m", "random:llama", "--repeat", "2", "--dry-run", "--json").stdout)
    assert plan["order"] == [["random:llama"], ["random:llama"]]


def test_rounds_under_torchrun_are_refused_with_what_to_do_instead(user, here, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "2" if name.endswith("SIZE") else "0")
    ended = here("run", user.experiment(), "--repeat", "2")
    assert ended.exit_code == 2
    assert "repeat its command" in ended.stderr
