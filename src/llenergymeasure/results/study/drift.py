"""Drift: whether a metric rises or falls while a study runs, whichever cell is run."""

import math
from dataclasses import dataclass
from statistics import fmean

from labledger.intervals import Estimate
from llenergymeasure.results.comparison.metrics import HEADLINE
from llenergymeasure.results.comparison.rows import ALPHA
from llenergymeasure.results.study.observations import Observations
from llenergymeasure.results.study.words import rounded

MATTERS = 0.02
"""So large a share of a metric must the drift be over the whole study, to be worth a word."""
HOUR_S = 3600.0


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
        """Return it in words: `output_tokens_per_second fell by 8 % an hour (± 3)`, and what it does to the words."""
        over_s = min(self.span_s, HOUR_S)
        time = "an hour" if self.span_s >= HOUR_S else f"over the study's {_words(self.span_s)}"
        change = 100 * math.expm1(self.slope.value * over_s)
        half = 100 * math.expm1((self.slope.interval(1 - ALPHA).high - self.slope.value) * over_s)
        moved = f"{'rose' if change > 0 else 'fell'} by {rounded(abs(change), 1)} % {time} (± {rounded(half, 1)})"
        return f"drift: {self.metric} {moved}: {_meaning(order, cells)}"


def _meaning(order: str, cells: int) -> str:
    if cells < 2:
        return "it is in the mean and its half-width"
    if order == "blocks":
        return "order: blocks leaves it in every difference between cells"
    rounds = "are shuffled" if order == "shuffled" else "alternate"
    return f"the rounds {rounds}, which takes it out of the comparisons"


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def find_drift(seen: Observations, metric: str) -> Drift | None:
    """Return the slope of a metric's logarithm on the start of runs, each cell with a mean of its own; None of too few.

    Ordinary least squares within groups, of n runs and k cells with n - k - 1 degrees of freedom: Cochran (1957),
    "Analysis of covariance: its nature and uses".
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
    error = math.sqrt(sum((log - slope * moment) ** 2 for moment, log in centred) / freedom / squares)
    return Drift(metric, Estimate(slope, error, freedom, len(centred), "least squares"), max(starts) - min(starts))
