"""A study's runs as observations: which of them count, and the rounds in which two cells can be compared."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from labledger.intervals import common_step
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyRun
from llenergymeasure.results.comparison.evidence import MIN_ROUNDS, Evidence
from llenergymeasure.results.comparison.metrics import FROM_JOULES, energy_marks, figure
from llenergymeasure.results.comparison.rounds import Round
from llenergymeasure.results.comparison.runs import PAUSE_S, Run, in_time
from llenergymeasure.results.comparison.stretches import Stretch
from llenergymeasure.results.flat import LOAD_COLUMNS, flat_row
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import bracket, outcomes, search_of

MOST_NAMED = 8
BLOCKS = "order: blocks makes all runs of one cell before those of the next, and the weather changes"


def is_energy(metric: str) -> bool:
    """Return True of a column that comes from measured joules."""
    return metric in FROM_JOULES


@dataclass(frozen=True)
class Seen:
    """A run that counts, and the number of the stretch without a pause or a new session that it is in."""

    run: Run
    stretch: int


@dataclass(frozen=True)
class Observations:
    """The runs of a study that count, by cell and round; `left_out` are sentences on the others.

    A figure of energy counts of runs whose energy is a valid measurement, where a cell has any.
    """

    runs: StudyRuns
    cells: Sequence[Mapping[int, Seen]]
    openers: Mapping[int, tuple[int, int]]
    """By stretch, the cell and the round of its first run: a machine is cold when one begins."""
    left_out: Sequence[str]
    _values: dict[tuple[int, str], float | None] = field(default_factory=dict)
    _steps: dict[str, float] = field(default_factory=dict)
    _evidence: dict[tuple[int, int], Evidence] = field(default_factory=dict)

    @property
    def order(self) -> str:
        """The order of the runs, as it was planned."""
        study = self.runs.manifest.settings.get("study")
        return str(study.get("order")) if isinstance(study, dict) else "alternating"

    @property
    def is_in_blocks(self) -> bool:
        """True where no round holds two cells."""
        return self.order == "blocks" and len(self.cells) > 1

    @cached_property
    def energies_valid(self) -> list[bool]:
        """True of each cell that has a run whose energy is a valid measurement."""
        return [any(id(seen.run.result) not in self._unmeasured for seen in cell.values()) for cell in self.cells]

    @cached_property
    def _unmeasured(self) -> set[int]:
        """The results, by identity, whose energy is no valid measurement."""
        every = [seen.run.result for cell in self.cells for seen in cell.values()]
        return {id(result) for result in every if energy_marks([result])}

    def results(self, cell: int) -> list[ExperimentResult]:
        """Return the results of a cell that count, round by round."""
        return [seen.run.result for _, seen in sorted(self.cells[cell].items())]

    @cached_property
    def measured(self) -> list[list[ExperimentResult]]:
        """The results of each cell whose energies count; all of a cell that has none that is valid."""
        return [
            [each for each in self.results(cell) if not (is_any and id(each) in self._unmeasured)]
            for cell, is_any in enumerate(self.energies_valid)
        ]

    def value(self, cell: int, result: ExperimentResult, metric: str) -> float | None:
        """Return a figure of a run of `cell`; None where it is unknown, or a joule that was not validly measured."""
        key = (id(result), metric)
        if key not in self._values:
            is_lost = is_energy(metric) and self.energies_valid[cell] and id(result) in self._unmeasured
            self._values[key] = None if is_lost else figure(flat_row(result, names=(metric,)), metric)
        return self._values[key]

    def values(self, cell: int, metric: str) -> dict[int, float]:
        """Return a metric of a cell by its rounds, of those that have one."""
        found = {number: self.value(cell, seen.run.result, metric) for number, seen in sorted(self.cells[cell].items())}
        return {number: value for number, value in found.items() if value is not None}

    def told_in_steps(self, cell: int, metric: str) -> float:
        """Return the step in which a cell's figures are told, as whole milliseconds or ticks; 0 where in none.

        It is the common step of all of the study's figures, and of CPU time what it may be off at the least.
        """
        if metric in LOAD_COLUMNS:
            return 0.0
        if metric not in self._steps:
            every = [[*self.values(each, metric).values()] for each in range(len(self.cells))]
            self._steps[metric] = common_step(every)
        ticks = [_tick(result, metric) for result in self.results(cell)]
        return max(self._steps[metric], *ticks, 0.0)

    def step_share(self, cell: int, metric: str) -> float:
        """Return by what share the least load that missed was above the highest that met, at the most; else 0.

        A search of a cell tells its load no better than that; not at all where the greatest load was met.
        """
        search = search_of(self.runs.manifest.cells[cell])
        if search is None or search.metric != metric:
            return 0.0
        found = [bracket(outcomes(search, steps)) for steps in self.runs.steps_of(cell).values()]
        shares = [
            math.inf if missed is None else missed.load / met.load - 1 for met, missed in found if met is not None
        ]
        return max(shares, default=0.0)

    def value_of(self, first: int, second: int, metric: str) -> Callable[[Run], float | None]:
        """Return the function from a run of `evidence(first, second)` to its figure."""
        return lambda run: self.value(second if run.side else first, run.result, metric)

    def evidence(self, first: int, second: int) -> Evidence:
        """Return what the rounds are worth in which both cells ran.

        Both runs of a round are of one session, without an hour's pause between them. Where the two ran on common
        devices, they are on one of these. Unless orders are drawn, either cell is as often first as the other, or once
        more. Of several stretches, either cell opens as many on a cold machine as the other, or one more: a round that
        opens a further one is left out.
        """
        if (first, second) not in self._evidence:
            self._evidence[first, second] = self._found(first, second)
        return self._evidence[first, second]

    def _found(self, first: int, second: int) -> Evidence:
        one, other = self.cells[first], self.cells[second]
        if self.is_in_blocks:
            sides = [[seen.run for _, seen in sorted(cell.items())] for cell in (one, other)]
            shown = [Stretch(0, sides[0]), Stretch(1, [replace(run, side=1) for run in sides[1]])]
            return Evidence(None, stretches=[each for each in shown if each.runs], why=BLOCKS)
        common = sorted(one.keys() & other.keys())
        kept = [number for number in common if one[number].stretch == other[number].stretch]
        alike = [number for number in kept if one[number].run.devices == other[number].run.devices]
        kept = self._without_cold(first, second, alike or kept)
        kept = _balanced({number: one[number].run.start_s < other[number].run.start_s for number in kept})
        rounds = [Round(one[number].run, replace(other[number].run, side=1)) for number in kept]
        return Evidence("rounds", rounds=rounds, why=_too_few(len(kept), len(common)))

    def _without_cold(self, first: int, second: int, rounds: Sequence[int]) -> list[int]:
        stretches = {number: self.cells[first][number].stretch for number in rounds}
        if len(set(stretches.values())) < 2:
            return [*rounds]
        opened = {number: self.openers[stretch] for number, stretch in stretches.items()}
        cold = [[n for n, (cell, number) in opened.items() if n == number and cell == side] for side in (first, second)]
        most = min(map(len, cold)) + 1  # one more is what a study of one session has
        surplus = {number for side in cold for number in side[most:]}
        return [number for number in rounds if number not in surplus]


def observe(runs: StudyRuns) -> Observations:
    """Return the observations that a study's stored runs are.

    Left out are those that a comparison leaves out: stopped before all requests were served, without a start, or on a
    device at the same time as another.
    """
    cells = range(len(runs.manifest.cells))
    taken = {id(result): cell for cell in cells for _, result in runs.of_cell(cell)}
    record = {id(result): run for run, result in zip(runs.manifest.runs, runs.results, strict=True) if result}
    ordered = in_time([result for result in runs.results if result is not None and id(result) in taken], [])
    stretches, openers = _stretches(runs)
    found: list[dict[int, Seen]] = [{} for _ in cells]
    for run in ordered.placed:
        of = record[id(run.result)]
        found[of.cell][of.round_number] = Seen(run, stretches[id(of)])
    return Observations(runs, found, openers, [*ordered.reasons, *_parted_rounds(found), *_lost_energies(found)])


def _tick(result: ExperimentResult, metric: str) -> float:
    """Return by how much a figure of CPU time may be off; 0 of other figures."""
    if metric not in ("cpu_seconds", "cpu_seconds_per_output_token"):
        return 0.0
    each = 1 if metric == "cpu_seconds" else result.output_tokens or 1
    return (result.cpu_seconds_resolution_s or 0.0) / each


def _balanced(forwards: Mapping[int, bool]) -> list[int]:
    """Return the rounds without the latest of the order that is more frequent by two or more."""
    ways = ([n for n, way in forwards.items() if way], [n for n, way in forwards.items() if not way])
    most = min(map(len, ways)) + 1
    return sorted(n for way in ways for n in way[:most])


def _too_few(kept: int, common: int) -> str:
    if kept >= MIN_ROUNDS:
        return ""
    held = f"{kept} of the {common} rounds that hold both can be used" if kept < common else _rounds(kept)
    return f"{held}; {MIN_ROUNDS} are needed"


def _rounds(count: int) -> str:
    return f"{count} round holds both" if count == 1 else f"{count} rounds hold both"


def _stretches(runs: StudyRuns) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
    """Return the stretch of each run that has begun, by its identity, and the opener of each stretch."""
    begun = []
    for run, result in zip(runs.manifest.runs, runs.results, strict=True):
        if (moment := _began(run, result)) is not None:
            took_s = run.elapsed_s if run.elapsed_s is not None else (result.duration_sec if result else None)
            begun.append((moment, moment + (took_s or 0.0), run))
    begun.sort(key=lambda each: each[:2])
    found, openers = dict[int, int](), dict[int, tuple[int, int]]()
    number, session, busy_until_s = 0, None, -PAUSE_S
    for start_s, end_s, run in begun:
        if not openers or run.session != session or start_s - busy_until_s >= PAUSE_S:
            number += 1
            openers[number] = (run.cell, run.round_number)
        found[id(run)] = number
        session, busy_until_s = run.session, max(busy_until_s, end_s)
    return found, openers


def _began(run: StudyRun, result: ExperimentResult | None) -> float | None:
    moment: datetime | None = run.started_at or (result.start_time if result is not None else None)
    return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parted_rounds(cells: Sequence[Mapping[int, Seen]]) -> list[str]:
    """Return a sentence on rounds that were not made in one go."""
    stretches: dict[int, set[int]] = {}
    for cell in cells:
        for number, seen in cell.items():
            stretches.setdefault(number, set()).add(seen.stretch)
    parted = sorted(number for number, those in stretches.items() if len(those) > 1)
    if not parted or len(cells) < 2:
        return []
    named = ", ".join(map(str, parted[:MOST_NAMED])) + (", ..." if len(parted) > MOST_NAMED else "")
    which = f"round {named} was" if len(parted) == 1 else f"rounds {named} were"
    return [
        f"{which} not made in one go (another session, or a pause of an hour): what was run before it is not compared "
        "with what was run after it"
    ]


def _lost_energies(cells: Sequence[Mapping[int, Seen]]) -> list[str]:
    """Return a sentence on the energies that do not count beside valid ones of their cell."""
    lost = Counter[str]()
    for cell in cells:
        marks = [energy_marks([seen.run.result]) for seen in cell.values()]
        if not all(marks):
            lost.update(", ".join(each) for each in marks if each)
    if not lost:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(lost.items()))
    return [f"energies of {lost.total()} runs left out, which are no valid measurements ({kinds})"]
