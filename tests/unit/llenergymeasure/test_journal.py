"""What a process journals while it measures, and what is made of it once that was killed."""

import math
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import UnreadableFileError
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.metrics import ComputeMetrics, EnergyMetrics, Timestamps
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.domain.requests import Batch, FailedRequest, RequestRecord
from llenergymeasure.metrics.process_metrics import inference_metrics
from llenergymeasure.results.journal import Begun, open_journal, read_journal
from llenergymeasure.results.persistence import save_raw_result, save_result
from llenergymeasure.results.recovery import find_leftovers, remove
from small_result import make_result

RUN = "20261121-100000-0123abcd"
OPENED_AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
OPENED_S = 1000.0
POWER_W = 300.0


def begun(**changes):
    nothing = RawProcessResult(
        experiment_id=RUN,
        process_index=0,
        gpu_id=0,
        config_name=None,
        model_name="a-model",
        timestamps=Timestamps.from_times(OPENED_AT, OPENED_AT),
        inference_metrics=inference_metrics(0, 0, 0.0, []),
        energy_metrics=EnergyMetrics(total_energy_j=None, duration_sec=0.0),
        compute_metrics=ComputeMetrics(flops_total=0.0, model_memory_mb=68.0, flops_method="analytic"),
    )
    fields = {"raw": nothing, "on_accelerator": True, "device_uuids": ["GPU-a"], "source": "nvml_counter"}
    return Begun(**{**fields, **changes})


def answer(index, start_s, end_s, tokens=4):
    times_s = tuple(start_s + (end_s - start_s) * (token + 1) / tokens for token in range(tokens))
    record = RequestRecord(index, 10 + index, tokens, OPENED_S + start_s, tuple(OPENED_S + t for t in times_s), "stop")
    return Batch(OPENED_S + start_s, OPENED_S + end_s, (record,), 10 + index, record.token_times_s, False)


def joules(at_s, device="GPU-a", kind="gpu", power_w=POWER_W):
    """A counter that began at 5 J two seconds before the measurement."""
    return EnergySoFar(device, kind, "nvml_counter", OPENED_S + at_s, 5.0 + power_w * (at_s + 2.0))


FAILED = FailedRequest(2, OPENED_S + 2.0, OPENED_S + 2.5, "http_429", "status 429: slow down")


def journalled(folder, *told, **changes):
    """The journal of a process that was killed after it had told so much."""
    with open_journal(folder, begun(**changes)) as journal:
        journal.energy([joules(-0.1)])
        journal.opened(OPENED_AT, OPENED_S)
        for each in told:
            journal.energy(each) if isinstance(each, list) else journal.take(each)
    return journal.path


def test_what_was_told_comes_back(tmp_path):
    told = [answer(0, 0.0, 2.0), answer(1, 0.5, 3.0), FAILED, [joules(4.0)]]
    raw = read_journal(journalled(tmp_path, *told))
    assert (raw.experiment_id, raw.process_index, raw.model_name, raw.gpu_id) == (RUN, 0, "a-model", 0)
    assert raw.is_partial
    assert raw.requests.input_tokens == [10, 11]
    assert raw.requests.ttft_ms == pytest.approx([500.0, 625.0])
    assert raw.requests.e2e_ms == raw.per_request_latencies_ms == pytest.approx([2000.0, 2500.0])
    assert (raw.failed_requests.kind, raw.failed_requests.message) == (["http_429"], ["status 429: slow down"])
    assert (raw.clock_s, raw.window_start_s) == (OPENED_S, 0.0)
    assert (raw.timestamps.start, raw.timestamps.duration_sec) == (OPENED_AT, 3.0)
    assert raw.inference_metrics == inference_metrics(21, 8, 3.0, [500.0, 625.0])
    energy = raw.energy_metrics
    assert (energy.total_energy_j, energy.gpu_energy_j) == pytest.approx((POWER_W * 3.0, POWER_W * 3.0))
    assert energy.gpu_power_w == pytest.approx(POWER_W)
    assert energy.energy_per_token_j == pytest.approx(POWER_W * 3.0 / 29)
    assert (raw.compute_metrics.flops_total, raw.compute_metrics.model_memory_mb) == (None, 68.0)
    assert raw.compute_metrics.flops_method == "not known of a process that was killed"


def test_figures_are_of_the_time_in_which_the_energy_is_known(tmp_path):
    raw = read_journal(journalled(tmp_path, answer(0, 0.0, 2.0), [joules(2.5)], answer(1, 0.5, 3.0)))
    assert len(raw.requests.e2e_ms) == 2
    assert raw.inference_metrics == inference_metrics(10, 4, 2.0, [500.0])
    assert raw.energy_metrics.total_energy_j == pytest.approx(POWER_W * 2.0)


def test_energy_that_was_not_known_when_the_first_request_ended_is_unknown(tmp_path):
    raw = read_journal(journalled(tmp_path, [joules(1.0)], answer(0, 0.0, 2.0), answer(1, 0.5, 3.0)))
    assert raw.inference_metrics.output_tokens == 8
    assert raw.energy_metrics.total_energy_j is None


@pytest.mark.parametrize(
    ("changes", "total_j", "cpu_j"),
    [
        ({"device_uuids": ["GPU-a", "GPU-b"]}, 3 * POWER_W * 3.0, 90.0),
        ({"device_uuids": []}, 3 * POWER_W * 3.0, 90.0),
        ({"device_uuids": ["GPU-c"]}, None, 90.0),
        ({"on_accelerator": False, "device_uuids": []}, 90.0, 90.0),
        ({"unmetered": "the server is on another machine"}, None, 90.0),
    ],
)
def test_the_total_is_of_the_devices_that_ran(tmp_path, changes, total_j, cpu_j):
    def reading(at_s):
        gpus = [joules(at_s), joules(at_s, "GPU-b", power_w=2 * POWER_W)]
        return [*gpus, joules(at_s, "cpu", "cpu", power_w=30.0)]

    raw = read_journal(journalled(tmp_path, reading(-0.1), answer(0, 0.0, 3.0), reading(3.5), **changes))
    assert raw.energy_metrics.total_energy_j == pytest.approx(total_j)
    assert raw.energy_metrics.cpu_energy_j == pytest.approx(cpu_j)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The journal of eight answers, each with the joules after it."""
    answers = [answer(index, index, index + 1.5) for index in range(8)]
    told = [each for one in answers for each in (one, [joules(one.end_s - OPENED_S + 0.1)])]
    path = journalled(tmp_path_factory.mktemp("whole"), *told)
    return path, path.read_bytes()


@given(share=st.floats(0, 1))
def test_a_journal_that_ends_anywhere_has_what_was_told_before(whole, share):
    path, content = whole
    cut = content[: round(share * len(content))]
    path.write_bytes(cut)
    raw = read_journal(path)
    told = math.ceil(max(cut.count(b"\n") - 3, 0) / 2)
    assert (0 if raw is None else len(raw.requests.e2e_ms)) == told


def test_a_journal_in_which_no_request_ended_is_nothing(tmp_path):
    assert read_journal(journalled(tmp_path, FAILED, [joules(3.0)])) is None


def test_a_broken_line_is_named(tmp_path):
    path = journalled(tmp_path, answer(0, 0.0, 2.0))
    path.write_bytes(path.read_bytes() + b"{]\n")
    with pytest.raises(UnreadableFileError, match=r"process_0.jsonl: line 5: not JSON"):
        read_journal(path)


def test_without_a_place_to_write_nothing_is_kept_and_nothing_said(tmp_path):
    with open_journal(None, begun()) as journal:
        journal.take(answer(0, 0.0, 2.0))
    (tmp_path / "file").write_text("")
    with open_journal(tmp_path / "file", begun()) as journal:
        journal.take(answer(0, 0.0, 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_line_that_was_cut_by_a_full_disk_is_the_last(tmp_path, monkeypatch):
    told = [answer(0, 0.0, 2.0), answer(1, 0.5, 3.0), answer(2, 0.6, 3.0)]
    with open_journal(tmp_path, begun()) as journal:
        journal.opened(OPENED_AT, OPENED_S)
        journal.take(told[0])
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:20]))
        journal.take(told[1])
        monkeypatch.undo()
        journal.take(told[2])
    assert journal.path.read_bytes().count(b"\n") == 3
    assert len(read_journal(journal.path).requests.e2e_ms) == 1


def test_a_journal_that_is_discarded_takes_with_it_what_was_made_for_it(tmp_path):
    with open_journal(tmp_path / "new" / "results", begun()) as journal:
        assert journal.path.exists()
        journal.discard()
        journal.take(answer(0, 0.0, 2.0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").mkdir()
    with open_journal(tmp_path / "results", begun()) as journal:
        journal.discard()
    assert list(tmp_path.rglob("*")) == [tmp_path / "results"]


def test_a_journal_that_is_discarded_leaves_what_is_of_others(tmp_path):
    with open_journal(tmp_path, begun()) as journal:
        other = journal.path.with_name("process_1.json")
        other.write_text("{}")
        journal.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


@pytest.mark.parametrize(("told", "left"), [([FAILED], 0), ([FAILED, answer(0, 0.0, 2.0)], 1)])
def test_an_error_before_any_request_has_ended_leaves_no_journal(tmp_path, told, left):
    def interrupted():
        with open_journal(tmp_path, begun()) as journal:
            for each in told:
                journal.take(each)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(list(tmp_path.iterdir())) == left


# Recovered


def test_a_living_process_is_no_leftover(tmp_path):
    with open_journal(tmp_path, begun()):
        assert find_leftovers(tmp_path) == []
    assert len(find_leftovers(tmp_path)) == 1


def test_the_journal_of_a_killed_process_becomes_its_raw_result(tmp_path):
    path = journalled(tmp_path, answer(0, 0.0, 2.0), [joules(2.5)])
    raw = read_journal(path)
    (leftover,) = find_leftovers(tmp_path)
    assert (leftover.kind, leftover.complete) == ("run", False)
    assert leftover.what == "1 finished requests of 1 process(es); it ended early"
    assert [each.name for each in leftover.path.iterdir()] == ["process_0.json"]
    assert RawProcessResult.model_validate_json((leftover.path / "process_0.json").read_bytes()) == raw
    assert find_leftovers(tmp_path) == [leftover]
    remove(leftover)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_has_left_itself_is_not_replaced(tmp_path):
    path = journalled(tmp_path, answer(0, 0.0, 2.0))
    own = read_journal(path).model_copy(update={"model_name": "its own"})
    save_raw_result(own, tmp_path)
    (leftover,) = find_leftovers(tmp_path)
    assert [each.name for each in leftover.path.iterdir()] == ["process_0.json"]
    assert b"its own" in (leftover.path / "process_0.json").read_bytes()


def test_a_run_that_was_killed_once_its_result_was_saved_is_told_as_such(tmp_path):
    journalled(tmp_path, answer(0, 0.0, 2.0))
    saved = save_result(make_result(experiment_id=RUN), tmp_path)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what == f"1 finished requests of 1 process(es); its result is in {saved.parent}"


def test_a_broken_journal_is_told_and_stays_until_it_is_removed(tmp_path):
    path = journalled(tmp_path, answer(0, 0.0, 2.0))
    path.write_bytes(b"{]\n" + path.read_bytes())
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what.startswith(f"a run that ended early; broken: {path}: line 1: not JSON")
    assert path.exists()
