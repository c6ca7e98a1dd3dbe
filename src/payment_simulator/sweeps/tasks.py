"""The work of a sweep, in tasks that a worker process does: some runs of some cells, and their figures."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from payment_simulator.engine.simulate import Engine, Prepared, prepare
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.schema import Scenario
from payment_simulator.sweeps.cells import Cell, Cells, kept_payments
from payment_simulator.sweeps.measures import MEASURES, Floats

KEPT_BYTES = 100_000_000
"""The size of drawn payments that a worker keeps, for other cells that have the same."""
NOT_DRAWN = ("Outage", "CreditLimitChange", "DirectTransfer", "CollateralAdjustment")
"""Scenario events that change no payment."""


@dataclass(frozen=True)
class Draws:
    """Samples of a seed, as `draw_arrivals` has them: `count` of them from `first` on."""

    seed: int
    first: int = 0
    count: int = 1


@dataclass(frozen=True)
class Part:
    """Runs of one cell, in order."""

    cell: Cell
    draws: tuple[Draws, ...]


@dataclass(frozen=True)
class Task:
    """Runs in order, those of one cell after those of another; `begin` is the place of the first among all."""

    begin: int
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        last = self.parts[-1]
        seed = f"from seed {self.parts[0].draws[0].seed}"
        return f"runs from number {self.begin} on, {seed}, to seed {last.draws[-1].seed}"


@dataclass(eq=False)
class Work:
    """Does tasks: returns the figures of their runs, one after the other. `measure` is a name in `MEASURES`."""

    measure: str
    engine: Engine = "auto"
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _given: dict[Path, GivenPayments] = field(default_factory=dict)
    _drawn: "OrderedDict[tuple[str, Draws], Arrivals]" = field(default_factory=OrderedDict)

    def __call__(self, task: Task) -> Floats:
        """Return the figures of the task's runs: run by run, bank by bank, the system last, one after the other."""
        found = [figures.ravel() for part in task.parts for figures in self._figures(part)]
        return np.concatenate(found)

    def _figures(self, part: Part) -> Iterator[Floats]:
        prepared = self._scenario(part.cell)
        key = _key_of_draws(part.cell)
        for draws in part.draws:
            yield MEASURES[self.measure].run(prepared, self._arrivals(prepared.scenario, key, draws), self.engine)

    def _scenario(self, cell: Cell) -> Prepared:
        if cell.info.digest not in self._prepared:
            self._prepared.clear()
            scenario = Scenario.model_validate(cell.scenario)
            if cell.payments is not None:
                scenario = scenario.with_payments(self._payments(cell.payments))
            self._prepared[cell.info.digest] = prepare(scenario)
        return self._prepared[cell.info.digest]

    def _payments(self, path: Path) -> GivenPayments:
        if path not in self._given:
            self._given.clear()
            self._given[path] = kept_payments(path)
        return self._given[path]

    def _arrivals(self, scenario: Scenario, key: str, draws: Draws) -> Arrivals:
        if (key, draws) in self._drawn:
            self._drawn.move_to_end((key, draws))
            return self._drawn[key, draws]
        drawn = draw_arrivals(scenario, draws.seed, first_sample=draws.first, samples=draws.count)
        self._drawn[key, draws] = drawn
        while len(self._drawn) > 1 and sum(map(_size, self._drawn.values())) > KEPT_BYTES:
            self._drawn.popitem(last=False)
        return drawn


def _together(draws: Sequence[Draws]) -> tuple[Draws, ...]:
    """Return the draws, samples of a seed that follow each other as one: a block of them is drawn at once."""
    found: list[Draws] = []
    for each in draws:
        if found and found[-1].seed == each.seed and found[-1].first + found[-1].count == each.first:
            each = Draws(each.seed, found[-1].first, found.pop().count + each.count)
        found.append(each)
    return tuple(found)


def _size(arrivals: Arrivals) -> int:
    return 100 * len(arrivals) + 1_000


def _key_of_draws(cell: Cell) -> str:
    """Return a digest of all on which a cell's payments depend."""
    data = cell.scenario
    kept = {name: data.get(name) for name in ("simulation", "deadline_cap_at_eod")}
    banks = [[agent.get(name) for name in ("id", "arrival_config", "arrival_bands")] for agent in data["agents"]]
    events = [event for event in data["scenario_events"] if event["type"] not in NOT_DRAWN]
    text = json.dumps([kept, banks, events, str(cell.payments)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Tasks:
    """The tasks of what is missing of a sweep: a sized iterable, made as it is asked for.

    Runs are counted cell by cell, `draws` of each; `missing` are stretches of them, first and last + 1. A task has runs
    of about `weight` together, those of `weights` each by its cell.
    """

    cells: Cells
    draws: Sequence[Draws]
    missing: Sequence[tuple[int, int]]
    weights: Sequence[float]
    weight: float

    def __len__(self) -> int:
        return len(self.stretches())

    def __iter__(self) -> Iterator[Task]:
        number, cell = -1, None
        for start, end in self.stretches():
            begin, parts = start, []
            while begin < end:
                if begin // len(self.draws) != number:
                    number = begin // len(self.draws)
                    cell = self.cells[number]
                last = min(end, (number + 1) * len(self.draws))
                first = begin - number * len(self.draws)
                assert cell is not None  # noqa: S101 - the first number is none of them
                parts.append(Part(cell, _together(self.draws[first : first + last - begin])))
                begin = last
            yield Task(start, tuple(parts))

    def stretches(self) -> list[tuple[int, int]]:
        """Return the runs of each task: the first and the last + 1."""
        found = []
        for begin, end in self.missing:
            at, heavy = begin, 0.0
            for run in range(begin, end):
                heavy += self.weights[run // len(self.draws)]
                if heavy >= self.weight or run == end - 1:
                    found.append((at, run + 1))
                    at, heavy = run + 1, 0.0
        return found
