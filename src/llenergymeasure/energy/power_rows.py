"""The power of devices over a window, from the ticks of their counters: the rows of a timeseries."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.domain.power import PowerSample
from llenergymeasure.energy.device_conditions import temperatures_at
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.samples import Recording
from llenergymeasure.energy.ticklog import TickLog, Ticks


def counter_rows(
    log: TickLog,
    recording: Recording,
    devices: Sequence[MeteredDevice],
    start_s: float,
    end_s: float,
    cpu_spacing_s: float,
) -> list[PowerSample]:
    """Return a row per tick of each GPU, and a row at least each `cpu_spacing_s` for all CPU devices together."""
    cpus = [device for device in devices if device.kind != "gpu"]
    rows = [
        row
        for device in devices
        if device.kind == "gpu"
        for row in gpu_rows(log.ticks(device.name), recording, device, start_s, end_s)
    ]
    return rows + (_cpu_rows([log.ticks(cpu.name) for cpu in cpus], start_s, end_s, cpu_spacing_s) if cpus else [])


def gpu_rows(
    stretches: Sequence[Ticks], recording: Recording, device: MeteredDevice, start_s: float, end_s: float
) -> list[PowerSample]:
    """Return a row per tick of a GPU, its power the mean since the row before, corrected where its scale is known."""
    rows = [row for ticks in stretches for row in mean_powers(ticks, start_s, end_s, 0.0)]
    if (scale := device.scale) is not None:
        rows = [(at_s, None if power_w is None else scale.corrected_j(power_w, 1.0)) for at_s, power_w in rows]
    temperatures_c = temperatures_at(recording, device.name, [moment_s for moment_s, _ in rows])
    return [
        PowerSample(moment_s - start_s, gpu_power_w=power_w, gpu_temperature_c=temperature_c, gpu_index=device.index)
        for (moment_s, power_w), temperature_c in zip(rows, temperatures_c, strict=True)
    ]


def _cpu_rows(parts: Sequence[Sequence[Ticks]], start_s: float, end_s: float, spacing_s: float) -> list[PowerSample]:
    """Return one row for all packages and memory: they are read in one go, and the first one's ticks stand for all."""
    if any(len(part) != 1 for part in parts):  # a reset, or a domain without a tick
        return []
    moments_s = parts[0][0].moment_s
    total_j = sum((np.interp(moments_s, *part[0]) for part in parts), np.zeros(len(moments_s)))
    return [
        PowerSample(moment_s - start_s, cpu_power_w=power_w)
        for moment_s, power_w in mean_powers(Ticks(moments_s, total_j), start_s, end_s, spacing_s)
    ]


def mean_powers(ticks: Ticks, start_s: float, end_s: float, spacing_s: float) -> list[tuple[float, float | None]]:
    """Return ticks from the last before a window to the first after it, `spacing_s` apart at the least, each with the
    mean power since the one before; the first has none."""
    if len(ticks.moment_s) == 0:
        return []
    first = max(int(np.searchsorted(ticks.moment_s, start_s, side="right")) - 1, 0)
    last = min(int(np.searchsorted(ticks.moment_s, end_s, side="left")), len(ticks.moment_s) - 1)
    rows: list[tuple[float, float | None]] = []
    before = first
    for index in range(first, last + 1):
        moment_s = float(ticks.moment_s[index])
        if index == first:
            rows.append((moment_s, None))
        elif moment_s - ticks.moment_s[before] >= spacing_s or index == last:
            risen_j = float(ticks.energy_j[index] - ticks.energy_j[before])
            rows.append((moment_s, risen_j / (moment_s - float(ticks.moment_s[before]))))
            before = index
    return rows
