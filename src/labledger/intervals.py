"""Confidence intervals.

Those of the bootstrap are made when a run is summed up and need numpy alone; those of Student's t need scipy.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np

BOOTSTRAP_RESAMPLES = 2_000
DRAWS_AT_A_TIME = 1 << 18
"""Group numbers of 8 bytes: so few stay in the processor's cache."""
MAX_REPEATS = 1_000
FINE = 1e-6
"""Values that are in steps of less than this share of them count as in none."""
ROUNDING_ERRORS = 1e-9
"""Gaps may be off by so large a share of the values, by their arithmetic."""


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


@dataclass(frozen=True)
class Estimate:
    """An estimated mean or difference of means: `value`, its standard error, and Student's degrees of freedom.

    `freedom` is infinite where the spread is known. `n` is the independent units that it rests on.
    """

    value: float
    error: float
    freedom: float
    n: int
    method: str

    def interval(self, level: float) -> Interval:
        """Return the interval at confidence `level`."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + level) / 2)) * self.error
        return Interval(self.value - half, self.value + half, level, self.n, self.method)

    def p_value(self, low: float = 0.0, high: float = 0.0) -> float:
        """Return the two-sided p value of a true value between `low` and `high`.

        It is under alpha exactly where the interval at level 1 - alpha lies wholly beyond one of the two.
        """
        from scipy.special import stdtr

        beyond = max(self.value - high, low - self.value)
        if beyond <= 0:
            return 1.0
        return 2 * float(stdtr(self.freedom, -beyond / self.error)) if self.error > 0 else 0.0


def mean_interval(values: Sequence[float], *, level: float = 0.95, least_variance: float = 0.0) -> Interval:
    """Return Student's t interval of the mean of independent values, as of paired differences: `mean_estimate`.

    Raises:
        ValueError: fewer than two values.
    """
    return mean_estimate(values, least_variance=least_variance).interval(level)


def mean_intervals(values: np.ndarray, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return means over the first axis, the low and high ends of their `mean_interval`, and the numbers of values.

    NaN is no value. A mean of none is NaN, and so are the ends of an interval of fewer than two.
    """
    from scipy.special import stdtrit

    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    _, exponent = np.frexp(np.where(known, np.abs(values), 0.0).max(axis=0, initial=0.0))
    values = np.ldexp(values, -exponent)  # no square leaves the range of a double
    least = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    beyond = np.where(known, values - least, 0.0)  # 0 where all are alike: nothing rounds
    width = beyond.max(axis=0, initial=0.0)
    width = np.where(width > 0, width, 1.0)  # in which no square leaves the range of a double
    with np.errstate(invalid="ignore", divide="ignore"):
        above = (beyond / width).sum(axis=0) / counts
        squares = np.where(known, beyond / width - above, 0.0) ** 2
        error = np.sqrt(squares.sum(axis=0) / (counts - 1) / counts)
        half = stdtrit(np.maximum(counts - 1, 1), (1 + level) / 2) * error * width
    means = np.where(counts > 0, least + above * width, np.nan)
    half = np.where(counts > 1, half, np.nan)
    means, low, high = (np.ldexp(each, exponent) for each in (means, means - half, means + half))
    return means, low, high, counts


def mean_estimate(values: Sequence[float], *, least_variance: float = 0.0) -> Estimate:
    """Return the estimated mean of independent values, as of paired differences: Student (1908).

    Their variance is taken to be `least_variance` where they show less, as rounded values may by chance.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values: an interval needs two")
    least_error = math.sqrt(least_variance / len(values))
    if min(values) == max(values):  # a sum would round
        return Estimate(float(values[0]), least_error, len(values) - 1, len(values), "Student's t")
    _, exponent = math.frexp(max(map(abs, values)))  # neither sums nor squares leave the range of a double
    given = np.ldexp(np.asarray(values, dtype=float), -exponent)
    error = math.ldexp(float(given.std(ddof=1)) / math.sqrt(len(given)), exponent)
    error = max(error, least_error)
    return Estimate(math.ldexp(float(given.mean()), exponent), error, len(given) - 1, len(given), "Student's t")


def common_step(groups: Sequence[Sequence[float]]) -> float:
    """Return the step of which all values are multiples apart, as rounded ones are; 0 where they are in no steps.

    It is the greatest common divisor of the gaps between neighbours, and is 0 if it is under a millionth of the values.
    Groups in each of which all values are alike say nothing of a step: each may be exactly what it is.
    """
    if all(len(set(group)) < 2 for group in groups):
        return 0.0
    every = sorted({value for group in groups for value in group})
    size = max(abs(every[0]), abs(every[-1]))
    step, errors = 0.0, size * ROUNDING_ERRORS
    for low, high in pairwise(every):
        rest = high - low
        while rest > errors:
            step, rest = rest, abs(math.remainder(step, rest))
        if 0 < step < size * FINE:
            return 0.0
        if step > 0 and math.isfinite(multiple := (high - every[0]) / step):
            step = (high - every[0]) / round(multiple)  # else its rounding errors would multiply
    return step


def rounding_variance(step: float) -> float:
    """Return the variance of the error of values that were rounded to multiples of a step: uniform, step^2 / 12.

    Sheppard (1898), "On the calculation of the most probable values of frequency-constants, for data arranged according
    to equidistant divisions of a scale".
    """
    return step * step / 12


def difference_estimate(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], *, least_variance: float = 0.0
) -> Estimate:
    """Return the estimated mean of `second` less that of `first`, of groups of values and unequal variances.

    Values of one group have followed each other and may have drifted together: all of a side's show its variance, and a
    group counts once in the mean. Where each is alone it is Welch's t with Satterthwaite's degrees of freedom: Welch
    (1947), "The generalization of 'Student's' problem when several different population variances are involved". A
    side of one value has no variance, and is taken to have the other's. Either has `least_variance` at the least.

    Raises:
        ValueError: a side or a group is empty, or both sides have one value.
    """
    sides = [[value for group in side for value in group] for side in (first, second)]
    n = sum(map(len, sides))
    if n < 3 or not all(map(len, (*sides, *first, *second))):
        raise ValueError(
            f"{len(sides[0])} and {len(sides[1])} values: an interval needs one of each side and two of one"
        )
    counts = [len(side) for side in (first, second)]
    one, other = (float(np.mean([np.mean(group) for group in side])) for side in (first, second))
    if min(map(len, sides)) == 1:
        known = max(sides, key=len)
        spread = math.sqrt(max(float(np.var(known, ddof=1)), least_variance))
        error = spread * math.sqrt(sum(1 / count for count in counts))
        return Estimate(other - one, error, len(known) - 1, n, "Student's t")
    parts = [
        max(float(np.var(side, ddof=1)), least_variance) / count for side, count in zip(sides, counts, strict=True)
    ]
    total = sum(parts)
    pieces = sum((part / total) ** 2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True) if part)
    return Estimate(other - one, math.sqrt(total), 1 / pieces if pieces else n - 2, n, "Welch's t")


def repeats_for(apart: float, spread: float, *, level: float = 0.95, power: float = 0.9) -> int | None:
    """Return how many values show, with probability `power`, that their mean is not 0 where it is `apart`.

    `spread` is the standard deviation of one value and `level` that of the interval; by the noncentral t distribution:
    Johnson and Welch (1940), "Applications of the non-central t-distribution". None where over 1,000 are needed.

    Raises:
        ValueError: `apart` or `spread` is not above 0.
    """
    if not (apart > 0 and spread > 0):
        raise ValueError(f"{apart} apart with a spread of {spread}: both must be above 0")
    from scipy.special import nctdtr, stdtrit

    def shows(n: int) -> bool:
        reached = float(stdtrit(n - 1, (1 + level) / 2))
        missed = float(nctdtr(n - 1, apart / spread * math.sqrt(n), reached))
        return not missed > 1 - power  # NaN stands for what is too small to compute

    numbers = range(2, MAX_REPEATS + 1)
    place = bisect_left(numbers, True, key=shows)
    return numbers[place] if place < len(numbers) else None


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Return the score interval of a share of independent trials: Wilson (1927), "Probable inference, the law of
    succession, and statistical inference".

    It lies between 0 and 1, and has a width where none or all of the trials succeed, too.

    Raises:
        ValueError: there is no trial, or there are more successes than trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} of {trials}: an interval needs a trial, and no more successes than trials")
    deviate = NormalDist().inv_cdf((1 + level) / 2)
    share, spare = successes / trials, deviate**2 / trials
    centre = (share + spare / 2) / (1 + spare)
    half = deviate * math.sqrt(share * (1 - share) / trials + spare / (4 * trials)) / (1 + spare)
    low = 0.0 if successes == 0 else max(centre - half, 0.0)
    high = 1.0 if successes == trials else min(centre + half, 1.0)
    return Interval(low, high, level, trials, "Wilson score")


def paired_share_p_value(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of two equal shares, of the pairs in which only one of the two succeeds.

    McNemar (1947), "Note on the sampling error of the difference between correlated proportions or percentages", by
    the exact binomial distribution: of equal shares either side is the one with probability 1/2. 1 without such pairs.
    """
    from scipy.special import bdtr

    apart = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), apart, 0.5))) if apart else 1.0


def paired_share_interval(only_first: int, only_second: int, pairs: int, *, level: float = 0.95) -> Interval:
    """Return an interval of the second share less the first, which holds at the level or above, of however few pairs.

    Each share of pairs in which one alone succeeds has Clopper and Pearson's exact interval (1934), at the level at
    which both hold together (Bonferroni).
    """
    first, second = (_exact_ends(count, pairs, (1 - level) / 4) for count in (only_first, only_second))
    low, high = max(second[0] - first[1], -1.0), min(second[1] - first[0], 1.0)
    return Interval(low, high, level=level, n=pairs, method="exact")


def _exact_ends(successes: int, trials: int, tail: float) -> tuple[float, float]:
    """Return the ends of Clopper and Pearson's interval of a share, beyond each of which it is with `tail` at most."""
    from scipy.special import betaincinv

    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return low, high
