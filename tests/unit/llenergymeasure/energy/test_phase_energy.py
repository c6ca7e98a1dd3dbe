"""The energy of phases: a window for each where one batch runs at a time, else slices that add up to the whole."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import counter_trace
from replays import SteadyGpu

from llenergymeasure.domain.power import IdlePower
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.energy.meters.base import NoMeter
from llenergymeasure.energy.meters.replay import Replay
from llenergymeasure.energy.phases import Spans, energy_slices, overlap, phase_energy, read_energy
from llenergymeasure.metrics.energy import ReportedDevices

TRACE_S = 60.0
IDLE = IdlePower(None)


def power_w(at_s):
    return 120.0 if at_s % 7.3 < 2.1 else 600.0


def played(tick_s):
    """A meter of that counter, and the moment at which its trace begins."""
    trace = counter_trace(power_w, seconds=TRACE_S, tick_s=tick_s, device="GPU-1")
    meter = Replay(trace, limit_w=700.0)
    meter.open()
    return meter, meter.recording.samples("GPU-1")[0].before_s


@pytest.fixture(scope="module")
def meters():
    return {tick_s: played(tick_s) for tick_s in (0.02, 0.1, 0.35)}


@given(tick_s=st.sampled_from([0.02, 0.1, 0.35]), start_s=st.floats(1.0, 30.0), length_s=st.floats(0.01, 25.0))
def test_slices_are_equal_and_adjoin_and_add_up_to_the_windows_energy(meters, tick_s, start_s, length_s):
    meter, began_s = meters[tick_s]
    window = (began_s + start_s, began_s + start_s + length_s)
    slices = energy_slices(meter, *window)
    shortest_s = max(1.0, 10 * tick_s)
    assert len(slices) == pytest.approx(int(length_s / shortest_s), abs=1)  # the tick is measured
    if length_s < 0.99 * shortest_s:
        assert slices == []
    if not slices:
        return
    lengths_s = [each.end_s - each.start_s for each in slices]
    assert min(lengths_s) >= 0.99 * shortest_s
    assert lengths_s == pytest.approx([length_s / len(slices)] * len(slices))
    assert (slices[0].start_s, slices[-1].end_s) == window
    assert all(before.end_s == after.start_s for before, after in itertools.pairwise(slices))
    (whole,) = meter.energy(*window)
    assert sum(each.devices[0].energy_j for each in slices) == pytest.approx(whole.energy_j)


def test_a_slice_has_the_energy_of_its_own_time(meters):
    meter, began_s = meters[0.1]
    slices = energy_slices(meter, began_s + 9.42, began_s + 14.47)  # all of it at 600 W; the tick is measured
    assert [each.devices[0].energy_j for each in slices] == pytest.approx([600.0 * 5.05 / 5] * 5, rel=0.02)


def test_a_long_window_has_a_thousand_slices_at_the_most():
    slices = energy_slices(SteadyGpu(100.0), 0.0, 86_400.0)
    assert len(slices) == 1000
    assert [each.devices[0].energy_j for each in slices] == pytest.approx([8640.0] * 1000)


def test_what_is_not_measured_has_no_slices():
    assert energy_slices(NoMeter(), 0.0, 100.0) == []


def served(start_s, first_s, end_s, tokens=3):
    """One request as a batch of its own."""
    steps_s = [first_s + (end_s - first_s) * token / max(tokens - 1, 1) for token in range(tokens)]
    record = RequestRecord(0, 10, tokens, start_s, tuple(steps_s), "stop", ended_s=end_s)
    return Batch(start_s, end_s, (record,), 10, tuple(steps_s), False)


moments = st.integers(0, 12)
spans = st.lists(st.tuples(moments, moments).map(sorted), max_size=8)


@given(spans)
def test_batches_overlap_where_two_run_at_one_moment(spans):
    batches = [served(start_s, start_s, end_s) for start_s, end_s in spans]
    together = any(
        one[0] < other[1] and other[0] < one[1] for one, other in itertools.combinations(map(tuple, spans), 2)
    )
    assert overlap(batches) == together


def read(batches, meter=None, window=(0.0, 100.0)):
    spans = Spans.alone(window, *window)
    return read_energy(meter or SteadyGpu(100.0), ReportedDevices(False), batches, spans, (IDLE, IDLE), {})


def test_one_batch_at_a_time_has_windows_of_each_phase_and_no_slices():
    found = read([served(0.0, 1.0, 3.0), served(3.0, 4.0, 8.0)])
    assert [device.energy_j for device in found.prefill] == [pytest.approx(200.0)]
    assert [device.energy_j for device in found.decode] == [pytest.approx(600.0)]
    assert found.slices == []


def test_batches_that_overlap_have_slices_and_no_windows_of_phases():
    found = read([served(0.0, 1.0, 3.0), served(2.9, 4.0, 8.0)])
    assert (found.prefill, found.decode) == ([], [])
    assert len(found.slices) == 100


def test_a_request_that_generates_one_token_is_all_prefill():
    found = phase_energy(SteadyGpu(100.0), [served(0.0, 1.0, 3.0), served(3.0, 5.0, 5.0, tokens=1)], 0.0, 5.0)
    assert [device.energy_j for device in found.prefill] == [pytest.approx(100.0 + 200.0)]
    assert [device.energy_j for device in found.decode] == [pytest.approx(200.0)]


def test_phases_are_clipped_to_the_window():
    found = phase_energy(SteadyGpu(100.0), [served(0.0, 2.0, 6.0), served(6.0, 7.0, 9.0)], 1.0, 5.0)
    assert [device.energy_j for device in found.prefill] == [pytest.approx(100.0)]
    assert [device.energy_j for device in found.decode] == [pytest.approx(300.0)]
