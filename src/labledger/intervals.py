"""Confidence intervals.

Those of the bootstrap are made when a run is summed up and need numpy alone; those of Student's t need scipy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np

BOOTSTRAP_RESAMPLES = 2_000
DRAWS_AT_A_TIME = 1 << 18
"""Group numbers of 8 bytes: so few stay in the processor's cache."""
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
    """Return the bias-corrected and accelerated bootstrap interval of the mean over all values.

    Values of one group are not independent of each other (requests of one batch), so whole groups are drawn:
    the mean is the ratio of the groups' sums to their sizes. Efron (1987), "Better bootstrap confidence
    intervals"; Davison and Hinkley (1997), sections 2.4, for resampling groups, and 5.3.

    The limits lie among the values, whatever their magnitude.

    Raises:
        ValueError: fewer than two groups, an empty one, or a value that is infinite or NaN.
    """
    return bootstrap_means([groups], seed=seed, level=level)[0]


def bootstrap_means(samples: Sequence[Sequence[Sequence[float]]], *, seed: int, level: float = 0.95) -> list[Interval]:
    """Return the `bootstrap_mean` of each sample. Samples with the same number of groups share their resamples.

    Time and memory are linear in the groups, some 6 us and some bytes per group: a few resamples are drawn at a time.

    Raises:
        ValueError: as `bootstrap_mean`.
    """
    given = [_Groups.of(groups) for groups in samples]
    means: dict[int, np.ndarray] = {}
    for count in {len(each.sums) for each in given}:
        alike = [place for place, each in enumerate(given) if len(each.sums) == count]
        found = _resampled_means([given[place] for place in alike], np.random.default_rng(seed))
        means |= dict(zip(alike, found, strict=True))
    return [_bca(each, means[place], level) for place, each in enumerate(given)]


class _Groups(NamedTuple):
    """The sum and the size of each group, the one size that all have (None: they differ), and the least and the
    greatest value.

    Sums are of values divided by 2**`exponent`, which leaves none above 1: no sum overflows.
    """

    sums: np.ndarray
    sizes: np.ndarray
    common_size: float | None
    least: float
    greatest: float
    exponent: int

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> Self:
        if len(groups) < 2 or not all(groups):
            raise ValueError(f"{len(groups)} groups: an interval needs two, and none of them empty")
        if not all(math.isfinite(value) for group in groups for value in group):
            raise ValueError("a value is infinite or not a number: it has no interval")
        least, greatest = min(map(min, groups)), max(map(max, groups))
        _, exponent = math.frexp(max(abs(least), abs(greatest)))
        sums = np.array([sum(math.ldexp(value, -exponent) for value in group) for group in groups])
        sizes = np.array([len(group) for group in groups], dtype=float)
        common_size = float(sizes[0]) if sizes.min() == sizes.max() else None
        return cls(sums, sizes, common_size, least, greatest, exponent)

    def restored(self, value: float) -> float:
        """Return a scaled value in the unit of the values; none lies beyond them, as a sum that was rounded may."""
        least, greatest = (math.ldexp(end, -self.exponent) for end in (self.least, self.greatest))
        found = math.ldexp(min(max(value, least), greatest), self.exponent)
        return min(max(found, self.least), self.greatest)

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    def means_of(self, drawn: np.ndarray) -> np.ndarray:
        """Return the mean of the groups' values, for each row of group numbers."""
        size = self.common_size
        sizes = self.sizes[drawn].sum(axis=1) if size is None else size * drawn.shape[1]
        return np.asarray(self.sums[drawn].sum(axis=1) / sizes)


def _resampled_means(samples: Sequence[_Groups], generator: np.random.Generator) -> np.ndarray:
    """Return means of bootstrap samples, a row per sample. The draws do not depend on how many are made at a time."""
    groups = len(samples[0].sums)
    at_a_time = max(DRAWS_AT_A_TIME // groups, 1)
    means = np.empty((len(samples), BOOTSTRAP_RESAMPLES))
    for first in range(0, BOOTSTRAP_RESAMPLES, at_a_time):
        part = slice(first, min(first + at_a_time, BOOTSTRAP_RESAMPLES))
        drawn = generator.integers(0, groups, (part.stop - part.start, groups))
        for row, sample in zip(means, samples, strict=True):
            row[part] = sample.means_of(drawn)
    return means


def _bca(groups: _Groups, means: np.ndarray, level: float) -> Interval:
    """Return the interval from bootstrap samples' means: Efron (1987); Efron and Tibshirani (1993), section 14.3."""
    mean, count, normal = groups.mean, len(groups.sums), NormalDist()
    if groups.least == groups.greatest:
        return Interval(groups.least, groups.greatest, level, count, "all alike")
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * len(means))
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    acceleration = _acceleration(groups)

    def share_below(deviate: float) -> float:
        moved = bias + deviate
        shrunk = 1 - acceleration * moved
        return normal.cdf(bias + moved / shrunk) if shrunk > 0 else float(moved > 0)

    reach = normal.inv_cdf((1 + level) / 2)
    low, high = np.quantile(means, [share_below(-reach), share_below(reach)])
    return Interval(groups.restored(float(low)), groups.restored(float(high)), level, count, "BCa bootstrap")


def _acceleration(groups: _Groups) -> float:
    """Return a sixth of the skewness of the jackknife's means: the rate at which their standard error changes.

    Without group i, of sum s_i and size m_i, the mean moves by (mean m_i - s_i) / (M - m_i), M the size of all.
    """
    moved = (groups.mean * groups.sizes - groups.sums) / (groups.sizes.sum() - groups.sizes)
    pulls = moved.mean() - moved
    largest = np.abs(pulls).max()
    if largest == 0:
        return 0.0
    pulls /= largest
    return float((pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5))


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return Student's t interval of the mean of independent values, as of paired differences: Student (1908).

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
    """Return the interval of second over first: ratio of geometric means of independent repeats of unequal variances.

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
    """Return the repeats of each that would narrow `ratio_of_means` to about a factor of `wanted` (above 1) either way.

    The spread is taken as it was seen; None where over 1,000 would be needed.

    Raises:
        ValueError: as `ratio_of_means`, or `wanted` is not above 1.
    """
    _check_repeats(first, second)
    if wanted <= 1:
        raise ValueError(f"wanted: {wanted} is not a factor above 1")
    from scipy.special import stdtrit

    variances = [float(np.log(np.asarray(values, dtype=float)).var(ddof=1)) for values in (first, second)]
    for repeats in range(2, MAX_REPEATS + 1):
        half = float(stdtrit(2 * (repeats - 1), (1 + level) / 2)) * math.sqrt(sum(variances) / repeats)
        if half <= math.log(wanted):
            return repeats
    return None


def _check_repeats(first: Sequence[float], second: Sequence[float]) -> None:
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} repeats: an interval needs two of each")
    if min(*first, *second) <= 0:
        raise ValueError("a ratio of means on logarithms needs values above 0")


def _welch_half_width(a: np.ndarray, b: np.ndarray, level: float) -> float:
    from scipy.special import stdtrit

    errors = [float(values.var(ddof=1)) / len(values) for values in (a, b)]
    total = sum(errors)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(error**2 / (len(values) - 1) for error, values in zip(errors, (a, b), strict=True))
    return float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(total)
