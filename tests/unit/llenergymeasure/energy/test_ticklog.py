"""The tick log against counters whose energy at every moment is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.energy.ticklog import TickLog
from properties import examples

MAX_POWER_W = 770.0
LENGTH_S = 4.0


class Signal:
    """A power over time in [0, MAX_POWER_W], constant between its corners, and its exact energy."""

    def __init__(self, corners_s, powers_w):
        self._corners_s = np.array([0.0, *corners_s])
        self._powers_w = np.array(powers_w)
        steps_j = np.diff(self._corners_s) * self._powers_w[:-1]
        self._energies_j = np.concatenate([[0.0], np.cumsum(steps_j)])

    def energy_j(self, moment_s):
        place = np.searchsorted(self._corners_s, moment_s, side="right") - 1
        return float(self._energies_j[place] + self._powers_w[place] * (moment_s - self._corners_s[place]))


def steps(*levels_w):
    corners = np.linspace(0, LENGTH_S, len(levels_w), endpoint=False)[1:]
    return Signal(corners, levels_w)


def ramp(start_w, end_w):
    return steps(*np.linspace(start_w, end_w, 400))


def square(low_w, high_w, period_s, phase):
    corners = np.arange(phase * period_s, LENGTH_S, period_s / 2)
    corners = corners[corners > 0]
    return Signal(corners, [(low_w, high_w)[number % 2] for number in range(len(corners) + 1)])


powers_w = st.floats(1.0, MAX_POWER_W)  # a device that draws nothing never ticks; its window is unknown
signals = st.one_of(
    st.builds(steps, powers_w),
    st.builds(steps, powers_w, powers_w),
    st.builds(ramp, powers_w, powers_w),
    st.builds(square, powers_w, powers_w, st.floats(0.01, 2.0), st.floats(0, 1)),
    st.lists(powers_w, min_size=3, max_size=40).map(lambda levels: steps(*levels)),
)


def read(
    signal,
    *,
    tick_s=0.1,
    poll_s=0.005,
    jitter=0.2,
    read_s=1e-4,
    tick_jitter=0.0,
    lost=0.0,
    twice=0.0,
    lag_s=0.0,
    seed=0,
):
    """The readings of a counter of `signal` with these ticks and polls."""
    random = np.random.default_rng(seed)
    ticks_s = np.arange(random.uniform(0, tick_s), LENGTH_S, tick_s)
    ticks_s = ticks_s + tick_jitter * tick_s * random.uniform(-1, 1, len(ticks_s))
    ticks_s = np.unique(np.clip(ticks_s, 0, None))
    values_j = [signal.energy_j(max(tick_s - random.uniform(0, lag_s), 0)) for tick_s in ticks_s]
    values_j = [0.0, *np.maximum.accumulate(values_j)] if len(values_j) else [0.0]
    readings, now_s = [], 0.0
    while now_s < LENGTH_S:
        before_s, asked_s, after_s = now_s, now_s + random.uniform(0, read_s), now_s + read_s
        value_j = float(values_j[int(np.searchsorted(ticks_s, asked_s, side="right"))])
        if random.uniform() >= lost:
            readings.append(("gpu", before_s, after_s, value_j))
            if random.uniform() < twice:
                readings.append(readings[-1])
        now_s += read_s if read_s > poll_s else poll_s * (1 + jitter * random.uniform(-1, 1))
    return readings


def window(log, start_s, end_s):
    return log.window(start_s, end_s)["gpu"]


def inside(readings, shares):
    """Two moments inside of the readings, in order."""
    first_s, last_s = readings[0][1], readings[-1][2]
    return sorted(min(first_s + share * (last_s - first_s), last_s) for share in shares)  # a sum may round up


def assert_within_bound(signal, log, start_s, end_s):
    found = window(log, start_s, end_s)
    true_j = signal.energy_j(end_s) - signal.energy_j(start_s)
    assert abs(found.energy_j - true_j) <= found.edge_j + 1e-6


shares = st.tuples(st.floats(0, 1), st.floats(0, 1))
seeds = st.integers(0, 2**32 - 1)


@examples(150)
@given(
    signals, shares, seeds, st.sampled_from([0.0, 0.3, 0.8]), st.sampled_from([0.0, 0.2]), st.sampled_from([0.02, 0.1])
)
def test_the_true_energy_of_any_window_is_within_its_bound(signal, moments, seed, lost, twice, tick_s):
    readings = read(signal, lost=lost, twice=twice, tick_s=tick_s, tick_jitter=0.3, seed=seed)
    assert_within_bound(signal, TickLog(readings, MAX_POWER_W), *inside(readings, moments))


@examples(150)
@given(signals, shares, seeds)
def test_reads_that_take_long_are_within_their_bound(signal, moments, seed):
    readings = read(signal, read_s=0.04, tick_s=0.02, seed=seed)
    assert_within_bound(signal, TickLog(readings, MAX_POWER_W), *inside(readings, moments))


@examples(60)
@given(signals, shares, seeds, st.floats(0.001, 0.05))
def test_a_counter_that_lags_is_within_its_bound_when_the_lag_is_stated(signal, moments, seed, lag_s):
    readings = read(signal, lag_s=lag_s, seed=seed)
    assert_within_bound(signal, TickLog(readings, MAX_POWER_W, lag_s=lag_s), *inside(readings, moments))


@examples(60)
@given(signals, shares, seeds)
def test_the_bound_of_a_slow_poll_holds_with_a_short_tick_that_is_known(signal, moments, seed):
    readings = read(signal, tick_s=0.001, jitter=0.0, poll_s=0.05, seed=seed)
    assert_within_bound(signal, TickLog(readings, MAX_POWER_W, max_tick_s=0.002), *inside(readings, moments))


def test_a_short_tick_that_is_known_narrows_the_bound_of_a_slow_poll():
    readings = read(steps(400.0), tick_s=0.001, poll_s=0.05)
    known, plain = (TickLog(readings, MAX_POWER_W, max_tick_s=max_tick_s) for max_tick_s in (0.002, None))
    assert window(known, 1.0, 3.0).edge_j < 0.6 * window(plain, 1.0, 3.0).edge_j


@examples(60)
@given(signals, st.lists(st.floats(0, 1), min_size=2, max_size=8), seeds)
def test_adjoining_windows_add_up(signal, moments, seed):
    readings = read(signal, lost=0.3, seed=seed)
    log, moments = TickLog(readings, MAX_POWER_W), inside(readings, moments)
    parts = sum(window(log, start_s, end_s).energy_j for start_s, end_s in itertools.pairwise(moments))
    assert parts == pytest.approx(window(log, moments[0], moments[-1]).energy_j, abs=1e-6)


@examples(100)
@given(st.floats(0.5, 3.5), seeds, st.sampled_from([0.01, 0.05, 0.1, 0.3]), st.floats(0, 1))
def test_an_edge_is_at_most_24_joules(moment_s, seed, period_s, phase):
    readings = read(square(50.0, 700.0, period_s, phase), seed=seed)
    assert window(TickLog(readings, MAX_POWER_W), moment_s, moment_s).edge_j / 2 <= 24


@examples(100)
@given(st.floats(0.5, 3.5), seeds)
def test_an_edge_is_at_most_12_joules_when_power_is_steady(moment_s, seed):
    readings = read(steps(700.0), seed=seed)
    assert window(TickLog(readings, MAX_POWER_W), moment_s, moment_s).edge_j / 2 <= 12


def test_a_window_across_a_reset_is_unknown_and_one_beside_it_is_not():
    before = read(steps(100.0))
    after = [(device, a + 5, b + 5, joules) for device, a, b, joules in before]
    log = TickLog([*before, *after], MAX_POWER_W)
    assert window(log, 1.0, 6.0) == (None, None)
    assert window(log, 1.0, 3.0).energy_j == pytest.approx(200.0, abs=1.0)
    assert window(log, 6.0, 8.0).energy_j == pytest.approx(200.0, abs=1.0)


def test_a_window_beyond_the_readings_is_unknown():
    log = TickLog(read(steps(100.0)), MAX_POWER_W)
    assert window(log, -1.0, 2.0) == (None, None)
    assert window(log, 1.0, 9.0) == (None, None)


def test_a_gap_widens_the_bound_and_the_energy_stays_within_it():
    signal = steps(100.0, 600.0)
    readings = [reading for reading in read(signal) if not 1.7 < reading[1] < 2.3]
    found = window(TickLog(readings, MAX_POWER_W), 1.0, 2.0)
    whole = window(TickLog(read(signal), MAX_POWER_W), 1.0, 2.0)
    assert found.edge_j > whole.edge_j
    assert abs(found.energy_j - 100.0) <= found.edge_j


def test_each_device_has_its_own_power_and_windows():
    first = read(steps(100.0))
    second = [("other", a, b, 2 * joules) for _, a, b, joules in first]
    log = TickLog([*first, *second], {"gpu": 400.0, "other": 800.0})
    found = log.window(1.0, 3.0)
    assert found["other"].energy_j == pytest.approx(2 * found["gpu"].energy_j)
    assert found["other"].edge_j == pytest.approx(2 * found["gpu"].edge_j)


def test_a_window_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="ends before it starts"):
        TickLog([], MAX_POWER_W).window(2.0, 1.0)


def test_a_counter_that_never_ticked_is_unknown():
    assert window(TickLog(read(steps(0.0)), MAX_POWER_W), 1.0, 2.0) == (None, None)


def test_a_log_without_readings_knows_no_device():
    assert TickLog([], MAX_POWER_W).window(1.0, 2.0) == {}
