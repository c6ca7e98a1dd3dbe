"""The outcome of a simulation, as arrays; banks are in the order of their ids."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.vocabulary import COSTS

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.arrivals import Arrivals

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """Figures of a run, arrays of a value per bank, or of a batch, a row per sample. Money in cents, times in ticks.

    `costs` has a column for each of `vocabulary.COSTS`. `arrived` and `settled` count whole payments; `delay_ticks` is
    the sum, over those settled, of the ticks from arrival to settlement. Peaks are over the states on which costs
    accrue: `peak_credit` of the balance below 0, `liquidity_used` of its fall below what the bank began with,
    `peak_queue1` and `peak_queue2` of the number waiting. `final_...` is what the last tick left. Of the whole run are
    `settled_value`, `lsm_value` (the part that offsets settled), and `policy_faults` (operations in decision trees
    that have no number for an answer: x / 0, inf - inf). `rows` are the recorded events, None where none were.
    """

    agent_ids: tuple[str, ...]
    costs: Ints
    arrived: Ints
    settled: Ints
    delay_ticks: Ints
    final_balance: Ints
    liquidity_used: Ints
    peak_credit: Ints
    peak_queue1: Ints
    peak_queue2: Ints
    final_queue1: Ints
    final_queue2: Ints
    settled_value: Ints
    lsm_value: Ints
    policy_faults: Ints
    engine: str
    rows: Ints | None = None
    arrivals: "Arrivals | None" = None

    @property
    def total_cost(self) -> Ints:
        """The sum of all costs per bank, in cents."""
        found: Ints = self.costs.sum(axis=-1)
        return found

    @property
    def lsm_share(self) -> float | None:
        """The share of the settled value that offsets settled; None where nothing settled."""
        settled = int(np.sum(self.settled_value))
        return int(np.sum(self.lsm_value)) / settled if settled else None

    def agents(self) -> dict[str, dict[str, Any]]:
        """Each bank's figures in one run by name, plain numbers; None where there is nothing to divide by."""
        return {name: self._agent(number) for number, name in enumerate(self.agent_ids)}

    def events(self) -> "pyarrow.Table":
        """The recorded events; see `engine.events`.

        Raises:
            ValueError: none were recorded.
        """
        from payment_simulator.engine.events import event_table

        if self.rows is None or self.arrivals is None:
            raise ValueError("no events were recorded: simulate with record_events=True")
        return event_table(self.rows, self.arrivals, self.agent_ids)

    def _agent(self, number: int) -> dict[str, Any]:
        def of(values: Ints) -> int:
            return int(values[number])

        arrived, settled = of(self.arrived), of(self.settled)
        return {
            "total_cost": of(self.total_cost),
            "costs": dict(zip(COSTS, self.costs[number].tolist(), strict=True)),
            "settled": settled,
            "arrived": arrived,
            "settlement_rate": settled / arrived if arrived else None,
            "mean_delay_ticks": of(self.delay_ticks) / settled if settled else None,
            "final_balance": of(self.final_balance),
            "liquidity_used": of(self.liquidity_used),
            "peak_credit": of(self.peak_credit),
            "peak_queue1": of(self.peak_queue1),
            "peak_queue2": of(self.peak_queue2),
            "final_queue1": of(self.final_queue1),
            "final_queue2": of(self.final_queue2),
        }
