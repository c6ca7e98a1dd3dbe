"""What all meters share that are fed with reads: by the sampler process, or from a trace."""

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar, PowerSample
from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.meters.base import Listener, Meter, MeteredDevice
from llenergymeasure.energy.sampler_process import Heard
from llenergymeasure.energy.samples import Recording, SensorSample, State
from llenergymeasure.energy.sensors.nvml import PROCESSES_EVERY_S
from llenergymeasure.energy.ticklog import WindowEnergy
from llenergymeasure.metrics.arithmetic import sum_of_all

POWER_MARGIN = 1.1
"""The most that a device draws, as a multiple of its power limit."""

UNLIMITED_FACTOR = 4
"""The same, as a multiple of the highest mean power seen, where no limit can be read."""

MEAN_POWER_OVER_S = 0.010
OPEN_PATIENCE_S = 3.0
SETTLE_PATIENCE_S = 1.0
LOOK_EVERY_S = 0.010
KEPT_BEFORE_S = 10.0
GAP_TICKS = 3


class Feed(Protocol):
    """Where reads come from."""

    def start(self, heard: Heard) -> None:
        """Begin to pass reads to `heard`, from any thread."""

    def flush(self) -> bool:
        """Have everything heard that was read by now; False where nothing more will come."""

    def stop(self) -> None:
        """End; stopping twice does nothing."""


class _Total(NamedTuple):
    """The joules of a device from its first read to the last; None once they are not known any more."""

    last: SensorSample
    energy_j: float | None


class SampledMeter(Meter):
    """Devices that `feed` reads. `quantity` is the column that energy comes from."""

    quantity: Literal["joules", "power_w"]

    def __init__(self, source: str, devices: Sequence[MeteredDevice], feed: Feed, gain_share: float) -> None:
        self.source = source
        self._devices = devices
        self._feed = feed
        self._gain_share = gain_share
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
        """They are not foreign on a device."""
        self._processes.adopt(pids)

    def open(self) -> None:
        """Start the feed, and wait until each device was read often enough for a window to begin.

        Raises:
            MeterError: the sampler does not start.
        """
        try:
            self._feed.start(self._hear)
            self._wait(self._is_ready, OPEN_PATIENCE_S)
        except BaseException:  # Ctrl-C too: nobody will close what did not open
            self._feed.stop()
            raise

    def forget(self, before_s: float) -> None:
        """Give up reads of more than a few seconds before."""
        self._recording.forget(before_s - KEPT_BEFORE_S)

    def mark(self) -> None:
        """Nothing: the feed reads often enough."""

    def tell(self, listener: Listener) -> None:
        """Have it called with what was read by now, and about once a second from then on."""
        self._feed.flush()
        super().tell(listener)

    def _so_far(self) -> list[EnergySoFar]:
        found = []
        for device in self._devices:
            total = self._totals.get(device.name)
            at_s = time.monotonic() if total is None else (total.last.before_s + total.last.after_s) / 2
            found.append(EnergySoFar(device.name, device.kind, self.source, at_s, total and total.energy_j))
        return found

    def _add_up(self, read: SensorSample) -> None:
        """Take a read into the total of its device, in order of time: an older one says nothing that is not known."""
        device = next((device for device in self._devices if device.name == read.device), None)
        if device is None or getattr(read, self.quantity) is None:
            return
        total = self._totals.get(read.device)
        if total is None:
            self._totals[read.device] = _Total(read, 0.0)
        elif read.before_s > total.last.before_s:
            added_j = self._joules_between(device, total.last, read)
            self._totals[read.device] = _Total(read, sum_of_all([total.energy_j, added_j]))

    @abstractmethod
    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        """By two reads of it, one after the other; None where they do not tell."""

    def close(self) -> None:
        """Take the last reads, and stop the feed."""
        self._settle(time.monotonic())
        self._feed.stop()

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Each device's energy with its edge and gain."""
        self._settle(end_s)
        found = []
        for device in self._devices:
            energy_j, edge_j = self._window(device, start_s, end_s)
            gain_j = None if energy_j is None else abs(energy_j) * self._gain_share
            found.append(
                DeviceEnergy(
                    device=device.name,
                    kind=device.kind,
                    source=self.source,
                    energy_j=energy_j,
                    edge_j=edge_j,
                    gain_j=gain_j,
                )
            )
        return found

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """How well each device was watched."""
        self._settle(end_s)
        return [self._watch(device, start_s, end_s) for device in self._devices]

    def samples(self, start_s: float, end_s: float) -> list[PowerSample]:
        """Rows of all devices."""
        self._settle(end_s)
        return sorted(self._rows(start_s, end_s), key=lambda row: row.timestamp_s)

    @abstractmethod
    def _is_ready(self, device: MeteredDevice) -> bool:
        """Whether a window may begin."""

    @abstractmethod
    def _analyse(self) -> None:
        """Take account of all reads so far."""

    @abstractmethod
    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> WindowEnergy: ...

    @abstractmethod
    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch: ...

    @abstractmethod
    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]: ...

    def _settle(self, until_s: float) -> None:
        """Hear of new values of each device after `until_s` (two ticks: a later one then changes nothing), or give up
        on it, and analyse."""
        if until_s <= self._settled_s:
            return
        more_will_come = self._wait(
            lambda device: self._recording.last_change_s(device.name, self.quantity) > until_s, SETTLE_PATIENCE_S
        )
        self._analyse()
        heard_s = min(
            (self._recording.last_change_s(device.name, self.quantity) for device in self._devices), default=until_s
        )
        self._settled_s = max(until_s, heard_s) if more_will_come else np.inf

    def _wait(self, seen: Callable[[MeteredDevice], bool], patience_s: float) -> bool:
        """Wait until every device was seen, or for so long; False where nothing more will come."""
        until_s = time.monotonic() + patience_s
        while self._feed.flush():
            if all(map(seen, self._devices)) or time.monotonic() > until_s:
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def _hear(self, reads: list[SensorSample], states: list[State]) -> None:
        for state in states:
            if state.pids is not None:
                self._processes.see(state.device, state.pids)
        self._recording.add(reads, states)
        for read in reads:
            self._add_up(read)
        self._tell()

    def _foreign(self, device: MeteredDevice, start_s: float, end_s: float) -> tuple[str, ...]:
        """Foreign processes; a look just outside of the window counts, so that a short one has one too."""
        near = [
            state.pids
            for state in self._recording.states(device.name)
            if state.pids is not None and start_s - PROCESSES_EVERY_S <= state.at_s <= end_s + PROCESSES_EVERY_S
        ]
        return tuple(sorted({name for pids in near for name in self._processes.foreign(pids)}))

    def _throttled(self, device: MeteredDevice, start_s: float, end_s: float) -> dict[str, float]:
        """The share of the looks inside the window at which each reason held."""
        looks = [
            state.throttle
            for state in self._recording.states(device.name)
            if state.pids is None and start_s <= state.at_s <= end_s
        ]
        reasons = sorted({reason for look in looks for reason in look})
        return {reason: sum(reason in look for look in looks) / len(looks) for reason in reasons}

    def _temperatures(self, device: MeteredDevice, start_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Moments counted from the window's start, and degrees."""
        moments_s, degrees = self._recording.series(device.name, "temperature_c")
        inside = (moments_s >= start_s) & (moments_s <= end_s)
        return tuple(zip((moments_s[inside] - start_s).tolist(), degrees[inside].tolist(), strict=True))

    def _temperatures_at(self, device: MeteredDevice, at_s: Sequence[float]) -> list[float | None]:
        """The last that was read by each of these moments."""
        moments_s, degrees = self._recording.series(device.name, "temperature_c")
        places = np.searchsorted(moments_s, np.array(at_s, dtype=float), side="right") - 1
        return [float(degrees[place]) if place >= 0 else None for place in places.tolist()]


def gaps(
    moments_s: np.ndarray, start_s: float, end_s: float, shortest_s: float
) -> tuple[float | None, float | None, float | None]:
    """Of the values of a sensor around a window: the median time between two, the longest, and the longest allowed.

    Allowed are three of the median, or of `shortest_s` where the median is shorter.
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
