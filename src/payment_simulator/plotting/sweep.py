"""The picture of a sweep: figures against one setting, lines with the bands of their intervals, or against two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger import plotting
from labledger.errors import ConfigError
from payment_simulator.plotting.axes import from_zero, money_axis, money_unit
from payment_simulator.sweeps.figure_words import CENTS, SHARE, UNITS, title_of, words_of, written_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MAX_NUMBERS = 12
"""Cells of a heat map, a side, in which numbers are written."""
MAP_IN = 3.4
Row = Mapping[str, Any]


@dataclass(frozen=True)
class SweepPicture:
    """The picture of the rows of a sweep: `figures`, of `banks` (None is the system), against one or two `axes`.

    `settings` are the values of every axis of the sweep, in order; `decimals` are those of the currency.
    """

    name: str
    rows: Sequence[Row]
    settings: Mapping[str, Sequence[Any]]
    axes: Sequence[str]
    figures: Sequence[str]
    banks: Sequence[str | None] = (None,)
    decimals: int = 2

    def check(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            ConfigError: an axis is not of the sweep, or there are more than two, or a map would lie upon another.
        """
        if unknown := [axis for axis in self.axes if axis not in self.settings]:
            raise ConfigError(f"--plot: {unknown[0]} is none of the settings: {', '.join(self.settings)}")
        if len(self.axes) > 2 or len({*self.axes}) < len(self.axes):
            raise ConfigError("--plot: name one setting, for lines, or two, for a heat map")
        if len(self.axes) == 2 and (more := [name for name in self._others if len(self.settings[name]) > 1]):
            raise ConfigError(f"--plot: {more[0]} has several values, too, and a heat map shows two settings")
        if len(self.axes) == 2 and len(self.banks) > 1:
            raise ConfigError("--plot: a heat map is of one bank, or of the system")

    def draw(self, path: Path) -> None:
        """Write the picture to a .png or .svg file.

        Raises:
            OSError: it could not be written; what stood there is unharmed.
        """
        with plotting.style():
            plotting.save(self._lines() if len(self.axes) == 1 else self._maps(), path)

    @property
    def _others(self) -> list[str]:
        return [name for name in self.settings if name not in self.axes]

    @cached_property
    def _subtitle(self) -> str:
        counts = [row[f"{name}_n"] for row in self.rows for name in self.figures]
        draws = max(counts, default=0)
        shown = f"means over {draws:,} draws, bands: 95 % intervals" if draws > 1 else "one draw"
        fixed = {name: self.settings[name][0] for name in self._others if len(self.settings[name]) == 1}
        return "; ".join([shown, *(f"{name} = {written_setting(value)}" for name, value in fixed.items())])

    def _lines(self) -> "Figure":
        groups = self._groups()
        height_in = plotting.panel_height(len(groups))
        figure, panels = plotting.stacked_panels([height_in] * len(self.figures))
        (axis,) = self.axes
        ticks = _places(self.settings[axis])
        for panel, name in zip(panels, self.figures, strict=True):
            ends = [
                self._line(panel, name, rows, ticks, plotting.line_style(index, len(groups)))
                for index, rows in enumerate(groups.values())
            ]
            from_zero(panel.yaxis)
            is_money = UNITS[name] == CENTS
            label = money_axis(panel.yaxis, words_of(name), panel.get_ylim(), self.decimals) if is_money else None
            panel.set_ylabel(label or title_of(name))
            panel.margins(x=0.02)
            if UNITS[name] == SHARE:
                panel.set_ylim(max(panel.get_ylim()[0], -0.02), min(panel.get_ylim()[1], 1.02))
            if len(groups) > 1 or self.banks != (None,):
                plotting.name_lines(panel, [*groups], ends, height_in)
        if not all(isinstance(value, int | float) for value in self.settings[axis]):
            panels[-1].set_xticks(
                [*ticks.values()], [plotting.drawn(written_setting(each), 30) for each in self.settings[axis]]
            )
        elif all(isinstance(value, int) for value in ticks):
            plotting.whole_numbers(panels[-1].xaxis)
        panels[-1].set_xlabel(plotting.drawn(axis))
        plotting.head(panels[0], f"{self.name}: {axis}", self._subtitle)
        return figure

    def _groups(self) -> dict[str, list[Row]]:
        """Return the rows of each line by its name: the bank, and the settings that are not the x axis."""
        varied = [name for name in self._others if len(self.settings[name]) > 1]
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            if row["bank"] in self.banks:
                bank = [row["bank"] or "system"] if len(self.banks) > 1 or not varied else []
                name = ", ".join(
                    [*bank, *(f"{name.rpartition('.')[2]} {written_setting(row[name])}" for name in varied)]
                )
                found.setdefault(name, []).append(row)
        return found

    def _line(
        self, panel: "Axes", name: str, rows: Sequence[Row], places: Mapping[Any, float], look: Mapping[str, Any]
    ) -> float:
        (axis,) = self.axes
        ordered = sorted(rows, key=lambda row: places[row[axis]])
        x = [places[row[axis]] for row in ordered]
        mean, low, high = (
            np.array([_number(row[name + part]) for row in ordered], dtype=float) for part in ("", "_low", "_high")
        )
        panel.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
        panel.plot(x, mean, **look, marker="o", markersize=2.5)
        return float(mean[-1])

    def _maps(self) -> "Figure":
        from matplotlib.figure import Figure

        across, up = self.axes
        shown = [row for row in self.rows if row["bank"] == self.banks[0]]
        of_cell = {(row[up], row[across]): row for row in shown}
        figure = Figure(
            figsize=(plotting.WIDTH_IN, plotting.HEAD_IN + MAP_IN * len(self.figures)), layout="constrained"
        )
        panels = figure.subplots(len(self.figures), 1, squeeze=False)[:, 0]
        for panel, name in zip(panels, self.figures, strict=True):
            values = np.array(
                [[_number(of_cell[y, x][name]) for x in self.settings[across]] for y in self.settings[up]], dtype=float
            )
            image = panel.imshow(values, aspect="auto", origin="lower", cmap="viridis")
            if UNITS[name] == SHARE:
                _end_at_one(image)
            bar, ends = figure.colorbar(image, ax=panel), image.get_clim()
            is_money = UNITS[name] == CENTS
            label = money_axis(bar.ax.yaxis, words_of(name), ends, self.decimals) if is_money else None
            bar.set_label(label or title_of(name))
            panel.grid(visible=False)
            _named_ticks(panel.set_xticks, self.settings[across])
            _named_ticks(panel.set_yticks, self.settings[up])
            panel.set_xlabel(plotting.drawn(across))
            panel.set_ylabel(plotting.drawn(up))
            _write_numbers(panel, values, image, money_unit(ends, self.decimals) if is_money else 1)
        bank = self.banks[0] or "system"
        plotting.head(panels[0], f"{self.name}: {bank}", self._subtitle.replace(", bands: 95 % intervals", ""))
        return figure


def _end_at_one(image: "AxesImage") -> None:
    """Let the scale of shares that are all alike end where shares do."""
    low, high = image.get_clim()
    if low == high:
        image.set_clim(max(low - 0.1, 0), min(high + 0.1, 1))


def _places(values: Sequence[Any]) -> dict[Any, float]:
    """Return where each value stands on an axis: numbers where they are, others side by side."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {value: float(value) for value in values}
    return {value: float(place) for place, value in enumerate(values)}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _brief(value: float) -> str:
    """Return a number in three digits: 1,234 below a million, else with its unit."""
    if abs(value) < 1e3:
        return f"{value:.3g}"
    size, unit = next(((size, unit) for size, unit in plotting.UNITS if abs(value) >= size), (1.0, ""))
    return f"{value / size:.3g}{unit}" if unit else f"{value:,.0f}"


def _named_ticks(set_ticks: Any, values: Sequence[Any]) -> None:
    step = -(-len(values) // MAX_NUMBERS)
    places = range(0, len(values), step)
    set_ticks([*places], [plotting.drawn(written_setting(values[place]), 20) for place in places])


def _write_numbers(panel: "Axes", values: Any, image: Any, unit: int) -> None:
    """Write each cell's value into it, in `unit`, where there is room."""
    if max(values.shape) > MAX_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            is_light = image.norm(value) > 0.6
            text = _brief(value / unit)
            panel.text(
                column, row, text, ha="center", va="center", fontsize=6.5, color="black" if is_light else "white"
            )
