"""Confidence intervals, on scipy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOOTSTRAP_RESAMPLES = 2_000
MAX_REPEATS = 1_000


@dataclass(frozen=True)
class Interval:
    """From `low` to `high` at confidence `level`, from `n` independent units, by `method`."""

    low: float
    high: float
    level: float
    n: int
    method: str


def bootstrap_mean(groups: Sequence[Sequence[float]], *, seed: int, level: float = 0.95) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean over all values.

    Values of one group are not independent of each other (requests of one batch), so whole groups are drawn:
    the mean is the ratio of the groups' sums to their sizes. Efron (1987), "Better bootstrap confidence
    intervals"; Davison and Hinkley (1997), section 2.4, for resampling groups.

    Raises:
        ValueError: fewer than two groups, or an empty one.
    """
    if len(groups) < 2 or not all(groups):
        raise ValueError(f"{len(groups)} groups: an interval needs two, and none of them empty")
    from scipy.stats import bootstrap

    sums = np.array([sum(group) for group in groups], dtype=float)
    sizes = np.array([len(group) for group in groups], dtype=float)
    mean = float(sums.sum() / sizes.sum())
    values = [value for group in groups for value in group]
    if min(values) == max(values):
        return Interval(mean, mean, level, len(groups), "all alike")

    def ratio(total: np.ndarray, size: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(total.sum(axis=axis) / size.sum(axis=axis))

    found = bootstrap(
        (sums, sizes),
        ratio,
        paired=True,
        vectorized=True,
        confidence_level=level,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high), level, len(groups), "BCa bootstrap")


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of independent values, as of paired differences: Student (1908).

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values: an interval needs two")
    from scipy.special import stdtrit

    given = np.asarray(values, dtype=float)
    mean = float(given.mean())
    half = float(stdtrit(len(given) - 1, (1 + level) / 2)) * float(given.std(ddof=1)) / math.sqrt(len(given))
    return Interval(mean - half, mean + half, level, len(given), "Student's t")


def ratio_of_means(first: Sequence[float], second: Sequence[float], *, level: float = 0.95) -> Interval:
    """The interval of second over first: ratio of geometric means of independent repeats, without equal variances.

    Welch's t interval for the difference of the logarithms' means, with Satterthwaite's degrees of freedom: Welch
    (1947), "The generalization of 'Student's' problem when several different population variances are involved".

    Raises:
        ValueError: fewer than two repeats in either, or one that is not above 0.
    """
    _check_repeats(first, second)
    a, b = np.log(np.asarray(first, dtype=float)), np.log(np.asarray(second, dtype=float))
    difference = float(b.mean() - a.mean())
    half = _welch_half_width(a, b, level)
    low, high = math.exp(difference - half), math.exp(difference + half)
    return Interval(low, high, level, len(a) + len(b), "Welch's t on logarithms")


def repeats_for(first: Sequence[float], second: Sequence[float], wanted: float, *, level: float = 0.95) -> int | None:
    """How many repeats of each would narrow `ratio_of_means` to about a factor of `wanted` (above 1) either way.

    The spread is taken as it was seen; None where over 1,000 would be needed.

    Raises:
        ValueError: as `ratio_of_means`, or `wanted` is not above 1.
    """
    _check_repeats(first, second)
    if wanted <= 1:
        raise ValueError(f"wanted: {wanted} is not a factor above 1")
    from scipy.stats import t

    variances = [float(np.log(np.asarray(values, dtype=float)).var(ddof=1)) for values in (first, second)]
    for repeats in range(2, MAX_REPEATS + 1):
        half = float(t.ppf((1 + level) / 2, 2 * (repeats - 1))) * math.sqrt(sum(variances) / repeats)
        if half <= math.log(wanted):
            return repeats
    return None


def _check_repeats(first: Sequence[float], second: Sequence[float]) -> None:
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} repeats: an interval needs two of each")
    if min(*first, *second) <= 0:
        raise ValueError("a ratio of means on logarithms needs values above 0")


def _welch_half_width(a: np.ndarray, b: np.ndarray, level: float) -> float:
    from scipy.stats import t

    errors = [float(values.var(ddof=1)) / len(values) for values in (a, b)]
    total = sum(errors)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(error**2 / (len(values) - 1) for error, values in zip(errors, (a, b), strict=True))
    return float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(total)
