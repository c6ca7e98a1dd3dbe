"""The picture of a stress test: the outages, ranked, as bars with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger import plotting
from payment_simulator.plotting.axes import from_zero, money_axis
from payment_simulator.sweeps.figure_words import CENTS, UNITS, title_of, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = ("others_unsettled_added", "trapped", "others_delay_added")
BAR_IN, LEAST_IN = 0.2, 1.6
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StressPicture:
    """The picture of the rows of a stress test, ranked and without that of the undisturbed run: the first `top`."""

    name: str
    about: str
    rows: Sequence[Row]
    top: int
    decimals: int = 2

    def draw(self, path: Path) -> None:
        """Write the picture to a .png or .svg file.

        Raises:
            OSError: it could not be written; what stood there is unharmed.
        """
        with plotting.style():
            plotting.save(self._figure(), path)

    def _figure(self) -> "Figure":
        from matplotlib.figure import Figure

        shown = self.rows[: self.top]
        height_in = plotting.HEAD_IN + 0.5 + max(BAR_IN * len(shown), LEAST_IN)
        figure = Figure(figsize=(plotting.WIDTH_IN * 1.3, height_in))
        figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - plotting.HEAD_IN / height_in))
        panels = figure.subplots(1, len(DRAWN), sharey=True, squeeze=False)[0]
        for panel, name, colour in zip(panels, DRAWN, plotting.COLOURS, strict=False):
            _bars(panel, name, shown, colour)
        _label(dict(zip(DRAWN, panels, strict=True)), self.decimals)
        panels[0].set_yticks(range(len(shown)), [plotting.drawn(row["bank"], 24) for row in shown])
        panels[0].invert_yaxis()
        more = "" if len(shown) == len(self.rows) else f"; the first {len(shown)} of {len(self.rows)} banks"
        title = plotting.drawn(f"{self.name}: outages")
        figure.text(0.01, 1 - 0.3 / height_in, title, fontsize=plotting.TITLE_PT, fontweight="bold")
        about = plotting.drawn(f"{self.about}{more}", 2 * plotting.MAX_DRAWN)
        figure.text(0.01, 1 - 0.55 / height_in, about, fontsize=plotting.NAME_PT, color=plotting.MUTED)
        return figure


def _bars(panel: "Axes", name: str, rows: Sequence[Row], colour: str) -> None:
    """Draw a bar per row, with its interval where that is known; what is not known has none."""
    for place, row in enumerate(rows):
        if (mean := row[name]) is None:
            continue
        panel.barh(place, mean, color=colour, height=0.7, alpha=0.85)
        if (low := row[f"{name}_low"]) is not None:
            panel.plot([low, row[f"{name}_high"]], [place, place], color="black", linewidth=0.8)
    from_zero(panel.xaxis)
    panel.grid(visible=False, axis="y")
    panel.margins(y=0.01)
    panel.tick_params(axis="x", labelsize=7)


def _label(panels: "Mapping[str, Axes]", decimals: int) -> None:
    """Name each panel's figure with its unit; all money is in one."""
    ends = [end for name, panel in panels.items() if UNITS[name] == CENTS for end in panel.get_xlim()]
    for name, panel in panels.items():
        is_money = UNITS[name] == CENTS
        panel.set_xlabel(money_axis(panel.xaxis, words_of(name), ends, decimals) if is_money else title_of(name))
        panel.locator_params(axis="x", nbins=4)
