"""Bootstrap intervals: they cover what they should, and say so when they cannot."""

import math
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from labledger.intervals import BOOTSTRAP_RESAMPLES, DRAWS_AT_A_TIME, bootstrap_mean, bootstrap_means

MB = 1e6


def alone(values):
    return [[float(value)] for value in values]


def correlated_groups(generator, groups, size):
    """Values that share most of their deviation with the others of their group."""
    shared = generator.normal(size=(groups, 1))
    return (shared + 0.1 * generator.normal(size=(groups, size))).tolist()


def width(interval):
    return interval.high - interval.low


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(20260226)
    found = [bootstrap_mean(alone(generator.normal(5.0, 2.0, size=30)), seed=run) for run in range(300)]
    covered = sum(each.low <= 5.0 <= each.high for each in found)
    assert 0.90 <= covered / 300 <= 0.98


def test_the_interval_of_values_with_a_long_tail_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(20260228)
    found = [bootstrap_mean(alone(generator.exponential(size=60)), seed=run) for run in range(300)]
    covered = sum(each.low <= 1.0 <= each.high for each in found)
    assert 0.90 <= covered / 300 <= 0.98


def test_the_interval_of_correlated_groups_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(20260227)
    found = [bootstrap_mean(correlated_groups(generator, groups=30, size=8), seed=run) for run in range(300)]
    covered = sum(each.low <= 0.0 <= each.high for each in found)
    assert 0.90 <= covered / 300 <= 0.98


def test_values_that_move_together_make_the_interval_wider():
    groups = correlated_groups(np.random.default_rng(1), groups=20, size=8)
    apart = alone(value for group in groups for value in group)
    assert width(bootstrap_mean(groups, seed=1)) > 2 * width(bootstrap_mean(apart, seed=1))


def test_groups_of_different_sizes_count_by_their_values():
    groups = [[0.0, 0.1] * 20] * 20 + [[1.0]]
    assert bootstrap_mean(groups, seed=1).high < 0.2


def test_the_interval_lies_among_the_values_whatever_the_sizes_of_the_groups():
    interval = bootstrap_mean([[1.0 + size % 2 / 10] * size for size in range(1, 21)], seed=1)
    assert 1.0 <= interval.low < interval.high <= 1.1


def test_values_with_a_long_tail_move_the_interval_towards_it():
    generator = np.random.default_rng(5)
    values = generator.exponential(size=20)
    plain_low, plain_high = np.quantile(generator.choice(values, size=(2_000, 20)).mean(axis=1), [0.025, 0.975])
    interval = bootstrap_mean(alone(values), seed=1)
    assert interval.low > plain_low
    assert interval.high > plain_high


def test_more_values_make_the_interval_narrower():
    values = np.random.default_rng(2).normal(size=400)
    assert width(bootstrap_mean(alone(values), seed=1)) < width(bootstrap_mean(alone(values[:40]), seed=1)) / 2


def test_a_higher_level_makes_the_interval_wider():
    groups = alone(np.random.default_rng(3).normal(size=40))
    assert width(bootstrap_mean(groups, seed=1, level=0.99)) > width(bootstrap_mean(groups, seed=1, level=0.8))


def test_the_interval_says_how_it_was_made():
    interval = bootstrap_mean(alone([1, 2, 3, 5]), seed=1)
    assert (interval.level, interval.n, interval.method) == (0.95, 4, "BCa bootstrap")
    assert 1 <= interval.low < 2.75 < interval.high <= 5


def test_the_same_seed_gives_the_same_interval():
    groups = alone(np.random.default_rng(4).normal(size=20))
    assert bootstrap_mean(groups, seed=7) == bootstrap_mean(groups, seed=7)
    assert bootstrap_mean(groups, seed=7) != bootstrap_mean(groups, seed=8)


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0, 3.0]]])
def test_fewer_than_two_groups_are_refused(groups):
    with pytest.raises(ValueError, match=f"{len(groups)} groups: an interval needs two"):
        bootstrap_mean(groups, seed=1)


@pytest.mark.parametrize("sizes", [(1, 1), (4, 4, 4), (6, 1, 6), (3, 7), (5, 1, 2, 8)])
@pytest.mark.parametrize("value", [0.1, 123.456, 0.0, 5e-324, -1.7e308])
def test_values_that_are_all_alike_have_an_interval_without_width(sizes, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = bootstrap_mean([[value] * size for size in sizes], seed=1)
    assert (interval.low, interval.high) == (value, value)
    assert (interval.n, interval.method) == (len(sizes), "all alike")


def of_scipy(groups, seed, level):
    """Limits of scipy's own BCa interval, whose jackknife takes the square of the groups in memory."""
    sums, sizes = ([float(of(group)) for group in groups] for of in (sum, len))
    return bootstrap(
        (sums, sizes),
        lambda total, size, axis=-1: total.sum(axis=axis) / size.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=BOOTSTRAP_RESAMPLES,
        confidence_level=level,
        rng=np.random.default_rng(seed),
    ).confidence_interval


@pytest.mark.parametrize("largest", [1, 8], ids=["alone", "in groups of different sizes"])
@pytest.mark.parametrize("count", [2, 3, 31, DRAWS_AT_A_TIME // BOOTSTRAP_RESAMPLES + 2, 501])
def test_the_interval_is_that_of_scipys_bca_with_the_same_seed(count, largest):
    generator = np.random.default_rng(count)
    groups = [generator.lognormal(1, 2, generator.integers(1, largest, endpoint=True)).tolist() for _ in range(count)]
    for seed, level in enumerate([0.8, 0.95, 0.99]):
        found = bootstrap_mean(groups, seed=seed, level=level)
        assert (found.low, found.high) == pytest.approx(tuple(of_scipy(groups, seed, level)), rel=1e-12)


def test_intervals_of_several_samples_are_those_of_each_alone():
    generator = np.random.default_rng(6)
    samples = [alone(generator.normal(size=count)) for count in (40, 30, 40)]
    samples.append([[1.0, 2.0 + shift / 10] for shift in range(30)])
    assert bootstrap_means(samples, seed=3) == [bootstrap_mean(each, seed=3) for each in samples]
    assert bootstrap_means([], seed=3) == []


def test_the_interval_of_fifty_thousand_values_takes_some_megabytes_and_is_the_normal_one():
    values = np.random.default_rng(7).exponential(size=50_000)
    groups = alone(values)
    tracemalloc.start()
    try:
        interval = bootstrap_mean(groups, seed=1)
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300, 1e307])
def test_the_interval_of_huge_and_of_tiny_values_is_scaled_as_they_are(scale):
    values = np.random.default_rng(8).lognormal(size=40)
    plain, found = (bootstrap_mean(alone(values * by), seed=1) for by in (1.0, scale))
    assert (found.low, found.high) == pytest.approx((plain.low * scale, plain.high * scale), rel=1e-12)


def test_one_value_far_from_all_others_moves_the_upper_end_and_not_the_lower():
    interval = bootstrap_mean([[1.0]] * 99 + [[1e9]], seed=1)
    assert interval.low == pytest.approx(1.0)
    assert 2e7 < interval.high < 1e8


def test_values_that_differ_by_less_than_their_sum_can_hold_have_an_interval_of_that_width():
    interval = bootstrap_mean([[0.1], [math.nextafter(0.1, 1)]] * 20, seed=1)
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))


VALUES = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=2, max_size=8), st.sampled_from([0.5, 0.95, 0.9999]))
def test_any_groups_have_an_interval_among_their_values(groups, level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = bootstrap_mean(groups, seed=1, level=level)
    values = [value for group in groups for value in group]
    assert min(values) <= interval.low <= interval.high <= max(values)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_infinite_or_no_number_is_refused(value):
    for place in range(3):
        groups = [[1.0, 2.0], [3.0]]
        groups[place // 2].insert(place % 2, value)
        with pytest.raises(ValueError, match="infinite or not a number"):
            bootstrap_mean(groups, seed=1)


def test_a_bootstrap_interval_is_made_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    assert bootstrap_mean([[1.0], [2.0], [4.0]], seed=1).method == "BCa bootstrap"
