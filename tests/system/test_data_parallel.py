"""`data_parallel`, as a user runs it: several processes and one result."""

import json
import re
import sys
from pathlib import Path

import pytest
from data_parallel_runs import (
    LLEM,
    PATIENCE_S,
    SAMPLED,
    SHARES,
    TINY,
    TORCHRUN,
    TWO,
    Ended,
    running,
)

from llenergymeasure import ExperimentResult

RUN_IN_PYTHON = """
import json, sys
from llenergymeasure import run_experiment
result = run_experiment(sys.argv[1], output_dir=None)
print(json.dumps([len(result.process_results), result.output_tokens]))
"""

PRINTED = "a line that a library prints"
A_LIBRARY_THAT_PRINTS = f"""
import os, sys

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "transformers" and "RANK" in os.environ:
            os.write(1, b"{PRINTED}\\n")

sys.meta_path.insert(0, Finder)
"""


# A run that ends well.


@pytest.fixture(scope="module")
def two_user(new_user):
    return new_user()


@pytest.fixture(scope="module")
def at_once(two_user, new_user):
    """Runs that go on at the same time: two alike into one directory, and one of a single process elsewhere.

    In the workers of the first a library prints.
    """
    yaml, one_user, libraries = (
        two_user.experiment(**SAMPLED, **TWO),
        new_user(),
        two_user.folder.with_name("libraries"),
    )
    libraries.mkdir()
    (libraries / "sitecustomize.py").write_text(A_LIBRARY_THAT_PRINTS, encoding="utf-8")
    runs = [
        two_user.start("run", yaml, "--json", PYTHONPATH=str(libraries)),
        two_user.start("run", yaml, "--quiet", workers=True),
        one_user.start("run", one_user.experiment(**SAMPLED), "--json"),
    ]
    try:
        streams = [process.communicate(timeout=PATIENCE_S) for process in runs]
        return [Ended(process.returncode, *each) for process, each in zip(runs, streams, strict=True)]
    finally:
        for process in runs:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def json_run(at_once):
    return at_once[0]


@pytest.fixture(scope="module")
def result(two_user, json_run):
    """The result that the run which printed JSON has saved."""
    name = json.loads(json_run.stdout)["experiment_id"]
    paths = two_user.folder.glob("results/*/result.json")
    (found,) = [each for each in map(ExperimentResult.from_json, paths) if each.experiment_id == name]
    return found


@pytest.fixture(scope="module")
def quiet_run(at_once):
    return at_once[1]


@pytest.fixture(scope="module")
def alone(at_once):
    """The result of one process that does all of the work."""
    return json.loads(at_once[2].stdout)


def test_json_on_stdout_is_the_saved_result(json_run, result):
    assert json_run.code == 0
    assert json.loads(json_run.stdout) == json.loads(result.to_json())


def test_what_a_library_prints_in_a_worker_is_no_message_and_no_part_of_the_answer(json_run):
    assert json_run.stderr.splitlines().count(PRINTED) >= 2
    assert json_run.code == 0


def test_progress_goes_to_stderr_a_line_a_phase(json_run):
    lines = [line for line in json_run.stderr.splitlines() if line != PRINTED]
    ended = [line for line in lines if not line.endswith(" so far")]
    phases = [line.rpartition(": ")[0] for line in ended]
    names = ["checking", "starting 2 processes", "loading random:llama", "warming up", "measuring", "summing up"]
    assert phases == names


def test_nothing_but_the_results_is_left(two_user, at_once):
    paths = sorted(path.relative_to(two_user.folder / "results") for path in two_user.folder.glob("results/*/*"))
    assert [path.name for path in paths] == ["result.json"] * 2
    assert two_user.results() == sorted({str(each) for path in paths for each in (path, path.parent)})
    assert two_user.made() == ["results"]
    assert not two_user.unsaved.exists()


def test_both_processes_are_in_the_result_and_its_figures_are_their_sums(result):
    first, second = result.process_results
    assert (first.process_index, second.process_index) == (0, 1)
    assert {first.experiment_id, second.experiment_id} == {result.experiment_id}
    assert result.aggregation.num_processes == 2
    assert result.input_tokens == sum(each.inference_metrics.input_tokens for each in (first, second)) == 7 * 16
    assert result.output_tokens == sum(each.inference_metrics.output_tokens for each in (first, second))
    assert result.total_tokens == result.input_tokens + result.output_tokens
    assert result.total_energy_j == sum(each.energy_metrics.total_energy_j for each in (first, second)) > 0
    assert result.effective_config["pytorch"]["data_parallel"] == 2


def test_a_request_has_the_tokens_that_it_has_in_a_run_of_one_process(result, alone):
    (whole,) = alone["process_results"]
    tokens = whole["requests"]["output_tokens"]
    assert len(set(tokens)) > 1  # or it shows nothing: some end early
    for process, share in zip(result.process_results, SHARES, strict=True):
        assert process.requests.output_tokens == [tokens[index] for index in share]
        assert process.requests.finish_reason == [whole["requests"]["finish_reason"][index] for index in share]
    names = ("input_tokens", "output_tokens", "total_tokens", "total_flops")
    assert {name: getattr(result, name) for name in names} == {name: alone[name] for name in names}


def test_a_quiet_run_prints_just_the_path_of_the_result(two_user, quiet_run, result):
    assert (quiet_run.code, quiet_run.stderr) == (0, "")
    path = Path(quiet_run.stdout.removesuffix("\n"))
    assert path.match("results/*/result.json")
    saved = ExperimentResult.from_json(two_user.folder / path)
    assert saved.experiment_id != result.experiment_id
    assert saved.measurement_config_hash == result.measurement_config_hash
    assert saved.output_tokens == result.output_tokens


def test_results_lists_verifies_and_shows_it(two_user, quiet_run, result):
    rows = json.loads(two_user.llem("results", "list", "--json").stdout)
    assert result.experiment_id in [row["experiment_id"] for row in rows]
    assert len(rows) == 2
    verified = two_user.llem("results", "verify")
    assert (verified.code, verified.stdout) == (0, "2 of 2 results are as they were saved\n")
    shown = two_user.llem("results", "show", result.experiment_id)
    assert re.search(r"^ processes\s+2\s*$", shown.stdout, re.MULTILINE)
    assert f"{result.total_tokens} (112 in, {result.output_tokens} out)" in shown.stdout
    assert "nothing to recover" in two_user.llem("results", "recover").stdout


def test_run_experiment_without_a_directory_leaves_nothing_behind(user, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = (sys.executable, "-c", RUN_IN_PYTHON, user.experiment(**TINY))
    ended = user.run(*code, workers=True, TMPDIR=str(temporary))
    assert (ended.code, ended.stdout, ended.stderr) == (0, "[2, 16]\n", "")
    assert user.made() == []
    assert list(temporary.glob("llem*")) == []  # what else is in there is PyTorch's
    assert not user.unsaved.exists()


# torchrun.


def test_a_run_that_torchrun_starts_makes_one_result_and_prints_one_summary(user):
    with running(user, *TORCHRUN, "run", user.experiment(**TINY | {"pytorch": None})) as command:
        ended = command.end()
    (path,) = user.folder.glob("results/*/result.json")
    result = ExperimentResult.from_json(path)
    assert ended.code == 0
    assert [process.process_index for process in result.process_results] == [0, 1]
    assert (result.output_tokens, result.effective_config["pytorch"]["data_parallel"]) == (16, 2)
    assert ended.stdout.count("energy/output token") == 1
    assert ended.stdout.count("saved in") == 1
    assert ended.stdout.rstrip().endswith(f"saved in results/{path.parent.name}")
    assert ended.stderr.count("summing up: ") == 1
    assert user.results() == [path.parent.name, f"{path.parent.name}/result.json"]


def test_llem_that_torchrun_has_started_alone_starts_processes_that_meet(user):
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    torchrun = {**alone, "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    with running(user, LLEM, "run", user.experiment(**TINY), **torchrun) as command:
        members = command.wait_for_members()
        assert "TORCHELASTIC_USE_AGENT_STORE" not in members[0].environ()  # or what follows would last long
        command.wait_for("loading random:llama …")


# Wrong numbers.


def test_more_processes_than_batches_are_refused_with_the_line(user):
    yaml = user.write("few.yaml", "model: random:llama\nnum_prompts: 5\nbatch_size: 2\npytorch:\n  data_parallel: 4\n")
    ended = user.llem("run", yaml)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: few.yaml:5: pytorch.data_parallel: 4 processes, and 5 prompts")
    assert user.made() == []


def test_another_number_of_processes_than_torchrun_has_started_is_refused(user):
    with running(user, *TORCHRUN, "run", user.experiment(num_prompts=4, pytorch={"data_parallel": 3})) as command:
        ended = command.end()
    assert ended.code != 0
    assert "error: pytorch.data_parallel: 3, and there are 2 processes" in ended.stderr
    assert ended.stdout == ""
    assert user.made() == []
