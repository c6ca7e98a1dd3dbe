"""Estimates of means and differences, families of hypotheses, and how many values show a difference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labledger.comparison import holm
from labledger.intervals import (
    MAX_REPEATS,
    Estimate,
    common_step,
    difference_estimate,
    mean_estimate,
    repeats_for,
    rounding_variance,
)

LEVELS = (0.8, 0.95, 0.9875)
p_values = st.lists(st.floats(0, 1), max_size=6)


def alone(values):
    return [[value] for value in values]


def drawn(seed, count, sd=1.0):
    return np.random.default_rng(seed).normal(0.3, sd, count).tolist()


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_of_a_mean_and_its_p_value_are_those_of_scipy(level):
    values = drawn(1, 6)
    test = stats.ttest_1samp(values, 0.0)
    found = mean_estimate(values)
    low, high = test.confidence_interval(level)
    assert (found.interval(level).low, found.interval(level).high) == pytest.approx((low, high))
    assert found.p_value() == pytest.approx(test.pvalue)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("counts", [(2, 2), (3, 9), (12, 5)])
def test_the_interval_of_a_difference_and_its_p_value_are_welchs(level, counts):
    first, second = drawn(2, counts[0]), drawn(3, counts[1], sd=4.0)
    test = stats.ttest_ind(second, first, equal_var=False)
    found = difference_estimate(alone(first), alone(second))
    low, high = test.confidence_interval(level)
    assert (found.interval(level).low, found.interval(level).high) == pytest.approx((low, high))
    assert found.p_value() == pytest.approx(test.pvalue)


def test_one_further_value_of_the_same_kind_is_called_different_as_often_as_the_level_says():
    rows = np.random.default_rng(4).normal(size=(2000, 7))
    false = sum(difference_estimate(alone(row[:6].tolist()), [[float(row[6])]]).p_value() < 0.05 for row in rows)
    assert 70 <= false <= 131
    other_way = difference_estimate([[1.0]], alone([1.0, 2.0, 3.0]))
    assert (other_way.value, other_way.freedom) == (1.0, 2)


def test_values_that_follow_each_other_show_the_variance_and_count_once():
    first, second = drawn(5, 6), drawn(6, 6)
    found = difference_estimate([first], [second])
    assert found.value == pytest.approx(np.mean(second) - np.mean(first))
    assert found.error == pytest.approx(math.sqrt(np.var(first, ddof=1) + np.var(second, ddof=1)))
    assert found.error > 2 * difference_estimate(alone(first), alone(second)).error


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(0, 1), st.floats(0, 1), st.sampled_from(LEVELS))
def test_a_p_value_is_below_alpha_exactly_where_the_interval_lies_beyond_the_values(values, below, above, level):
    found = mean_estimate(values)
    interval, p_value = found.interval(level), found.p_value(-below, above)
    beyond = max(interval.low - above, -below - interval.high)
    if abs(beyond) > 1e-6:
        assert (p_value < 1 - level) == (beyond > 0)


def test_a_known_spread_gives_the_normal_interval():
    found = Estimate(0.5, 0.1, math.inf, 3, "known spread").interval(0.95)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second"), [([], [[1.0, 2.0]]), ([[1.0], [2.0]], []), ([[1.0]], [[2.0]]), ([[]], [[1.0, 2.0]])]
)
def test_too_few_values_have_no_difference(first, second):
    with pytest.raises(ValueError, match="an interval needs one of each side and two of one"):
        difference_estimate(first, second)


def test_values_without_spread_have_an_interval_without_width():
    assert difference_estimate([[1.0, 1.0]], [[1.0, 1.0, 1.0]]).interval(0.95).high == 0.0
    assert difference_estimate([[1.0, 1.0]], [[2.0]]).p_value() == 0.0


@given(p_values)
def test_a_family_rejects_what_holms_adjusted_p_values_do(values):
    steps = holm(values, 0.05)
    order, highest = sorted(range(len(values)), key=values.__getitem__), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, values[place] * (len(values) - rank))
        if abs(highest - 0.05) > 1e-12:
            assert steps[place].rejected == (highest < 0.05)


@given(p_values)
def test_a_hypothesis_is_rejected_exactly_where_its_p_value_is_below_its_share(values):
    for value, step in zip(values, holm(values), strict=True):
        assert step.rejected == (value < step.alpha)
        assert 0.05 / len(values) <= step.alpha <= 0.05


@pytest.mark.parametrize(("apart", "spread"), [(0.2, 0.07), (0.05, 0.1), (0.02, 0.1)])
def test_so_many_repeats_show_a_difference_nine_times_in_ten_and_one_fewer_do_not(apart, spread):
    needed = repeats_for(apart, spread, level=0.9875)

    def power(n):
        reached = stats.t.ppf((1 + 0.9875) / 2, n - 1)
        return stats.nct.sf(reached, n - 1, apart / spread * math.sqrt(n))

    assert power(needed) >= 0.9 > power(needed - 1)


def test_a_difference_that_a_thousand_repeats_do_not_show_has_no_number():
    assert repeats_for(0.001, 1.0) is None
    assert repeats_for(10.0, 1e-9) == 2
    assert repeats_for(0.105, 1.0) <= MAX_REPEATS
    with pytest.raises(ValueError, match="above 0"):
        repeats_for(0.0, 1.0)


@given(
    step=st.sampled_from([0.01, 0.1, 1.0, 2.0, 4096.0]),
    numbers=st.lists(st.integers(1, 10_000), min_size=2, max_size=9, unique=True),
)
def test_the_common_step_of_rounded_values_is_a_multiple_of_theirs(step, numbers):
    found = common_step([[number * step for number in numbers]])
    gaps = [number - min(numbers) for number in numbers]
    assert found == pytest.approx(step * math.gcd(*gaps), rel=1e-6)


def test_rounding_errors_of_many_gaps_do_not_multiply():
    numbers = (6071, 8024, 485, 7690, 713, 5055, 9719, 9473)
    assert common_step([[number * 0.1 for number in numbers]]) == pytest.approx(0.1)


def test_values_in_no_steps_have_none_nor_have_groups_that_are_each_alike():
    assert common_step([np.random.default_rng(1).normal(100, 5, 6).tolist()]) == 0.0
    assert common_step([[512.0] * 3, [800.0] * 3]) == 0.0
    assert common_step([[512.0, 512.0, 514.0], [800.0] * 3]) == 2.0
    assert common_step([[], [0.1 + 0.2, 0.3, 0.4]]) == pytest.approx(0.1)


def test_a_mean_has_at_the_least_the_variance_of_its_rounding():
    assert mean_estimate([7.0] * 3, least_variance=rounding_variance(6.0)).error == pytest.approx(1.0)
    assert mean_estimate([0.0, 10.0], least_variance=0.1).error == pytest.approx(5.0)
    assert mean_estimate([-1e308, 1e308]).error == pytest.approx(1e308)


def test_a_difference_has_at_the_least_the_variance_of_the_rounding_of_both():
    found = difference_estimate(alone([7.0] * 3), alone([8.0] * 6), least_variance=rounding_variance(6.0))
    assert found.error == pytest.approx(math.sqrt(3 / 3 + 3 / 6))
    one = difference_estimate(alone([7.0]), alone([8.0] * 3), least_variance=rounding_variance(6.0))
    assert one.error == pytest.approx(math.sqrt(3 + 3 / 3))
