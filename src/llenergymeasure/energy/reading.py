"""What a meter says of a run, once it is over."""

from collections.abc import Sequence
from typing import NamedTuple

from llenergymeasure.domain.metrics import DeviceEnergy
from llenergymeasure.domain.power import IdlePower
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.phases import Phases, phase_energy
from llenergymeasure.metrics.energy import Headline
from llenergymeasure.metrics.measurement import EnergyReading


class Spans(NamedTuple):
    """Seconds on CLOCK_MONOTONIC: this process's window, that of all processes together, and the whole measurement."""

    own: tuple[float, float]
    everyone: tuple[float, float]
    recorded: tuple[float, float]


def read_energy(
    meter: Meter,
    headline: Headline,
    batches: Sequence[Batch],
    spans: Spans,
    idle: tuple[IdlePower, IdlePower],
    not_used: dict[str, str],
    *,
    shared: frozenset[str] = frozenset(),
) -> EnergyReading:
    """Each device in this process's window or, if its kind is among the `shared`, in everyone's.

    `idle` is the power of the loaded machine, then of the bare one. An estimate is never shared: it is of this
    process's own time.
    """
    loaded, bare = idle
    if not batches:
        return EnergyReading(meter.source, [], not_used, loaded, bare)

    def is_shared(device: DeviceEnergy) -> bool:
        return device.kind in shared and device.source != "estimate"

    own = meter.energy(*spans.own)
    everyone = meter.energy(*spans.everyone) if any(map(is_shared, own)) else own
    devices = [whole if is_shared(part) else part for part, whole in zip(own, everyone, strict=True)]
    together = {str(device.device) for device in devices if is_shared(device)}
    watches = [watch for watch in meter.watch(*spans.own) if watch.device not in together]
    if together:
        watches += [watch for watch in meter.watch(*spans.everyone) if watch.device in together]
    is_shared_total = any(is_shared(device) for device in devices if headline.covers(device))
    phases = Phases([], []) if is_shared_total else phase_energy(meter, batches, *spans.own)
    return EnergyReading(
        source=meter.source,
        devices=devices,
        not_used=not_used,
        loaded_idle=loaded,
        bare_idle=bare,
        span=spans.everyone if is_shared_total else None,
        watches=watches,
        samples=meter.samples(*spans.recorded),
        check=meter.cross_check(*(spans.everyone if is_shared_total else spans.own)),
        prefill=phases.prefill,
        decode=phases.decode,
    )
