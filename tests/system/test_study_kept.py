"""Studies whose server, or model, stays for the next run."""

import json
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from llenergymeasure import ExperimentResult

SERVER = Path(__file__).parents[1] / "standins" / "caching_server.py"


@pytest.fixture
def served(user):
    """Writes a study of a server with a prefix cache, and returns its file."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = " ".join(f"word{number}" for number in range(40))
    user.write("long.jsonl", "".join(f'{{"prompt": "question {number} {words}"}}\n' for number in range(4)))

    def write(**study):
        launch = [sys.executable, str(SERVER), "{port}", "starts"]
        fields = {
            **{"model": "org/served", "backend": "openai", "launch": launch, "dataset": "long.jsonl", "num_prompts": 4},
            **dict.fromkeys(("random_model", "precision", "max_input_tokens", "decoder")),
            "warmup": {"iterations": 1},
            "openai": {"base_url": f"http://127.0.0.1:{port}/v1", "endpoint": "completions"},
            **study,
        }
        return user.experiment("served.yaml", **fields)

    return write


def results_of(user, study):
    """The results of a study in the order of its runs."""
    folder = user.folder / "results" / study
    runs = json.loads((folder / "study_manifest.json").read_bytes())["runs"]
    return [ExperimentResult.from_json(folder / run["folder"] / "result.json") for run in runs]


def test_a_server_stays_while_its_launch_does_and_no_run_finds_the_prompts_of_another_in_its_cache(user, served):
    other = [sys.executable, "-u", str(SERVER), "{port}", "starts"]
    cells = [{"load": {"concurrency": 1}}, {"load": {"concurrency": 2}}, {"launch": other}]
    study = served(experiments=cells, study={"name": "s", "repeats": 2})
    ended = user.llem("run", study, workers=True)
    assert ended.code == 0, ended.stderr
    found = results_of(user, "s")
    assert [each.model_kept for each in found] == [False, True, False, True, False, True]
    assert len((user.folder / "starts").read_text().splitlines()) == 3
    assert [each.cached_input_tokens for each in found] == [0] * 6
    assert len({each.prompt_mark for each in found}) == 6
    assert len({each.input_tokens for each in found}) == 1
    assert len({each.measurement_config_hash for each in found}) == 3


def test_a_kept_server_does_not_outlive_the_study_that_is_killed(user, served):
    study = served(study={"name": "s", "repeats": 99})
    with user.watch("run", study, workers=True) as command:
        command.wait_for("2 of 99")
        started = psutil.Process(command.process.pid).children(recursive=True)
        command.end(signal.SIGKILL)
    assert len(started) >= 3
    assert psutil.wait_procs(started, timeout=60)[1] == []


def test_a_shared_process_keeps_the_model_until_a_cell_loads_another(user):
    study = {"name": "s", "repeats": 1, "process": "shared"}
    cells = [{"precision": precision, "batch_size": size} for precision in ("fp32", "bf16") for size in (1, 2)]
    ended = user.llem("run", user.experiment(study=study, experiments=cells), workers=True)
    assert ended.code == 0, ended.stderr
    found = results_of(user, "s")
    assert [each.model_kept for each in found] == [False, True, False, True]
    assert [each.effective_config["precision"] for each in found] == ["fp32", "fp32", "bf16", "bf16"]
    assert [each.effective_config["batch_size"] for each in found] == [1, 2, 1, 2]
    assert [each.prompt_mark for each in found] == [None] * 4
