"""The model of a power sensor: how often it publishes a value, and what time that value is the mean of."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["boxcar", "low_pass"]
ModelSource = Literal["table", "measured", "assumed"]


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
    def blind_share(self) -> float:
        """The share of a load's swing that a sensor cannot see at the worst: a part-time one what falls into its blind
        time, a low-pass the ripple that is left of a load of its own period, which it always meets at one phase."""
        if self.shape == "low_pass":
            return self.period_s / (8 * self.window_s)
        return 1 - self.window_s / self.period_s if self.is_part_time else 0.0

    @property
    def delay_s(self) -> float:
        """The seconds by which the sum of values x period is behind the energy: the lag and, where a value is the mean
        of more than its own period, the delay of that mean over the mean of one period."""
        mean_delay_s = self.window_s if self.shape == "low_pass" else self.window_s / 2
        return self.lag_s + max(mean_delay_s - self.period_s / 2, 0.0)
