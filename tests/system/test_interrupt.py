"""Ctrl-C, SIGTERM or SIGHUP, in each phase of a run."""

import signal

import pytest

from labledger.documents import document_dict
from labledger.schema_versions import parse_record
from llenergymeasure.domain.experiment import RawProcessResult

LONG = {"num_prompts": 200, "max_output_tokens": 64}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [({}, "loading random:llama …"), ({**LONG, "warmup": {"iterations": 1000}}, "/1000 (")],
    ids=["loading", "warming up"],
)
def test_ctrl_c_before_the_window_ends_the_run_and_leaves_nothing(user, changes, shown):
    with user.watch("run", user.experiment(**changes)) as command:
        command.wait_for(shown)
        ended = command.end(signal.SIGINT)
    assert ended.code == 130
    assert ended.stdout == ""
    assert ended.stderr.rstrip().endswith("error: interrupted")
    assert "Traceback" not in ended.stderr
    assert user.made() == []


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "terminated")],
    ids=["ctrl-c", "sigterm", "sighup"],
)
def test_a_run_that_is_stopped_while_measuring_keeps_what_finished_and_says_where(user, number, code, word):
    with user.watch("run", user.experiment(**LONG)) as command:
        command.wait_for("/200 (")
        ended = command.end(number)
    state, folder, file = user.results()
    assert (state, file) == (".state", f"{folder}/process_0.json")

    kept, data = parse_record(RawProcessResult, (user.folder / "results" / file).read_bytes(), file)
    finished = len(kept.requests.output_tokens)
    assert 0 < finished < 200
    assert kept.requests.output_tokens == [64] * finished
    assert kept.inference_metrics.output_tokens == 64 * finished
    assert kept.energy_metrics.total_energy_j > 0
    assert folder == f".state/{kept.experiment_id}"
    assert document_dict(kept) == data

    assert ended.code == code
    assert ended.stdout == ""
    assert f"error: {word}" in ended.stderr
    assert f"{finished} finished requests are kept in results/{file}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_a_run_that_is_killed_while_measuring_has_finished_is_recovered(user):
    with user.watch("run", user.experiment(**LONG)) as command:
        command.wait_for("/200 (")
        ended = command.end(signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    state, folder, file = user.results()
    assert (state, file) == (".state", f"{folder}/process_0.jsonl")

    shown = user.llem("results", "recover")
    state, folder, journal, file = user.results()
    assert (state, journal, file) == (".state", f"{folder}/process_0.jsonl", f"{folder}/process_0.recovered.json")
    kept, _ = parse_record(RawProcessResult, (user.folder / "results" / file).read_bytes(), file)
    finished = len(kept.requests.output_tokens)
    assert shown.stdout.startswith(f"results/{folder}: {finished} finished requests of 1 process(es); it ended early\n")
    assert 0 < finished < 200
    assert kept.requests.output_tokens == [64] * finished
    assert kept.inference_metrics.output_tokens == 64 * finished
    assert kept.energy_metrics.total_energy_j > 0

    assert user.llem("results", "recover", "--remove").code == 0
    assert user.results() == []


def test_ctrl_c_while_summing_up_keeps_every_request_and_says_where(user):
    with user.watch("run", user.experiment(num_prompts=60, max_output_tokens=2)) as command:
        command.wait_for("summing up …")
        ended = command.end(signal.SIGINT)
    assert ended.code == 130
    assert "error: interrupted" in ended.stderr
    (kept,) = [*user.folder.glob("results/.state/*/process_0.json"), *user.folder.glob("results/*/result.json")]
    if kept.name == "result.json":  # it was summed up before the signal came
        assert f"the result was complete and is saved in {kept.parent.relative_to(user.folder)}" in ended.stderr
    else:
        assert f"60 finished requests are kept in {kept.relative_to(user.folder)}" in ended.stderr
    assert "Traceback" not in ended.stderr
