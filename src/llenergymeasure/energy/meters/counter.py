"""Meters of cumulative energy counters: everything comes from the tick log."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.domain.power import DeviceWatch, PowerSample
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.sampled import (
    MEAN_POWER_OVER_S,
    POWER_MARGIN,
    UNLIMITED_FACTOR,
    Feed,
    SampledMeter,
    gaps,
)
from llenergymeasure.energy.power_integral import integrate
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.ticklog import CounterSample, TickLog, Ticks, WindowEnergy

TICKS_BEFORE_A_WINDOW = 2
UNBOUNDED_W = 1e6  # before two values were seen nothing is known of a device's power


class CounterMeter(SampledMeter):
    """Counters that tick. `lag_s` and `max_tick_s` as the tick log takes them; `poll_s` is the feed's slowest pace."""

    quantity = "joules"

    def __init__(
        self,
        source: str,
        devices: Sequence[MeteredDevice],
        feed: Feed,
        gain_share: float,
        *,
        poll_s: float,
        lag_s: float = 0.0,
        max_tick_s: float | None = None,
    ) -> None:
        super().__init__(source, devices, feed, gain_share)
        self._poll_s = poll_s
        self._lag_s = lag_s
        self._max_tick_s = max_tick_s
        self._log = TickLog([], 0.0)
        self._max_power_w: dict[str, float] = {}

    def _is_ready(self, device: MeteredDevice) -> bool:
        return self._recording.changes(device.name) >= TICKS_BEFORE_A_WINDOW

    def _analyse(self) -> None:
        readings: list[CounterSample] = []
        for device in self._devices:
            own = sorted(self._recording.counter(device.name), key=lambda reading: reading[1:])
            self._max_power_w[device.name] = max_power_w(device, own)
            readings += self._rising(device, own)
        self._log = TickLog(readings, self._max_power_w, self._lag_s, self._max_tick_s)

    def _rising(self, device: MeteredDevice, readings: list[CounterSample]) -> list[CounterSample]:
        """Readings whose energy falls only where the counter was reset."""
        return readings

    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        pair = [(device.name, read.before_s, read.after_s, read.joules or 0.0) for read in (earlier, later)]
        rising = self._rising(device, pair)
        risen_j = rising[-1][3] - rising[0][3]
        return risen_j if risen_j >= 0 else None

    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> WindowEnergy:
        return self._log.window_of(device.name, start_s, end_s)

    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch:
        stretches = self._log.ticks(device.name)
        moments_s = np.concatenate([ticks.moment_s for ticks in stretches]) if stretches else np.array([])
        tick_s, longest_s, limit_s = gaps(moments_s, start_s, end_s, self._poll_s)
        notes = []
        if device.limit_w is None:
            notes.append(
                f"{device.name} tells no power limit: its edge bound takes {UNLIMITED_FACTOR} times the highest mean "
                f"power that was seen, {self._max_power_w[device.name]:.0f} W."
            )
        return DeviceWatch(
            device=device.name,
            index=device.index,
            tick_s=tick_s,
            ticks=int(((moments_s >= start_s) & (moments_s <= end_s)).sum()),
            longest_gap_s=longest_s,
            gap_limit_s=limit_s,
            was_reset=self._was_reset(stretches, start_s, end_s),
            power_integral_j=self._power_integral_j(device, start_s, end_s),
            limit_w=device.limit_w,
            foreign_processes=self._foreign(device, start_s, end_s),
            throttled=self._throttled(device, start_s, end_s),
            temperatures_c=self._temperatures(device, start_s, end_s),
            notes=tuple(notes),
        )

    def _was_reset(self, stretches: list[Ticks], start_s: float, end_s: float) -> bool:
        """Whether one stretch of the counter ends, and the next begins, around or in the window."""
        touched = [t for t in stretches if len(t.moment_s) and t.moment_s[0] <= end_s and t.moment_s[-1] >= start_s]
        return len(touched) > 1

    def _power_integral_j(self, device: MeteredDevice, start_s: float, end_s: float) -> float | None:
        moments_s, powers_w = self._recording.series(device.name, "power_w")
        return integrate(moments_s, powers_w, start_s, end_s, max_power_w=self._max_power_w[device.name]).energy_j

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        gpus = [device for device in self._devices if device.kind == "gpu"]
        cpus = [device for device in self._devices if device.kind != "gpu"]
        rows = [row for device in gpus for row in self._gpu_rows(device, start_s, end_s)]
        return rows + (self._cpu_rows(cpus, start_s, end_s) if cpus else [])

    def _gpu_rows(self, device: MeteredDevice, start_s: float, end_s: float) -> list[PowerSample]:
        rows = [row for ticks in self._log.ticks(device.name) for row in mean_powers(ticks, start_s, end_s, 0.0)]
        temperatures_c = self._temperatures_at(device, [moment_s for moment_s, _ in rows])
        return [
            PowerSample(
                moment_s - start_s, gpu_power_w=power_w, gpu_temperature_c=temperature_c, gpu_index=device.index
            )
            for (moment_s, power_w), temperature_c in zip(rows, temperatures_c, strict=True)
        ]

    def _cpu_rows(self, devices: list[MeteredDevice], start_s: float, end_s: float) -> list[PowerSample]:
        """One row for all packages and memory: they are read in one go, and the first one's ticks stand for all."""
        parts = [self._log.ticks(device.name) for device in devices]
        if any(len(part) != 1 for part in parts):  # a reset, or a domain without a tick
            return []
        moments_s = parts[0][0].moment_s
        total_j = sum((np.interp(moments_s, *part[0]) for part in parts), np.zeros(len(moments_s)))
        together = Ticks(moments_s, total_j)
        return [
            PowerSample(moment_s - start_s, cpu_power_w=power_w)
            for moment_s, power_w in mean_powers(together, start_s, end_s, self._poll_s / 2)
        ]


def max_power_w(device: MeteredDevice, readings: Sequence[CounterSample]) -> float:
    """The most that a device draws: 1.1 times its limit; without one, 4 times the highest mean power that was seen."""
    if device.limit_w is not None:
        return POWER_MARGIN * device.limit_w
    highest_w = 0.0
    since: CounterSample | None = None
    for reading in readings:
        if since is None or reading[3] < since[3]:
            since = reading
        elif reading[1] - since[2] >= MEAN_POWER_OVER_S and reading[3] > since[3]:
            highest_w = max(highest_w, (reading[3] - since[3]) / (reading[1] - since[2]))
            since = reading
    return UNLIMITED_FACTOR * highest_w or UNBOUNDED_W


def mean_powers(ticks: Ticks, start_s: float, end_s: float, spacing_s: float) -> list[tuple[float, float | None]]:
    """Ticks from the last before a window to the first after it, `spacing_s` apart at the least, and the mean power
    since the one before; the first has none."""
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
