"""Curves of days by tick, settled and waiting value: of recorded days, and of drawn ones over the cores."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labledger.console import Progress
from labledger.executor import run_all, workers_for
from payment_simulator.engine.choice import suited_engine
from payment_simulator.engine.outcome import Outcome
from payment_simulator.engine.recorded import recorded
from payment_simulator.engine.simulate import Engine, Prepared, prepare, simulate
from payment_simulator.engine.tables import settled_value, waiting_value
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.schema import Scenario

Ints = NDArray[Any]
CURVES = {"settled value": settled_value, "waiting value": waiting_value}
"""The curves of a day, in cents by tick, of each bank."""
CHUNK_PAYMENTS = 2_000_000
"""Payments that are drawn together, at most."""
TASKS_EACH = 4
"""The least number of tasks of each worker, so that none waits long for the last."""


@dataclass(frozen=True)
class DrawnDays:
    """Curves of drawn days, of shape (days, curves, ticks), and the number and the value in cents of the payments that
    each bank sent on all of them: Python's integers, of shape (2, banks)."""

    curves: Ints
    totals: Ints


@dataclass(frozen=True)
class _Stretch:
    """Samples of a seed that a task draws together."""

    first: int
    count: int


@dataclass(eq=False)
class _Draw:
    """Draws and simulates samples of a scenario, in whatever process."""

    scenario: Scenario
    seed: int
    engine: Engine
    _prepared: list[Prepared] = field(default_factory=list)

    def __call__(self, stretch: _Stretch) -> DrawnDays:
        if not self._prepared:
            self._prepared.append(prepare(self.scenario))
        arrivals = draw_arrivals(self.scenario, self.seed, first_sample=stretch.first, samples=stretch.count)
        runs = (
            simulate(self._prepared[0], arrivals.sample(number), record_events=True, engine=self.engine)
            for number in range(stretch.count)
        )
        return DrawnDays(np.stack([_curves(each) for each in runs]), _totals(arrivals, len(self.scenario.agents)))


def curves_of_recorded(scenario: Scenario, given: GivenPayments, progress: Progress) -> Ints:
    """Return the curves of each recorded day, simulated on its own with the banks of a scenario, which draws nothing.

    Raises:
        ConfigError: a day cannot be counted exactly.
    """
    prepared, found = prepare(scenario), []
    for day in range(given.num_days):
        payments = draw_arrivals(scenario.with_payments(given.of_day(day)))
        found.append(_curves(simulate(prepared, payments, record_events=True)))
        progress.update(day + 1, given.num_days)
    return np.stack(found)


def simulated_days(
    scenario: Scenario, seed: int, samples: int, on: str, workers: int | None, progress: Progress
) -> DrawnDays:
    """Return so many days of a scenario, drawn and simulated: the same on any number of workers.

    `on` and `workers` are those of `labledger.executor.run_all`.

    Raises:
        ConfigError: a day cannot be drawn or counted exactly.
        WorkerError: a worker process was killed twice at the same days.
    """
    first = _Stretch(0, 1)
    per_day = len(draw_arrivals(scenario, seed, samples=1))
    engine, took_s = suited_engine(lambda engine: _Draw(scenario, seed, engine)(first), samples)
    places = workers_for(took_s * samples, workers)
    size = max(1, min(CHUNK_PAYMENTS // (per_day + 1), samples // (places * TASKS_EACH)))
    tasks = [_Stretch(begin, min(size, samples - begin)) for begin in range(0, samples, size)]
    found: list[DrawnDays | None] = [None] * len(tasks)
    with closing(run_all(_Draw(scenario, seed, engine), tasks, on=on, max_workers=places, progress=progress)) as ended:
        for done in ended:
            found[done.index] = done.result()
    days = [each for each in found if each is not None]
    return DrawnDays(np.concatenate([each.curves for each in days]), _sum(days))


def _sum(days: list[DrawnDays]) -> Ints:
    found: Ints = np.sum([each.totals for each in days], axis=0, dtype=object)
    return found


def _curves(outcome: Outcome) -> Ints:
    run = recorded(outcome)
    return np.stack([curve(run).sum(axis=1) for curve in CURVES.values()])


def _totals(arrivals: Arrivals, banks: int) -> Ints:
    return np.array([*_by_bank(arrivals, banks)], dtype=object)


def _by_bank(arrivals: Arrivals, banks: int) -> Iterator[list[int]]:
    """Yield the number of each bank's payments, and their value, exact."""
    yield np.bincount(arrivals.sender, minlength=banks).tolist()
    value = np.zeros(banks, dtype=np.int64)
    np.add.at(value, arrivals.sender, arrivals.amount)
    yield value.tolist()
