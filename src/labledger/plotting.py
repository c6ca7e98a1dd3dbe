"""Figures: their one style, the names and numbers in them, and their files.

matplotlib, which is optional, is imported inside functions.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.files import write_durably
from labledger.untrusted_text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_DRAWN, MAX_DRAWN_AT_LINE = 100, 30
"""Characters of a name, in a title and beside a line."""
MAX_SUBTITLE_LINES = 3

# Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow that white paper swallows. Two
# lines that share a colour differ in their dashes, and so do neighbours: of two that coincide both are seen.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MAX_LINES = len(COLOURS) * len(DASHES) - 4
"""Lines in one panel; of more, which look alike, only the range and the median are drawn."""
MUTED = "#555555"

WIDTH_IN, PANEL_IN, HEAD_IN, NAME_IN = 7.2, 2.0, 0.75, 0.15
NAME_PT, TITLE_PT, POINTS_PER_IN = 7.0, 10.0, 72.0
DPI = 200
STYLE: Any = {
    "font.size": 8.0,
    "legend.fontsize": NAME_PT,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.linewidth": 0.7,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "svg.hashsalt": "labledger",
}
UNITS = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"))


def drawn(name: str, limit: int = MAX_DRAWN) -> str:
    """Return a name as a picture shows it: nothing unseen, nothing that matplotlib would set as mathematics."""
    return clean(name, limit).replace("$", r"\$")


def style() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn and rendered in the one style."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def stacked_panels(heights_in: Sequence[float]) -> "tuple[Figure, list[Axes]]":
    """Return a figure and its panels, one above the other with one x axis, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEAD_IN + sum(heights_in)), layout="constrained")
    panels = figure.subplots(len(heights_in), 1, sharex=True, squeeze=False, height_ratios=list(heights_in))
    return figure, list(panels[:, 0])


def panel_height(lines: int) -> float:
    """Return the height in inches of a panel that has room for the names of so many lines."""
    return max(PANEL_IN, NAME_IN * lines) if lines <= MAX_LINES else PANEL_IN


def head(panel: "Axes", title: str, subtitle: str) -> None:
    """Write a title, and below it smaller what is shown, in a few lines at most, above the first panel."""
    words = clean(subtitle, MAX_SUBTITLE_LINES * MAX_DRAWN)
    lines = wrap(words, MAX_DRAWN, max_lines=MAX_SUBTITLE_LINES, placeholder=" …")
    above = "\n" * max(len(lines), 1)
    panel.set_title(f"{drawn(title)}{above}", loc="left", fontsize=TITLE_PT, fontweight="bold")
    text = "\n".join(line.replace("$", r"\$") for line in lines)
    panel.text(0, 1.04, text, transform=panel.transAxes, fontsize=NAME_PT, color=MUTED)


def line_style(index: int, lines: int) -> dict[str, Any]:
    """Return colour, dashes and width of one of so many lines in a panel."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": 1.3 if lines <= len(COLOURS) else 1.0,
    }


def whole_numbers(axis: Any, per: int = 1) -> None:
    """Let an axis have ticks at whole numbers only, such as cents; large ones are written in millions or billions.

    A number is written as a multiple of `per`: with 100, cents as units of their currency.
    """
    from matplotlib.ticker import MaxNLocator

    def text(value: float, _: object) -> str:
        value, largest = value / per, max(abs(end) for end in axis.get_view_interval()) / per
        size, unit = next(((size, unit) for size, unit in UNITS if largest >= 10 * size), (1.0, ""))
        return f"{value / size:,g}{unit}" if value and unit else f"{value + 0.0:,.0f}"

    axis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True, min_n_ticks=1))
    axis.set_major_formatter(text)


def draw_range(panel: "Axes", x: Sequence[float], lines: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Draw the median of many lines, and a band from the 5th to the 95th percentile; return the median.

    `lines` has a row per line and a column per value of `x`; NaN is left out.
    """
    low, middle, high = np.nanpercentile(lines, [5, 50, 95], axis=0)
    label = f"5 to 95 % of {len(lines):,} {what}s"
    panel.fill_between(x, low, high, alpha=0.25, color=COLOURS[0], linewidth=0, label=label)
    panel.plot(x, middle, color=COLOURS[0], linewidth=1.0, label=f"median {what}")
    panel.legend(loc="best")
    return np.asarray(middle)


def name_lines(panel: "Axes", names: Sequence[str], ends: Sequence[float], height_in: float) -> None:
    """Write each line's name beside its end, one above the other where lines end close together.

    `ends` are the last values of the lines that `line_style` was asked for, in the order of `names`; NaN is no line,
    and has no name. To be called when all is drawn: the limits of y stay.
    """
    low, high = panel.get_ylim()
    panel.set_ylim(low, high)
    at = {index: (end - low) / (high - low) for index, end in enumerate(ends) if np.isfinite(end)}
    room = 1.2 * NAME_PT / POINTS_PER_IN / (0.85 * height_in)
    for index, place in zip(sorted(at, key=at.__getitem__), _spread(sorted(at.values()), room), strict=True):
        colour = line_style(index, len(names))["color"]
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        panel.annotate(
            drawn(names[index], MAX_DRAWN_AT_LINE),
            xy=(1.0, at[index]),
            xytext=(1.035, place),
            xycoords="axes fraction",
            fontsize=NAME_PT,
            color=colour,
            verticalalignment="center",
            annotation_clip=False,
            arrowprops=arrow,
        )


def _spread(places: Sequence[float], room: float) -> Iterator[float]:
    """Yield rising places, moved as little as it takes to be `room` apart and, if there is room, within 0 and 1."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + room) if found else place)
    top = max(1.0, room * (len(found) - 1))
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], top - room * (len(found) - 1 - index))
    yield from found


def rendered(figure: "Figure", kind: str) -> bytes:
    """Return the figure as the bytes of a file, `kind` png or svg: of equal figures the same."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def save(figure: "Figure", path: Path) -> None:
    """Write the figure durably to `path`, a .png or .svg file.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    write_durably(path, rendered(figure, path.suffix[1:].lower()))
