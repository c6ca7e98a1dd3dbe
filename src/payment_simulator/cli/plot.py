"""The picture of a run: balances, queues and cumulative cost over its ticks, from its events."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.files import write_durably
from labledger.plotting import drawn
from payment_simulator.engine.vocabulary import EventColumn, EventKind

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.schema import Scenario

MAX_NAMED = 12
"""Of more banks only the sum of queues, and the range of balances and costs, can be told apart by eye."""

SETTLEMENTS = (
    EventKind.Transfer,
    EventKind.SettledImmediately,
    EventKind.SettledFromQueue,
    EventKind.LsmBilateralOffset,
    EventKind.LsmCycleSettlement,
)
Ints = NDArray[np.int64]


def draw(outcome: "Outcome", scenario: "Scenario", path: Path) -> None:
    """Draw a run whose events were recorded to a .png or .svg file.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    from matplotlib.figure import Figure

    ticks, names = scenario.simulation.ticks, outcome.agent_ids
    rows = outcome.rows if outcome.rows is not None else np.empty((0, len(EventColumn)), dtype=np.int64)
    figure = Figure(figsize=(10, 9), layout="constrained")
    balances, queues, costs = figure.subplots(3, 1, sharex=True)
    opening = np.array([agent.opening_balance for agent in scenario.agents_by_id()])
    _lines(balances, opening[:, None] + _balances(rows, len(names), ticks).cumsum(axis=1), names)
    balances.set_ylabel("balance (cents)")
    balances.axhline(0, color="grey", linewidth=0.8)
    _queues(queues, rows, ticks)
    _lines(costs, _costs(rows, len(names), ticks).cumsum(axis=1), names)
    costs.set_ylabel("cumulative cost (cents)")
    costs.set_xlabel("tick")
    for axes in (balances, queues, costs):
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        for day in range(1, scenario.simulation.num_days):
            axes.axvline(day * scenario.simulation.ticks_per_day - 0.5, color="grey", linestyle=":", linewidth=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=120)
    write_durably(path, buffer.getvalue())


def _balances(rows: Ints, banks: int, ticks: int) -> Ints:
    """What each bank's balance changes by in each tick."""
    found = np.zeros((banks, ticks), dtype=np.int64)
    kind, tick, agent, other, amount = rows[:, 1], rows[:, 0], rows[:, 2], rows[:, 3], rows[:, 6]
    moves = np.isin(kind, SETTLEMENTS)
    np.add.at(found, (agent[moves], tick[moves]), -amount[moves])
    np.add.at(found, (other[moves], tick[moves]), amount[moves])
    gains = kind == EventKind.LiquidityAllocated
    np.add.at(found, (agent[gains], tick[gains]), amount[gains])
    return found


def _costs(rows: Ints, banks: int, ticks: int) -> Ints:
    found = np.zeros((banks, ticks), dtype=np.int64)
    charged = rows[rows[:, 1] == EventKind.CostAccrual]
    np.add.at(found, (charged[:, 2], charged[:, 0]), charged[:, 6])
    return found


def _queues(axes: Any, rows: Ints, ticks: int) -> None:
    """How many payments wait, at their banks and in the central queue, after each tick."""

    def count(*kinds: EventKind) -> Ints:
        return np.bincount(rows[np.isin(rows[:, 1], kinds), 0], minlength=ticks)

    left = (EventKind.SettledFromQueue, EventKind.LsmBilateralOffset, EventKind.LsmCycleSettlement)
    splits = rows[rows[:, 1] == EventKind.PolicySplit]
    extra = np.bincount(splits[:, 0], weights=splits[:, 7] - 1, minlength=ticks).astype(np.int64)
    at_banks = count(EventKind.Arrival) - count(EventKind.Submitted, EventKind.PolicyDrop) + extra
    axes.plot(at_banks.cumsum(), label="Queue 1 (banks)", drawstyle="steps-mid")
    axes.plot((count(EventKind.Queued) - count(*left)).cumsum(), label="Queue 2 (central)", drawstyle="steps-mid")
    axes.set_ylabel("payments waiting")
    axes.legend(loc="best", fontsize="small")


def _lines(axes: Any, values: Ints, names: tuple[str, ...]) -> None:
    """A line a bank or, of many, the band that they are in."""
    ticks = np.arange(values.shape[1])
    if len(names) <= MAX_NAMED:
        for name, line in zip(names, values, strict=True):
            axes.plot(ticks, line, label=f" {drawn(name)}", drawstyle="steps-mid")  # the blank: none is hidden
    else:
        low, middle, high = np.percentile(values, [5, 50, 95], axis=0)
        axes.fill_between(ticks, low, high, alpha=0.3, label=f"5 to 95 % of {len(names)} banks")
        axes.plot(ticks, middle, label="median bank")
    axes.legend(loc="best", fontsize="small")
