"""The energy of any window from a sensor of power, with a bound, by the model of the sensor.

A sensor publishes a value every T, the mean of the last w. Polled faster than that it repeats itself, so what counts
is each publication. The sum of value x T over them is a cumulative counter, whose windows have the tick log's bound.
Power may rise to P: the largest of what the board is said to draw and 1.15 times the highest value.

- w = T: the counter is the energy. A publication may be of up to 10 ms before it was seen.
- w > T, or a low-pass: the counter is late by the mean's delay, and is the energy smoothed. At an edge the two differ
  by at most P w/8 (low-pass of time constant w: P w/e), and by less where the mean there is near 0 or near P, or where
  w is little over T.
- Where w is no whole multiple of T, some moments weigh more than others (`SensorModel.unevenness`): `coverage_j` is
  that share of the window times the range of the power. Where w > T, and for a low-pass, the range is P: the values of
  a mean stay in the middle while the load swings.
- w < T: the sensor is blind for a share 1 - w/T of the time. What it did not see is taken to lie between what it saw
  within 5 s of the window. A load whose period beats with T may hide from such a sensor (`beats`): the range is then
  from the lowest value to P.

T is fitted to the values. Nobody has published if w is then other than the model's in proportion: the energy takes it
so where w >= T, and not else, and the bound holds for both.

Times are seconds on one monotonic clock.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.polls import Changes, Polls
from llenergymeasure.energy.publications import Publications, publications
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensor_phase import (
    SEARCHED_SHARE,
    Grid,
    explains,
    find_grid,
    grid_of_changes,
    is_sparse,
    search_grid,
)
from llenergymeasure.energy.ticklog import BracketedTicks, TickLog, Ticks, of_device

__all__ = ["PowerReading", "Published", "SampledEnergy", "SampledPower", "SensorModel", "beats", "sampled_gain_j"]

PowerReading = tuple[str, float, float, float]
"""`(device, before_s, after_s, watts)`: a power, and the clock before and after it was read."""

PUBLICATION_JITTER_S = 0.010
SEEN_AROUND_S = 5.0
HIGHEST_FACTOR = 1.15
"""A value may be 13 % below the truth: the board then draws 1.15 times as much."""

UNLIMITED_FACTOR = 4
UNKNOWN_WINDOW_SHARE = 0.25
"""The part of its period that a sensor nobody has measured is taken to see, as most published part-time ones do."""

GAIN_SHARE, GAIN_WATTS = 0.13, 20.0
BEAT_TOLERANCE = 0.01
PLAIN_BEATS = ((1, 1), (1, 2), (1, 3))
HIDDEN_PARTS = 100


class SampledEnergy(NamedTuple):
    """Energy of a window, the bound of its two edges, and that of what the sensor did not see or weighed unevenly; all
    None where they are unknown."""

    energy_j: float | None
    edge_j: float | None
    coverage_j: float | None


class Published(NamedTuple):
    """The values that a sensor published: the moment of each on the poller's clock, and its watts."""

    moment_s: np.ndarray
    power_w: np.ndarray


def sampled_gain_j(
    energy_j: float, window_s: float, gain_share: float = GAIN_SHARE, offset_w: float = GAIN_WATTS
) -> float:
    """Return the bound on a power sensor's gain and offset over a window, in joules.

    Without a calibration 13 % of the energy and 20 W: published board tests found gains off by -7.9 to +12.7 %, and an
    idle RTX 4090 that reads 52 W where the meter has 70.
    """
    return abs(energy_j) * gain_share + offset_w * window_s


def beats(period_s: float, sensor: SensorModel, watched_s: float = 2 * SEEN_AROUND_S) -> bool:
    """Return True if a load of this period may hide from the sensor: within 1 % of T, T/2 or T/3, or within 1 %/q of
    m T/q for other whole numbers m and q.

    Such a load is met at the same m phases again and again, T/q apart by the load's clock, and what can fall between
    them is 1/(m q) of it. So m q goes up to 100, and one hundredth of the swing is in the coverage of any other load.
    Off by 1 %/q the phases move on by T/q in the 10 s whose values are known; where only `watched_s` are, the
    tolerance is T / watched_s in place of 1 %.
    """
    if sensor.unevenness == 0:
        return False
    tolerance = max(BEAT_TOLERANCE, sensor.period_s / watched_s)
    for parts in range(1, HIDDEN_PARTS + 1):
        periods = max(round(period_s * parts / sensor.period_s), 1)
        allowed = tolerance if (periods, parts) in PLAIN_BEATS else tolerance / parts
        off = abs(period_s * parts / sensor.period_s / periods - 1)
        if off <= allowed and periods * parts <= HIDDEN_PARTS:
            return True
    return False


class SampledPower:
    """The publications of each device's power sensor, usable for any number of windows.

    `sensor` is its model, and `max_power_w` the most that a device is said to draw (None: not known, then 4 times the
    highest value): each one for all devices, or one per device. Where values do not come as the model says, the device
    is taken for one that nobody has measured, and `notes` says so.
    """

    def __init__(
        self,
        readings: Iterable[PowerReading],
        sensor: SensorModel | Mapping[str, SensorModel],
        max_power_w: float | Mapping[str, float | None] | None,
    ) -> None:
        by_device: dict[str, list[PowerReading]] = {}
        for reading in readings:
            by_device.setdefault(reading[0], []).append(reading)
        self._devices = {
            device: _Device(device, _polls(own), of_device(sensor, device), of_device(max_power_w, device))
            for device, own in by_device.items()
        }
        self._log = TickLog.of_ticks(
            {name: device.bracketed for name, device in self._devices.items()},
            {name: device.max_power_w for name, device in self._devices.items()},
        )

    def window(self, start_s: float, end_s: float, periodic: bool | None = None) -> dict[str, SampledEnergy]:
        """Return the energy of each device from `start_s` to `end_s`.

        `periodic` is True where the load may have a period that `beats` with a sensor, False where it has none, None
        where nothing tells. Unknown beyond the readings (the sensor's `delay_s` before the last of them), and for a
        device that gave nothing but 0 W.

        Raises:
            ValueError: the window ends before it starts.
        """
        return {device: self.window_of(device, start_s, end_s, periodic) for device in self._devices}

    def window_of(self, device: str, start_s: float, end_s: float, periodic: bool | None = None) -> SampledEnergy:
        """Return `window` of one device; unknown where it has no reading."""
        counted = self._log.window_of(device, start_s, end_s)
        if counted.energy_j is None or counted.edge_j is None:
            return SampledEnergy(None, None, None)
        own = self._devices[device]
        smoothing_j = own.smoothing_j(start_s) + own.smoothing_j(end_s)
        edge_j = counted.edge_j + smoothing_j + own.doubt_j(start_s, end_s)
        return SampledEnergy(counted.energy_j, edge_j, own.coverage_j(start_s, end_s, periodic))

    def ticks(self, device: str) -> list[Ticks]:
        """Return the publications of a device as the ticks of a counter: their moments less the sensor's delay, and the
        joules until then."""
        return self._log.ticks(device)

    def published(self, device: str) -> Published:
        """Return every value that a device was seen to publish, repeated ones too."""
        return self._devices[device].published

    def sensor(self, device: str) -> SensorModel:
        """Return the model of a device's sensor with the period that its values had."""
        return self._devices[device].sensor

    def max_power_w(self, device: str) -> float:
        """Return the most that a device draws, as its bound takes it."""
        return self._devices[device].max_power_w

    def notes(self, device: str) -> tuple[str, ...]:
        """Return in what the values of a device differ from the model."""
        return self._devices[device].notes


def _polls(readings: list[PowerReading]) -> Polls:
    columns = np.array([reading[1:] for reading in readings]).T
    order = np.lexsort((columns[1], columns[0]))
    return Polls(*columns[:, order])


class _Device:
    """The publications of one device."""

    def __init__(self, name: str, polls: Polls, sensor: SensorModel, max_power_w: float | None) -> None:
        self._lowest_w, self._highest_w = float(polls.values.min()), float(polls.values.max())
        self.max_power_w = (
            UNLIMITED_FACTOR * self._highest_w
            if max_power_w is None
            else max(max_power_w, HIGHEST_FACTOR * self._highest_w)
        )
        changes = Changes.of(polls)
        grid, self._models, self.notes = _fitted(name, polls, changes, sensor)
        self.sensor = self._models[0]
        found = publications(polls, changes, grid, self.max_power_w)
        self.published = Published(found.moment_s[found.is_seen], found.power_w[found.is_seen])
        self._doubts, self._moment_error_s = found.doubts, grid.error_s
        self.bracketed = _counted(polls, found, self.sensor.delay_s) if self._highest_w > 0 else []

    def coverage_j(self, start_s: float, end_s: float, periodic: bool | None) -> float:
        """Return the bound on what the sensor did not see of a window, or weighed more than the rest."""
        share = max(model.unevenness for model in self._models)
        return share * (end_s - start_s) * self._range_w(start_s, end_s, periodic)

    def _range_w(self, start_s: float, end_s: float, periodic: bool | None) -> float:
        """Return the range of the power in the moments that the sensor did not see, or weighed more than the rest."""
        if self.sensor.shape == "low_pass" and periodic is False:
            return self.max_power_w / HIDDEN_PARTS  # its weights differ by little, and even out in all other loads
        if not self.sensor.is_part_time:
            return self.max_power_w
        most_w = max(self.max_power_w - self._lowest_w, self._highest_w)
        if periodic is False and self.sensor.window_s > 0:
            around_s = (start_s - SEEN_AROUND_S, end_s + SEEN_AROUND_S)
            first, last = np.searchsorted(self.published.moment_s, around_s)
            seen_w = self.published.power_w[first:last]
            if len(seen_w):
                return float(seen_w.max() - seen_w.min()) + most_w / HIDDEN_PARTS
        return most_w

    def smoothing_j(self, edge_s: float) -> float:
        """Return the most by which the energy differs at an edge from the smoothed energy that the sensor gives."""
        delays_s = [model.delay_s for model in self._models]
        smoothing_j = max(self._smoothing_j(model, edge_s) for model in self._models)
        return smoothing_j + self.max_power_w * (max(delays_s) - min(delays_s))

    def _smoothing_j(self, model: SensorModel, edge_s: float) -> float:
        if model.shape == "low_pass":
            return self.max_power_w * model.window_s / math.e
        if model.window_s <= model.period_s:
            return 0.0
        share = self._nearest_half(edge_s + model.window_s / 2 + model.lag_s)
        return self.max_power_w / 2 * min(model.window_s * share * (1 - share), model.window_s - model.period_s)

    def _nearest_half(self, published_s: float) -> float:
        """Return the share of P that the values around a moment may have which is the nearest to 1/2.

        Where the mean of the time w around an edge is f P and power in [0, P], the energy and its smoothed form differ
        there by at most P w/2 f (1 - f): where the board draws P from the edge on, or until then.
        """
        around_s = self.sensor.period_s + PUBLICATION_JITTER_S
        first, last = np.searchsorted(self.published.moment_s, (published_s - around_s, published_s + around_s))
        shares = self.published.power_w[first:last] / self.max_power_w
        if len(shares) < 2:
            return 0.5
        return float(min(max(0.5, shares.min()), shares.max(), 1.0))

    def doubt_j(self, start_s: float, end_s: float) -> float:
        """Return the bound on the values that no poll saw in and around a window, and on the moments of its values."""
        around_s = self.sensor.period_s * 3
        delay_s = self.sensor.delay_s
        first = np.searchsorted(self._doubts.end_s, start_s + delay_s - around_s)
        last = np.searchsorted(self._doubts.start_s, end_s + delay_s + around_s)
        return self.max_power_w * self._moment_error_s + float(self._doubts.bound_j[first:last].sum())


def _fitted(
    name: str, polls: Polls, changes: Changes, sensor: SensorModel
) -> tuple[Grid, tuple[SensorModel, ...], tuple[str, ...]]:
    """Return a device's grid; the model with the period of its values, and after it what else it may be; and in what
    they differ from the expected."""
    grid = find_grid(changes, sensor.period_s)
    as_expected = explains(grid, changes)
    if as_expected and sensor.source != "assumed" and not is_sparse(grid, changes):
        return grid, _at_period(sensor, grid.period_s), ()
    poll_s = float(np.median(np.diff(polls.before_s))) if len(polls.before_s) > 1 else math.inf
    found = search_grid(changes, poll_s)
    if as_expected and (found is None or abs(found.period_s / grid.period_s - 1) < SEARCHED_SHARE):
        return grid, _at_period(sensor, grid.period_s), ()
    if found is not None:
        measured = _unknown(found.period_s, UNKNOWN_WINDOW_SHARE)
        notes = () if sensor.source == "assumed" else (_other_period(name, sensor, found.period_s),)
        return found, (measured,), notes
    note = f"The power of {name} comes at no regular times: nothing is known of what its sensor sees."
    return grid_of_changes(changes, sensor.period_s), (_unknown(sensor.period_s, 0.0),), (note,)


def _other_period(name: str, sensor: SensorModel, period_s: float) -> str:
    return (
        f"{name} gives a new power every {period_s * 1e3:.3g} ms, where its model has {sensor.period_s * 1e3:.3g} ms: "
        f"it is taken for a sensor that sees {UNKNOWN_WINDOW_SHARE:.0%} of that time."
    )


def _at_period(sensor: SensorModel, period_s: float) -> tuple[SensorModel, ...]:
    """Return a model with the period that was found, as the energy takes it, and as it may be too: a window that went
    with the period, or did not. A window of one period or more is taken to have gone with it."""
    kept = replace(sensor, period_s=period_s)
    scaled = replace(kept, window_s=sensor.window_s * period_s / sensor.period_s)
    return (scaled, kept) if sensor.shape == "boxcar" and not sensor.is_part_time else (kept, scaled)


def _unknown(period_s: float, seen_share: float) -> SensorModel:
    return SensorModel(period_s, period_s * seen_share, source="assumed")


def _counted(polls: Polls, found: Publications, delay_s: float) -> list[BracketedTicks]:
    """Return the cumulative counter of the publications, less the sensor's delay."""
    if not found.is_seen.any():
        return []
    energy_j = np.append(0.0, np.cumsum(found.power_w[1:] * np.diff(found.moment_s)))
    seen = found.is_seen
    earliest_s = np.maximum.accumulate(found.earliest_s[seen] - PUBLICATION_JITTER_S)
    latest_s = np.minimum.accumulate(found.latest_s[seen][::-1])[::-1]
    latest_s = np.maximum(latest_s, earliest_s)
    span_s = float(polls.before_s[0]), float(polls.after_s[-1])
    return [
        BracketedTicks(
            energy_j[seen], earliest_s - delay_s, latest_s - delay_s, span_s[0] - delay_s, span_s[1] - delay_s
        )
    ]
