"""The drawn boards behave like the boards that were recorded, and like their truth."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from drawn_boards import GRID_S, DrawnBoard, drawn_board
from hypothesis import given, settings
from hypothesis import strategies as st
from meter_curves import RECORDINGS, curves, meter_power, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")
SQUARES = [(start_s / 10, start_s / 10 + 0.05) for start_s in range(20, 60)]


def first_board(wanted):
    return next(board for board in map(drawn_board, range(500)) if wanted(board.truth))


def test_a_seed_draws_the_same_board_and_the_same_recordings_again():
    first, again = drawn_board(7), drawn_board(7)

    assert first.truth == again.truth
    assert [first.record(3, SQUARES[:5]) for _ in range(2)] == [again.record(3, SQUARES[:5]) for _ in range(2)]


def test_two_hundred_boards_have_every_kind_of_sensor_and_counter():
    truths = [drawn_board(seed).truth for seed in range(200)]

    parts = {part: sum(truth.power_is_part_time is part for truth in truths) for part in (True, False)}
    assert min(parts.values()) >= 50
    assert sum(truth.counter_is_part_time is True for truth in truths) >= 20
    assert sum(truth.shape == "boxcar" and truth.window_s > truth.period_s for truth in truths) >= 20
    assert sum(truth.shape == "low_pass" and not truth.power_is_part_time for truth in truths) >= 10
    assert sum(truth.shape == "low_pass" and truth.power_is_part_time for truth in truths) >= 6
    assert {truth.counter for truth in truths} == {None, "exact", "samples"}


@given(seed=st.integers(0, 199))
@settings(max_examples=20, deadline=None)
def test_a_recording_is_in_order_and_its_work_is_what_was_asked_a_little_late(seed):
    trace = drawn_board(seed).record(7, SQUARES)

    times = [time_s for sample in trace.samples for time_s in (sample.before_s, sample.after_s)]
    assert trace.start_s <= min(times) <= max(times) <= trace.end_s
    assert all(a.before_s <= b.before_s for a, b in zip(trace.samples, trace.samples[1:], strict=False))
    for (asked_from, asked_to), (seen_from, seen_to) in zip(SQUARES, trace.busy, strict=True):
        assert 0 <= seen_from - trace.start_s - asked_from < 0.0015
        assert 0 <= seen_to - trace.start_s - asked_to < 0.0105
    joules = [sample.joules for sample in trace.samples if sample.joules is not None]
    assert joules == sorted(joules)
    assert all(sample.power_w >= 0 for sample in trace.samples if sample.power_w is not None)


def test_a_square_load_at_the_period_makes_a_part_time_sensor_beat_and_a_full_time_one_not():
    part = first_board(
        lambda truth: truth.shape == "boxcar" and truth.window_s < 0.3 * truth.period_s and truth.period_s > 0.08
    )
    full = first_board(lambda truth: truth.window_s == truth.period_s and truth.period_s > 0.08)

    assert _spread(part) > 0.6
    assert _spread(full) < 0.35


def test_an_exact_counter_and_a_full_time_sensor_see_the_same_energy():
    board = first_board(lambda truth: truth.window_s == truth.period_s and truth.counter == "exact")
    trace = board.record(20, [(start_s, start_s + 0.37) for start_s in range(1, 19)])

    joules = [sample.joules for sample in trace.samples if sample.joules is not None]
    watts = [sample.power_w for sample in trace.samples if sample.power_w is not None]
    assert (joules[-1] - joules[0]) / 20 == pytest.approx(sum(watts) / len(watts), rel=0.02)


@pytest.mark.parametrize("counter", ["exact", "samples"])
def test_the_counter_of_a_part_time_board_beats_with_a_square_load_if_it_sums_samples_and_else_does_not(counter):
    def is_blind(truth):
        return truth.shape == "boxcar" and truth.window_s < 0.4 * truth.period_s and truth.period_s > 0.05

    board = first_board(lambda truth: truth.counter == counter and is_blind(truth))
    period_s = board.truth.period_s
    means_w = []
    for phase in range(8):
        begins_s = [0.5 + period_s * (k + phase / 8) for k in range(60)]
        trace = board.record(1 + 62 * period_s, [(begin_s, begin_s + period_s / 2) for begin_s in begins_s])
        counted = [sample for sample in trace.samples if sample.joules is not None]
        loaded = [each for each in counted if trace.busy[1][0] < each.before_s < trace.busy[-2][1]]
        means_w.append((loaded[-1].joules - loaded[0].joules) / (loaded[-1].before_s - loaded[0].before_s))

    beats = max(means_w) / min(means_w) > 1.3
    assert beats is (counter == "samples"), means_w


def test_the_curves_are_those_of_the_recordings():
    rtx_3090, k40m, a100 = curves()

    assert 0.55 < rtx_3090.wake[60] < 0.65  # 323 W of 440, for 140 ms
    assert 1.0 < rtx_3090.rise[20] < 1.1  # a square load begins above where it settles
    assert 1.7 < rtx_3090.asleep_after_s < 2.0
    assert k40m.tail_share > 0
    assert a100.rise[10] == pytest.approx(1, abs=0.03)
    _, power_w = meter_power("5050_3090")
    assert 440 < power_w.max() < 480


@pytest.mark.parametrize(
    ("recording", "field", "shape", "period_s", "window_s", "phase_s", "lag_s", "within"),
    [
        ("5050_3090", "instant_w", "boxcar", 0.1, 0.1, 0.08, 0.0, 0.01),
        ("transient_response_3090_tr", "average_w", "boxcar", 0.1, 1.0, 0.07, 0.05, 0.03),
        ("5050_a100", "draw_w", "low_pass", 0.1012, 0.0125, 0.036, 0.0, 0.03),
        ("transient_response_k40m_tr", "draw_w", "low_pass", 0.015, 0.052, 0.003, 0.0, 0.01),
    ],
)
def test_a_drawn_sensor_gives_what_the_recorded_one_gave_for_the_power_that_the_meter_saw(
    recording, field, shape, period_s, window_s, phase_s, lag_s, within
):
    time_s, power_w = meter_power(recording)
    grid_s = np.arange(time_s[0] - 3, time_s[-1], GRID_S)
    true_w = np.interp(grid_s, time_s, power_w)
    sensor = replace(
        drawn_board(0).truth,
        period_s=period_s,
        window_s=window_s,
        phase_s=phase_s,
        lag_s=lag_s,
        shape=shape,
        gain=1.0,
        offset_w=0.0,
        noise=0.0,
        jitter_s=0.0,
        quantum_w=0.01,
        sleeps=False,
    )
    board = DrawnBoard(sensor, "GPU-0", np.random.default_rng(0))
    at_s, watts, _ = board.values(grid_s, np.append(0, np.cumsum(true_w[:-1] * GRID_S)), true_w)
    table = pq.read_table(RECORDINGS / f"{recording}_sensor.parquet")
    polled_s, recorded_w = table["time_s"].to_numpy(), table[field].to_numpy()
    changed = np.flatnonzero(np.diff(recorded_w)) + 1
    known = changed[(polled_s[changed] > 1.2) & (polled_s[changed] < time_s[-1] - 0.2)]
    drawn_w = watts[np.abs(at_s[:, None] - polled_s[known]).argmin(axis=0)]
    gain, offset_w = np.polyfit(drawn_w, recorded_w[known], 1)

    rms_w = np.sqrt(np.mean((gain * drawn_w + offset_w - recorded_w[known]) ** 2))
    assert rms_w < within * np.ptp(recorded_w)
    assert 0.9 < gain < 1.1


def _spread(board):
    """Return the range of the values under a square load a little longer than the period, as a share of the step."""
    truth = board.truth
    period_s = 1.02 * truth.period_s
    busy = [(1 + k * period_s, 1 + k * period_s + period_s / 2) for k in range(60)]
    trace = board.record(62 * period_s + 1, busy)
    watts = [
        sample.power_w
        for sample in trace.samples
        if sample.power_w is not None and trace.busy[4][0] < sample.before_s < trace.busy[-4][1]
    ]
    return (max(watts) - min(watts)) / (truth.gain * (truth.load_w - truth.deep_idle_w))
