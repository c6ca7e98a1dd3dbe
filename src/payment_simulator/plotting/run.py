"""The picture of an experiment: costs, parameters, proposals and the Nash gap over its iterations."""

import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger.files import write_durably
from labledger.plotting import drawn
from labledger.untrusted_text import clean
from payment_simulator.policy.policies import FRACTION

if TYPE_CHECKING:
    from payment_simulator.experiments.stored_run import Decision, StoredRun

# Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow that white paper swallows. Two
# banks that share a colour differ in their line, and so do neighbours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MAX_NAMED = len(COLOURS) * len(LINES) - 4
"""Of more banks only the range and the median are drawn: their lines could not be told apart."""
MAX_PARAMETERS = 6
WIDTH_IN, PANEL_IN, NAME_IN, HEAD_IN = 7.2, 2.0, 0.15, 0.75
NAME_PT, POINTS_PER_IN = 7.0, 72.0
FINAL_ROOM = 0.05
"""Of the width, for the word below the final policies."""
DPI = 200
STYLE: Any = {
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.7,
    "svg.hashsalt": "labledger",
}
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
    """Draw a run to a .png, .svg or .html file; the same run gives the same bytes.

    Raises:
        UnreadableFileError: it was stored without its scenario, or has no iteration.
        OSError: it could not be written; what stood there is unharmed.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        picture = _Picture(run)
        kind = path.suffix[1:].lower()
        content = picture.page() if kind == "html" else picture.saved(kind)
    write_durably(path, content)


@dataclass(frozen=True)
class _Hover:
    """What a reader is told who points at a mark."""

    axes: Any
    x: float
    y: float
    text: str


@dataclass
class _Picture:
    run: "StoredRun"
    hovers: list[_Hover] = field(default_factory=list)

    def __post_init__(self) -> None:
        from matplotlib.figure import Figure

        if not self.run.iterations:
            raise self.run.unreadable("it has no iteration that could be drawn")
        self.banks = self.run.agent_ids
        self.last = self.run.iterations[-1].iteration_number
        self.is_final = self.run.record.final_policies is not None
        has_gap = bool(self._gaps())
        named = NAME_IN * len(self.banks) if len(self.banks) <= MAX_NAMED else 0.0
        heights = [max(PANEL_IN, named)] * (1 + len(self._parameters)) + [0.8 * PANEL_IN] * has_gap
        self.figure = Figure(figsize=(WIDTH_IN, HEAD_IN + sum(heights)), layout="constrained")
        costs, *rest = np.atleast_1d(self.figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
        self._draw_costs(costs, heights[0])
        for axes, name in zip(rest, self._parameters, strict=False):
            self._draw_parameter(axes, name, heights[0])
        if has_gap:
            self._draw_gap(rest[-1])
        self._finish((costs, *rest))

    def saved(self, kind: str) -> bytes:
        """The picture as a file of this kind."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
        return buffer.getvalue()

    def page(self) -> bytes:
        """A page of its own, without anything from elsewhere: at each mark it says what the mark is."""
        svg = self.saved("svg").decode()
        svg = svg[svg.index("<svg") :]
        height_pt = self.figure.get_figheight() * POINTS_PER_IN
        circles = []
        for hover in self.hovers:
            x, y = hover.axes.transData.transform((hover.x, hover.y)) * POINTS_PER_IN / self.figure.dpi
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

    def _gaps(self) -> list[tuple[float, int, int]]:
        """Where, cents, half-width."""
        found = [
            (float(each.iteration_number), each.nash_gap, each.nash_gap_half_width) for each in self.run.iterations
        ]
        record = self.run.record
        found.append((self.last + 1.0, record.final_nash_gap, record.final_nash_gap_half_width))
        return [(x, cents, half_width or 0) for x, cents, half_width in found if cents is not None]

    # How

    def _draw_costs(self, axes: Any, height_in: float) -> None:
        x = [each.iteration_number for each in self.run.iterations]
        costs = np.array([[each.per_agent_costs[bank] for bank in self.banks] for each in self.run.iterations], float)
        final = self.run.record.final_costs_by_agent or {}
        axes.set_ylabel("cost (cents)")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        if len(self.banks) > MAX_NAMED:
            self._draw_range(axes, x, costs)
            return
        for bank, line in zip(self.banks, costs.T, strict=True):
            axes.plot(x, line, marker="o", markersize=2.5, **self._style(bank))
            for number, cents in zip(x, line, strict=True):
                self.hovers.append(_Hover(axes, number, cents, f"{bank}, iteration {number}: {cents:,.0f} cents"))
            if bank in final:
                colour = self._style(bank)["color"]
                axes.plot(self.last + 1, final[bank], marker="D", markersize=4, color=colour, linestyle="none")
                text = f"{bank}, final policies: {final[bank]:,} cents"
                self.hovers.append(_Hover(axes, self.last + 1, final[bank], text))
        self._name_lines(
            axes, [float(final.get(bank, line[-1])) for bank, line in zip(self.banks, costs.T, strict=True)], height_in
        )

    def _draw_parameter(self, axes: Any, name: str, height_in: float) -> None:
        x = [each.iteration_number for each in self.run.iterations] + [self.last + 1] * self.is_final
        values = np.array([[held[bank].get(name, np.nan) for bank in self.banks] for held in self._held])
        axes.set_ylabel(drawn(name.replace("_", " ")))
        if len(self.banks) > MAX_NAMED:
            self._draw_range(axes, x, values)
        else:
            for bank, line in zip(self.banks, values.T, strict=True):
                axes.step(x, line, where="mid", **self._style(bank))
        self._draw_proposals(axes, name)
        if len(self.banks) <= MAX_NAMED:
            self._name_lines(axes, values[-1].tolist(), height_in)

    def _draw_proposals(self, axes: Any, name: str) -> None:
        """Between the iteration that they were made in and the next: a step begins at each that was accepted."""
        for decision, parameters in self._proposed:
            if name not in parameters:
                continue
            x, y, bank = decision.iteration + 0.5, parameters[name], decision.agent_id
            colour = self._style(bank)["color"] if len(self.banks) <= MAX_NAMED else "black"
            if decision.accepted:
                axes.plot(x, y, marker="o", markersize=4, color=colour, linestyle="none", zorder=3)
            else:
                axes.plot(x, y, marker="x", markersize=4, markeredgewidth=0.9, color=colour, linestyle="none", zorder=3)
            word = "accepted" if decision.accepted else "rejected"
            text = f"{bank}, iteration {decision.iteration}: {name} {y:g} {word}: {decision.reason}"
            self.hovers.append(_Hover(axes, x, y, text))

    def _draw_range(self, axes: Any, x: Sequence[int], values: Any) -> None:
        low, middle, high = np.nanpercentile(values, [5, 50, 95], axis=1)
        axes.fill_between(
            x, low, high, alpha=0.25, color=COLOURS[0], linewidth=0, label=f"5 to 95 % of {len(self.banks)} banks"
        )
        axes.plot(x, middle, color=COLOURS[0], label="median bank")
        axes.legend(loc="best", fontsize=NAME_PT, frameon=False)
        for number, value in zip(x, middle, strict=True):
            self.hovers.append(_Hover(axes, number, value, f"median of {len(self.banks)} banks: {value:,.6g}"))

    def _draw_gap(self, axes: Any) -> None:
        gaps = self._gaps()
        axes.set_ylabel("Nash gap (cents)")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        over_iterations = [gap for gap in gaps if gap[0] <= self.last]
        axes.plot([x for x, _, _ in over_iterations], [y for _, y, _ in over_iterations], color="black", linewidth=1)
        for x, cents, half_width in gaps:
            marker = "o" if x <= self.last else "D"
            error = {"capsize": 2.5, "elinewidth": 0.8, "markersize": 3.5, "color": "black"}
            axes.errorbar(x, cents, yerr=half_width or None, marker=marker, **error)
            where = f"iteration {x:.0f}" if x <= self.last else "final policies"
            interval = f" ± {half_width:,}" if half_width else ""
            self.hovers.append(_Hover(axes, x, cents, f"Nash gap, {where}: {cents:,}{interval} cents"))
        top = max(cents + half_width for _, cents, half_width in gaps)
        margin = 0.06 * top or 1.0
        axes.set_ylim(min([0, *(cents - half_width for _, cents, half_width in gaps)]) - margin, top + margin)

    def _style(self, bank: str) -> dict[str, Any]:
        index = self.banks.index(bank)
        return {
            "color": COLOURS[index % len(COLOURS)],
            "linestyle": LINES[index % len(LINES)],
            "linewidth": 1.3 if len(self.banks) <= len(COLOURS) else 1.0,
        }

    def _name_lines(self, axes: Any, ends: Sequence[float], height_in: float) -> None:
        """Each bank's name beside the end of its line, one above the other where lines end close together."""
        low, high = axes.get_ylim()
        axes.set_ylim(low, high)
        at = [(end - low) / (high - low) if np.isfinite(end) else 0.0 for end in ends]
        room = 1.2 * NAME_PT / POINTS_PER_IN / (0.85 * height_in)
        for index, place in zip(np.argsort(at, kind="stable"), _spread(sorted(at), room), strict=True):
            style = self._style(self.banks[index])
            axes.annotate(
                drawn(self.banks[index]),
                xy=(1.0, at[index]),
                xytext=(1.035, place),
                xycoords="axes fraction",
                fontsize=NAME_PT,
                color=style["color"],
                verticalalignment="center",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": style["color"],
                    "linewidth": 0.6,
                    "shrinkA": 1,
                    "shrinkB": 0,
                    "relpos": (0, 0.5),
                },
            )

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
        marks: dict[str, Any] = {"color": "black", "linestyle": "none"}
        legend = [
            Line2D([], [], marker="o", markersize=4, label="accepted proposal", **marks),
            Line2D([], [], marker="x", markersize=4, label="rejected proposal", **marks),
        ]
        own = ", on draws of their own" if self._is_sampled else ""
        legend += [Line2D([], [], marker="D", markersize=4, label=f"final policies{own}", **marks)] * self.is_final
        self.figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, fontsize=NAME_PT)
        panels[0].set_title(f"{drawn(self.run.record.experiment_name)}\n", loc="left", fontsize=10, fontweight="bold")
        panels[0].text(0, 1.04, self._subtitle(), transform=panels[0].transAxes, fontsize=NAME_PT, color="#555555")

    def _subtitle(self) -> str:
        config, record = self.run.setting[0], self.run.record
        samples = f", {config.evaluation.num_samples:,} draws" if self._is_sampled else ""
        ending = {True: "converged", False: f"not converged ({record.convergence_reason})", None: record.status}
        return f"{config.proposer}, {config.evaluation.mode.replace('_', ' ')}{samples}, {ending[record.converged]}"


def _spread(places: Sequence[float], room: float) -> Iterator[float]:
    """Rising places, moved as little as it takes to be `room` apart and, if there is room, within 0 and 1."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + room) if found else place)
    top = max(1.0, room * (len(found) - 1))
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], top - room * (len(found) - 1 - index))
    yield from found
