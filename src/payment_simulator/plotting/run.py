"""The picture of a run: balances, queues and cumulative cost over its ticks, from its events."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger import plotting
from payment_simulator.engine.vocabulary import EventColumn, EventKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.schema import Scenario

SETTLEMENTS = (
    EventKind.Transfer,
    EventKind.SettledImmediately,
    EventKind.SettledFromQueue,
    EventKind.LsmBilateralOffset,
    EventKind.LsmCycleSettlement,
)
Ints = NDArray[np.int64]


def draw(outcome: "Outcome", scenario: "Scenario", name: str, path: Path) -> None:
    """Draw a run whose events were recorded to a .png or .svg file; `name` is the scenario's.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    with plotting.style():
        plotting.save(_figure(outcome, scenario, name), path)


def _figure(outcome: "Outcome", scenario: "Scenario", name: str) -> "Figure":
    ticks, names = scenario.simulation.ticks, outcome.agent_ids
    rows = outcome.rows if outcome.rows is not None else np.empty((0, len(EventColumn)), dtype=np.int64)
    height_in = plotting.panel_height(len(names))
    figure, (balances, queues, costs) = plotting.stacked_panels([height_in, plotting.PANEL_IN, height_in])
    opening = np.array([agent.opening_balance for agent in scenario.agents_by_id()])
    balances.set_ylabel("balance (cents)")
    balances.axhline(0, color="grey", linewidth=0.8)
    _lines(balances, opening[:, None] + _balances(rows, len(names), ticks).cumsum(axis=1), names, height_in)
    _queues(queues, rows, ticks)
    costs.set_ylabel("cumulative cost (cents)")
    _lines(costs, _costs(rows, len(names), ticks).cumsum(axis=1), names, height_in)
    costs.set_xlabel("tick")
    plotting.whole_numbers(costs.xaxis)
    for axes in (balances, queues, costs):
        plotting.whole_numbers(axes.yaxis)
        axes.set_xlim(-0.5, ticks - 0.5)
        for day in range(1, scenario.simulation.num_days):
            axes.axvline(day * scenario.simulation.ticks_per_day - 0.5, color="grey", linestyle=":", linewidth=0.8)
    arrived, settled = int(outcome.arrived.sum()), int(outcome.settled.sum())
    paid = f"{settled:,} of {arrived:,} payments settled"
    plotting.head(balances, f"{name}: balances, queues and costs", f"{len(names):,} banks, {ticks:,} ticks, {paid}")
    return figure


def _balances(rows: Ints, banks: int, ticks: int) -> Ints:
    """Return the change of each bank's balance in each tick, cents of shape (banks, ticks)."""
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
    """Draw the number of payments that wait after each tick, at their banks and in the central queue."""

    def count(*kinds: EventKind) -> Ints:
        return np.bincount(rows[np.isin(rows[:, 1], kinds), 0], minlength=ticks)

    left = (EventKind.SettledFromQueue, EventKind.LsmBilateralOffset, EventKind.LsmCycleSettlement)
    splits = rows[rows[:, 1] == EventKind.PolicySplit]
    extra = np.bincount(splits[:, 0], weights=splits[:, 7] - 1, minlength=ticks).astype(np.int64)
    at_banks = count(EventKind.Arrival) - count(EventKind.Submitted, EventKind.PolicyDrop) + extra
    central = count(EventKind.Queued) - count(*left)
    axes.set_ylabel("payments waiting")
    _lines(axes, np.stack([at_banks, central]).cumsum(axis=1), ("at banks (Queue 1)", "central (Queue 2)"))


def _lines(axes: Any, values: Ints, names: Sequence[str], height_in: float = plotting.PANEL_IN) -> None:
    """Draw a line per row of `values`, named, or, of many, the band that they are in."""
    if len(names) > plotting.MAX_LINES:
        plotting.draw_range(axes, range(values.shape[1]), values, "bank")
        return
    edges = np.arange(values.shape[1] + 1) - 0.5  # of ticks
    for index, line in enumerate(values):
        axes.step(edges, [*line, line[-1]], where="post", **plotting.line_style(index, len(names)))
    plotting.name_lines(axes, names, values[:, -1].tolist(), height_in)
