"""An estimate of CPU energy for a machine without a sensor: CPU seconds of our processes times watts a core.

It is no measurement. It leaves out memory, the idle machine and everything that is not the processor, and
takes a busy core's power from the user or from a guess; hence its bound.
"""

import bisect
import os
import time

import psutil

from llenergymeasure.domain.metrics import DeviceEnergy
from llenergymeasure.energy.meters.base import Meter

DEFAULT_WATTS_PER_CORE = 10.0
DEFAULT_BOUND_SHARE = 1.0
STATED_BOUND_SHARE = 0.6
CHILDREN_EVERY_S = 0.5  # finding them walks the process table, milliseconds on a busy machine


class CpuTimeEstimate(Meter):
    """CPU seconds of this process and its children, at `watts_per_core` (None: 10 W, with a bound of 100 %).

    Readings are taken at the marks only; between two marks CPU time is taken to run evenly.
    """

    source = "estimate"
    is_measurement = False

    def __init__(self, watts_per_core: float | None) -> None:
        self._watts = watts_per_core if watts_per_core is not None else DEFAULT_WATTS_PER_CORE
        self._bound_share = STATED_BOUND_SHARE if watts_per_core is not None else DEFAULT_BOUND_SHARE
        self._process = psutil.Process()
        self._times_s: list[float] = []
        self._cpu_s: list[float] = []
        self._children_s = 0.0
        self._children_seen_s = -CHILDREN_EVERY_S

    def open(self) -> None:
        """Take the first reading."""
        self.mark()

    def mark(self) -> None:
        """Read the clock and the CPU seconds spent so far."""
        now_s = time.monotonic()
        self._times_s.append(now_s)
        if now_s - self._children_seen_s >= CHILDREN_EVERY_S:
            self._children_seen_s, self._children_s = now_s, self._children_seconds()
        # Two sources of different grain: a child that ends moves from one to the other and may lose a tick.
        ended = os.times()
        spent = time.process_time() + ended.children_user + ended.children_system + self._children_s
        self._cpu_s.append(max(spent, self._cpu_s[-1]) if self._cpu_s else spent)

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """One device, "cpu": the estimate, and its bound as `gain_j` (there is no edge to speak of)."""
        energy_j = self._watts * (self._cpu_seconds_at(end_s) - self._cpu_seconds_at(start_s))
        return [
            DeviceEnergy(
                device="cpu", kind="cpu", source=self.source, energy_j=energy_j, gain_j=energy_j * self._bound_share
            )
        ]

    def close(self) -> None:
        """Take the last reading."""
        self.mark()

    def _children_seconds(self) -> float:
        spent = 0.0
        for child in self._process.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.Error:  # it ended between the two lines, or is a zombie
                continue
            spent += times.user + times.system
        return spent

    def _cpu_seconds_at(self, moment_s: float) -> float:
        times = self._times_s
        if not times or not times[0] <= moment_s <= times[-1]:
            raise ValueError(f"the moment {moment_s} s is outside of what was watched")
        after = max(bisect.bisect_left(times, moment_s), 1) if len(times) > 1 else 0
        if after == 0:
            return self._cpu_s[0]
        before = after - 1
        span_s = times[after] - times[before]
        share = (moment_s - times[before]) / span_s if span_s else 1.0
        return self._cpu_s[before] + share * (self._cpu_s[after] - self._cpu_s[before])
