"""The energy of a run's window and of its parts: each device in its span, prefill and decode, equal slices."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple, Self

from llenergymeasure.config.energy_sources import basis_of
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import IdlePower, PowerSample
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.metrics.arithmetic import sum_of_all
from llenergymeasure.metrics.energy import ReportedDevices
from llenergymeasure.metrics.measurement import Slice, WindowEnergyReport

SHORTEST_SLICE_S = 1.0
TICKS_PER_SLICE = 10
MOST_SLICES = 1000
MOST_LOOKED_AT = 1000


class Phases(NamedTuple):
    """The energy of each device in all prefills, and in all decodes, of a window."""

    prefill: list[DeviceEnergy]
    decode: list[DeviceEnergy]


def phase_energy(meter: Meter, batches: Sequence[Batch], start_s: float, end_s: float) -> Phases:
    """Sum the energy of prefill and of decode over the batches, each part clipped to the window.

    Prefill is from a batch's start to the end of its first forward pass, decode from there to the end of its last.
    Nothing is found where batches overlap.
    """
    if not meter.is_measurement or overlap(batches):
        return Phases([], [])

    def inside(first_s: float, last_s: float) -> list[DeviceEnergy]:
        first_s, last_s = max(first_s, start_s), min(last_s, end_s)
        return meter.energy(first_s, last_s) if first_s < last_s else []

    prefills = (inside(batch.start_s, batch.step_times_s[0]) for batch in batches)
    decodes = (inside(batch.step_times_s[0], batch.step_times_s[-1]) for batch in batches)
    return Phases(_sum_by_device(prefills), _sum_by_device(decodes))


def load_periods_s(batches: Sequence[Batch]) -> tuple[float, ...]:
    """Return the seconds after which a load of these batches repeats itself: from batch to batch, and from one forward
    pass to the next, the median and the mean of each. A load that does not repeat has none."""
    starts_s = sorted(batch.start_s for batch in batches)
    some = batches[:: max(len(batches) // MOST_LOOKED_AT, 1)]
    steps_s = [later_s - step_s for batch in some for step_s, later_s in pairwise(batch.step_times_s)]
    cycles_s = [later_s - start_s for start_s, later_s in pairwise(starts_s)]
    return tuple(period_s for gaps_s in (cycles_s, steps_s) if gaps_s for period_s in {median(gaps_s), fmean(gaps_s)})


def overlap(batches: Sequence[Batch]) -> bool:
    """Return True if a batch begins before another has ended."""
    spans = sorted((batch.start_s, batch.end_s) for batch in batches)
    return any(start_s < before_s for (_, before_s), (start_s, _) in pairwise(spans))


def energy_slices(meter: Meter, start_s: float, end_s: float) -> list[Slice]:
    """Cut the window into equal parts, each of at least a second and of at least ten ticks of the sensor.

    Where batches overlap, a regression over these parts tells prefill from decode.
    """
    if not meter.is_measurement:
        return []
    tick_s = max((watch.tick_s or 0.0 for watch in meter.watch(start_s, end_s)), default=0.0)
    count = min(int((end_s - start_s) / max(SHORTEST_SLICE_S, TICKS_PER_SLICE * tick_s)), MOST_SLICES)
    edges_s = [start_s + (end_s - start_s) * part / count for part in range(count)] + [end_s] if count else []
    return [Slice(a, b, meter.energy(a, b)) for a, b in pairwise(edges_s)]


def _sum_by_device(parts: Iterable[list[DeviceEnergy]]) -> list[DeviceEnergy]:
    sums: dict[str | None, DeviceEnergy] = {}
    for part in parts:
        for device in part:
            sums[device.device] = _plus(sums[device.device], device) if device.device in sums else device
    return list(sums.values())


def _plus(one: DeviceEnergy, other: DeviceEnergy) -> DeviceEnergy:
    def added(quantity: str) -> float | None:
        return sum_of_all([getattr(one, quantity), getattr(other, quantity)])

    return one.model_copy(update={name: added(name) for name in ("energy_j", "edge_j", "coverage_j", "gain_j")})


class Spans(NamedTuple):
    """Seconds on CLOCK_MONOTONIC: this process's window; by kind of device, that of all processes that share it, where
    this one meters it for others; and the whole measurement."""

    own: tuple[float, float]
    shared: dict[str, tuple[float, float]]
    recorded: tuple[float, float]

    @classmethod
    def alone(cls, own: tuple[float, float], opened_s: float, closed_s: float | None) -> Self:
        """Return the spans where nothing is shared; `closed_s` is None where the measurement did not end."""
        return cls(own, {}, (opened_s, own[1] if closed_s is None else closed_s))


def read_energy(
    meter: Meter,
    reported: ReportedDevices,
    batches: Sequence[Batch],
    spans: Spans,
    idle: tuple[IdlePower, IdlePower],
    not_used: dict[str, str],
) -> WindowEnergyReport:
    """Measure each device in this process's window or, where it is shared, in that of all that share it.

    `idle` is the power of the loaded machine, then of the bare one. An estimate is never shared: it is of this
    process's own time.
    """
    loaded, bare = idle
    if not batches:
        return WindowEnergyReport(meter.source, [], not_used, loaded, bare)

    meter.expect_periods(load_periods_s(batches))

    def span_of(device: DeviceEnergy) -> tuple[float, float]:
        return spans.own if basis_of(device.source) == "estimate" else spans.shared.get(str(device.kind), spans.own)

    devices = meter.energy(*spans.own)
    watches = {watch.device: watch for watch in meter.watch(*spans.own)}
    for span in {span_of(device) for device in devices} - {spans.own}:
        shared = [str(device.device) for device in devices if span_of(device) == span]
        devices = [
            whole if span_of(part) == span else part for part, whole in zip(devices, meter.energy(*span), strict=True)
        ]
        watches |= {watch.device: watch for watch in meter.watch(*span) if watch.device in shared}
    of_total = next((span_of(device) for device in devices if reported.covers(device)), spans.own)
    alone = of_total == spans.own
    phases = phase_energy(meter, batches, *spans.own) if alone else Phases([], [])
    return WindowEnergyReport(
        source=meter.source,
        devices=devices,
        not_used=not_used,
        loaded_idle=loaded,
        bare_idle=bare,
        span=None if of_total == spans.own else of_total,
        watches=list(watches.values()),
        samples=_samples(meter, spans),
        check=meter.cross_check(*of_total),
        prefill=phases.prefill,
        decode=phases.decode,
        slices=energy_slices(meter, *spans.own) if alone and overlap(batches) else [],
    )


def _samples(meter: Meter, spans: Spans) -> list[PowerSample]:
    """Return the power over the measurement; nothing where the last of it was before the window of the figures."""
    rows = meter.samples(*spans.recorded)
    return rows if rows and rows[-1].timestamp_s >= spans.own[0] - spans.recorded[0] else []
