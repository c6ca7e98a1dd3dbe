"""The picture of a calibration: curves of recorded days within the bands of drawn ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labledger import plotting
from labledger.percentages import rounded_percent
from payment_simulator.plotting.axes import money_axes, time_axis
from payment_simulator.scenario.money import decimals_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from payment_simulator.calibration.goodness import CurveGoodness, Goodness
    from payment_simulator.scenario.schema import Scenario

HEIGHT_IN = 2.4


def draw_calibration(found: "Goodness", day: "Scenario", name: str, path: Path) -> None:
    """Draw the curves of a fit called `name` to a .png or .svg file; `day` has the clock and the currency of a day.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    with plotting.style():
        plotting.save(_figure(found, day, name), path)


def _figure(found: "Goodness", day: "Scenario", name: str) -> "Figure":
    figure, panels = plotting.stacked_panels([HEIGHT_IN] * len(found.curves))
    for panel, curve in zip(panels, found.curves, strict=True):
        _curve(panel, curve, found.samples)
        panel.set_xlim(-0.5, day.simulation.ticks_per_day - 0.5)
    money_axes({panel: curve.name for panel, curve in zip(panels, found.curves, strict=True)}, decimals_of(day))
    time_axis(panels[-1], day)
    inside = ", ".join(f"{curve.name} at {rounded_percent(curve.in_band, 0)}" for curve in found.curves)
    plotting.head(panels[0], f"{name}: real days and drawn ones", f"real days in the band: {inside} of the ticks")
    return figure


def _curve(panel: "Axes", curve: "CurveGoodness", samples: int) -> None:
    ticks = np.arange(len(curve.median))
    label = f"5 to 95 % of {samples:,} drawn days"
    panel.fill_between(ticks, curve.low, curve.high, alpha=0.25, color=plotting.COLOURS[0], linewidth=0, label=label)
    panel.plot(ticks, curve.median, color=plotting.COLOURS[0], linewidth=1.0, label="median of drawn days")
    for number, day in enumerate(curve.recorded):
        name = "real day" if len(curve.recorded) == 1 else f"{len(curve.recorded):,} real days"
        panel.plot(ticks, day, color=plotting.COLOURS[1], linewidth=0.8, label=None if number else name)
    panel.legend(loc="best")
