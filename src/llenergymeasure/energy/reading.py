"""What a meter says of a run, once it is over."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from llenergymeasure.domain.metrics import DeviceEnergy
from llenergymeasure.domain.power import IdlePower
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.phases import Phases, energy_slices, overlap, phase_energy
from llenergymeasure.metrics.energy import Headline
from llenergymeasure.metrics.measurement import EnergyReading


class Spans(NamedTuple):
    """Seconds on CLOCK_MONOTONIC: this process's window; by kind of device, that of all processes that share it, where
    this one meters it for others; and the whole measurement."""

    own: tuple[float, float]
    shared: dict[str, tuple[float, float]]
    recorded: tuple[float, float]

    @classmethod
    def alone(cls, own: tuple[float, float], opened_s: float, closed_s: float | None) -> Self:
        """Where nothing is shared; `closed_s` None is of a measurement that did not end."""
        return cls(own, {}, (opened_s, own[1] if closed_s is None else closed_s))


def read_energy(
    meter: Meter,
    headline: Headline,
    batches: Sequence[Batch],
    spans: Spans,
    idle: tuple[IdlePower, IdlePower],
    not_used: dict[str, str],
) -> EnergyReading:
    """Each device in this process's window or, where it is shared, in that of all who share it.

    `idle` is the power of the loaded machine, then of the bare one. An estimate is never shared: it is of this
    process's own time.
    """
    loaded, bare = idle
    if not batches:
        return EnergyReading(meter.source, [], not_used, loaded, bare)

    def span_of(device: DeviceEnergy) -> tuple[float, float]:
        return spans.own if device.source == "estimate" else spans.shared.get(str(device.kind), spans.own)

    devices = meter.energy(*spans.own)
    watches = {watch.device: watch for watch in meter.watch(*spans.own)}
    for span in {span_of(device) for device in devices} - {spans.own}:
        shared = [str(device.device) for device in devices if span_of(device) == span]
        devices = [
            whole if span_of(part) == span else part for part, whole in zip(devices, meter.energy(*span), strict=True)
        ]
        watches |= {watch.device: watch for watch in meter.watch(*span) if watch.device in shared}
    of_total = next((span_of(device) for device in devices if headline.covers(device)), spans.own)
    alone = of_total == spans.own
    phases = phase_energy(meter, batches, *spans.own) if alone else Phases([], [])
    return EnergyReading(
        source=meter.source,
        devices=devices,
        not_used=not_used,
        loaded_idle=loaded,
        bare_idle=bare,
        span=None if of_total == spans.own else of_total,
        watches=list(watches.values()),
        samples=meter.samples(*spans.recorded),
        check=meter.cross_check(*of_total),
        prefill=phases.prefill,
        decode=phases.decode,
        slices=energy_slices(meter, *spans.own) if alone and overlap(batches) else [],
    )
