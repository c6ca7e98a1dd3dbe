"""Energy from sampled power, against powers whose energy is known."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llenergymeasure.energy.power_integral import integrate
from properties import examples

MAX_POWER_W = 770.0
PERIOD_S = 0.1
AVERAGING_S = 1.0

powers_w = st.floats(0.0, MAX_POWER_W)
shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def found(moments_s, samples_w, start_s, end_s, **further):
    return integrate(np.array(moments_s), np.array(samples_w), start_s, end_s, max_power_w=MAX_POWER_W, **further)


def every_period(start_s, end_s):
    return np.arange(round(start_s / PERIOD_S), round(end_s / PERIOD_S) + 1) * PERIOD_S


class Path:
    """A power along straight lines, and its energy from the first moment on."""

    def __init__(self, moments_s, powers_w):
        self._moments_s, self._powers_w = np.array(moments_s), np.array(powers_w)
        steps_j = np.diff(self._moments_s) * (self._powers_w[:-1] + self._powers_w[1:]) / 2
        self._energies_j = np.concatenate([[0.0], np.cumsum(steps_j)])

    def power_w(self, moment_s):
        return float(np.interp(moment_s, self._moments_s, self._powers_w))

    def energy_j(self, moment_s):
        place = int(np.clip(np.searchsorted(self._moments_s, moment_s, side="right") - 1, 0, len(self._moments_s) - 1))
        mean_w = (self._powers_w[place] + self.power_w(moment_s)) / 2
        return float(self._energies_j[place] + mean_w * (moment_s - self._moments_s[place]))


@st.composite
def paths_between_samples(draw):
    """Samples, and a power through them that between two of them takes any turns, but stays between them."""
    lengths_s = draw(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=15))
    samples_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    samples_w = draw(st.lists(powers_w, min_size=len(samples_s), max_size=len(samples_s)))
    turns = [(0.0, samples_w[0])]
    for (start_s, start_w), (end_s, end_w) in itertools.pairwise(zip(samples_s.tolist(), samples_w, strict=True)):
        inside = draw(st.lists(st.tuples(shares, shares), max_size=3))
        turns += [(start_s + a * (end_s - start_s), start_w + b * (end_w - start_w)) for a, b in sorted(inside)]
        turns.append((end_s, end_w))
    return samples_s, np.array(samples_w), Path(*zip(*turns, strict=True))


def inside(moments_s, pair):
    return sorted(moments_s[0] + share * (moments_s[-1] - moments_s[0]) for share in pair)


def test_a_sample_holds_until_the_next_and_is_clipped_to_the_window():
    moments_s, samples_w = [0.0, 1.0, 2.0, 3.0], [100.0, 200.0, 400.0, 800.0]
    assert found(moments_s, samples_w, 0.5, 2.25) == pytest.approx((50.0 + 200.0 + 100.0, 50.0 + 200.0 + 100.0))
    assert found(moments_s, samples_w, 1.25, 1.75) == pytest.approx((100.0, 100.0))
    assert found(moments_s, samples_w, 1.0, 1.0) == (0.0, 0.0)


@examples(60)
@given(paths_between_samples(), st.lists(shares, min_size=2, max_size=6))
def test_adjoining_windows_add_up(case, within):
    moments_s, samples_w, _ = case
    edges_s = inside(moments_s, within)
    parts = [found(moments_s, samples_w, a, b).energy_j for a, b in itertools.pairwise(edges_s)]
    assert sum(parts) == pytest.approx(found(moments_s, samples_w, edges_s[0], edges_s[-1]).energy_j, abs=1e-6)


@examples(300)
@given(paths_between_samples(), st.tuples(shares, shares))
def test_a_power_that_stays_between_its_samples_has_its_energy_within_the_bound(case, within):
    moments_s, samples_w, path = case
    start_s, end_s = inside(moments_s, within)
    energy_j, edge_j = found(moments_s, samples_w, start_s, end_s)
    assert abs(energy_j - (path.energy_j(end_s) - path.energy_j(start_s))) <= edge_j + 1e-6


@examples(100)
@given(st.lists(powers_w, min_size=1, max_size=20), st.floats(1.0, 2.0), st.floats(0.25, 3.0), powers_w)
def test_whatever_power_does_in_a_gap_its_energy_is_within_the_bound(levels_w, gap_from_s, gap_s, hidden_w):
    moments_s = [at_s for at_s in every_period(0.0, 6.0) if not gap_from_s < at_s < gap_from_s + gap_s]
    samples_w = np.resize(levels_w, len(moments_s))
    lengths_s = np.diff(moments_s)
    truth_j = float(lengths_s @ np.where(lengths_s > 2.5 * PERIOD_S, hidden_w, samples_w[:-1]))
    energy_j, edge_j = found(moments_s, samples_w, 0.0, moments_s[-1])
    assert abs(energy_j - truth_j) <= edge_j + 1e-6


def test_a_gap_of_more_than_two_periods_is_widened_by_the_most_that_a_device_draws():
    moments_s = every_period(0.0, 3.0)
    short, long = (np.delete(moments_s, slice(15, end)) for end in (16, 18))
    assert found(short, np.full(30, 300.0), 0.5, 2.5) == pytest.approx((600.0, 0.0))
    assert found(long, np.full(28, 300.0), 0.5, 2.5) == pytest.approx((600.0, 0.4 * MAX_POWER_W))
    assert found(long, np.full(28, 300.0), 0.5, 1.6).edge_j == pytest.approx(0.2 * MAX_POWER_W)


def test_before_the_first_sample_energy_is_unknown():
    assert found([1.0, 2.0], [100.0, 100.0], 0.9, 2.0) == (None, None)
    assert found([], [], 0.0, 1.0) == (None, None)


def test_after_the_last_sample_the_bound_is_the_most_that_a_device_draws():
    assert found([1.0, 2.0], [100.0, 100.0], 2.0, 2.5) == pytest.approx((50.0, 0.5 * MAX_POWER_W))
    assert found([1.0, 2.0], [100.0, 100.0], 4.0, 5.0).edge_j >= MAX_POWER_W


def ramp(start_w, end_w, from_s, length_s):
    return Path([-10.0, from_s, from_s + length_s, 30.0], [start_w, start_w, end_w, end_w])


def averaged(path, moments_s):
    """The mean power of the last second at each moment."""
    return [(path.energy_j(at_s) - path.energy_j(at_s - AVERAGING_S)) / AVERAGING_S for at_s in moments_s]


@pytest.mark.parametrize("edge_s", [5.0, 12.0])
def test_an_average_adds_half_its_time_for_the_change_of_power_at_either_edge(edge_s):
    moments_s = every_period(0.0, 20.0)
    samples_w = averaged(ramp(100.0, 300.0, edge_s, 0.001), moments_s)
    plain, average = (found(moments_s, samples_w, 5.0, 12.0, averaging_s=w).edge_j for w in (0.0, AVERAGING_S))
    assert average - plain == pytest.approx(AVERAGING_S / 2 * 200.0, abs=PERIOD_S * 200.0)


def test_an_average_of_steady_power_adds_nothing():
    moments_s = every_period(0.0, 20.0)
    assert found(moments_s, np.full(len(moments_s), 300.0), 5.0, 12.0, averaging_s=1.0) == pytest.approx((2100.0, 0.0))


@examples(200)
@given(powers_w, powers_w, st.floats(3.0, 14.0), st.floats(0.001, 5.0))
@example(100.0, 600.0, 8.0, 0.001)
def test_the_energy_of_an_averaged_power_is_within_its_bound_wherever_it_changes(start_w, end_w, from_s, length_s):
    moments_s, path = every_period(0.0, 20.0), ramp(start_w, end_w, from_s, length_s)
    energy_j, edge_j = found(moments_s, averaged(path, moments_s), 5.0, 12.0, averaging_s=AVERAGING_S)
    assert abs(energy_j - (path.energy_j(12.0) - path.energy_j(5.0))) <= edge_j + 1e-6
