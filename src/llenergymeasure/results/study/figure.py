"""A figure of a study's cells: one column of its table over another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labledger import plotting
from labledger.extras import require
from labledger.intervals import mean_interval
from labledger.yaml_files import did_you_mean
from llenergymeasure.errors import ConfigError
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
SPREAD = 0.06
"""The distance between points of several groups at one place of an axis of words, as a share of the place."""


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


def draw_study(name: str, table: "pyarrow.Table", x: str, y: str, by: str | None) -> "Figure":
    """Return a figure of the columns `x` and `y` of a study's table: a point for each cell, the mean of its runs.

    Bars are intervals at 95 % of Student's t over the runs, and small dots are the runs. Cells of one value of `by`
    have one colour, and a line where `x` is a number that was set.

    Raises:
        ConfigError: matplotlib is not installed, there is no such column, `y` is not of numbers, or no run has both.
    """
    require("a figure", "matplotlib")
    names = list(dict.fromkeys(each for each in (x, y, by) if each is not None))
    for each in names:
        if each not in table.column_names:
            raise ConfigError(f"{each!r} is no column of the study's table{did_you_mean(each, table.column_names)}")
    rows = table.select(list(dict.fromkeys(["cell", "cell_name", *names]))).to_pylist()
    _check_numbers(rows, y)
    whole = [row for row in rows if row[x] is not None and row[y] is not None]
    if not whole:
        raise ConfigError(f"{name}: no run has both {x} and {y}")
    words = [] if all(_is_number(row[x]) for row in whole) else list(dict.fromkeys(as_text(row[x]) for row in whole))
    points = _points(whole, x, y, by, words)
    with plotting.style():
        figure, (panel,) = plotting.stacked_panels([HEIGHT_IN])
        is_set = bool(words) or _is_set(whole, x)
        _draw(panel, points, has_lines=is_set and not words)
        if not is_set and len(points) <= MAX_NAMED:
            _name_cells(panel, points)
        _dress(panel, x, y, by, words)
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
    groups = list(dict.fromkeys(_text(row[by]) if by else "" for row in rows))
    found = []
    for of_cell in cells.values():
        group = _text(of_cell[0][by]) if by else ""
        aside = SPREAD * (groups.index(group) - (len(groups) - 1) / 2) if words else 0.0
        xs = [words.index(as_text(row[x])) + aside if words else float(row[x]) for row in of_cell]
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


def _draw(panel: "Axes", points: Sequence[_Point], *, has_lines: bool) -> None:
    groups = list(dict.fromkeys(point.group for point in points))
    for number, group in enumerate(groups):
        own = sorted((point for point in points if point.group == group), key=lambda point: point.x.mean)
        style = plotting.line_style(number, len(groups))
        colour = style["color"]
        for px, py in (run for point in own for run in point.runs):
            panel.plot(px, py, ".", color=colour, markersize=3, alpha=0.35, zorder=2)
        panel.errorbar(
            [point.x.mean for point in own],
            [point.y.mean for point in own],
            xerr=[point.x.half_width or 0.0 for point in own] if any(point.x.half_width for point in own) else None,
            yerr=[point.y.half_width or 0.0 for point in own],
            fmt="o",
            color=colour,
            markersize=5,
            capsize=2.5,
            elinewidth=1.0,
            zorder=3,
            label=plotting.drawn(group) or None,
        )
        if has_lines:
            panel.plot([point.x.mean for point in own], [point.y.mean for point in own], **{**style, "linewidth": 0.9})


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


def _dress(panel: "Axes", x: str, y: str, by: str | None, words: Sequence[str]) -> None:
    panel.set_xlabel(plotting.drawn(_label(x)))
    panel.set_ylabel(plotting.drawn(_label(y)))
    if words:
        panel.set_xticks(range(len(words)), [plotting.drawn(word, plotting.MAX_DRAWN_AT_LINE) for word in words])
        panel.set_xlim(-0.5, len(words) - 0.5)
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
