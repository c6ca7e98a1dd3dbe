"""The tick log: the energy of any window, with a bound, from a counter that is sampled now and then.

A cumulative counter changes only at its ticks. Of tick k we keep its energy E_k and a bracket [u_k, v_k] of the
moment it came: u_k is the clock before the last read that still gave the old value, v_k the clock after the first
read of the new one. Power lies in [0, P], so at a moment t the true energy is, for every tick, at most
E_k + P (t - u_k) where t >= u_k, else E_k, and at least E_k where t >= v_k, else E_k - P (v_k - t). The tightest of
these, over two ticks on each side, are `hi` and `lo`. The estimate is the straight line between the brackets'
middles, clipped to [lo, hi] (the middle of [lo, hi] outside of the ticks), and its bound is
b(t) = max(hi - estimate, estimate - lo).

A window is estimate(end) - estimate(start), and its edge_j is b(start) + b(end): adjoining windows add up. The bound
holds if power stays within [0, P] and the counter is exact at its ticks, up to a lag that is stated; lost reads widen
the brackets. Times are seconds on one monotonic clock.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self, TypeVar

import numpy as np

CounterSample = tuple[str, float, float, float]
"""`(device, before_s, after_s, joules)`: a counter's value, and the clock before and after it was read."""

TICKS_EACH_SIDE = 2

T = TypeVar("T")


class WindowEnergy(NamedTuple):
    """Energy of a window and the bound of its two edges; both None where they are unknown."""

    energy_j: float | None
    edge_j: float | None


class Ticks(NamedTuple):
    """The ticks between two resets: the middle of each one's bracket, and the counter then. Arrays of one length."""

    moment_s: np.ndarray
    energy_j: np.ndarray


class BracketedTicks(NamedTuple):
    """Ticks without a reset between them: the energy at each, in order, and the earliest and latest moment at which it
    came (arrays of one length, none of them falling); `first_s` and `last_s` are the moments that they tell about."""

    energy_j: np.ndarray
    earliest_s: np.ndarray
    latest_s: np.ndarray
    first_s: float
    last_s: float


class TickLog:
    """The ticks of each device, usable for any number of windows.

    `max_power_w` is the most that a device can draw; `lag_s` how long the counter may be behind at a tick;
    `max_tick_s` the longest time between two ticks, where the source's is known to be short. Each is a number, or one
    per device. A counter that goes back was reset: no window reaches across that.
    """

    def __init__(
        self,
        samples: Iterable[CounterSample],
        max_power_w: float | Mapping[str, float],
        lag_s: float | Mapping[str, float] = 0.0,
        max_tick_s: float | Mapping[str, float] | None = None,
    ) -> None:
        by_device: dict[str, list[CounterSample]] = {}
        for sample in samples:
            by_device.setdefault(sample[0], []).append(sample)
        self._stretches = {
            device: [
                _Stretch(
                    _bracketed(
                        part,
                        lag_s=of_device(lag_s, device),
                        max_tick_s=math.inf if max_tick_s is None else of_device(max_tick_s, device),
                    ),
                    of_device(max_power_w, device),
                )
                for part in _between_resets(sorted(own, key=lambda sample: sample[1:]))
            ]
            for device, own in by_device.items()
        }

    @classmethod
    def of_ticks(cls, ticks: Mapping[str, Sequence[BracketedTicks]], max_power_w: float | Mapping[str, float]) -> Self:
        """Return the log of ticks whose brackets are known: for each device its stretches without a reset."""
        log = cls([], max_power_w)
        for device, parts in ticks.items():
            log._stretches[device] = [_Stretch(part, of_device(max_power_w, device)) for part in parts]
        return log

    def window(self, start_s: float, end_s: float) -> dict[str, WindowEnergy]:
        """Return the energy of each device from `start_s` to `end_s`.

        It is unknown beyond the samples, across a reset, and where the counter was never seen to tick.

        Raises:
            ValueError: the window ends before it starts.
        """
        _refuse_backwards(start_s, end_s)
        return {device: self.window_of(device, start_s, end_s) for device in self._stretches}

    def window_of(self, device: str, start_s: float, end_s: float) -> WindowEnergy:
        """Return `window` of one device; unknown where it has no sample."""
        _refuse_backwards(start_s, end_s)
        return _window(self._stretches.get(device, []), start_s, end_s)

    def ticks(self, device: str) -> list[Ticks]:
        """Return the ticks that were seen of a device, one entry per stretch without a reset."""
        return [stretch.ticks for stretch in self._stretches.get(device, [])]


class _Stretch:
    """The ticks between two resets."""

    def __init__(self, ticks: BracketedTicks, max_power_w: float) -> None:
        self._energy_j, self._earliest_s, self._latest_s, self.first_s, self.last_s = ticks
        self._max_power_w = max_power_w
        self._middle_s = (self._earliest_s + self._latest_s) / 2

    @property
    def ticks(self) -> Ticks:
        """All ticks but a first value that was there before the first sample."""
        seen = np.isfinite(self._middle_s)
        return Ticks(self._middle_s[seen], self._energy_j[seen])

    def at(self, moment_s: float) -> tuple[float, float]:
        """Return the estimate of the counter at a moment within the stretch, and its bound."""
        after = int(np.searchsorted(self._middle_s, moment_s, side="right"))
        near = slice(max(after - TICKS_EACH_SIDE, 0), after + TICKS_EACH_SIDE)
        energy_j, earliest_s, latest_s = self._energy_j[near], self._earliest_s[near], self._latest_s[near]
        power_w = self._max_power_w
        high_j = float(np.min(energy_j + power_w * np.maximum(moment_s - earliest_s, 0)))
        low_j = float(np.max(energy_j - power_w * np.maximum(latest_s - moment_s, 0)))
        estimate_j = min(max(self._line(after, moment_s, (low_j + high_j) / 2), low_j), high_j)
        return estimate_j, max(abs(high_j - estimate_j), abs(estimate_j - low_j))

    def _line(self, after: int, moment_s: float, otherwise_j: float) -> float:
        """Return the straight line between the ticks around a moment; `otherwise_j` where one of them is missing."""
        if not 0 < after < len(self._middle_s) or math.isinf(self._middle_s[after - 1]):
            return otherwise_j
        start_s, end_s = self._middle_s[after - 1], self._middle_s[after]
        share = (moment_s - start_s) / (end_s - start_s)
        return float(self._energy_j[after - 1] + share * (self._energy_j[after] - self._energy_j[after - 1]))


def _bracketed(samples: list[CounterSample], *, lag_s: float, max_tick_s: float) -> BracketedTicks:
    """Return the ticks of a counter that was sampled, in order of time and without a reset."""
    energies: list[float] = []
    earliest: list[float] = []
    latest: list[float] = []
    last_old_s = -math.inf  # of the first value nobody saw the old one
    for _, before_s, after_s, joules in samples:
        if not energies or joules > energies[-1]:
            energies.append(joules)
            earliest.append(max(last_old_s, before_s - max_tick_s) - lag_s)
            latest.append(after_s)
        last_old_s = before_s
    return BracketedTicks(np.array(energies), np.array(earliest), np.array(latest), samples[0][1], samples[-1][2])


def _refuse_backwards(start_s: float, end_s: float) -> None:
    if end_s < start_s:
        raise ValueError(f"a window from {start_s} s to {end_s} s ends before it starts")


def _window(stretches: list[_Stretch], start_s: float, end_s: float) -> WindowEnergy:
    for stretch in stretches:
        if stretch.first_s <= start_s and end_s <= stretch.last_s:
            (start_j, start_edge_j), (end_j, end_edge_j) = stretch.at(start_s), stretch.at(end_s)
            if math.isfinite(start_edge_j + end_edge_j):
                return WindowEnergy(end_j - start_j, start_edge_j + end_edge_j)
    return WindowEnergy(None, None)


def _between_resets(samples: list[CounterSample]) -> list[list[CounterSample]]:
    parts = [samples[:1]]
    for previous, sample in itertools.pairwise(samples):
        if sample[3] < previous[3]:
            parts.append([])
        parts[-1].append(sample)
    return parts


def of_device(value: T | Mapping[str, T], device: str) -> T:
    """Return a device's own value where there is one per device, else the one value for all."""
    return value[device] if isinstance(value, Mapping) else value
