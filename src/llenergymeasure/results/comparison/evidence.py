"""The independent observations that runs are worth, and the estimate of a ratio that they give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from statistics import fmean, variance
from typing import Literal, NamedTuple

from labledger.intervals import (
    Estimate,
    common_step,
    difference_estimate,
    mean_estimate,
    repeats_for,
    rounding_variance,
)
from llenergymeasure.results.comparison.openings import always_first, mixed_sessions
from llenergymeasure.results.comparison.rounds import Round, Rounds, find_rounds, runs_of
from llenergymeasure.results.comparison.runs import Run, Side
from llenergymeasure.results.comparison.stretches import Stretch, find_stretches, on_shared_devices, order_remarks

MIN_ROUNDS = 3
"""Three: of two, both ratios are the same by chance where a sensor or a clock is coarse."""
LARGEST_LOG = 700.0
MIN_STRETCHES = 5
"""So many stretches of one side show how far they stray."""

ROUNDS = "Student's t of rounds"
SIDES: tuple[Side, Side] = (0, 1)
NAMES = ("first", "second")

Value = Callable[[Run], float | None]


@dataclass(frozen=True)
class Observed:
    """One metric: the mean logarithm of each side's observations, and how many there are of each.

    `estimate` is that of the logarithm of the ratio, second over first; None where the observations give none.
    """

    first_log: float
    second_log: float
    counts: tuple[int, int]
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Evidence:
    """Observations by `method`: rounds, stretches, or None where they cannot tell what is the weather's, with `why`.

    `spread` is the standard deviation of the logarithm of one run, where that is known beforehand. `remarks` are
    sentences to read with the rows.
    """

    method: Literal["rounds", "stretches"] | None
    rounds: Sequence[Round] = ()
    stretches: Sequence[Stretch] = ()
    spread: float | None = None
    why: str = ""
    remarks: Sequence[str] = ()

    @property
    def counts(self) -> tuple[int, int]:
        """The observations of each side."""
        if self.method == "rounds":
            return len(self.rounds), len(self.rounds)
        return _count(self.stretches, 0), _count(self.stretches, 1)

    @property
    def runs(self) -> list[Run]:
        """The runs that the observations are made of."""
        return runs_of(self.rounds) if self.method == "rounds" else [r for each in self.stretches for r in each.runs]

    def missing(self, value: Value) -> tuple[int, int]:
        """Return how many runs of each side have no figure above 0."""
        lacking = [run.side for run in self.runs if _log(value(run)) is None]
        return lacking.count(0), lacking.count(1)

    def observed(self, value: Value) -> Observed | None:
        """Return one metric's observations; None where a side has none that is above 0."""
        return self._in_rounds(value) if self.method == "rounds" else self._in_stretches(value)

    def _in_rounds(self, value: Value) -> Observed | None:
        pairs = [(_log(value(each.first)), _log(value(each.second))) for each in self.rounds]
        whole = [(one, other) for one, other in pairs if one is not None and other is not None]
        if not whole:
            return None
        ratios = [other - one for one, other in whole]
        found = _observed([one for one, _ in whole], [other for _, other in whole])
        seen = math.sqrt(variance(ratios) / 2) if len(ratios) > 1 else 0.0
        if self.spread is not None and seen <= self.spread:
            return _with_spread(found, _Spread(self.spread, math.inf), found.counts)
        if self.spread is None and len(ratios) < MIN_ROUNDS:
            return found
        rounding = sum(_rounding([one for one, _ in whole], [other for _, other in whole]))
        return replace(found, estimate=replace(mean_estimate(ratios, least_variance=rounding), method=ROUNDS))

    def _in_stretches(self, value: Value) -> Observed | None:
        logs = [
            (each.side, [log for run in each.runs if (log := _log(value(run))) is not None]) for each in self.stretches
        ]
        blocks: tuple[list[list[float]], list[list[float]]] = ([], [])
        for side, followers in groupby(((side, fmean(known)) for side, known in logs if known), key=itemgetter(0)):
            blocks[side].append([mean for _, mean in followers])
        if not blocks[0] or not blocks[1]:
            return None
        first, second = ([fmean(block) for block in side] for side in blocks)
        counts = (sum(map(len, blocks[0])), sum(map(len, blocks[1])))
        found = replace(_observed(first, second), counts=counts)
        if self.spread is not None:
            known, seen = _Spread(self.spread, math.inf), _spread_of_runs(logs)
            return _with_spread(found, seen if seen.value > known.value else known, (len(first), len(second)))
        if self.method is None or max(counts) < MIN_STRETCHES:
            return found
        rounding = max(_rounding(*([log for each, known in logs if each == side for log in known] for side in SIDES)))
        return replace(found, estimate=difference_estimate(*blocks, least_variance=rounding))


def _rounding(*sides: Sequence[float]) -> list[float]:
    """Return the variance that rounding gives the logarithms of each side; 0 of figures that are told in no steps."""
    values = [[math.exp(min(log, LARGEST_LOG)) for log in side] for side in sides]
    step = common_step(values)
    return [rounding_variance(step / fmean(side)) if step else 0.0 for side in values]


def gathered(
    runs: Sequence[Run], left_out: Sequence[Run], spread: float | None, between: Sequence[Run] = ()
) -> Evidence:
    """Return what runs that are in the order of time are worth; those left out are shown where a side has no others.

    Rounds, where there are three or more and half of the runs are in them; else stretches, where `spread` is known or
    one side has five, and where neither side opens the sessions. Runs `between` are of other configurations.
    """
    found = find_rounds(runs, between)
    if len(found.rounds) >= MIN_ROUNDS and 4 * len(found.rounds) >= len(runs):
        return Evidence("rounds", rounds=found.rounds, spread=spread, remarks=_unopposed(found))
    leading = always_first(mixed_sessions(runs, between))
    runs, remarks = on_shared_devices(runs)
    stretches = find_stretches(runs)
    counts = (_count(stretches, 0), _count(stretches, 1))
    if min(counts) == 0:
        shown = [Stretch(side, [run for run in left_out if run.side == side]) for side in SIDES if not counts[side]]
        return Evidence(None, stretches=[*stretches, *shown], why=_none_counts(counts))
    if leading is not None:
        why = f"the {NAMES[leading]} was run before the other each time: a difference may be the order's"
        return Evidence(None, stretches=stretches, why=why, remarks=remarks)
    if spread is not None or max(counts) >= MIN_STRETCHES:
        return Evidence("stretches", stretches=stretches, spread=spread, remarks=[*remarks, *order_remarks(stretches)])
    return Evidence(None, stretches=stretches, why=_too_little(runs, counts, len(found.rounds)), remarks=remarks)


def _unopposed(found: Rounds) -> list[str]:
    """Return a sentence on the sessions that lost their first round."""
    if not found.unopposed:
        return []
    return [
        f"first round left out of {found.unopposed} sessions: the {NAMES[found.opener]} opens more sessions than the "
        "other, and a machine is cold when one opens"
    ]


def _none_counts(counts: tuple[int, int]) -> str:
    return f"no run of the {NAMES[0 if counts[0] == 0 else 1]} counts: all are left out"


def _too_little(runs: Sequence[Run], counts: tuple[int, int], rounds: int) -> str:
    if not all(run.devices for run in runs):
        return "the devices that the runs were on are not known"
    if counts == (1, 1):
        return "all runs of one were made before those of the other, and the weather changes"
    if rounds >= MIN_ROUNDS:
        return f"{2 * rounds} of {len(runs)} runs are in rounds, and half of them must be"
    if rounds == 2:
        return "there are two rounds; three are needed"
    return f"the runs were not made in rounds, and are {counts[0]} stretches against {counts[1]}"


def rounds_for(apart: float, spread: float, level: float, power: float = 0.9) -> int | None:
    """Return how many rounds show with probability `power` that a ratio is not 1 whose logarithm is `apart` from 0.

    `spread` is the standard deviation of the logarithm of one round's ratio: that of one run times the root of 2. None
    where over 1,000 are needed. Raises as `repeats_for`.
    """
    needed = repeats_for(apart, spread, level=level, power=power)
    return None if needed is None else max(needed, MIN_ROUNDS)


def _count(stretches: Sequence[Stretch], side: Side) -> int:
    return sum(stretch.side == side for stretch in stretches)


def _observed(first: Sequence[float], second: Sequence[float]) -> Observed:
    return Observed(fmean(first), fmean(second), (len(first), len(second)))


class _Spread(NamedTuple):
    """The standard deviation of the logarithm of one run, and its degrees of freedom: infinite where it is known."""

    value: float
    freedom: float


def _with_spread(found: Observed, spread: _Spread, counts: tuple[int, int]) -> Observed:
    """Return `found` with an estimate from `counts` independent observations of that spread."""
    error, ratio = spread.value * math.sqrt(sum(1 / count for count in counts)), found.second_log - found.first_log
    method = "known spread" if spread.freedom == math.inf else "Student's t"
    return replace(found, estimate=Estimate(ratio, error, spread.freedom, sum(counts), method))


def _spread_of_runs(logs: Sequence[tuple[Side, Sequence[float]]]) -> _Spread:
    """Return the spread of runs about their own side's mean, 0 where no side has two; it is estimated, not known."""
    sides = [[log for side, known in logs if side == wanted for log in known] for wanted in SIDES]
    freedom = sum(len(side) - 1 for side in sides)
    squares = sum((log - fmean(side)) ** 2 for side in sides for log in side)
    return _Spread(math.sqrt(squares / freedom), freedom) if freedom else _Spread(0.0, 0.0)


def _log(value: float | None) -> float | None:
    return math.log(value) if value is not None and value > 0 else None
