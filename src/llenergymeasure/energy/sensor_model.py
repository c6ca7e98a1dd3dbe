"""The model of a power sensor: how often it publishes a value, and what time that value is the mean of."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["boxcar", "low_pass"]
ModelSource = Literal["table", "measured", "assumed"]

ROUNDED_TO = 9
"""The digits of a share: 0.3/0.1 is whole, but for what floats leave of it."""


@dataclass(frozen=True)
class SensorModel:
    """A sensor that publishes a value every `period_s`, each the mean of the `window_s` before (`boxcar`), or the
    output of a low-pass with time constant `window_s`; both `lag_s` late.

    `source`: where the model is from, a `table` of published measurements, a calibration that `measured` this board,
    or `assumed` where neither has it.
    """

    period_s: float
    window_s: float
    lag_s: float = 0.0
    shape: Shape = "boxcar"
    source: ModelSource = "table"

    @property
    def is_part_time(self) -> bool:
        """True where the sensor is blind for a part of each period."""
        return self.shape == "boxcar" and self.window_s < self.period_s

    @property
    def unevenness(self) -> float:
        """The largest share of a load's swing by which the sum of values x period may be off, since the sensor weighs
        some moments more than others, and a load of its own period always has it at the same ones.

        With n = w/T, a moment is in as many values as n has whole parts, or in one more: a share f of all moments, the
        fraction of n. That is f (1 - f)/n, which is the blind 1 - w/T of a part-time sensor, and 0 where n is whole. A
        low-pass lets the ripple T/8w of such a load through, or less.
        """
        if self.shape == "low_pass":
            return self.period_s / (8 * self.window_s)
        if self.window_s == 0:
            return 1.0
        values = self.window_s / self.period_s
        fraction = values % 1
        return round(fraction * (1 - fraction) / values, ROUNDED_TO)

    @property
    def delay_s(self) -> float:
        """The seconds by which the sum of values x period is behind the energy: the lag and, where a value is the mean
        of more than its own period, the delay of that mean over the mean of one period."""
        mean_delay_s = self.window_s if self.shape == "low_pass" else self.window_s / 2
        return self.lag_s + max(mean_delay_s - self.period_s / 2, 0.0)
