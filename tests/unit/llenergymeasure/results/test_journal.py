"""The journal of a process while it measures, and the raw result that is recovered from it."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unfinished_runs import OPENED_AT, OPENED_S, POWER_W, RUN, answer, begun, joules, leave_journal, writing

from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.domain.requests import FailedRequest
from llenergymeasure.metrics.process_metrics import inference_metrics
from llenergymeasure.results import recovery
from llenergymeasure.results.journal import open_journal
from llenergymeasure.results.journal_recovery import read_journal
from llenergymeasure.results.persistence import save_raw_result, save_result
from llenergymeasure.results.recovery import find_leftovers, remove
from small_result import make_result

FAILED = FailedRequest(2, OPENED_S + 2.0, OPENED_S + 2.5, "http_429", "status 429: slow down")


def recovered(folder, *written, **changes):
    found = read_journal(leave_journal(folder, *written, **changes))
    assert found.broken_lines == 0
    return found.raw


def test_what_was_told_comes_back(tmp_path):
    written = [answer(0, 0.0, 2.0), answer(1, 0.5, 3.0), FAILED, [joules(4.0)]]
    raw = recovered(tmp_path, *written)
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
    raw = recovered(tmp_path, answer(0, 0.0, 2.0), [joules(2.5)], answer(1, 0.5, 3.0))
    assert len(raw.requests.e2e_ms) == 2
    assert raw.inference_metrics == inference_metrics(21, 4 + 3, 2.5, [500.0])  # the last of the eighth is at 3.0
    assert raw.energy_metrics.total_energy_j == pytest.approx(POWER_W * 2.5)
    assert raw.timestamps.duration_sec == raw.energy_metrics.duration_sec == 2.5


@given(
    spans=st.lists(st.tuples(st.floats(0.0, 9.0), st.floats(0.1, 9.0), st.integers(2, 50)), min_size=1, max_size=8),
    known_s=st.floats(0.5, 20.0),
)
def test_tokens_are_counted_by_their_time(tmp_path_factory, spans, known_s):
    written = [
        answer(index, start_s, start_s + lasts_s, tokens) for index, (start_s, lasts_s, tokens) in enumerate(spans)
    ]
    raw = recovered(tmp_path_factory.mktemp("run"), *written, [joules(known_s)])
    last_s = min(known_s, max(start_s + lasts_s for start_s, lasts_s, _ in spans))
    truth = sum(at_s - OPENED_S <= last_s for one in written for at_s in one.step_times_s)
    assert raw.inference_metrics.inference_time_sec == pytest.approx(last_s)
    assert abs(raw.inference_metrics.output_tokens - truth) <= len(spans) + 1  # one each may be on its way


def test_energy_that_was_never_read_is_unknown_and_figures_are_of_all_requests(tmp_path):
    unread = EnergySoFar("GPU-a", "gpu", "nvml_counter", OPENED_S + 1.0, None)
    with writing(tmp_path) as journal:
        journal.energy([unread])
        journal.opened(OPENED_AT, OPENED_S)
        journal.take(answer(0, 0.0, 2.0))
        journal.take(answer(1, 0.5, 3.0))
    raw = read_journal(journal.path).raw
    assert (raw.inference_metrics.output_tokens, raw.inference_metrics.inference_time_sec) == (8, 3.0)
    assert raw.energy_metrics.total_energy_j is None


def test_one_device_of_the_total_that_was_never_read_makes_it_unknown(tmp_path):
    def both(at_s):
        return [joules(at_s), EnergySoFar("GPU-b", "gpu", "nvml_counter", OPENED_S + at_s, None)]

    raw = recovered(tmp_path, both(-0.05), answer(0, 0.0, 2.0), both(3.0), device_uuids=["GPU-a", "GPU-b"])
    assert raw.energy_metrics.total_energy_j is None


@pytest.mark.parametrize(("share", "is_partial"), [(3, True), (2, False)])
def test_a_run_that_had_served_everything_is_not_partial(tmp_path, share, is_partial):
    assert recovered(tmp_path, answer(0, 0.0, 2.0), answer(1, 0.5, 3.0), share=share).is_partial == is_partial


def test_emissions_are_those_of_the_stated_grid(tmp_path):
    written = [answer(0, 0.0, 3.6), [joules(4.0)]]
    raw = recovered(tmp_path, *written, grid_carbon_intensity=500.0, datacenter_pue=1.2)
    assert raw.energy_metrics.emissions_kg_co2 == pytest.approx(POWER_W * 3.6 / 3.6e6 * 1.2 * 0.5)


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

    raw = recovered(tmp_path, reading(-0.05), answer(0, 0.0, 3.0), reading(3.5), **changes)
    assert raw.energy_metrics.total_energy_j == pytest.approx(total_j)
    assert raw.energy_metrics.cpu_energy_j == pytest.approx(cpu_j)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The journal of eight answers, each with the joules after it."""
    answers = [answer(index, index, index + 1.5) for index in range(8)]
    written = [each for one in answers for each in (one, [joules(one.end_s - OPENED_S + 0.1)])]
    path = leave_journal(tmp_path_factory.mktemp("whole"), *written)
    return path, path.read_bytes()


@given(share=st.floats(0, 1))
def test_a_journal_that_ends_anywhere_has_what_was_told_before(whole, share):
    path, content = whole
    cut = content[: round(share * len(content))]
    path.write_bytes(cut)
    found = read_journal(path)
    written = math.ceil(max(cut.count(b"\n") - 3, 0) / 2)
    assert (0 if found is None else len(found.raw.requests.e2e_ms)) == written


def test_a_journal_in_which_no_request_ended_is_nothing(tmp_path):
    assert read_journal(leave_journal(tmp_path, FAILED, [joules(3.0)])) is None


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 100,
        b"{]",
        b"[]",
        b'{"requests": {"start_s": [1.0, 2.0], "e2e_ms": [5.0]}}',
        b'{"requests": {"start_s": ["x"]}}',
    ],
    ids=["hole", "no JSON", "no object", "ragged", "a wrong type"],
)
def test_a_broken_line_is_left_out_and_counted(tmp_path, line):
    path = leave_journal(tmp_path, answer(0, 0.0, 2.0))
    path.write_bytes(path.read_bytes() + line + b"\n")
    other = leave_journal(tmp_path / "other", answer(1, 0.5, 3.0)).read_bytes().splitlines(keepends=True)[3]
    path.write_bytes(path.read_bytes() + other)
    found = read_journal(path)
    assert (len(found.raw.requests.e2e_ms), found.broken_lines) == (2, 1)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what.endswith(f"it ended early; 1 broken lines of {path} are left out")


def test_what_a_newer_version_adds_is_no_hindrance(tmp_path):
    path = leave_journal(tmp_path, answer(0, 0.0, 2.0))
    newer = b'{"energy":[{"device":"npu","kind":"npu","source":"x","at_s":1001.0,"energy_j":1.0,"new":1}],"also":2}\n'
    path.write_bytes(path.read_bytes() + newer)
    found = read_journal(path)
    assert (len(found.raw.requests.e2e_ms), found.broken_lines) == (1, 0)


def test_joules_are_written_no_more_often_than_each_thousandth_of_the_time(tmp_path):
    with writing(tmp_path) as journal:
        journal.opened(OPENED_AT, OPENED_S)
        for second in range(20_000):
            journal.energy([joules(float(second))])
            journal.energy([joules(float(second), "cpu", "cpu")])
    lines = journal.path.read_bytes().count(b"\n")
    assert 2 * 1000 < lines < 2 * (1000 + 1000 * math.log(20) + 100)


def test_without_a_place_to_write_nothing_is_kept_and_nothing_said(tmp_path):
    with writing(None, begun()) as journal:
        journal.take(answer(0, 0.0, 2.0))
    (tmp_path / "file").write_text("")
    with writing(tmp_path / "file", begun()) as journal:
        journal.take(answer(0, 0.0, 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_line_that_was_cut_by_a_full_disk_is_the_last(tmp_path, monkeypatch):
    written = [answer(0, 0.0, 2.0), answer(1, 0.5, 3.0), answer(2, 0.6, 3.0)]
    with writing(tmp_path, begun()) as journal:
        journal.opened(OPENED_AT, OPENED_S)
        journal.take(written[0])
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:20]))
        journal.take(written[1])
        monkeypatch.undo()
        journal.take(written[2])
    assert journal.path.read_bytes().count(b"\n") == 3
    assert len(read_journal(journal.path).raw.requests.e2e_ms) == 1
    assert journal.requests == 1


def test_a_disk_that_fails_when_a_file_is_closed_costs_nothing(tmp_path, monkeypatch):
    def fails(descriptor):
        close(descriptor)
        raise OSError(28, "No space left on device")

    close, journal = os.close, open_journal(tmp_path, begun())
    journal.take(answer(0, 0.0, 2.0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", fails)
        journal._let_go()
    journal.take(answer(1, 0.0, 2.0))
    journal.close()
    assert journal.requests == 1


def test_what_cannot_be_opened_leaves_nothing(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with writing(tmp_path / "results") as journal:
            journal.take(answer(0, 0.0, 2.0))
    error = KeyboardInterrupt()
    journal.leave(error)
    assert (list(tmp_path.iterdir()), getattr(error, "__notes__", [])) == ([], [])


def test_a_journal_that_is_discarded_takes_with_it_what_was_made_for_it(tmp_path):
    with writing(tmp_path / "new" / "results", begun()) as journal:
        assert journal.path.exists()
        journal.discard()
        journal.take(answer(0, 0.0, 2.0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").mkdir()
    with writing(tmp_path / "results", begun()) as journal:
        journal.discard()
    assert list(tmp_path.rglob("*")) == [tmp_path / "results"]


def test_a_journal_that_is_discarded_leaves_what_is_of_others(tmp_path):
    with writing(tmp_path, begun()) as journal:
        other = journal.path.with_name("process_1.json")
        other.write_text("{}")
        journal.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


def test_an_error_before_any_request_has_ended_leaves_no_journal_and_one_after_says_where_it_is(tmp_path):
    journal, error = open_journal(tmp_path, begun()), KeyboardInterrupt()
    journal.take(FAILED)
    journal.leave(error)
    assert list(tmp_path.iterdir()) == []
    assert getattr(error, "__notes__", []) == []
    journal = open_journal(tmp_path, begun())
    journal.take(answer(0, 0.0, 2.0))
    journal.leave(error)
    assert error.__notes__ == [f"1 finished requests are in {journal.path}: llem results recover reads them"]
    assert journal.path.exists()


# Recovered


def test_a_living_process_is_no_leftover(tmp_path):
    with writing(tmp_path):
        assert find_leftovers(tmp_path) == []
    assert len(find_leftovers(tmp_path)) == 1


def test_the_journal_of_a_killed_process_is_read_as_its_raw_result_and_stays(tmp_path):
    path = leave_journal(tmp_path, answer(0, 0.0, 2.0), [joules(2.5)])
    before, raw = path.read_bytes(), read_journal(path).raw
    for _ in range(2):
        (leftover,) = find_leftovers(tmp_path)
        assert (leftover.kind, leftover.complete) == ("run", False)
        assert leftover.what == "1 finished requests of 1 process(es); it ended early"
        assert path.read_bytes() == before
        assert RawProcessResult.model_validate_json(path.with_suffix(".recovered.json").read_bytes()) == raw
    remove(leftover)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_has_left_itself_is_taken_and_not_its_journal(tmp_path):
    path = leave_journal(tmp_path, answer(0, 0.0, 2.0))
    raw = read_journal(path).raw
    save_raw_result(raw.model_copy(update={"per_request_latencies_ms": [1.0, 2.0, 3.0]}), tmp_path)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what == "3 finished requests of 1 process(es); it ended early"


def test_a_run_that_was_killed_once_its_result_was_saved_is_told_as_such(tmp_path):
    leave_journal(tmp_path, answer(0, 0.0, 2.0))
    saved = save_result(make_result(experiment_id=RUN), tmp_path)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what == f"1 finished requests of 1 process(es); its result is in {saved.parent}"


def test_a_broken_journal_is_told_stays_and_hides_no_other(tmp_path):
    path = leave_journal(tmp_path, answer(0, 0.0, 2.0))
    raw = read_journal(path).raw
    path.write_bytes(b"{]\n" + path.read_bytes())
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what.startswith(f"a run that ended early; broken: {path}: line 1: not JSON")
    save_raw_result(raw.model_copy(update={"process_index": 1}), tmp_path)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what.startswith(f"1 finished requests of 1 process(es); it ended early; broken: {path}: line 1")
    assert path.exists()


def test_a_journal_on_a_disk_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    leave_journal(tmp_path, answer(0, 0.0, 2.0))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    (leftover,) = find_leftovers(tmp_path)
    assert leftover.what == "1 finished requests of 1 process(es); it ended early"


def test_others_may_begin_a_run_while_a_journal_is_read(tmp_path, monkeypatch):
    leave_journal(tmp_path, answer(0, 0.0, 2.0))
    began = []

    def reads(path):
        other = RUN.replace("0123", "4567")
        raw = begun().raw.model_copy(update={"experiment_id": other})
        began.append(open_journal(tmp_path, begun(raw=raw)).path)  # would wait for ever
        return read_journal(path)

    monkeypatch.setattr(recovery, "read_journal", reads)
    find_leftovers(tmp_path)
    assert began[0].exists()
