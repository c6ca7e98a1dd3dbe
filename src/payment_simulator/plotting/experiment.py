"""The picture of an experiment: costs, parameters, proposals and the Nash gap over its iterations."""

import html
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger import plotting
from labledger.files import write_durably
from labledger.untrusted_text import clean
from payment_simulator.experiments.best_response import GapKind
from payment_simulator.experiments.nash_gap import ALIKE, VALUES_OF_OLD, NashGap, stored_gap
from payment_simulator.plotting.axes import money_axes
from payment_simulator.policy.policies import FRACTION
from payment_simulator.scenario.money import decimals_of

if TYPE_CHECKING:
    from payment_simulator.experiments.stored_run import Decision, StoredRun

MAX_PARAMETERS = 6
MAX_STARTS_NAMED = 12
GAP_MARKS: dict[GapKind | None, tuple[str, str]] = {
    "exact": ("o", "exact"),
    "bounded": ("v", "bounded: at most so much"),
    "estimated": ("s", "estimated, with its interval"),
    "searched": ("^", "searched: at least so much"),
    None: ("*", f"searched ({VALUES_OF_OLD} values): at least so much"),
}
"""The marker and the label of each kind of Nash gap."""
ALIKE_MARK = ("P", f"estimated, {ALIKE}: no interval")
OLD_ON_DRAWS = ("*", f"searched ({VALUES_OF_OLD} values), on draws")
UNKNOWN_MARK = ("d", "of a kind that this version does not know")
FINAL_ROOM = 0.05
"""Share of the width that is kept free for the label of the final policies."""
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; background: #fff }}
body {{ font: 16px/1.5 system-ui, sans-serif }}
svg {{ width: 100%; height: auto }}
.hover circle {{ fill: transparent; pointer-events: all }}
.hover circle:hover {{ stroke: #222; stroke-width: 1 }}
</style>
</head>
<body>
{svg}
<p>Point at a mark to read what it is.</p>
</body>
</html>
"""


def draw(run: "StoredRun", path: Path) -> None:
    """Draw a stored run of an experiment to a .png, .svg or .html file; the same run gives the same bytes.

    Raises:
        UnreadableFileError: it was stored without its scenario, or has no iteration.
        OSError: it could not be written; what stood there is unharmed.
    """
    with plotting.style():
        picture = _Picture(run)
        if path.suffix.lower() == ".html":
            write_durably(path, picture.page())
        else:
            plotting.save(picture.figure, path)


@dataclass(frozen=True)
class _Hover:
    """The text that a page shows at a mark under the pointer."""

    axes: Any
    x: float
    y: float
    text: str


@dataclass
class _Picture:
    run: "StoredRun"
    hovers: list[_Hover] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.run.iterations:
            raise self.run.unreadable("it has no iteration that could be drawn")
        self.banks = self.run.banks
        self.last = self.run.iterations[-1].iteration_number
        self.is_final = self.run.record.final_policies is not None
        has_gap = bool(self._gaps())
        height = plotting.panel_height(len(self.banks))
        heights = [height] * (1 + len(self._parameters)) + [0.8 * plotting.PANEL_IN] * has_gap
        self.figure, (costs, *rest) = plotting.stacked_panels(heights)
        self._draw_costs(costs, heights[0])
        for axes, name in zip(rest, self._parameters, strict=False):
            self._draw_parameter(axes, name, heights[0])
        if has_gap:
            self._draw_gap(rest[-1])
        self._finish((costs, *rest))

    def page(self) -> bytes:
        """A page of its own, without anything from elsewhere: a pointer at a mark shows its text."""
        svg = plotting.rendered(self.figure, "svg").decode()
        svg = svg[svg.index("<svg") :]
        height_pt = self.figure.get_figheight() * plotting.POINTS_PER_IN
        circles = []
        for hover in self.hovers:
            x, y = hover.axes.transData.transform((hover.x, hover.y)) * plotting.POINTS_PER_IN / self.figure.dpi
            title = html.escape(clean(hover.text))
            circles.append(f'<circle cx="{x:.2f}" cy="{height_pt - y:.2f}" r="4"><title>{title}</title></circle>')
        inside = '<g class="hover">\n' + "\n".join(circles) + "\n</g>\n</svg>"
        svg = svg[: svg.rindex("</svg>")] + inside
        return PAGE.format(title=html.escape(clean(self.run.record.experiment_name)), svg=svg).encode()

    # What is drawn

    @cached_property
    def _held(self) -> list[dict[str, dict[str, float]]]:
        """By iteration, and of the final policies where there are some: each bank's parameters."""
        profiles = [iteration.policies for iteration in self.run.iterations]
        profiles += [self.run.record.final_policies] if self.run.record.final_policies is not None else []
        return [{bank: self.run.parameters(bank, profile[bank]) for bank in self.banks} for profile in profiles]

    @cached_property
    def _proposed(self) -> list[tuple["Decision", dict[str, float]]]:
        return [
            (decision, self.run.parameters(decision.agent_id, decision.policy))
            for decision in self.run.decisions
            if decision.policy is not None
        ]

    @cached_property
    def _parameters(self) -> list[str]:
        """Those that were varied; if none was, the share of the pool."""
        seen: dict[tuple[str, str], set[float]] = {}
        for held in self._held:
            for bank, parameters in held.items():
                for name, value in parameters.items():
                    seen.setdefault((name, bank), set()).add(value)
        for decision, parameters in self._proposed:
            for name, value in parameters.items():
                seen.setdefault((name, decision.agent_id), set()).add(value)
        varied = dict.fromkeys(name for (name, _), values in seen.items() if len(values) > 1)
        return [*varied][:MAX_PARAMETERS] or [FRACTION]

    @property
    def _is_sampled(self) -> bool:
        return self.run.setting[0].evaluation.mode != "deterministic"

    @cached_property
    def _decimals(self) -> int:
        return decimals_of(self.run.setting[1].scenario)

    def _gaps(self) -> list[tuple[float, NashGap]]:
        """Return x and the value of each Nash gap."""
        config = self.run.record.config
        found = [(float(each.iteration_number), stored_gap(each, "", config)) for each in self.run.iterations]
        found.append((self.last + 1.0, stored_gap(self.run.record, "final_", config)))
        return [(x, gap) for x, gap in found if gap is not None]

    @cached_property
    def _begun(self) -> list[tuple[int, int]]:
        """Each start but the first, by number, with the iteration that it begins at."""
        starts = [each.start for each in self.run.iterations]
        return [
            (start, each.iteration_number)
            for each, before, start in zip(self.run.iterations[1:], starts, starts[1:], strict=False)
            if start != before
        ]

    def _unbroken(self, x: Sequence[float]) -> list[slice]:
        """Return the parts of rising `x` that one line goes through: a start's, and the final profile of several."""
        ends = [number for _, number in self._begun]
        ends += [self.last + 1] if self._begun else []
        cuts = [0, *np.searchsorted(x, ends).tolist(), len(x)]
        return [slice(low, high) for low, high in pairwise(cuts) if low < high]

    # How

    def _draw_costs(self, axes: Any, height_in: float) -> None:
        x = [each.iteration_number for each in self.run.iterations]
        costs = np.array([[each.per_agent_costs[bank] for bank in self.banks] for each in self.run.iterations], float)
        final = self.run.record.final_costs_by_agent or {}
        if self._begun:
            axes.margins(y=0.14)  # room for their names
        if len(self.banks) > plotting.MAX_LINES:
            self._draw_range(axes, x, costs.T)
            money_axes({axes: "cost"}, self._decimals)
            return
        for bank, line in zip(self.banks, costs.T, strict=True):
            for part in self._unbroken(x):
                axes.plot(x[part], line[part], marker="o", markersize=2.5, **self._style(bank))
            for number, cents in zip(x, line, strict=True):
                self.hovers.append(_Hover(axes, number, cents, f"{bank}, iteration {number}: {cents:,.0f} cents"))
            if bank in final:
                colour = self._style(bank)["color"]
                axes.plot(self.last + 1, final[bank], marker="D", markersize=4, color=colour, linestyle="none")
                text = f"{bank}, final policies: {final[bank]:,} cents"
                self.hovers.append(_Hover(axes, self.last + 1, final[bank], text))
        money_axes({axes: "cost"}, self._decimals)
        ends = [float(final.get(bank, line[-1])) for bank, line in zip(self.banks, costs.T, strict=True)]
        plotting.name_lines(axes, self.banks, ends, height_in)

    def _draw_parameter(self, axes: Any, name: str, height_in: float) -> None:
        x = [each.iteration_number for each in self.run.iterations] + [self.last + 1] * self.is_final
        values = np.array([[held[bank].get(name, np.nan) for bank in self.banks] for held in self._held])
        axes.set_ylabel(plotting.drawn(name.replace("_", " ")))
        if len(self.banks) > plotting.MAX_LINES:
            self._draw_range(axes, x, values.T)
        else:
            for bank, line in zip(self.banks, values.T, strict=True):
                for part in self._unbroken(x):
                    axes.step(x[part], line[part], where="mid", **self._style(bank))
                if self._begun and self.is_final:  # a step of one value has no length
                    colour = self._style(bank)["color"]
                    axes.plot(x[-1], line[-1], marker="D", markersize=4, color=colour, linestyle="none")
        self._draw_proposals(axes, name)
        if len(self.banks) <= plotting.MAX_LINES:
            ends = [next((value for value in line[::-1] if not np.isnan(value)), np.nan) for line in values.T]
            plotting.name_lines(axes, self.banks, ends, height_in)

    def _draw_proposals(self, axes: Any, name: str) -> None:
        """Between the iteration that they were made in and the next: a step begins at each that was accepted."""
        for decision, parameters in self._proposed:
            if name not in parameters:
                continue
            x, y, bank = decision.iteration + 0.5, parameters[name], decision.agent_id
            colour = self._style(bank)["color"] if len(self.banks) <= plotting.MAX_LINES else "black"
            if decision.accepted:
                axes.plot(x, y, marker="o", markersize=4, color=colour, linestyle="none", zorder=3)
            else:
                axes.plot(x, y, marker="x", markersize=4, markeredgewidth=0.9, color=colour, linestyle="none", zorder=3)
            word = "accepted" if decision.accepted else "rejected"
            text = f"{bank}, iteration {decision.iteration}: {name} {y:g} {word}: {decision.reason}"
            self.hovers.append(_Hover(axes, x, y, text))

    def _draw_range(self, axes: Any, x: Sequence[int], values: Any) -> None:
        middle = plotting.draw_range(axes, x, values, "bank")
        for number, value in zip(x, middle, strict=True):
            self.hovers.append(_Hover(axes, number, value, f"median of {len(self.banks)} banks: {value:,.6g}"))

    def _draw_gap(self, axes: Any) -> None:
        gaps = self._gaps()
        x = [x for x, _ in gaps if x <= self.last]
        for part in self._unbroken(x):
            axes.plot(x[part], [gap.cents for _, gap in gaps[part]], color="black", linewidth=0.8, alpha=0.6)
        for at, gap in gaps:
            where = f"iteration {at:.0f}" if at <= self.last else "final policies"
            error = {"capsize": 2.5, "elinewidth": 0.8, "markersize": 4 if at <= self.last else 5.5, "color": "black"}
            marker, _ = _mark(gap)
            axes.errorbar(at, gap.cents, yerr=abs(gap.half_width or 0) or None, marker=marker, **error)
            self.hovers.append(_Hover(axes, at, gap.cents, f"{gap.phrase}, {where}: {gap.meaning}"))
        top = max(gap.cents + (gap.half_width or 0) for _, gap in gaps)
        margin = 0.06 * top or 1.0
        axes.set_ylim(min([0, *(gap.cents - (gap.half_width or 0) for _, gap in gaps)]) - margin, top + margin)
        money_axes({axes: "Nash gap" if self.run.day is None else "Nash gap, one day"}, self._decimals)
        self._name_marks(axes, {_mark(gap) for _, gap in gaps})

    def _name_marks(self, axes: Any, marks: Set[tuple[str, str]]) -> None:
        """Name the marks of a panel above it, where they hide nothing."""
        from matplotlib.lines import Line2D

        shown = [mark for mark in (*GAP_MARKS.values(), ALIKE_MARK, OLD_ON_DRAWS, UNKNOWN_MARK) if mark in marks]
        style: dict[str, Any] = {"color": "black", "linestyle": "none", "markersize": 4}
        handles = [Line2D([], [], marker=marker, label=label, **style) for marker, label in shown]
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=2)

    def _mark_starts(self, panels: Sequence[Any]) -> None:
        """Draw a vertical line before each start but the first, right of the proposals that were made before it."""
        for start, number in self._begun:
            for axes in panels:
                axes.axvline(number - 0.3, color=plotting.MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
            if len(self._begun) < MAX_STARTS_NAMED:
                place = {"transform": panels[0].get_xaxis_transform(), "verticalalignment": "top"}
                style = {"fontsize": plotting.NAME_PT, "color": plotting.MUTED}
                panels[0].text(number - 0.25, 0.99, f"start {start}", **place, **style)

    def _style(self, bank: str) -> dict[str, Any]:
        return plotting.line_style(self.banks.index(bank), len(self.banks))

    def _finish(self, panels: Sequence[Any]) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.ticker import FixedLocator, MaxNLocator

        numbers = [each.iteration_number for each in self.run.iterations]
        first, end = numbers[0], self.last + self.is_final
        ticks = [
            tick for tick in MaxNLocator(12, integer=True).tick_values(first, self.last) if first <= tick <= self.last
        ]
        if self.is_final:
            ticks = [tick for tick in ticks if tick <= end - FINAL_ROOM * (end - first)] + [end]
        for axes in panels:
            axes.set_xlim(first - 0.6, end + 0.6)
            axes.xaxis.set_major_locator(FixedLocator(ticks))
            axes.xaxis.set_major_formatter(lambda value, _: "final" if value > self.last else f"{value:.0f}")
            if self.is_final:
                axes.axvspan(self.last + 0.5, end + 0.6, color="black", alpha=0.05, linewidth=0)
        panels[-1].set_xlabel("iteration")
        self._mark_starts(panels)
        marks: dict[str, Any] = {"color": "black", "linestyle": "none"}
        legend = [
            Line2D([], [], marker="o", markersize=4, label="accepted proposal", **marks),
            Line2D([], [], marker="x", markersize=4, label="rejected proposal", **marks),
        ]
        own = ", on draws of their own" if self._is_sampled else ""
        legend += [Line2D([], [], marker="D", markersize=4, label=f"final policies{own}", **marks)] * self.is_final
        self.figure.legend(handles=legend, loc="outside lower center", ncols=3)
        plotting.head(panels[0], self.run.record.experiment_name, self._subtitle())

    def _subtitle(self) -> str:
        config, record = self.run.setting[0], self.run.record
        samples = f", {config.evaluation.num_samples:,} draws" if self._is_sampled else ""
        reason = str(record.convergence_reason).partition(":")[
            0
        ]  # of several starts what each of them ended in follows
        ending = {True: "converged", False: f"not converged ({reason})", None: record.status}
        day = "" if self.run.day is None else f"; {self.run.day.short}"
        mode = f"{config.evaluation.mode.replace('_', ' ')}{samples}"
        return f"{config.proposer}, {mode}, {ending[record.converged]}{day}"


def _mark(gap: NashGap) -> tuple[str, str]:
    """Return the marker of a gap, and its label."""
    if gap.kind == "estimated" and gap.half_width is None:
        return ALIKE_MARK
    if gap.kind is None and gap.is_sampled:
        return OLD_ON_DRAWS
    return GAP_MARKS.get(gap.kind, UNKNOWN_MARK)
