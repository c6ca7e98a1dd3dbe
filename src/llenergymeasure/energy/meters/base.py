"""The interface of every meter, and the meter that reads nothing."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from llenergymeasure.domain.choices import DeviceKind
from llenergymeasure.domain.figures import DeviceEnergy, UsedCalibration
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar, PowerSample
from llenergymeasure.energy.calibration.stored import Scale
from llenergymeasure.energy.sensor_model import SensorModel

Listener = Callable[[list[EnergySoFar]], None]


@dataclass(frozen=True)
class MeteredDevice:
    """A device that is metered: a GPU by its UUID, a CPU package or its memory by its name.

    `index` is the driver's number of a GPU, `limit_w` the power limit in force; None where it is not known. `sensor` is
    the model of the power sensor that is read, as the source or beside a counter (None: none is), and
    `counter_is_part_time` is True of a counter that integrates the values of a part-time one, None where nobody knows.
    `scale` is the correction that a calibration found, and `calibration` what of it is used. `notes` are sentences for
    every result.
    """

    name: str
    kind: DeviceKind
    index: int | None = None
    limit_w: float | None = None
    sensor: SensorModel | None = None
    counter_is_part_time: bool | None = None
    scale: Scale | None = None
    calibration: UsedCalibration | None = None
    notes: tuple[str, ...] = ()


class Meter(ABC):
    """A reader of one energy source. Times are seconds on CLOCK_MONOTONIC.

    Between `open` and `close` it watches; `mark` takes a sample at a moment that matters (a window's edge, a
    batch's end) and is cheap. `energy` is of any window inside, as often as it is called, also after `close`.
    Used as a context manager it opens and closes; closing twice does nothing.
    """

    source: str
    """The name of the source in results."""

    measured_kinds: frozenset[DeviceKind] = frozenset()
    """The kinds of device whose sensors it reads; none where it estimates, or knows nothing."""

    _listener: Listener | None = None

    @property
    def is_measurement(self) -> bool:
        """True where it reads a sensor."""
        return bool(self.measured_kinds)

    def adopt(self, pids: frozenset[int] | None) -> None:  # noqa: B027 - most look at no processes
        """Before it opens: count processes as our own that we did not start; None: those that are there first."""

    def pids(self) -> frozenset[int]:
        """Return the processes that read its sensors: they are no part of what is measured."""
        return frozenset()

    def expect_periods(self, periods_s: tuple[float, ...] | None) -> None:  # noqa: B027 - most do not care
        """Before a window is asked for: take account of the seconds after which the load repeats itself, none where it
        does not; None: nothing tells."""

    @abstractmethod
    def open(self) -> None:
        """Begin to watch."""

    @abstractmethod
    def mark(self, *, is_edge: bool = False) -> None:
        """Take a sample now; at the edge of a window (`is_edge`) a whole one, whatever that takes."""

    @abstractmethod
    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return the energy of each device in the window; an `energy_j` of None is unknown, an empty list no device.

        A sensor's answer waits, a second at the most, until its counter has ticked twice after the window.

        Raises:
            ValueError: the window reaches beyond what was watched (a sensor's devices are then unknown instead).
        """

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """Return how well each device was watched in the window; none where there is no sensor."""
        return []

    def samples(self, start_s: float, end_s: float) -> list[PowerSample]:
        """Return the power of each device over the window, in order of time, counted from the window's start."""
        return []

    def cross_check(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return the energy of the same devices by a second, independent reader; none where there is no such reader."""
        return []

    def forget(self, before_s: float) -> None:  # noqa: B027 - most have nothing to give up
        """Give up what was read before then, as far as no later window needs it."""

    def publish_to(self, listener: Listener) -> None:
        """Call `listener` now, and from any thread whenever samples come, until the meter closes."""
        self._listener = listener
        self._publish()

    def _so_far(self) -> list[EnergySoFar]:
        """Return the joules of each device by its last sample."""
        return []

    def _publish(self) -> None:
        if self._listener is not None and (totals := self._so_far()):
            self._listener(totals)

    @abstractmethod
    def close(self) -> None:
        """Stop watching."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoMeter(Meter):
    """Reads nothing; every window is unknown."""

    source = "none"

    def open(self) -> None:
        """Do nothing."""

    def mark(self, *, is_edge: bool = False) -> None:
        """Do nothing."""

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return no device."""
        return []

    def close(self) -> None:
        """Do nothing."""
