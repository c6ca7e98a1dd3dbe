"""Counters as they would have been recorded, and the truth about them."""

from llenergymeasure.energy.samples import Recording, SensorSample

MIDPOINT_S = 0.0005


def joules(power_w, start_s, end_s):
    """The energy of a power that is a function of time."""
    steps = max(round((end_s - start_s) / MIDPOINT_S), 1)
    step_s = (end_s - start_s) / steps
    return sum(power_w(start_s + (step + 0.5) * step_s) for step in range(steps)) * step_s


def counter_trace(power_w, *, seconds, tick_s, bracket_s=0.0002, device="package-0"):
    """The reads of a counter that is exact at its ticks: the last read before each tick, and the first after it."""
    power = power_w if callable(power_w) else lambda _: power_w
    reads, energy_j = [], 0.0
    for tick in range(1, round(seconds / tick_s)):
        at_s = tick * tick_s
        grown_j = power(at_s - tick_s / 2) * tick_s
        for read_s, value_j in ((at_s - bracket_s / 2, energy_j), (at_s + bracket_s / 2, energy_j + grown_j)):
            reads.append(SensorSample(device, read_s, read_s, joules=value_j))
        energy_j += grown_j
    return Recording(reads)


class ReadAlready:
    """A feed that has read everything already."""

    def __init__(self, samples):
        self._samples = list(samples)

    def start(self, receive):
        receive(self._samples, [])

    def flush(self):
        return False

    def stop(self):
        pass
