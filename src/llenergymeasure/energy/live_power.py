"""The power of each device while a window is open, and their joules so far, in a memory that does not grow."""

import time

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.metrics.arithmetic import sum_of_all, sum_of_known

Powers = list[tuple[DeviceEnergy, float]]


class LivePower:
    """Reads an open meter stretch by stretch from `start_s` on, and gives up the samples of those before."""

    def __init__(self, meter: Meter, start_s: float) -> None:
        self._meter = meter
        self._start_s = self.last_s = start_s
        self._first: list[DeviceEnergy] = []
        self._so_far: list[DeviceEnergy] = []

    @property
    def duration_s(self) -> float:
        """Seconds of all stretches."""
        return self.last_s - self._start_s

    @property
    def devices(self) -> list[DeviceEnergy]:
        """Each device's joules over all stretches; none before the first has ended."""
        if self._so_far is self._first:
            return self._first
        return [
            device.model_copy(update={"edge_j": sum_of_known([first.edge_j, device.edge_j])})
            for first, device in zip(self._first, self._so_far, strict=True)
        ]

    def step(self) -> Powers:
        """Return each device's energy since the last time, with the seconds since then."""
        now_s = time.monotonic()
        self._meter.mark()
        devices, seconds = self._meter.energy(self.last_s, now_s), now_s - self.last_s
        self._meter.forget(self.last_s)
        if self._first:
            joined = [_joined(*both) for both in zip(self._so_far, devices, strict=True)]
            self._so_far, self.last_s = joined, now_s  # together: Ctrl-C may come at any time
        else:
            self._first = self._so_far = devices
            self.last_s = now_s
        return [(device, seconds) for device in devices]


def _joined(before: DeviceEnergy, last: DeviceEnergy) -> DeviceEnergy:
    """Return a device's energy over two stretches, with the edge of the last alone.

    Where one stretch ends the next begins, and a joule that is missing in one is in the other: what stays is the edge
    of the very first and of the very last.
    """
    return last.model_copy(
        update={
            "energy_j": sum_of_all([before.energy_j, last.energy_j]),
            "coverage_j": sum_of_known([before.coverage_j, last.coverage_j]),
            "gain_j": sum_of_known([before.gain_j, last.gain_j]),
        }
    )
