"""The picture of a run: balances, queues and cumulative cost over its ticks, from its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger import plotting
from payment_simulator.engine.recorded import recorded
from payment_simulator.engine.tables import balance_changes, costs_by_tick, queue1_payments, queue2_payments
from payment_simulator.plotting.axes import from_zero, money_axes, time_axis
from payment_simulator.scenario.money import decimals_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.schema import Scenario

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Curves:
    """The curves of a run by tick: `balances` and cumulative `costs` in cents, of shape (banks, ticks), and the numbers
    of payments that wait at the banks, and in the central queue.
    """

    banks: Sequence[str]
    balances: Ints
    at_banks: Ints
    central: Ints
    costs: Ints
    arrived: int
    settled: int


def draw(outcome: "Outcome", scenario: "Scenario", name: str, path: Path) -> None:
    """Draw a run whose events were recorded to a .png or .svg file; `name` is the scenario's.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    draw_curves(_curves(outcome), scenario, name, path)


def draw_curves(curves: Curves, scenario: "Scenario", name: str, path: Path) -> None:
    """Draw the curves of a run of a scenario, called `name`, to a .png or .svg file.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    with plotting.style():
        plotting.save(_figure(curves, scenario, name), path)


def _curves(outcome: "Outcome") -> Curves:
    run = recorded(outcome)
    opening = np.array([agent.opening_balance for agent in run.scenario.agents_by_id()])
    return Curves(
        banks=outcome.agent_ids,
        balances=(opening + balance_changes(run).cumsum(axis=0)).T,
        at_banks=queue1_payments(run).sum(axis=1),
        central=queue2_payments(run).sum(axis=1),
        costs=costs_by_tick(run).cumsum(axis=0).T,
        arrived=int(outcome.arrived.sum()),
        settled=int(outcome.settled.sum()),
    )


def _figure(curves: Curves, scenario: "Scenario", name: str) -> "Figure":
    ticks, names = scenario.simulation.ticks, curves.banks
    height_in = plotting.panel_height(len(names))
    figure, (balances, queues, costs) = plotting.stacked_panels([height_in, plotting.PANEL_IN, height_in])
    decimals = decimals_of(scenario)
    balances.axhline(0, color="grey", linewidth=0.8)
    _lines(balances, curves.balances, names, height_in)
    queues.set_ylabel("payments waiting")
    _lines(queues, np.stack([curves.at_banks, curves.central]), ("at banks (Queue 1)", "central (Queue 2)"))
    _lines(costs, curves.costs, names, height_in)
    plotting.whole_numbers(queues.yaxis)
    money_axes({balances: "balance", costs: "cumulative cost"}, decimals)
    time_axis(costs, scenario)
    for axes in (balances, queues, costs):
        axes.set_xlim(-0.5, ticks - 0.5)
        for day in range(1, scenario.simulation.num_days):
            axes.axvline(day * scenario.simulation.ticks_per_day - 0.5, color="grey", linestyle=":", linewidth=0.8)
    paid = f"{curves.settled:,} of {curves.arrived:,} payments settled"
    plotting.head(balances, f"{name}: balances, queues and costs", f"{len(names):,} banks, {ticks:,} ticks, {paid}")
    return figure


def _lines(axes: Any, values: Ints, names: Sequence[str], height_in: float = plotting.PANEL_IN) -> None:
    """Draw a line per row of `values`, named, or, of many, the band that they are in."""
    if len(names) > plotting.MAX_LINES:
        plotting.draw_range(axes, range(values.shape[1]), values, "bank")
        return
    edges = np.arange(values.shape[1] + 1) - 0.5  # of ticks
    for index, line in enumerate(values):
        axes.step(edges, [*line, line[-1]], where="post", **plotting.line_style(index, len(names)))
    from_zero(axes.yaxis)
    plotting.name_lines(axes, names, values[:, -1].tolist(), height_in)
