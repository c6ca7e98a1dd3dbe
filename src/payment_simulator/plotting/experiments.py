"""The picture of several runs: final costs, parameters and equilibria reached against the settings that differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger import plotting
from payment_simulator.experiments.sweep import value_text

if TYPE_CHECKING:
    from payment_simulator.experiments.many_runs import EndedRun, ManyRuns

MAX_PARAMETERS = 4
RANKS = (
    ("most frequent equilibrium", "#3f007d"),
    ("second", "#6a51a3"),
    ("third", "#9e9ac8"),
)
OTHERS, RESTLESS = ("others", "#dadaeb"), ("not converged", "#bbbbbb")
"""Label and colour of the equilibria of a setting, by how often they were reached: none is a bank's colour."""
MAX_TICKS = 24
MAX_VALUE = 18
SPREAD = 0.12
"""The width over which the runs of a setting stand side by side."""
BAR_IN = 0.7 * plotting.PANEL_IN


def draw_many(found: "ManyRuns", path: Path) -> None:
    """Draw several runs to a .png or .svg file; the same runs give the same bytes.

    Raises:
        ConfigError: they have not the same banks.
        OSError: it could not be written; what stood there is unharmed.
    """
    with plotting.style():
        plotting.save(_Picture(found).figure, path)


def _final_cost(run: "EndedRun", bank: str) -> float:
    return float(run.costs[bank])


def _parameter(name: str, run: "EndedRun", bank: str) -> float:
    return run.parameters[bank].get(name, np.nan)


@dataclass
class _Picture:
    found: "ManyRuns"

    def __post_init__(self) -> None:
        self.banks, self.groups = self.found.banks, self.found.groups
        height = plotting.panel_height(len(self.banks))
        heights = [height] * (1 + len(self._parameters)) + [BAR_IN]
        self.figure, (costs, *rest) = plotting.stacked_panels(heights)
        costs.set_ylabel("final cost (cents)")
        plotting.whole_numbers(costs.yaxis)
        self._draw_lines(costs, _final_cost, height)
        for axes, name in zip(rest, self._parameters, strict=False):
            axes.set_ylabel(plotting.drawn(name.replace("_", " ")))
            self._draw_lines(axes, partial(_parameter, name), height)
        self._draw_equilibria(rest[-1])
        self._finish([costs, *rest])

    @cached_property
    def _parameters(self) -> list[str]:
        """Those that are not the same in all runs, of each bank; if none differs, the first."""
        seen: dict[str, dict[str, set[float]]] = {}
        for run in self.found.runs:
            for bank, parameters in run.parameters.items():
                for name, value in parameters.items():
                    seen.setdefault(name, {}).setdefault(bank, set()).add(value)
        varied = [name for name, banks in seen.items() if any(len(values) > 1 for values in banks.values())]
        return (varied or [*seen])[:MAX_PARAMETERS] if varied else [*seen][:1]

    def _draw_lines(self, axes: Any, value: "Callable[[EndedRun, str], float]", height_in: float) -> None:
        """Draw each bank's values: a dot a run, and a line through the means of the settings."""
        x = np.arange(len(self.groups), dtype=float)
        values = [[[value(run, bank) for run in group.runs] for group in self.groups] for bank in self.banks]
        means = np.array([[np.mean(each) for each in by_group] for by_group in values])
        if len(self.banks) > plotting.MAX_LINES:
            plotting.draw_range(axes, x.tolist(), means, "bank")
            return
        for index, line in enumerate(means):
            style = plotting.line_style(index, len(self.banks))
            axes.plot(x, line, marker="o", markersize=3, **style)
            for place, of_runs in enumerate(values[index]):
                if len(of_runs) > 1:
                    beside = place + np.linspace(-SPREAD, SPREAD, len(of_runs))
                    axes.plot(beside, of_runs, ".", markersize=3, color=style["color"], alpha=0.5)
        plotting.name_lines(axes, self.banks, means[:, -1].tolist(), height_in)

    def _draw_equilibria(self, axes: Any) -> None:
        """Draw for each setting which share of the starts reached which equilibrium, the most frequent below."""
        axes.set_ylabel("share of starts")
        starts = np.array([max(group.starts, 1) for group in self.groups], float)
        reached = [[each.reached for each in group.equilibria] for group in self.groups]
        shares = [np.array([sum(each[rank : rank + 1]) for each in reached]) for rank in range(len(RANKS))]
        shares.append(np.array([sum(each[len(RANKS) :]) for each in reached]))
        shares.append(starts - np.sum(shares, axis=0))
        below = np.zeros(len(self.groups))
        for (label, colour), counts in zip((*RANKS, OTHERS, RESTLESS), shares, strict=True):
            if counts.any():
                x = np.arange(len(self.groups))
                axes.bar(x, counts / starts, bottom=below, width=0.6, color=colour, label=label, edgecolor="white")
                below = below + counts / starts
        axes.set_axisbelow(True)
        axes.set_ylim(0, 1)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=6)

    def _finish(self, panels: Sequence[Any]) -> None:
        from matplotlib.lines import Line2D

        step = -(-len(self.groups) // MAX_TICKS)
        places = range(0, len(self.groups), step)
        labels = [self._label(self.groups[place].settings) for place in places]
        is_long = sum(map(len, labels)) > 90  # letters in a row
        for axes in panels:
            axes.set_xlim(-0.6, len(self.groups) - 0.4)
            axes.set_xticks([*places], labels, rotation=40 if is_long else 0, ha="right" if is_long else "center")
        panels[-1].set_xlabel(plotting.drawn(", ".join(self.found.axes) or "all runs have the same settings"))
        if any(len(group.runs) > 1 for group in self.groups):
            marks: dict[str, Any] = {"color": "black"}
            handles = [
                Line2D([], [], marker="o", markersize=3, label="mean of a setting's runs", **marks),
                Line2D([], [], marker=".", markersize=3, linestyle="none", alpha=0.5, label="one run", **marks),
            ]
            self.figure.legend(handles=handles, loc="outside lower center", ncols=2)
        plotting.head(panels[0], self._title(), self._subtitle())

    def _label(self, settings: dict[str, Any]) -> str:
        return plotting.drawn(", ".join(value_text(value)[:MAX_VALUE] for value in settings.values()))

    def _title(self) -> str:
        names = dict.fromkeys(run.record.experiment_name for run in self.found.runs)
        return ", ".join(names)

    def _subtitle(self) -> str:
        runs, converged = len(self.found.runs), sum(run.record.converged is True for run in self.found.runs)
        left = f"; {self.found.not_completed:,} more are not completed" if self.found.not_completed else ""
        return f"{runs:,} runs, {converged:,} converged{left}"
