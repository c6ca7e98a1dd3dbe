"""Energy of prefill and decode: the parts of each batch, out of the same log."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llenergymeasure.domain.metrics import DeviceEnergy
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import Meter


class Phases(NamedTuple):
    """Each device's energy in all prefills, and in all decodes, of a window."""

    prefill: list[DeviceEnergy]
    decode: list[DeviceEnergy]


def phase_energy(meter: Meter, batches: Sequence[Batch], start_s: float, end_s: float) -> Phases:
    """Prefill is from a batch's start to its first forward pass's end, decode from there to its last.

    Batches of which one runs at a time; each part is clipped to the window.
    """
    if not meter.is_measurement:
        return Phases([], [])

    def inside(first_s: float, last_s: float) -> list[DeviceEnergy]:
        first_s, last_s = max(first_s, start_s), min(last_s, end_s)
        return meter.energy(first_s, last_s) if first_s < last_s else []

    prefills = (inside(batch.start_s, batch.step_times_s[0]) for batch in batches)
    decodes = (inside(batch.step_times_s[0], batch.step_times_s[-1]) for batch in batches)
    return Phases(_sum_by_device(prefills), _sum_by_device(decodes))


def _sum_by_device(parts: Iterable[list[DeviceEnergy]]) -> list[DeviceEnergy]:
    sums: dict[str | None, DeviceEnergy] = {}
    for part in parts:
        for device in part:
            sums[device.device] = _plus(sums[device.device], device) if device.device in sums else device
    return list(sums.values())


def _plus(one: DeviceEnergy, other: DeviceEnergy) -> DeviceEnergy:
    def added(quantity: str) -> float | None:
        a, b = getattr(one, quantity), getattr(other, quantity)
        return None if a is None or b is None else a + b

    return one.model_copy(update={name: added(name) for name in ("energy_j", "edge_j", "gain_j")})
