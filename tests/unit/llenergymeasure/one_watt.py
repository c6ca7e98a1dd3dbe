"""A meter of devices that draw one watt each."""

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, PowerSample
from llenergymeasure.energy.meters.base import Meter

KINDS = {"GPU-0": "gpu", "package-0": "cpu", "dram-0": "dram"}
PROCESSOR = frozenset({"cpu", "dram"})
ALL = PROCESSOR | {"gpu"}
OWN_S = (101.0, 103.0)
"""The window of the process that meters."""


class OneWatt(Meter):
    """Devices that draw one watt each, and the windows that were asked for; of an estimate, no other may be."""

    def __init__(self, *names, source="recorded"):
        self.source, self._names, self.asked = source, names, []
        self.measured_kinds = frozenset() if source == "estimate" else frozenset(KINDS[name] for name in names)

    def open(self):
        pass

    def mark(self, *, is_edge=False):
        pass

    def close(self):
        pass

    def energy(self, start_s, end_s):
        self.asked.append((start_s, end_s))
        if self.source == "estimate" and not OWN_S[0] <= start_s <= end_s <= OWN_S[1]:
            raise ValueError("the window reaches beyond what was watched")
        return [
            DeviceEnergy(device=name, kind=KINDS[name], source=self.source, energy_j=end_s - start_s)
            for name in self._names
        ]

    def watch(self, start_s, end_s):
        return [DeviceWatch(name, longest_gap_s=end_s - start_s) for name in self._names]

    def samples(self, start_s, end_s):
        return [PowerSample(end_s - start_s)]

    def cross_check(self, start_s, end_s):
        return self.energy(start_s, end_s)


def lengths_s(devices):
    """The length of the window that each device's energy is of."""
    return {device.device: device.energy_j for device in devices}
