"""Figures of runs, as arrays of doubles: a row per sample, in it one per bank, the system last, and figure.

What is unknown is NaN in them, as no figure is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.indicators import delays_and_unsettled
from payment_simulator.engine.outcome import Outcome
from payment_simulator.engine.recorded import recorded_settlements
from payment_simulator.engine.simulate import Engine, Prepared, simulate, simulate_batch
from payment_simulator.engine.vocabulary import COSTS, EventColumn
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.scenario_events import Outage

Floats = NDArray[np.float64]

OF_OUTCOME = (
    "total_cost",
    *(f"{kind}_cost" for kind in COSTS),
    "settlement_rate",
    "mean_delay_ticks",
    "liquidity_used",
    "peak_credit",
)
OF_INDICATORS = (
    "unsettled",
    "lower_bound",
    "upper_bound",
    "used",
    "place",
    "delay_indicator",
    "value_weighted_delay_ticks",
    "throughput_50_tick",
    "throughput_80_tick",
    "turnover",
)


@dataclass(frozen=True)
class Measure:
    """The names of figures, and the function that runs samples and returns them."""

    names: tuple[str, ...]
    run: Callable[[Prepared, Arrivals, Engine], Floats]


def _of_outcome(outcome: Outcome) -> Floats:
    """Return the figures of an outcome, of one sample or several: samples x (banks and the system) x figures."""
    arrived, settled, delay, used, credit = (
        _with_system(each.reshape(-1, len(outcome.agent_ids)))
        for each in (outcome.arrived, outcome.settled, outcome.delay_ticks, outcome.liquidity_used, outcome.peak_credit)
    )
    costs = _with_system(outcome.costs.reshape(-1, len(outcome.agent_ids), len(COSTS)))
    figures = [
        costs.sum(axis=2),
        *np.moveaxis(costs, 2, 0),
        _ratio(settled, arrived),
        _ratio(delay, settled),
        used,
        credit,
    ]
    return np.stack([each.astype(np.float64) for each in figures], axis=2)


def _with_system(values: NDArray[np.int64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.concatenate([values, values.sum(axis=1, keepdims=True)], axis=1)
    return found


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return found


def _costs_and_delays(prepared: Prepared, arrivals: Arrivals, engine: Engine) -> Floats:
    return _of_outcome(simulate_batch(prepared, arrivals, engine=engine, threads=1))


def _with_indicators(prepared: Prepared, arrivals: Arrivals, engine: Engine) -> Floats:
    return np.concatenate(
        [_of_recorded(prepared, arrivals.sample(number), engine) for number in range(arrivals.samples)]
    )


def _of_recorded(prepared: Prepared, arrivals: Arrivals, engine: Engine) -> Floats:
    outcome = simulate(prepared, arrivals, record_events="settlements", engine=engine)
    indicators = outcome.indicators
    rows = [
        [each.settled / each.due if each.due else None, *(getattr(each, name) for name in OF_INDICATORS)]
        for each in (*indicators.banks.values(), indicators.system)
    ]
    return np.concatenate([_of_outcome(outcome), np.array(rows, dtype=np.float64)[None]], axis=2)


def _under_stress(prepared: Prepared, arrivals: Arrivals, engine: Engine) -> Floats:
    return np.stack([_of_disturbed(prepared, arrivals.sample(number), engine) for number in range(arrivals.samples)])


def _of_disturbed(prepared: Prepared, arrivals: Arrivals, engine: Engine) -> Floats:
    run = recorded_settlements(simulate(prepared, arrivals, record_events="settlements", engine=engine))
    delay, longest_delay, unsettled = delays_and_unsettled(run)
    trapped = np.zeros(len(unsettled))
    outages = [event for event in prepared.scenario.scenario_events if isinstance(event, Outage)]
    if outages:
        bank = run.agent_ids.index(outages[-1].agent)
        trapped[bank] = _trapped(run.settlements, bank, outages[-1].ticks(run.ticks))
    return np.stack([unsettled, delay.astype(np.float64), longest_delay.astype(np.float64), trapped], axis=1)


def _trapped(settlements: NDArray[np.int64], bank: int, ticks: range) -> int:
    """Return the most that a bank received less what it sent, in cents, from the first of the ticks on, at their ends.

    0 where it never received more.
    """
    tick = settlements[:, EventColumn.tick]
    rows = settlements[(tick >= ticks.start) & (tick < ticks.stop)]
    moved = np.zeros(len(ticks), dtype=np.int64)
    for column, sign in ((EventColumn.counterparty, 1), (EventColumn.agent, -1)):
        own = rows[rows[:, column] == bank]
        np.add.at(moved, own[:, EventColumn.tick] - ticks.start, sign * own[:, EventColumn.amount])
    return max(0, int(moved.cumsum().max(initial=0)))


MEASURES = {
    "costs": Measure(OF_OUTCOME, _costs_and_delays),
    "indicators": Measure((*OF_OUTCOME, "settled_share", *OF_INDICATORS), _with_indicators),
    "stress": Measure(("unsettled", "delay", "longest_delay", "trapped"), _under_stress),
}
"""`costs` is what a batch gives, without its events; `indicators` adds those of each run. `stress` is what an outage,
the last in the scenario, does: cents, cents x ticks twice (see `delays_and_unsettled`), and cents."""
