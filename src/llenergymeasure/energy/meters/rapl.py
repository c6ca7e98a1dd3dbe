"""CPU packages and their memory, from RAPL counters."""

from collections.abc import Sequence

from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import CounterMeter, max_power_w
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.sensors.rapl import POLL_S, RAPL_GAIN_SHARE, TICK_S, Domain, RaplSensor, sensor_spec
from llenergymeasure.energy.ticklog import CounterSample


class Rapl(CounterMeter):
    """Reads `domains` every 50 ms in the sampler, and at the marks in this process."""

    def __init__(self, domains: Sequence[Domain], gain_share: float = RAPL_GAIN_SHARE) -> None:
        devices = [MeteredDevice(domain.name, domain.kind, limit_w=domain.limit_w) for domain in domains]
        feed = SamplerProcess(sensor_spec(domains))
        super().__init__("rapl", devices, feed, gain_share, pace_s=POLL_S, max_tick_s=TICK_S)
        self._sensor = RaplSensor([(domain.name, domain.counter) for domain in domains])
        self._range_j = {domain.name: domain.range_j for domain in domains}

    def mark(self, *, is_edge: bool = False) -> None:
        """Read every domain now: a window's edge is then as sure as one tick."""
        self._recording.add(self._sensor.read())

    def _rising(self, device: MeteredDevice, samples: list[CounterSample]) -> list[CounterSample]:
        return unwrap(samples, self._range_j[device.name], max_power_w(device, samples))


def unwrap(samples: Sequence[CounterSample], range_j: float, max_power_w: float) -> list[CounterSample]:
    """Return samples, in order of time, of a counter that starts again at `range_j`, as of one that goes on.

    A fall is a wrap where the power that it stands for is possible. What no power explains is, of two samples by two
    readers at once, a matter of order, and the later one is left out; else a fall is a reset, and is left as one. So is
    a gap in which the counter could have gone all the way round.
    """
    rising: list[CounterSample] = []
    offset_j, previous = 0.0, None
    for device, before_s, after_s, raw_j in samples:
        if previous is not None:
            _, last_before_s, last_after_s, last_j = previous
            most_j = max_power_w * (after_s - last_before_s + TICK_S)
            if most_j >= range_j:
                offset_j += last_j - raw_j - 1.0
            elif (raw_j - last_j) % range_j <= most_j:
                offset_j += range_j if raw_j < last_j else 0.0
            elif before_s <= last_after_s:
                continue
        rising.append((device, before_s, after_s, raw_j + offset_j))
        previous = (device, before_s, after_s, raw_j)
    return rising
