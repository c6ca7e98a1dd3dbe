"""Pairs of cells, round by round: the ratio of a metric, and the words that hold together for a whole study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, mean

from labledger.comparison import Step, holm
from labledger.intervals import Estimate, mean_estimate, rounding_variance
from llenergymeasure.domain.study_result import CellComparison
from llenergymeasure.results.comparison.answers import AnswersCompared, compared_answers, have_same_answers
from llenergymeasure.results.comparison.evidence import MIN_ROUNDS, ROUNDS
from llenergymeasure.results.comparison.metrics import (
    COUNTS,
    DEFAULT_MARGIN,
    ENERGY,
    HEADLINE,
    offset_share,
    unsettled,
    unusable_metrics,
)
from llenergymeasure.results.comparison.rows import ALPHA, BOUNDS, EXACT, Row, Sensors, decided, exp, plain_row
from llenergymeasure.results.study.figures import OF_ANSWERS, cell_bounds
from llenergymeasure.results.study.observations import Observations, is_energy

OF_RIGHT_ANSWERS = "energy_per_right_answer_j"
RIGHT_ANSWERS_VARY = "right answers are in it; compare them question by question"
"""Every round asks the same questions: its spread is that of the joules alone."""


@dataclass(frozen=True)
class Steps(Sensors):
    """The doubt about a ratio of searched loads: each true one lies from what met to a share above it."""

    @property
    def low(self) -> float:
        """The least factor."""
        return 1 / (1 + self.first)

    @property
    def high(self) -> float:
        """The greatest factor: infinite where the second met the greatest load that was tried."""
        return 1 + self.second


@dataclass(frozen=True)
class Bounds(Sensors):
    """The doubt of the sensors about a difference, second less first: `first` and `second` are in the metric's unit."""

    @property
    def low(self) -> float:
        """The least that is to be added."""
        return -(self.first + self.second)

    @property
    def high(self) -> float:
        """The most that is to be added."""
        return self.first + self.second

    @property
    def hidden(self) -> tuple[float, float]:
        """The measured differences between which the true one may be 0."""
        return -self.high, -self.low

    def interval(self, estimate: Estimate, level: float) -> tuple[float, float]:
        """Return the interval of the difference, widened; its ends may be infinite."""
        found = estimate.interval(level)
        return found.low + self.low, found.high + self.high


@dataclass(frozen=True)
class StepBounds(Bounds):
    """The doubt about a difference of searched loads: as `Steps`, but in the metric's unit."""

    @property
    def low(self) -> float:
        """The least that is to be added."""
        return -self.first

    @property
    def high(self) -> float:
        """The most that is to be added."""
        return self.second


@dataclass(frozen=True)
class Pair:
    """A metric of cell `second` against that of cell `first`.

    `value` is the ratio, a geometric mean over rounds, or, where `is_log` is False, the difference; `estimate` is of
    the ratio's logarithm, or of the difference. It is None where the rounds give none, with `why`. `sensors` widen it
    where it is of energies or of searched loads. A share of right answers has `answers` in place of an estimate, and is
    a difference.
    """

    first: int
    second: int
    value: float | None = None
    estimate: Estimate | None = None
    rounds: int = 0
    is_log: bool = True
    sensors: Sensors = EXACT
    why: str = ""
    answers: AnswersCompared | None = None

    @property
    def is_tested(self) -> bool:
        """True where there is something to decide on."""
        return self.estimate is not None or self.answers is not None

    @property
    def turned(self) -> "Pair":
        """The first against the second."""
        value, estimate = self.value, self.estimate
        if value is not None:
            value = 1 / value if self.is_log else -value
        if estimate is not None:
            estimate = replace(estimate, value=-estimate.value)
        sensors = replace(self.sensors, first=self.sensors.second, second=self.sensors.first)
        turned = replace(self, first=self.second, second=self.first, value=value, estimate=estimate, sensors=sensors)
        return replace(turned, answers=self.answers.turned if self.answers is not None else None)

    @property
    def is_equal(self) -> bool:
        """True where both are one and the same figure in every round."""
        found = self.estimate
        return found is not None and not (self.sensors.first or self.sensors.second) and found.value == 0 == found.error

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference beyond what the sensors leave open; 1 where there is no estimate."""
        if self.answers is not None:
            return 1.0 if self.answers.p_value is None else self.answers.p_value
        if self.estimate is None:
            return 1.0
        return self.estimate.p_value(*self.sensors.hidden)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the interval of the ratio or the difference, of which an end may be infinite; None without one."""
        if self.answers is not None:
            return self.answers.interval(level)
        if self.estimate is None:
            return None
        return self.sensors.interval(self.estimate, level)


def pair(seen: Observations, first: int, second: int, metric: str, *, is_log: bool = True) -> Pair:
    """Return a metric of two cells, compared within rounds: Student's t of paired differences (Student 1908).

    Counts that are the same in all runs of a cell do not come from the weather, and are compared as they are. Figures
    that are told in steps differ by their rounding at the least, also where all differences are the same by chance.
    Right answers are compared question by question: rounds ask the same ones, and tell nothing of others.
    """
    if metric in OF_ANSWERS:
        return _answered(seen, first, second)
    if (counted := _counted(seen, first, second, metric, is_log)) is not None:
        return counted
    evidence = seen.evidence(first, second)
    of = seen.value_of(first, second, metric)
    moved = [
        log_or_difference(one, other, is_log)
        for each in evidence.rounds
        if (one := of(each.first)) is not None and (other := of(each.second)) is not None and _fits(is_log, one, other)
    ]
    rounds = len(moved)
    if evidence.method is None:
        moved = _of_means(seen, first, second, metric, is_log)
    if not moved:
        return Pair(first, second, is_log=is_log, why=evidence.why or "no round in which both have a figure")
    sensors = _sensors(seen, first, second, metric, is_log)
    if metric == OF_RIGHT_ANSWERS and not have_same_answers([*seen.results(first), *seen.results(second)]):
        return Pair(first, second, _value(moved, is_log), None, rounds, is_log, why=RIGHT_ANSWERS_VARY)
    value = _value(moved, is_log)
    found = Pair(first, second, value, None, rounds, is_log, sensors)
    if why := _unusable(seen, first, second, metric) or evidence.why or _too_few(len(moved)):
        return replace(found, why=why)
    rounding = sum(_rounding(seen, cell, metric, is_log) for cell in (first, second))
    return replace(found, estimate=replace(mean_estimate(moved, least_variance=rounding), method=ROUNDS))


def compare_with_first(seen: Observations, margin: float = DEFAULT_MARGIN) -> list[CellComparison]:
    """Return every cell but the first against it, in the headline metrics.

    All of them are one family: in a study of equal cells any is `different` with 5 % at most: Holm (1979). `same` is an
    interval, at the level at which all hold together (Bonferroni), inside the margin.
    """
    pairs = [
        (metric, pair(seen, 0, cell, metric, is_log=True)) for cell in range(1, len(seen.cells)) for metric in HEADLINE
    ]
    told = [each for _, each in pairs if each.estimate is not None]
    steps = {id(each): step for each, step in zip(told, holm([each.p_value for each in told], ALPHA), strict=True)}
    return [_comparison(metric, each, steps.get(id(each)), len(told), margin) for metric, each in pairs]


def _comparison(metric: str, each: Pair, step: Step | None, family: int, margin: float) -> CellComparison:
    plain = replace(plain_row(metric, "headline", None, each.why), ratio=each.value)
    row: Row = plain if each.value is not None else replace(plain, note=each.why)
    if step is not None and each.estimate is not None:
        row = decided(row, each.estimate, each.sensors, step, ALPHA / family, margin)
    found = {name: getattr(row, name) for name in ("metric", "ratio", "low", "high", "level", "note")}
    return CellComparison(
        first=each.first, second=each.second, rounds=each.rounds, equivalence=row.word or "cannot tell", **found
    )


def log_or_difference(one: float, other: float, is_log: bool) -> float:
    """Return the logarithm of `other` over `one`, or how much more it is."""
    return math.log(other) - math.log(one) if is_log else other - one


def _answered(seen: Observations, first: int, second: int) -> Pair:
    found = compared_answers(seen.results(first), seen.results(second))
    if found is None or found.difference is None:
        return Pair(first, second, is_log=False, why=found.note if found else "neither has answers that were scored")
    rounds = len(seen.cells[first].keys() & seen.cells[second].keys())
    return Pair(first, second, found.difference, None, rounds, is_log=False, why=found.note, answers=found)


def _fits(is_log: bool, *values: float) -> bool:
    """Return True if values have a logarithm, or else a difference that a double has room for."""
    return min(values) > 0 if is_log else math.isfinite(values[-1] - values[0])


def _of_means(seen: Observations, first: int, second: int, metric: str, is_log: bool) -> list[float]:
    """Return the one difference of the cells' means, where there are no rounds."""
    sides = [
        [value for value in seen.values(cell, metric).values() if _fits(is_log, value)] for cell in (first, second)
    ]
    if not all(sides):
        return []
    one, other = (fmean(map(math.log, side)) if is_log else mean(side) for side in sides)
    return [other - one]


def _value(moved: Sequence[float], is_log: bool) -> float:
    """Return the ratio, a geometric mean, or the mean difference."""
    return exp(fmean(moved)) if is_log else mean(moved)


def _too_few(count: int) -> str:
    if count >= MIN_ROUNDS:
        return ""
    return f"{count} {'round has' if count == 1 else 'rounds have'} a figure of both; {MIN_ROUNDS} are needed"


def _counted(seen: Observations, first: int, second: int, metric: str, is_log: bool) -> Pair | None:
    """Return a count of both, compared as it is; None of what is none, or not the same in all runs of a cell."""
    if metric not in COUNTS or metric in BOUNDS or unsettled(seen.results(first), seen.results(second)):
        return None
    sides = [set(seen.values(cell, metric).values()) for cell in (first, second)]
    if any(len(side) != 1 for side in sides):
        return None
    one, other = (value for side in sides for value in side)
    if not _fits(is_log, one, other):
        return None
    moved = log_or_difference(one, other, is_log)
    value = exp(moved) if is_log else moved
    return Pair(
        first, second, value, Estimate(moved, 0.0, math.inf, 1, "counted"), is_log=is_log, sensors=_exact(is_log)
    )


def _exact(is_log: bool) -> Sensors:
    return EXACT if is_log else Bounds()


def _sensors(seen: Observations, first: int, second: int, metric: str, is_log: bool) -> Sensors:
    """Return what sensors leave open of energies, and the steps of a search of loads: shares of a ratio's two sides,
    and of a difference the bounds of both.

    A scale that both energies share cancels, save in a bound of its own, as that above idle.
    """
    values = [seen.values(cell, metric).values() for cell in (first, second)]
    sizes = [1.0 if is_log else max(map(abs, side), default=0.0) for side in values]
    if not is_energy(metric):
        shares = [seen.step_share(cell, metric) for cell in (first, second)]
        steps = [share * size if share else 0.0 for share, size in zip(shares, sizes, strict=True)]
        return (Steps if is_log else StepBounds)(*steps) if any(steps) else _exact(is_log)
    edges, gains = zip(*(cell_bounds(seen, cell, metric, are_shares=is_log) for cell in (first, second)), strict=True)
    if any(gains) and (offset := offset_share([*seen.measured[first], *seen.measured[second]])) is not None:
        gains = 0.0, offset * sizes[1]
    return (Sensors if is_log else Bounds)(edges[0] + gains[0], edges[1] + gains[1])


def _rounding(seen: Observations, cell: int, metric: str, is_log: bool) -> float:
    """Return the variance that the rounding of a cell's figures gives them, or their logarithms."""
    step = seen.told_in_steps(cell, metric)
    sizes = [value for value in seen.values(cell, metric).values() if _fits(is_log, value)]
    return rounding_variance(step / mean(sizes) if step and is_log else step)


def _unusable(seen: Observations, first: int, second: int, metric: str) -> str:
    """Return why a metric tells nothing of the two configurations; nothing where it does."""
    found = unusable_metrics(seen.measured[first], seen.measured[second])
    return found.get(ENERGY[0] if is_energy(metric) else HEADLINE[1], "")


def decide(pairs: Sequence[Pair], family: int) -> list[Step]:
    """Return the decision on each pair of a family of so many, none of which is wrong with 95 % (where none differs).

    Holm (1979) where all pairs of the family are given; else each is held to its share of it (Bonferroni). Pairs
    without an estimate cannot be rejected, and are not counted where all are given.
    """
    told = [place for place, each in enumerate(pairs) if each.is_tested]
    values = [pairs[place].p_value for place in told]
    share = ALPHA / max(family, 1)
    found = [Step(False, share)] * len(pairs)
    complete = len(pairs) == family
    steps = holm(values, ALPHA) if complete else [Step(value < share, share) for value in values]
    for place, step in zip(told, steps, strict=True):
        found[place] = step
    return found
