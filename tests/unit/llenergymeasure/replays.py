"""Stand-ins for absent hardware: they play back what was recorded."""

import itertools

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.errors import BackendError


class SteadyGpu(Meter):
    """A GPU that draws the same power all the time."""

    source = "steady"
    measured_kinds = frozenset({"cpu"})

    def __init__(self, power_w=100.0, unreadable=False):
        self.power_w, self.unreadable, self.marks = power_w, unreadable, 0

    def open(self):
        self.mark()

    def mark(self, *, is_edge=False):
        self.marks += 1

    def energy(self, start_s, end_s):
        energy_j = None if self.unreadable else self.power_w * (end_s - start_s)
        return [DeviceEnergy(device="cpu", kind="cpu", source=self.source, energy_j=energy_j, edge_j=1.0, gain_j=2.0)]

    def close(self):
        self.mark()


class RecordedWarmup:
    """A backend whose warm-up calls take the times that are given; None is a call that fails."""

    def __init__(self, latencies_s):
        self._latencies_s = itertools.chain(latencies_s, itertools.repeat(latencies_s[-1]))
        self.calls = 0

    def warmup(self):
        self.calls += 1
        latency_s = next(self._latencies_s)
        if latency_s is None:
            raise BackendError("generation failed in batch 1")
        return latency_s, 4
