"""Intervals of shares of trials, and shares of the same trials compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.intervals import paired_share_interval, paired_share_p_value, wilson_interval

TRIALS = st.integers(1, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (81, 263, 0.25527, 0.36621), (15, 148, 0.06238, 0.16054)],
)
def test_the_interval_of_a_share_is_the_published_score_interval(successes, trials, low, high):
    found = wilson_interval(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert (found.level, found.n, found.method) == (0.95, trials, "Wilson score")


@given(TRIALS, st.floats(0.5, 0.999))
def test_the_interval_of_any_share_holds_it_and_lies_between_0_and_1(counts, level):
    successes, trials = counts
    found = wilson_interval(successes, trials, level=level)
    assert 0 <= found.low <= successes / trials <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize(("share", "trials"), [(0.02, 100), (0.5, 40), (0.9, 100)])
def test_the_interval_of_a_share_covers_the_true_one_about_as_often_as_it_says(share, trials):
    def probability(successes):
        return math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)

    found = [(wilson_interval(count, trials), probability(count)) for count in range(trials + 1)]
    assert 0.92 < sum(chance for interval, chance in found if interval.low <= share <= interval.high) < 0.98


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 3)])
def test_a_share_of_no_trials_or_of_too_few_is_refused(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} of {trials}: an interval needs"):
        wilson_interval(successes, trials)


@given(st.integers(0, 60), st.integers(0, 60))
def test_shares_of_the_same_trials_are_compared_by_the_exact_binomial_test(one, other):
    apart = one + other
    tail = sum(math.comb(apart, count) for count in range(min(one, other) + 1)) / 2**apart
    assert paired_share_p_value(one, other) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    assert paired_share_p_value(one, other) == paired_share_p_value(other, one)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300))
def test_the_interval_of_a_difference_of_shares_holds_it_and_is_no_point_even_without_any_difference(one, other, rest):
    trials = one + other + rest + 1
    found = paired_share_interval(one, other, trials)
    assert -1 <= found.low < found.high <= 1
    assert found.low <= (other - one) / trials <= found.high
    turned = paired_share_interval(other, one, trials)
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_without_a_question_apart_the_difference_is_bounded_by_how_many_were_asked():
    found = paired_share_interval(0, 0, 100)
    assert found.high == -found.low == pytest.approx(1 - 0.0125 ** (1 / 100))
