"""Confidence intervals, on scipy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOOTSTRAP_RESAMPLES = 2_000


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
