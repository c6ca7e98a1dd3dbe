"""The meter of counters that tick."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from llenergymeasure.domain.power import DeviceWatch, PowerSample
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.sampled import POWER_MARGIN, Feed, SampledMeter, sampled_power
from llenergymeasure.energy.power_rows import counter_rows
from llenergymeasure.energy.power_sensors import as_figures, sees
from llenergymeasure.energy.sampled_power import (
    HIGHEST_FACTOR,
    UNLIMITED_FACTOR,
    SampledEnergy,
    SampledPower,
    beats,
)
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.ticklog import CounterSample, TickLog, Ticks

UNBOUNDED_W = 1e6  # before two values were seen nothing is known of a device's power
MEAN_POWER_OVER_S = 0.010
MIN_TICKS_BEFORE_WINDOW = 2


class CounterMeter(SampledMeter):
    """Counters that tick: everything comes from the tick log. `lag_s` and `max_tick_s` are as the log takes them."""

    quantity = "joules"

    def __init__(
        self,
        source: str,
        devices: Sequence[MeteredDevice],
        feed: Feed,
        gain_share: float,
        *,
        pace_s: float,
        lag_s: float = 0.0,
        max_tick_s: float | None = None,
    ) -> None:
        compared = [device.sensor for device in devices if device.sensor is not None and not device.sensor.is_part_time]
        later_s = max((model.delay_s for model in compared), default=0.0)
        super().__init__(source, devices, feed, pace_s=pace_s, later_s=max(later_s, 0.0))
        self._gain_share = gain_share
        self._lag_s = lag_s
        self._max_tick_s = max_tick_s
        self._power: SampledPower | None = None
        self._valued: set[str] = set()
        self._log = TickLog([], 0.0)
        self._max_power_w: dict[str, float] = {}

    def _is_ready(self, device: MeteredDevice) -> bool:
        return self._recording.changes(device.name) >= MIN_TICKS_BEFORE_WINDOW

    def _analyse(self) -> None:
        samples: list[CounterSample] = []
        for device in self._devices:
            own = sorted(self._recording.counter(device.name), key=lambda sample: sample[1:])
            self._max_power_w[device.name] = max_power_w(device, own)
            samples += self._rising(device, own)
        self._log = TickLog(samples, self._max_power_w, self._lag_s, self._max_tick_s)
        self._power = None

    def _rising(self, device: MeteredDevice, samples: list[CounterSample]) -> list[CounterSample]:
        """Return samples whose energy falls only where the counter was reset."""
        return samples

    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        pair = [(device.name, each.before_s, each.after_s, each.joules or 0.0) for each in (earlier, later)]
        rising = self._rising(device, pair)
        risen_j = rising[-1][3] - rising[0][3]
        return risen_j if risen_j >= 0 else None

    def _gain_j(self, energy_j: float, window_s: float) -> float:
        return abs(energy_j) * self._gain_share

    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> SampledEnergy:
        counted = self._log.window_of(device.name, start_s, end_s)
        is_blind = device.counter_is_part_time and counted.energy_j is not None
        coverage_j = self._unseen_j(device, start_s, end_s) if is_blind else None
        return SampledEnergy(*counted, coverage_j)

    def _unseen_j(self, device: MeteredDevice, start_s: float, end_s: float) -> float:
        """Return the bound on what a counter that integrates a part-time sensor's values did not see: what that sensor
        did not; all that the device may draw where it is not known what it sees, or has no values of the window."""
        if (sensor := _integrated(device)) is not None:
            coverage_j = self._sampled(device, sensor, start_s, end_s).coverage_j
            if coverage_j is not None and self._beside.sensor(device.name).source == sensor.source:
                return coverage_j
        return self._max_power_w[device.name] * (end_s - start_s)

    def _sampled(self, device: MeteredDevice, model: SensorModel, start_s: float, end_s: float) -> SampledEnergy:
        """Return the energy by the power that is read beside the counter."""
        periodic = self._is_periodic(device, model, start_s, end_s)
        return self._beside.window_of(device.name, start_s, end_s, periodic)

    @property
    def _beside(self) -> SampledPower:
        if self._power is None:
            read = [each for each in self._devices if each.sensor is not None]
            self._power = sampled_power(self._recording, read)
            self._valued = {each.name for each in read if self._recording.power(each.name)}
        return self._power

    def _model(self, device: MeteredDevice) -> SensorModel | None:
        """Return the expected model, or the part-time one that values showed in place of one that sees all of the time:
        power of part-time ones is read too seldom to show anything."""
        expected = device.sensor
        if expected is None or expected.is_part_time:
            return expected
        beside = self._beside
        shown = device.name in self._valued and beside.sensor(device.name).is_part_time
        return beside.sensor(device.name) if shown else expected

    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        stretches = self._log.ticks(device.name)
        return np.concatenate([ticks.moment_s for ticks in stretches]) if stretches else np.array([])

    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch:
        watch = replace(
            super()._watch(device, start_s, end_s),
            was_reset=_was_reset(self._log.ticks(device.name), start_s, end_s),
        )
        sensor = self._model(device)
        if sensor is None or sensor.is_part_time:
            return watch
        sampled = self._sampled(device, sensor, start_s, end_s)
        if sampled.energy_j is None or sampled.edge_j is None:
            late_ms = sensor.delay_s * 1e3
            reason = (
                f"Counter and power of {device.name} are not compared: power was not read over all of the window and "
                f"the {late_ms:.0f} ms by which it is late; measure for longer."
            )
            return replace(watch, notes=(*watch.notes, reason))
        scale, seconds = device.scale, end_s - start_s  # on the scale of the counter: they differ by what was read
        return replace(
            watch,
            power_integral_j=scale.corrected_j(sampled.energy_j, seconds) if scale else sampled.energy_j,
            power_integral_bound_j=(sampled.edge_j + (sampled.coverage_j or 0.0)) * (scale.gain if scale else 1.0),
        )

    def _notes(self, device: MeteredDevice) -> tuple[str, ...]:
        notes = []
        if device.limit_w is None:
            notes.append(
                f"{device.name} reports no power limit: its edge bound takes {UNLIMITED_FACTOR} times the highest mean "
                f"power that was seen, {self._max_power_w[device.name]:.0f} W."
            )
        sensor = self._model(device)
        if sensor is not None and sensor.is_part_time:
            if sensor != device.sensor:
                notes += self._beside.notes(device.name)
            notes.append(f"Counter and power of {device.name} are not compared: the power sensor {sees(sensor)}.")
        return (*notes, *self._integration_notes(device, sensor))

    def _integration_notes(self, device: MeteredDevice, beside: SensorModel | None) -> Iterator[str]:
        """Yield what is known of the values that a counter integrates."""
        if device.counter_is_part_time:
            sensor = _integrated(device)
            seen = "a part of the time alone, and how much is not known" if sensor is None else as_figures(sensor).seen
            yield f"The counter of {device.name} was found to integrate the values of a sensor that sees {seen}."
        elif device.counter_is_part_time is None and beside is not None and beside.is_part_time:
            yield (
                f"The counter of {device.name} may integrate the values of that sensor alone: nobody has published it, "
                "and llem calibrate finds it out."
            )
            yield from self._beat_notes(device, beside)

    def _beat_notes(self, device: MeteredDevice, sensor: SensorModel) -> Iterator[str]:
        if beating_s := [period_s for period_s in self._periods_s or () if beats(period_s, sensor)]:
            periods = ", ".join(f"{period_s * 1e3:.4g}" for period_s in beating_s)
            yield (
                f"The load repeats every {periods} ms, which beats with that sensor: if the counter of "
                f"{device.name} integrates its values, it is off by as much as the load swings."
            )

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        return counter_rows(self._log, self._recording, self._devices, start_s, end_s, self._pace_s / 2)


def _integrated(device: MeteredDevice) -> SensorModel | None:
    """Return the part-time sensor that a device's counter integrates, if it was measured beside it, with its window."""
    sensor = device.sensor
    if sensor is None or sensor.source != "measured" or not sensor.is_part_time or sensor.window_s == 0:
        return None
    return sensor


def _was_reset(stretches: list[Ticks], start_s: float, end_s: float) -> bool:
    """Return True if one stretch of the counter ends, and the next begins, around or in the window."""
    touched = [t for t in stretches if len(t.moment_s) and t.moment_s[0] <= end_s and t.moment_s[-1] >= start_s]
    return len(touched) > 1


def max_power_w(device: MeteredDevice, samples: Sequence[CounterSample]) -> float:
    """Return the most watts that a device draws.

    It is 1.1 times its limit, or 1.15 times the highest mean power that it surely had between two ticks if that is
    more; 4 times the highest mean power seen where there is no limit.
    """
    if device.limit_w is not None:
        return max(POWER_MARGIN * device.limit_w, HIGHEST_FACTOR * _surely_drawn_w(samples))
    highest_w = 0.0
    since: CounterSample | None = None
    for sample in samples:
        if since is None or sample[3] < since[3]:
            since = sample
        elif sample[1] - since[2] >= MEAN_POWER_OVER_S and sample[3] > since[3]:
            highest_w = max(highest_w, (sample[3] - since[3]) / (sample[1] - since[2]))
            since = sample
    return UNLIMITED_FACTOR * highest_w or UNBOUNDED_W


def _surely_drawn_w(samples: Sequence[CounterSample]) -> float:
    """Return the highest mean power from one tick to the next, if the first came as early and the second as late as
    the reads allow; 0 before two ticks were seen."""
    highest_w = 0.0
    earliest_s = math.inf  # of the tick before; of the value that was there first it is not known
    for last, sample in itertools.pairwise(samples):
        if sample[3] > last[3]:
            if sample[2] > earliest_s:
                highest_w = max(highest_w, (sample[3] - last[3]) / (sample[2] - earliest_s))
            earliest_s = last[1]
        elif sample[3] < last[3]:
            earliest_s = math.inf
    return highest_w
