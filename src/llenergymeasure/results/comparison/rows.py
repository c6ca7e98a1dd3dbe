"""One row of a comparison: a metric of both sides, the ratio, its interval, and the word for it."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from labledger.comparison import Equivalence, Step, equivalence, holm
from labledger.intervals import MAX_REPEATS, Estimate
from llenergymeasure.results.comparison.evidence import ROUNDS, Evidence, Observed, Value, rounds_for
from llenergymeasure.results.comparison.metrics import (
    COUNTS,
    ENERGY,
    EXPLORATORY,
    HEADLINE,
    HIGHER_IS_BETTER,
    OF_TASKS,
    Figures,
    figure,
)

ALPHA = 0.05
"""The chance at most, where nothing differs, that any headline metric is `different`."""

UNKNOWN = "no figure above 0 in both"
MAX_LOG = 700.0
ENDLESS = 1e300
"""A ratio that an interval reaches only because nothing keeps it from there."""
BOUNDS = ("energy_uncertainty_edge_j",)

Kind = Literal["headline", "exploratory", "count"]


@dataclass(frozen=True)
class Row:
    """One metric: both sides, second over first, and what may be said of it.

    `first` and `second` are geometric means of the observations, of counts the one value. The interval from `low` to
    `high` (None: without end) is at `level`; a headline row is `different` exactly where that interval does not hold 1.
    `joint_low` and `joint_high` are at the level at which all headline intervals hold together; they decide `same` and
    gates. `counts` are the observations of each side, and `missing` how many runs of each that are in them have no
    figure above 0. Only headline rows and counts have a `word`.
    """

    metric: str
    kind: Kind
    first: float | None
    second: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    joint_low: float | None = None
    joint_high: float | None = None
    joint_level: float | None = None
    counts: tuple[int, int] | None = None
    word: Equivalence | None = None
    note: str = ""
    missing: tuple[int, int] = (0, 0)

    @property
    def worse_by(self) -> float | None:
        """By what share the second is worse; negative where it is better."""
        return None if self.ratio is None else self.worse(self.ratio)

    def worse(self, ratio: float) -> float:
        """Return by what share of the first the second is worse at a ratio; negative where it is better.

        328 tokens/s after 499 are 34 % worse, as 134 J after 100 J are: a throughput is never worse by over 100 %.
        """
        return 1 - ratio if self.metric in HIGHER_IS_BETTER else ratio - 1


@dataclass(frozen=True)
class Sensors:
    """The doubt of the sensors about a ratio of two energies, second over first: a factor `low` to a factor `high`.

    `first` and `second` are the shares of each energy that they leave open.
    """

    first: float = 0.0
    second: float = 0.0

    @property
    def low(self) -> float:
        """The least factor: 0 where the second's bound is as large as its energy."""
        return max(1 - self.second, 0.0) / (1 + self.first)

    @property
    def high(self) -> float:
        """The greatest factor: infinite where the first's bound is as large as its energy."""
        return (1 + self.second) / (1 - self.first) if self.first < 1 else math.inf

    @property
    def hidden(self) -> tuple[float, float]:
        """The logarithms of a measured ratio between which the true one may be 1."""
        return -math.log(self.high), -math.log(self.low) if self.low > 0 else math.inf

    def interval(self, estimate: Estimate, level: float) -> tuple[float, float]:
        """Return the interval of the ratio, widened; its end may be infinite."""
        found = estimate.interval(level)
        return exp(found.low) * self.low, exp(found.high) * self.high


EXACT = Sensors()


def weather_rows(
    evidence: Evidence, value_of: Callable[[str], Value], sensors: Sensors, unusable: Mapping[str, str], margin: float
) -> list[Row]:
    """Return a row for each headline metric, then one for each exploratory one.

    `value_of` gives, for a metric, the function from a run to its figure. `sensors` widen energies, and `unusable` are
    the reasons why metrics tell nothing, by their names.
    """
    seen = {metric: evidence.observed(value_of(metric)) for metric in (*HEADLINE, *EXPLORATORY)}
    found = {metric: observed for metric, observed in seen.items() if observed is not None or metric not in OF_TASKS}
    estimates = {
        metric: observed.estimate
        for metric, observed in found.items()
        if observed is not None and observed.estimate is not None and metric not in unusable
    }
    widened = {metric: sensors if metric in ENERGY else EXACT for metric in found}
    family = [metric for metric in HEADLINE if metric in estimates]
    steps = dict(zip(family, holm([estimates[m].p_value(*widened[m].hidden) for m in family], ALPHA), strict=True))
    rows = []
    for metric, observed in found.items():
        kind: Kind = "headline" if metric in HEADLINE else "exploratory"
        row = plain_row(metric, kind, observed, unusable.get(metric, ""))
        if metric in steps:
            row = decided(row, estimates[metric], widened[metric], steps[metric], ALPHA / len(family), margin)
        elif metric in estimates:
            row = replace(row, **_interval(estimates[metric], widened[metric], 1 - ALPHA))
        rows.append(_with_missing(row, evidence, value_of(metric)))
    return rows


def _with_missing(row: Row, evidence: Evidence, value: Value) -> Row:
    """Return `row` with the number of runs that have no figure; its note names them where others have one."""
    missing = evidence.missing(value)
    if sum(missing) == 0 or row.ratio is None:
        return replace(row, missing=missing)
    lacking = f"{sum(missing)} of {len(evidence.runs)} runs have no value"
    return replace(row, missing=missing, note=f"{lacking}; {row.note}" if row.note else lacking)


def count_rows(first: Sequence[Figures], second: Sequence[Figures], unsettled: str) -> list[Row]:
    """Return a row for each figure that does not come from the weather, compared as it is.

    Counts that have one value on each side are the same or different. `unsettled` is the reason, if there is one, why
    they are of the weather after all, and get no word. Nor do the bounds at the window's edges, which are of the
    moments at which the sensors' values came.
    """
    rows = []
    for metric in COUNTS:
        sides = [[v for each in side if (v := figure(each, metric)) is not None] for side in (first, second)]
        means = [statistics.fmean(side) if side else None for side in sides]
        ratio = means[1] / means[0] if means[0] and means[1] is not None else None
        row = Row(metric, "count", means[0], means[1], ratio, counts=(len(sides[0]), len(sides[1])))
        if not all(sides):
            row = replace(row, note="not known in both")
        elif metric in BOUNDS:
            row = replace(row, note="a bound, not a count")
        elif max(len(set(side)) for side in sides) > 1:
            row = replace(row, note="not the same in all runs of one side")
        elif unsettled:
            row = replace(row, note=unsettled)
        else:
            row = replace(row, word="same" if sides[0][0] == sides[1][0] else "different")
        rows.append(row)
    return rows


def plain_row(metric: str, kind: Kind, observed: Observed | None, note: str) -> Row:
    """Return a row without an interval."""
    word: Equivalence | None = "cannot tell" if kind == "headline" else None
    if observed is None:
        return Row(metric, kind, None, None, word=word, note=UNKNOWN)
    first, second, ratio = map(exp, (observed.first_log, observed.second_log, observed.second_log - observed.first_log))
    return Row(metric, kind, first, second, ratio, counts=observed.counts, word=word, note=note)


def _interval(estimate: Estimate, sensors: Sensors, level: float, prefix: str = "") -> dict[str, Any]:
    low, high = sensors.interval(estimate, level)
    return {f"{prefix}low": low, f"{prefix}high": high if high < ENDLESS else None, f"{prefix}level": level}


def decided(row: Row, estimate: Estimate, sensors: Sensors, step: Step, share: float, margin: float) -> Row:
    """Return a headline row with its intervals and word; `share` of alpha is each metric's where all hold together."""
    joint = sensors.interval(estimate, 1 - share)
    is_same = equivalence(*joint, none=1.0, margin=(1 / (1 + margin), 1 + margin)) == "same"
    word: Equivalence = "same" if is_same else "different" if step.rejected else "cannot tell"
    shown = _interval(estimate, sensors, 1 - (share if is_same else step.alpha))
    note = "" if word != "cannot tell" else _advice(estimate, sensors, 1 - share, margin)
    return replace(row, **shown, **_interval(estimate, sensors, 1 - share, "joint_"), word=word, note=note)


def _advice(estimate: Estimate, sensors: Sensors, level: float, margin: float) -> str:
    """Return about how many rounds would tell; nothing where what the estimate rests on is no rounds."""
    apart = abs(estimate.value)
    wanted = max(apart, math.log1p(margin) - apart) - max(map(abs, sensors.hidden))
    if wanted <= 0:
        return "the sensors' bounds alone hide it: longer windows, or one board for both" if sensors != EXACT else ""
    if estimate.method != ROUNDS:
        return ""
    needed = rounds_for(wanted, estimate.error * math.sqrt(estimate.n), level)
    return f"about {needed} rounds would tell" if needed else f"over {MAX_REPEATS:,} rounds would be needed to tell"


def exp(log: float) -> float:
    """Return e to the power of `log`, which is kept where a double has room for it."""
    return math.exp(min(max(log, -MAX_LOG), MAX_LOG))
