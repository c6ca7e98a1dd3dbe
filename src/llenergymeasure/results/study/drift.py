"""Drift: whether a metric rises or falls while a study runs, whichever cell is run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from labledger.intervals import Estimate
from llenergymeasure.results.comparison.metrics import HEADLINE
from llenergymeasure.results.comparison.rows import ALPHA, exp
from llenergymeasure.results.study.observations import Observations
from llenergymeasure.results.study.words import rounded

MATTERS = 0.02
"""So large a share of a metric must the drift be over the whole study, to be worth a word."""
HOUR_S = 3600.0
HIGHEST = 0.99
"""The correlation of neighbours is taken to be no higher."""


@dataclass(frozen=True)
class Drift:
    """A slope of a metric's logarithm on time, a second, and the seconds from the first start to the last."""

    metric: str
    slope: Estimate
    span_s: float

    @property
    def matters(self) -> bool:
        """True where it is told at 5 % for all headline metrics together (Bonferroni), and moves the metric by 2 %."""
        moved = abs(self.slope.value) * self.span_s
        return self.slope.p_value() < ALPHA / len(HEADLINE) and moved > math.log1p(MATTERS)

    def sentence(self, order: str, cells: int) -> str:
        """Return `output_tokens_per_second fell by 8 % an hour (5 to 11 %)`, and what it does to the words."""
        over_s = min(self.span_s, HOUR_S)
        time = "an hour" if self.span_s >= HOUR_S else f"over the study's {_words(self.span_s)}"
        ends = self.slope.interval(1 - ALPHA)
        change, low, high = (100 * (exp(each * over_s) - 1) for each in (self.slope.value, ends.low, ends.high))
        sign = 1 if change > 0 else -1
        least, most = sorted((sign * low, sign * high))
        moved = f"{'rose' if change > 0 else 'fell'} by {rounded(sign * change, 1)} % {time}"
        return f"drift: {self.metric} {moved} ({rounded(least, 1)} to {rounded(most, 1)} %): {_meaning(order, cells)}"


def _meaning(order: str, cells: int) -> str:
    if cells < 2:
        return "it is in the mean and its half-width"
    if order == "blocks":
        return "order: blocks leaves it in every difference between cells"
    return "the rounds alternate, which takes it out of the comparisons"


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def find_drift(seen: Observations, metric: str) -> Drift | None:
    """Return the slope of a metric's logarithm on the start of runs, each cell with a mean of its own; None of too few.

    Ordinary least squares within groups, of n runs and k cells with n - k - 1 degrees of freedom: Cochran (1957),
    "Analysis of covariance: its nature and uses". Weather that lasts makes neighbours alike, and is no drift:
    `_lasting` widens the error, and takes from the degrees of freedom.
    """
    centred, cells = list[tuple[float, float]](), 0
    starts = list[float]()
    for cell, runs in enumerate(seen.cells):
        values = seen.values(cell, metric)
        points = [(runs[number].run.start_s, math.log(value)) for number, value in values.items() if value > 0]
        if len(points) > 1:
            cells += 1
            starts += [moment for moment, _ in points]
            middle_s, middle = fmean(moment for moment, _ in points), fmean(log for _, log in points)
            centred += [(moment - middle_s, log - middle) for moment, log in points]
    freedom, squares = len(centred) - cells - 1, sum(moment**2 for moment, _ in centred)
    if freedom < 1 or not squares:
        return None
    slope = sum(moment * log for moment, log in centred) / squares
    placed = sorted(zip(starts, (log - slope * moment for moment, log in centred), strict=True))
    residuals = [residual for _, residual in placed]
    worth = _lasting(residuals)
    error = math.sqrt(sum(residual**2 for residual in residuals) / freedom / squares * worth)
    found = Estimate(slope, error, max(freedom / worth, 1), len(centred), "least squares")
    return Drift(metric, found, max(starts) - min(starts))


def _lasting(residuals: Sequence[float]) -> float:
    """Return how many runs in a row are worth one, of a regression's residuals in order of time; 1 of independent ones.

    It is (1 + r) / (1 - r) where neighbours are correlated by r above 0: Bartlett (1935), "Some aspects of the
    time-correlation problem in regard to tests of significance". An estimate from n residuals is (1 + 4 r) / n too low
    in the mean: Kendall (1954), "Note on bias in the estimation of autocorrelation".
    """
    total, count = sum(residual**2 for residual in residuals), len(residuals)
    seen = sum(one * other for one, other in pairwise(residuals)) / total if total else 0.0
    if seen <= 0:
        return 1.0
    together = min((seen * count + 1) / max(count - 4, 1), HIGHEST)
    return (1 + together) / (1 - together)
