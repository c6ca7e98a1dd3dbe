"""The events of a run as its tables and indicators read them: arrays of numbers, in the order of what happened."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.vocabulary import ROUTES, EventColumn, EventKind

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recorded:
    """The events of one run, a row each; their columns are `EventColumn`."""

    agent_ids: tuple[str, ...]
    rows: Ints
    arrivals: "Arrivals"
    scenario: "Scenario"
    has_all: bool

    @property
    def ticks(self) -> int:
        """The number of ticks of the run."""
        return self.scenario.simulation.ticks

    def of(self, kinds: Collection[EventKind]) -> Ints:
        """Return the events of these kinds."""
        wanted = np.zeros(len(EventKind), dtype=np.bool_)
        wanted[[*kinds]] = True
        found: Ints = self.rows[wanted[self._kind]]
        return found

    @cached_property
    def settlements(self) -> Ints:
        """The events in which payments, or pieces of them, settled."""
        return self.of(ROUTES) if self.has_all else self.rows

    @cached_property
    def settled_value(self) -> Ints:
        """The cents of each payment that settled."""
        found = np.zeros(len(self.arrivals), dtype=np.int64)
        np.add.at(found, self.settlements[:, EventColumn.payment], self.settlements[:, EventColumn.amount])
        return found

    @cached_property
    def settled_tick(self) -> Ints:
        """The tick in which the last piece of each payment settled, -1 where not all of it did."""
        found = np.full(len(self.arrivals), -1)
        found[self.settlements[:, EventColumn.payment]] = self.settlements[:, EventColumn.tick]  # in order: the last
        found[self.settled_value != self.arrivals.amount] = -1
        return found

    @cached_property
    def _kind(self) -> Ints:
        return self.rows[:, EventColumn.event].copy()


def recorded(outcome: "Outcome") -> Recorded:
    """Return the events of a run.

    Raises:
        ValueError: none were recorded, or only those of settlement.
    """
    found = recorded_settlements(outcome)
    if not found.has_all:
        raise ValueError("only settlements were recorded: simulate with record_events=True")
    return found


def recorded_settlements(outcome: "Outcome") -> Recorded:
    """Return the events of a run; they may be those of settlement alone.

    Raises:
        ValueError: none were recorded.
    """
    if outcome.rows is None or outcome.arrivals is None or outcome.scenario is None:
        raise ValueError("no events were recorded: simulate with record_events=True")
    return Recorded(outcome.agent_ids, outcome.rows, outcome.arrivals, outcome.scenario, outcome.has_all_events)
