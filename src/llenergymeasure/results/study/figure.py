"""A figure of a study's cells: one column of its table over another."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labledger import plotting
from labledger.extras import require
from labledger.intervals import mean_interval
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.conditions import near_columns
from llenergymeasure.results.config_columns import PREFIX, as_text, is_config_column

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT_IN = 3.4
UNITS = {"j": "J", "s": "s", "ms": "ms", "w": "W", "mb": "MB", "c": "°C", "js": "J s", "sec": "s"}
MAX_NAMED = 12
"""Of more cells no names are written beside the points."""
ROOM = 1.6
"""The end of an axis at the most, over the largest value of a run; longer bars go on beyond it."""
AXIS_PT, LETTER_PT, LINE_PT = 430.0, 4.4, 14.0
"""About the length of the x axis, the width of a letter below it, and the room of a slanting line, in points."""
SLANT_DEGREES, SLANTED_IN = 40, 0.042
"""The slant of names that have no room side by side, and the height that each of their letters takes, in inches."""
ASIDE_PT, DOTS_PT = 13.0, 4.5
"""The distance between cells at one place of an axis, at the most, and that of the runs from their mean, in points."""


@dataclass(frozen=True)
class _Mean:
    """The mean of one column over the runs of a cell, and half of its interval at 95 %; None of one run."""

    mean: float
    half_width: float | None


@dataclass(frozen=True)
class _Point:
    """One cell in the figure."""

    name: str
    group: str
    x: _Mean
    y: _Mean
    runs: Sequence[tuple[float, float]]
    slot: int = 0
    """Its place among the cells that are at one x, from 0."""


def draw_study(name: str, table: "pyarrow.Table", x: str, y: str, by: str | None) -> "Figure":
    """Return a figure of the columns `x` and `y` of a study's table: a point for each cell, the mean of its runs.

    Bars are intervals at 95 % of Student's t over the runs, and small dots are the runs. Cells of one value of `by`
    have one colour, and a line where `x` is a number that was set; those of one `x` stand beside each other.

    Raises:
        ConfigError: matplotlib is not installed, there is no such column, `y` is not of numbers, or no run has both.
    """
    require("a figure", "matplotlib")
    names = list(dict.fromkeys(each for each in (x, y, by) if each is not None))
    for each in names:
        if each not in table.column_names:
            raise ConfigError(f"{each!r} is no column of the study's table{near_columns(each, table.column_names)}")
    rows = table.select(list(dict.fromkeys(["cell", "cell_name", *names]))).to_pylist()
    _check_numbers(rows, y)
    whole = [row for row in rows if row[x] is not None and row[y] is not None]
    if not whole:
        raise ConfigError(f"{name}: no run has both {x} and {y}")
    words = [] if all(_is_number(row[x]) for row in whole) else list(dict.fromkeys(as_text(row[x]) for row in whole))
    is_set = bool(words) or _is_set(whole, x)
    points = _points(whole, x, y, by, words)
    points = _side_by_side(points) if is_set else points
    names = _shortened(words)
    is_slanted = _is_slanted(names)
    with plotting.style():
        figure, (panel,) = plotting.stacked_panels(
            [HEIGHT_IN + (SLANTED_IN * max(map(len, names)) if is_slanted else 0.0)]
        )
        _draw(panel, points, is_set=is_set, has_lines=is_set and not words)
        if not is_set and len(points) <= MAX_NAMED:
            _name_cells(panel, points)
        _dress(panel, x, y, by)
        _name_places(panel, names, is_slanted=is_slanted)
        _limit(panel, points, is_set=is_set)
        runs = f"{len(whole)} runs of {len(points)} cells"
        plotting.head(panel, name, f"Means and their 95 % intervals over rounds; dots are single runs: {runs}.")
    return figure


def _check_numbers(rows: Sequence[dict[str, Any]], y: str) -> None:
    for row in rows:
        if row[y] is not None and not _is_number(row[y]):
            raise ConfigError(f"{y}: holds {row[y]!r}, and the figure's y is a number; give it as x or by")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_set(rows: Sequence[dict[str, Any]], x: str) -> bool:
    """Return True if every cell has one value of x in all of its runs: it was set, and not measured."""
    found: dict[int, set[Any]] = {}
    for row in rows:
        found.setdefault(row["cell"], set()).add(row[x])
    return all(len(values) == 1 for values in found.values())


def _points(rows: Sequence[dict[str, Any]], x: str, y: str, by: str | None, words: Sequence[str]) -> list[_Point]:
    cells: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault(row["cell"], []).append(row)
    found = []
    for of_cell in cells.values():
        group = _text(of_cell[0][by]) if by else ""
        xs = [float(words.index(as_text(row[x])) if words else row[x]) for row in of_cell]
        ys = [float(row[y]) for row in of_cell]
        runs = list(zip(xs, ys, strict=True))
        found.append(_Point(str(of_cell[0]["cell_name"]), group, _mean(xs), _mean(ys), runs))
    return found


def _text(value: Any) -> str:
    return "unknown" if value is None else as_text(value)


def _mean(values: Sequence[float]) -> _Mean:
    mean = math.fsum(values) / len(values)
    if len(set(values)) == 1:
        return _Mean(values[0], None)
    interval = mean_interval(values)
    return _Mean(mean, (interval.high - interval.low) / 2)


def _side_by_side(points: Sequence[_Point]) -> list[_Point]:
    """Return the points with their slots: by groups or, where one has several at one x, one after the other."""
    groups = list(dict.fromkeys(point.group for point in points))
    at = [(point.x.mean, point.group) for point in points]
    if len(set(at)) == len(at):
        return [replace(point, slot=groups.index(point.group)) for point in points]
    taken = Counter[float]()
    found = []
    for point in points:
        found.append(replace(point, slot=taken[point.x.mean]))
        taken[point.x.mean] += 1
    return found


def _asides_pt(points: Sequence[_Point]) -> list[float]:
    """Return how far each point is drawn beside its x, in points: so that no cell hides another one."""
    slots = max(point.slot for point in points) + 1
    places = sorted({point.x.mean for point in points})
    apart = min((b - a for a, b in pairwise(places)), default=0.0)
    room_pt = AXIS_PT * apart / (places[-1] - places[0] + apart) if apart else AXIS_PT
    step_pt = min(ASIDE_PT, 0.8 * room_pt / slots)
    return [step_pt * (point.slot - (slots - 1) / 2) for point in points]


def _draw(panel: "Axes", points: Sequence[_Point], *, is_set: bool, has_lines: bool) -> None:
    """Draw the cells; where x was set, those at one x and the runs of each stand beside each other."""
    groups = list(dict.fromkeys(point.group for point in points))
    at = [(point.x.mean, point.group) for point in points]
    has_lines = has_lines and len(set(at)) == len(at)
    panel.update_datalim([corner for point in points for corner in _corners(point)])  # what is moved counts for none
    asides = _asides_pt(points) if is_set else [0.0] * len(points)
    dots_pt = -DOTS_PT if is_set else 0.0
    for number, group in enumerate(groups):
        own = sorted(
            ((point, aside) for point, aside in zip(points, asides, strict=True) if point.group == group),
            key=lambda each: (each[0].x.mean, each[0].slot),
        )
        style = plotting.line_style(number, len(groups))
        colour = style["color"]
        for place, (point, aside) in enumerate(own):
            for px, py in point.runs:
                where = _moved(panel, aside + dots_pt)
                panel.plot(px, py, ".", color=colour, markersize=3.5, alpha=0.5, zorder=2, transform=where)
            panel.errorbar(
                [point.x.mean],
                [point.y.mean],
                xerr=point.x.half_width,
                yerr=[point.y.half_width or 0.0],
                fmt="o",
                color=colour,
                markersize=4.5,
                capsize=2.5,
                elinewidth=1.0,
                zorder=3,
                label=(plotting.drawn(group) or None) if place == 0 else None,
                transform=_moved(panel, aside),
            )
        if has_lines:
            xs, ys = [point.x.mean for point, _ in own], [point.y.mean for point, _ in own]
            panel.plot(xs, ys, **{**style, "linewidth": 0.9}, transform=_moved(panel, own[0][1]))


def _corners(point: _Point) -> list[tuple[float, float]]:
    """Return points that the axes have to hold: the runs and the ends of the bars."""
    x, y = point.x, point.y
    ends = [(x.mean + sign * (x.half_width or 0.0), y.mean + sign * (y.half_width or 0.0)) for sign in (-1, 1)]
    return [*point.runs, *ends]


def _moved(panel: "Axes", right_pt: float) -> Any:
    """Return the transform of data that are drawn so many points further to the right."""
    from matplotlib.transforms import ScaledTranslation

    return panel.transData + ScaledTranslation(right_pt / plotting.POINTS_PER_IN, 0.0, panel.figure.dpi_scale_trans)


def _shortened(words: Sequence[str]) -> list[str]:
    """Return the words as they stand below the axis, numbered where cutting them makes two of them the same."""
    cut = [plotting.drawn(word, plotting.MAX_DRAWN_AT_LINE) for word in words]
    return cut if len(set(cut)) == len(cut) else [f"{number}: {word}" for number, word in enumerate(cut, 1)]


def _is_slanted(names: Sequence[str]) -> bool:
    """Return True if names have no room side by side."""
    return max(map(len, names), default=0) * LETTER_PT > 0.9 * AXIS_PT / max(len(names), 1)


def _name_places(panel: "Axes", names: Sequence[str], *, is_slanted: bool) -> None:
    """Write the names below an axis of words: slanting, and of very many only as many as have room."""
    if not names:
        return
    every = math.ceil(len(names) * LINE_PT / AXIS_PT) if is_slanted else 1
    slant: dict[str, Any] = {"rotation": SLANT_DEGREES, "ha": "right", "rotation_mode": "anchor"} if is_slanted else {}
    panel.set_xticks(range(0, len(names), every), names[::every], **slant)
    panel.set_xlim(-0.5, len(names) - 0.5)


def _name_cells(panel: "Axes", points: Sequence[_Point]) -> None:
    for point in points:
        panel.annotate(
            plotting.drawn(point.name, plotting.MAX_DRAWN_AT_LINE),
            (point.x.mean, point.y.mean),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=plotting.NAME_PT,
            color=plotting.MUTED,
        )


def _dress(panel: "Axes", x: str, y: str, by: str | None) -> None:
    panel.set_xlabel(plotting.drawn(_label(x)))
    panel.set_ylabel(plotting.drawn(_label(y)))
    if by is not None:
        panel.legend(title=plotting.drawn(_label(by)), loc="best", title_fontsize=plotting.NAME_PT)


def _limit(panel: "Axes", points: Sequence[_Point], *, is_set: bool) -> None:
    """Let the axes of what was measured begin at 0, and end not far beyond the runs: few rounds may have huge bars."""
    xs, ys = zip(*(run for point in points for run in point.runs), strict=True)
    if min(ys) >= 0 and max(ys) > 0:
        panel.set_ylim(0, min(panel.get_ylim()[1], ROOM * max(ys)))
    if not is_set and min(xs) >= 0 and max(xs) > 0:
        panel.set_xlim(0, min(panel.get_xlim()[1], ROOM * max(xs)))


def _label(name: str) -> str:
    """Return a column's name as an axis has it: `energy per output token (J)`, `TTFT p99 (ms)`."""
    if is_config_column(name):
        return name.removeprefix(PREFIX)
    parts = name.split("_")
    unit = next((part for part in reversed(parts) if part in UNITS), None)
    if unit is not None:
        parts.remove(unit)
    words = " ".join(part.upper() if part in ("ttft", "tpot", "itl", "e2e", "cpu") else part for part in parts)
    return f"{words} ({UNITS[unit]})" if unit is not None else words
