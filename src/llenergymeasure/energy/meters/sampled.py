"""The common part of meters that a sampler or a trace feeds with samples."""

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar, PowerSample
from llenergymeasure.energy.device_conditions import foreign_processes, temperatures, throttled
from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.meters.base import Listener, Meter, MeteredDevice
from llenergymeasure.energy.power_sensors import as_figures, without_sensor
from llenergymeasure.energy.sampled_power import SEEN_AROUND_S, SampledEnergy, SampledPower, beats
from llenergymeasure.energy.sampler import Receiver
from llenergymeasure.energy.samples import Recording, SensorSample, State
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.metrics.arithmetic import product, sum_of_all

POWER_MARGIN = 1.1
"""The most that a device draws, as a multiple of its power limit."""

OPEN_TIMEOUT_S = 3.0
SETTLE_TIMEOUT_S = 1.0
LOOK_EVERY_S = 0.010
KEPT_BEFORE_S = 10.0
GAP_TICKS = 3


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
    samples of a feed that keeps its pace; `later_s` how long after a window the sensor still gives values of it."""

    quantity: Literal["joules", "power_w"]

    def __init__(
        self, source: str, devices: Sequence[MeteredDevice], feed: Feed, *, pace_s: float, later_s: float = 0.0
    ) -> None:
        self.source = source
        self._devices = devices
        self._feed = feed
        self._pace_s = pace_s
        self._later_s = later_s
        self._periods_s: tuple[float, ...] | None = None
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

    def pids(self) -> frozenset[int]:
        """Return the sampler's; a player of traces is no process."""
        pid = getattr(self._feed, "pid", None)
        return frozenset() if pid is None else frozenset({pid})

    def expect_periods(self, periods_s: tuple[float, ...] | None) -> None:
        """Take account of these periods of the load; None: nothing tells them."""
        self._periods_s = periods_s

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

    def mark(self, *, is_edge: bool = False) -> None:
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
            energy_j = None if total is None else total.energy_j
            if energy_j is not None and device.scale is not None:
                energy_j = device.scale.corrected_j(energy_j, at_s)
            found.append(EnergySoFar(device.name, device.kind, self.source, at_s, energy_j))
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
        """Return each device's energy with its bounds, corrected where its scale is known."""
        self._settle(end_s)
        return [
            self._on_its_scale(device, end_s - start_s, self._window(device, start_s, end_s))
            for device in self._devices
        ]

    def _on_its_scale(self, device: MeteredDevice, window_s: float, found: SampledEnergy) -> DeviceEnergy:
        energy_j, edge_j, coverage_j = found
        scale, gain_j = device.scale, None
        if energy_j is not None and scale is not None:
            energy_j = scale.corrected_j(energy_j, window_s)
            gain_j = scale.bound_j(energy_j, window_s)
            edge_j, coverage_j = product(edge_j, scale.gain), product(coverage_j, scale.gain)
        elif energy_j is not None:
            gain_j = self._gain_j(energy_j, window_s)
        model, calibration = self._model(device), device.calibration
        if calibration is not None and model is not None and model.source != "measured":
            calibration = without_sensor(calibration)
        return DeviceEnergy(
            device=device.name,
            kind=device.kind,
            source=self.source,
            energy_j=energy_j,
            edge_j=edge_j,
            coverage_j=coverage_j,
            gain_j=gain_j,
            sensor=None if model is None else as_figures(model),
            calibration=calibration,
        )

    def _is_periodic(self, device: MeteredDevice, model: SensorModel, start_s: float, end_s: float) -> bool | None:
        """Return True where the load has a period that a sensor may not see around a window; None: nothing tells."""
        if self._periods_s is None or model.unevenness == 0:
            return None
        moments_s = self._moments_s(device)
        near_s = moments_s[np.searchsorted(moments_s, start_s - SEEN_AROUND_S) :]
        near_s = near_s[: np.searchsorted(near_s, end_s + SEEN_AROUND_S)]
        watched_s = float(near_s[-1] - near_s[0]) if len(near_s) > 1 else model.period_s
        return any(beats(period_s, model, watched_s) for period_s in self._periods_s)

    def _model(self, device: MeteredDevice) -> SensorModel | None:
        """Return the model by which its power was read; None where none was."""
        return device.sensor

    @abstractmethod
    def _gain_j(self, energy_j: float, window_s: float) -> float:
        """Return the bound on the scale of an energy that no calibration has corrected."""

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
    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> SampledEnergy:
        """Return the energy of a device as it was read."""

    @abstractmethod
    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        """Return the moments at which the sensor gave a new value, in order of time."""

    @abstractmethod
    def _notes(self, device: MeteredDevice) -> tuple[str, ...]:
        """Return what the samples themselves say, beside the notes of the device."""

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
            notes=(*device.notes, *self._notes(device)),
        )

    def _settle(self, until_s: float) -> None:
        """Receive new values of each device after `until_s` (two ticks: a later one then changes nothing) and what the
        sensor gives of it later, or give up on it, and analyse."""
        until_s += self._later_s
        if until_s <= self._settled_s:
            return
        more_will_come = self._wait(
            lambda device: self._recording.last_change_s(device.name, self.quantity) > until_s,
            SETTLE_TIMEOUT_S + self._later_s,
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


def sampled_power(recording: Recording, devices: Sequence[MeteredDevice]) -> SampledPower:
    """Return the energy by the power of devices with a sensor, up to 1.1 times their power limit or more."""
    return SampledPower(
        [reading for device in devices for reading in recording.power(device.name)],
        {device.name: device.sensor for device in devices if device.sensor is not None},
        {device.name: product(device.limit_w, POWER_MARGIN) for device in devices},
    )


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
