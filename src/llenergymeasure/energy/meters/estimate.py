"""An estimate of CPU energy for a machine without a sensor: CPU seconds of our processes times watts per core.

It is no measurement. It leaves out memory, the idle machine and everything that is not the processor, and
takes a busy core's power from the user or from a guess; hence its bound.
"""

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar
from llenergymeasure.energy.cpu_time import CpuTime, of_this_process
from llenergymeasure.energy.meters.base import Meter

DEFAULT_WATTS_PER_CORE = 10.0
DEFAULT_BOUND_SHARE = 1.0
STATED_BOUND_SHARE = 0.6


class CpuTimeEstimate(Meter):
    """CPU seconds at `watts_per_core` (None: 10 W, with a bound of 100 %): of `cpu` or, without, of this process and
    its children.

    They are read at the marks only; between two marks CPU time is taken to run evenly.
    """

    source = "estimate"

    def __init__(self, watts_per_core: float | None, cpu: CpuTime | None = None) -> None:
        self._cpu = cpu or of_this_process()
        self._watts = watts_per_core if watts_per_core is not None else DEFAULT_WATTS_PER_CORE
        self._bound_share = STATED_BOUND_SHARE if watts_per_core is not None else DEFAULT_BOUND_SHARE

    def open(self) -> None:
        """Take the first sample."""
        self._cpu.mark(is_edge=True)

    def mark(self, *, is_edge: bool = False) -> None:
        """Read the clock and the CPU seconds spent so far."""
        self._cpu.mark(is_edge=is_edge)
        self._publish()

    def _so_far(self) -> list[EnergySoFar]:
        if self._cpu.lost is not None:
            return []
        at_s, cpu_s = self._cpu.last
        return [EnergySoFar("cpu", "cpu", self.source, at_s, self._watts * cpu_s)]

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return one device, "cpu": the estimate, and its bound as `gain_j`; it has no edge. It is unknown where the
        CPU time is."""
        if self._cpu.lost is not None:
            return [DeviceEnergy(device="cpu", kind="cpu", source=self.source, energy_j=None)]
        energy_j = self._watts * self._cpu.grown(start_s, end_s)
        bound_j = energy_j * self._bound_share + self._watts * self._cpu.resolution_s
        return [DeviceEnergy(device="cpu", kind="cpu", source=self.source, energy_j=energy_j, gain_j=bound_j)]

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """Return the reason why the CPU time is unknown; nothing where it is known."""
        why = self._cpu.lost
        return [] if why is None else [DeviceWatch("cpu", notes=(f"The estimate is unknown: {why}.",))]

    def close(self) -> None:
        """Take the last sample."""
        self._cpu.mark(is_edge=True)
        self._publish()


def accuracy(watts_per_core: float | None) -> str:
    """Return the power of a core that an estimate takes, its bound and, for a guess, how to narrow it."""
    if watts_per_core is not None:
        return f"{watts_per_core:g} W per core as you set it, bound ±{STATED_BOUND_SHARE:.0%}"
    return (
        f"{DEFAULT_WATTS_PER_CORE:g} W per core, a guess, bound ±{DEFAULT_BOUND_SHARE:.0%}; set cpu_watts_per_core in "
        "the user configuration to narrow it"
    )
