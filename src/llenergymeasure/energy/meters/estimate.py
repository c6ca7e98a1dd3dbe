"""An estimate of CPU energy for a machine without a sensor: CPU seconds of our processes times watts per core.

It is no measurement. It leaves out memory, the idle machine and everything that is not the processor, and
takes a busy core's power from the user or from a guess; hence its bound.
"""

import os
import time
from collections.abc import Callable

import psutil

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.metrics.interpolation import Marks
from llenergymeasure.process_tree import started_cpu_s

DEFAULT_WATTS_PER_CORE = 10.0
DEFAULT_BOUND_SHARE = 1.0
STATED_BOUND_SHARE = 0.6
CLOCK_TICK_S = 0.01
"""The kernel counts other processes' CPU time in ticks, of this length on any usual Linux."""

CHILDREN_EVERY_S = 0.5  # finding them walks the process table, milliseconds on a busy machine


class CpuTimeEstimate(Meter):
    """CPU seconds of this process and its children, at `watts_per_core` (None: 10 W, with a bound of 100 %).

    With `of_all_processes` they are those of everything that runs on the machine; with `cpu_seconds` those that it
    returns, never fewer than before.

    Samples are taken at the marks only; between two marks CPU time is taken to run evenly.
    """

    source = "estimate"

    def __init__(
        self,
        watts_per_core: float | None,
        *,
        of_all_processes: bool = False,
        cpu_seconds: Callable[[], float] | None = None,
    ) -> None:
        self._spent_s = _machine_seconds if of_all_processes else cpu_seconds or self._own_seconds
        self._grain_s = 0.0 if cpu_seconds is None else 2 * CLOCK_TICK_S  # of the first sample and of the last
        self._watts = watts_per_core if watts_per_core is not None else DEFAULT_WATTS_PER_CORE
        self._bound_share = STATED_BOUND_SHARE if watts_per_core is not None else DEFAULT_BOUND_SHARE
        self._process = psutil.Process()
        self._cpu_s = Marks()
        self._children_s = self._ended_s = 0.0
        self._children_seen_s = -CHILDREN_EVERY_S

    def open(self) -> None:
        """Take the first sample."""
        self.mark()

    def mark(self) -> None:
        """Read the clock and the CPU seconds spent so far."""
        self._cpu_s.add(time.monotonic(), self._spent_s())
        self._publish()

    def _so_far(self) -> list[EnergySoFar]:
        at_s, cpu_s = self._cpu_s.last
        return [EnergySoFar("cpu", "cpu", self.source, at_s, self._watts * cpu_s)]

    def _own_seconds(self) -> float:
        now_s = time.monotonic()
        ended = os.times()
        ended_s = ended.children_user + ended.children_system
        if now_s - self._children_seen_s >= CHILDREN_EVERY_S or ended_s != self._ended_s:
            self._children_seen_s, self._ended_s = now_s, ended_s
            self._children_s = started_cpu_s(self._process)
        return time.process_time() + self._children_s

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return one device, "cpu": the estimate, and its bound as `gain_j`; it has no edge."""
        energy_j = self._watts * self._cpu_s.grown(start_s, end_s)
        bound_j = energy_j * self._bound_share + self._watts * self._grain_s
        return [DeviceEnergy(device="cpu", kind="cpu", source=self.source, energy_j=energy_j, gain_j=bound_j)]

    def close(self) -> None:
        """Take the last sample."""
        self.mark()


def accuracy(watts_per_core: float | None) -> str:
    """Return the power of a core that an estimate takes, its bound and, for a guess, how to narrow it."""
    if watts_per_core is not None:
        return f"{watts_per_core:g} W per core as you set it, bound ±{STATED_BOUND_SHARE:.0%}"
    return (
        f"{DEFAULT_WATTS_PER_CORE:g} W per core, a guess, bound ±{DEFAULT_BOUND_SHARE:.0%}; set cpu_watts_per_core in "
        "the user configuration to narrow it"
    )


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system)
