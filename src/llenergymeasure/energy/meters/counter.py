"""Meters that a sampler or a trace feeds with samples: their common part, and the meter of counters that tick."""

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar, PowerSample
from llenergymeasure.energy.device_conditions import foreign_processes, temperatures, throttled
from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.meters.base import Listener, Meter, MeteredDevice, with_gain
from llenergymeasure.energy.power_integral import integrate
from llenergymeasure.energy.power_rows import counter_rows
from llenergymeasure.energy.sampler import Receiver
from llenergymeasure.energy.samples import Recording, SensorSample, State
from llenergymeasure.energy.ticklog import CounterSample, TickLog, Ticks, WindowEnergy
from llenergymeasure.metrics.arithmetic import sum_of_all

POWER_MARGIN = 1.1
"""The most that a device draws, as a multiple of its power limit."""

UNLIMITED_FACTOR = 4
"""The same, as a multiple of the highest mean power seen, where no limit can be read."""

UNBOUNDED_W = 1e6  # before two values were seen nothing is known of a device's power
MEAN_POWER_OVER_S = 0.010
OPEN_TIMEOUT_S = 3.0
SETTLE_TIMEOUT_S = 1.0
LOOK_EVERY_S = 0.010
KEPT_BEFORE_S = 10.0
GAP_TICKS = 3
MIN_TICKS_BEFORE_WINDOW = 2


class Feed(Protocol):
    """A source of samples: a sampler, or a trace that is played."""

    def start(self, receiver: Receiver) -> None:
        """Begin to pass samples to `receiver`, from any thread."""

    def flush(self) -> bool:
        """Pass on everything that was read by now; return False where nothing more will come."""

    def stop(self) -> None:
        """End; stopping twice does nothing."""


class _Total(NamedTuple):
    """The joules of a device from its first sample to the last; None once they are not known any more."""

    last: SensorSample
    energy_j: float | None


class SampledMeter(Meter):
    """Devices that `feed` reads. `quantity` is the column that energy comes from; `pace_s` the longest time between two
    samples of a feed that keeps its pace."""

    quantity: Literal["joules", "power_w"]

    def __init__(
        self, source: str, devices: Sequence[MeteredDevice], feed: Feed, gain_share: float, *, pace_s: float
    ) -> None:
        self.source = source
        self._devices = devices
        self._feed = feed
        self._gain_share = gain_share
        self._pace_s = pace_s
        self._recording = Recording()
        self._totals: dict[str, _Total] = {}
        self._processes = ProcessWatch()
        self._settled_s = -np.inf
        self.measured_kinds = frozenset(device.kind for device in devices)

    @property
    def recording(self) -> Recording:
        """Everything that was read so far."""
        return self._recording

    def adopt(self, pids: frozenset[int] | None) -> None:
        """Count these processes as our own: they are not foreign on a device."""
        self._processes.adopt(pids)

    def open(self) -> None:
        """Start the feed, and wait until each device was read often enough for a window to begin.

        Raises:
            MeterError: the sampler does not start.
        """
        try:
            self._feed.start(self._receive)
            self._wait(self._is_ready, OPEN_TIMEOUT_S)
        except BaseException:  # Ctrl-C too: nobody will close what did not open
            self._feed.stop()
            raise

    def forget(self, before_s: float) -> None:
        """Give up samples of more than a few seconds before."""
        self._recording.forget(before_s - KEPT_BEFORE_S)

    def mark(self) -> None:
        """Do nothing: the feed reads often enough."""

    def publish_to(self, listener: Listener) -> None:
        """Call it with what was read by now, and about once per second from then on."""
        self._feed.flush()
        super().publish_to(listener)

    def _so_far(self) -> list[EnergySoFar]:
        found = []
        for device in self._devices:
            total = self._totals.get(device.name)
            at_s = time.monotonic() if total is None else (total.last.before_s + total.last.after_s) / 2
            found.append(EnergySoFar(device.name, device.kind, self.source, at_s, total and total.energy_j))
        return found

    def _add_up(self, sample: SensorSample) -> None:
        """Add a sample to the total of its device, in order of time: an older one changes nothing."""
        device = next((device for device in self._devices if device.name == sample.device), None)
        if device is None or getattr(sample, self.quantity) is None:
            return
        total = self._totals.get(sample.device)
        if total is None:
            self._totals[sample.device] = _Total(sample, 0.0)
        elif sample.before_s > total.last.before_s:
            added_j = self._joules_between(device, total.last, sample)
            self._totals[sample.device] = _Total(sample, sum_of_all([total.energy_j, added_j]))

    @abstractmethod
    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        """Return the joules between two samples, one after the other; None where they leave it open."""

    def close(self) -> None:
        """Take the last samples, and stop the feed."""
        self._settle(time.monotonic())
        self._feed.stop()

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return each device's energy with its edge and gain."""
        self._settle(end_s)
        found = []
        for device in self._devices:
            energy_j, edge_j = self._window(device, start_s, end_s)
            found.append(
                with_gain(device.name, device.kind, self.source, energy_j, gain_share=self._gain_share, edge_j=edge_j)
            )
        return found

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """Return how well each device was watched."""
        self._settle(end_s)
        return [self._watch(device, start_s, end_s) for device in self._devices]

    def samples(self, start_s: float, end_s: float) -> list[PowerSample]:
        """Return the rows of all devices."""
        self._settle(end_s)
        return sorted(self._rows(start_s, end_s), key=lambda row: row.timestamp_s)

    @abstractmethod
    def _is_ready(self, device: MeteredDevice) -> bool:
        """Return True once a window may begin."""

    @abstractmethod
    def _analyse(self) -> None:
        """Take account of all samples so far."""

    @abstractmethod
    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> WindowEnergy: ...

    @abstractmethod
    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        """Return the moments at which the sensor gave a new value, in order of time."""

    @abstractmethod
    def _notes(self, device: MeteredDevice) -> tuple[str, ...]: ...

    @abstractmethod
    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]: ...

    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch:
        moments_s, recording = self._moments_s(device), self._recording
        tick_s, longest_s, limit_s = gaps(moments_s, start_s, end_s, self._pace_s)
        return DeviceWatch(
            device=device.name,
            index=device.index,
            tick_s=tick_s,
            ticks=int(((moments_s >= start_s) & (moments_s <= end_s)).sum()),
            longest_gap_s=longest_s,
            gap_limit_s=limit_s,
            limit_w=device.limit_w,
            foreign_processes=foreign_processes(recording, self._processes, device.name, start_s, end_s),
            throttled=throttled(recording, device.name, start_s, end_s),
            temperatures_c=temperatures(recording, device.name, start_s, end_s),
            notes=self._notes(device),
        )

    def _settle(self, until_s: float) -> None:
        """Receive new values of each device after `until_s` (two ticks: a later one then changes nothing), or give up
        on it, and analyse."""
        if until_s <= self._settled_s:
            return
        more_will_come = self._wait(
            lambda device: self._recording.last_change_s(device.name, self.quantity) > until_s, SETTLE_TIMEOUT_S
        )
        self._analyse()
        received_s = min(
            (self._recording.last_change_s(device.name, self.quantity) for device in self._devices), default=until_s
        )
        self._settled_s = max(until_s, received_s) if more_will_come else np.inf

    def _wait(self, seen: Callable[[MeteredDevice], bool], timeout_s: float) -> bool:
        """Wait until every device was seen, or for so long; return False where nothing more will come."""
        until_s = time.monotonic() + timeout_s
        while self._feed.flush():
            if all(map(seen, self._devices)) or time.monotonic() > until_s:
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def _receive(self, samples: list[SensorSample], states: list[State]) -> None:
        for state in states:
            if state.pids is not None:
                self._processes.see(state.device, state.pids)
        self._recording.add(samples, states)
        for sample in samples:
            self._add_up(sample)
        self._publish()


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
        super().__init__(source, devices, feed, gain_share, pace_s=pace_s)
        self._lag_s = lag_s
        self._max_tick_s = max_tick_s
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

    def _rising(self, device: MeteredDevice, samples: list[CounterSample]) -> list[CounterSample]:
        """Return samples whose energy falls only where the counter was reset."""
        return samples

    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        pair = [(device.name, each.before_s, each.after_s, each.joules or 0.0) for each in (earlier, later)]
        rising = self._rising(device, pair)
        risen_j = rising[-1][3] - rising[0][3]
        return risen_j if risen_j >= 0 else None

    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> WindowEnergy:
        return self._log.window_of(device.name, start_s, end_s)

    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        stretches = self._log.ticks(device.name)
        return np.concatenate([ticks.moment_s for ticks in stretches]) if stretches else np.array([])

    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch:
        moments_s, powers_w = self._recording.series(device.name, "power_w")
        most_w = self._max_power_w[device.name]
        return replace(
            super()._watch(device, start_s, end_s),
            was_reset=_was_reset(self._log.ticks(device.name), start_s, end_s),
            power_integral_j=integrate(moments_s, powers_w, start_s, end_s, max_power_w=most_w).energy_j,
        )

    def _notes(self, device: MeteredDevice) -> tuple[str, ...]:
        if device.limit_w is not None:
            return ()
        return (
            f"{device.name} reports no power limit: its edge bound takes {UNLIMITED_FACTOR} times the highest mean "
            f"power that was seen, {self._max_power_w[device.name]:.0f} W.",
        )

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        return counter_rows(self._log, self._recording, self._devices, start_s, end_s, self._pace_s / 2)


def _was_reset(stretches: list[Ticks], start_s: float, end_s: float) -> bool:
    """Return True if one stretch of the counter ends, and the next begins, around or in the window."""
    touched = [t for t in stretches if len(t.moment_s) and t.moment_s[0] <= end_s and t.moment_s[-1] >= start_s]
    return len(touched) > 1


def max_power_w(device: MeteredDevice, samples: Sequence[CounterSample]) -> float:
    """Return the most watts that a device draws: 1.1 times its limit, or 4 times the highest mean power seen."""
    if device.limit_w is not None:
        return POWER_MARGIN * device.limit_w
    highest_w = 0.0
    since: CounterSample | None = None
    for sample in samples:
        if since is None or sample[3] < since[3]:
            since = sample
        elif sample[1] - since[2] >= MEAN_POWER_OVER_S and sample[3] > since[3]:
            highest_w = max(highest_w, (sample[3] - since[3]) / (sample[1] - since[2]))
            since = sample
    return UNLIMITED_FACTOR * highest_w or UNBOUNDED_W


def gaps(
    moments_s: np.ndarray, start_s: float, end_s: float, shortest_s: float
) -> tuple[float | None, float | None, float | None]:
    """Return the median time between two values of a sensor, the longest around a window, and the longest allowed.

    Allowed are three of the median, or of `shortest_s` where the median is shorter. `moments_s` are those of the
    values, n in order of time.
    """
    if len(moments_s) == 0:
        return None, end_s - start_s, None
    first = max(int(np.searchsorted(moments_s, start_s, side="right")) - 1, 0)
    last = int(np.searchsorted(moments_s, end_s, side="left"))
    around_s = moments_s[first : last + 1]
    lengths_s = np.diff(around_s).tolist()
    if around_s[-1] < end_s:  # nothing came after the window
        lengths_s.append(end_s - float(around_s[-1]))
    if around_s[0] > start_s:
        lengths_s.append(float(around_s[0]) - start_s)
    tick_s = statistics.median(np.diff(moments_s).tolist()) if len(moments_s) > 1 else None
    limit_s = GAP_TICKS * max(tick_s or 0.0, shortest_s)
    return tick_s, max(lengths_s, default=None), limit_s
