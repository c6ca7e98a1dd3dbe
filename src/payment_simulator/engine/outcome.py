"""The outcome of a simulation, as arrays; banks are in the order of their ids."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.vocabulary import COSTS, Cost

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from payment_simulator.engine.indicators import RunIndicators
    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

Ints = NDArray[np.int64]
Sums = NDArray[np.int64]
"""Not compared by its numbers: the engines may write a sum in two ways."""
HIGH = 2**31


@dataclass(frozen=True, repr=False)
class Outcome:
    """Figures of a run, arrays of a value per bank, or of a batch, a row per sample. Money in cents, times in ticks.

    `costs` has a column for each of `vocabulary.COSTS`. `arrived` and `settled` count whole payments; `delay_ticks` is
    the sum, over those settled, of the ticks from arrival to settlement. Peaks are over the states on which costs
    accrue: `peak_credit` of the balance below 0, `liquidity_used` of its fall below what the bank began with, or
    was last reset to,
    `peak_queue1` and `peak_queue2` of the number waiting. `final_...` is what the last tick left. Of the whole run are
    `settled_value`, `lsm_value` (the part that offsets settled), `policy_faults` (operations in decision trees
    that have no number for an answer: x / 0, inf - inf), and `cycle_search_cuts` (ticks in which the search for cycles
    ended at `lsm_config.max_cycle_edges`). `charged_on` is what each rate was charged on, summed over
    ticks: by bank and rate two numbers, the first in units of 2^31 cents; `rated` has the place, kind and value of each
    rate that costs anything. `rows` are the recorded events, those of settlement alone
    where `has_all_events` is False; they, `arrivals` and `scenario` are None where none were.
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
    cycle_search_cuts: Ints
    charged_on: Sums
    engine: str
    rated: tuple[tuple[int, Cost, Fraction], ...]
    rows: Ints | None = None
    arrivals: "Arrivals | None" = None
    scenario: "Scenario | None" = None
    has_all_events: bool = True

    def __repr__(self) -> str:
        """One line: the banks, the samples of a batch, the cost and the payments, all together."""
        samples = f"{len(self.costs):,} samples, " if self.costs.ndim > 2 else ""
        settled = f"{int(self.settled.sum()):,} of {int(self.arrived.sum()):,} payments settled"
        cost = f"total cost {sum(self.total_cost.ravel().tolist()):,} cents"
        return f"Outcome({len(self.agent_ids):,} banks, {samples}{settled}, {cost}, engine {self.engine!r})"

    @property
    def total_cost(self) -> Ints:
        """The sum of all costs per bank, in cents."""
        found: Ints = self.costs.sum(axis=-1)
        return found

    @cached_property
    def rounding(self) -> NDArray[np.float64]:
        """Exact cost minus what was charged, in cents, with the shape of `costs`: worked out exactly, then a double."""
        shape = self.costs.shape
        sums = self.charged_on.reshape(-1, self.charged_on.shape[-1]).tolist()
        found = [self._left_over(*each) for each in zip(sums, self.costs.reshape(-1, shape[-1]).tolist(), strict=True)]
        return np.array(found, dtype=np.float64).reshape(shape)

    def _left_over(self, sums: list[int], charged: list[int]) -> list[float]:
        due: dict[int, Fraction] = {}
        for place, kind, rate in self.rated:
            due[kind] = due.get(kind, Fraction(0)) + rate * (sums[2 * place] * HIGH + sums[2 * place + 1])
        return [float(due[kind] - cents) if kind in due else 0.0 for kind, cents in enumerate(charged)]

    @property
    def lsm_share(self) -> float | None:
        """The share of the settled value that offsets settled; None where nothing settled."""
        settled = int(np.sum(self.settled_value))
        return int(np.sum(self.lsm_value)) / settled if settled else None

    def agents(self) -> dict[str, dict[str, Any]]:
        """Each bank's figures in one run by name, plain numbers; None where there is nothing to divide by."""
        return {name: self._agent(number) for number, name in enumerate(self.agent_ids)}

    @cached_property
    def indicators(self) -> "RunIndicators":
        """Liquidity, delay, throughput and concentration of the run and of each day; needs recorded settlements.

        Raises:
            ValueError: none were recorded.
        """
        from payment_simulator.engine.indicators import indicators_of
        from payment_simulator.engine.recorded import recorded_settlements

        return indicators_of(recorded_settlements(self))

    def events(self) -> "pyarrow.Table":
        """Return the recorded events, a row each.

        Raises:
            ValueError: none were recorded.
        """
        from payment_simulator.engine.events import event_table
        from payment_simulator.engine.recorded import recorded

        run = recorded(self)
        return event_table(run.rows, run.arrivals, run.scenario)

    def payments(self) -> "pyarrow.Table":
        """Return the payments of a run whose events were recorded, a row each: when each came, was released, settled.

        Raises:
            ValueError: no events were recorded.
        """
        from payment_simulator.engine.recorded import recorded
        from payment_simulator.engine.tables import payments_table

        return payments_table(recorded(self))

    def balances(self) -> "pyarrow.Table":
        """Return balances, credit, collateral and queues after each tick, a row per tick and bank.

        Raises:
            ValueError: no events were recorded.
        """
        from payment_simulator.engine.recorded import recorded
        from payment_simulator.engine.tables import balances_table

        return balances_table(recorded(self))

    def costs_by_tick(self) -> "pyarrow.Table":
        """Return what was charged, a row per tick, bank and kind of cost; what is not there is 0.

        Raises:
            ValueError: no events were recorded.
        """
        from payment_simulator.engine.recorded import recorded
        from payment_simulator.engine.tables import costs_table

        return costs_table(recorded(self))

    def to_pandas(
        self, table: Literal["payments", "balances", "costs", "costs_by_tick", "events", "indicators"] = "payments"
    ) -> "pandas.DataFrame":
        """Return a table as a pandas frame; numbers of which some are missing are of its nullable types.

        `costs` and `costs_by_tick` are one table.

        Raises:
            ConfigError: pandas is not installed.
            ValueError: no events were recorded, or there is no such table.
        """
        from payment_simulator.engine.tables import to_pandas

        tables = {
            **{name: getattr(self, name) for name in ("payments", "balances", "costs_by_tick", "events")},
            "costs": self.costs_by_tick,
            "indicators": lambda: self.indicators.table(),
        }
        if table not in tables:
            raise ValueError(f"{table!r} is no table of an outcome; there are {', '.join(tables)}")
        return to_pandas(tables[table]())

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
