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
