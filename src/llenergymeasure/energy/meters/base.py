"""The one interface of every energy source."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from llenergymeasure.domain.choices import DeviceKind
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, EnergySoFar, PowerSample

Listener = Callable[[list[EnergySoFar]], None]


@dataclass(frozen=True)
class MeteredDevice:
    """A device that is metered: a GPU by its UUID, a CPU package or its memory by its name.

    `index` is the driver's number of a GPU, `limit_w` the power limit in force; None where it is not told.
    """

    name: str
    kind: DeviceKind
    index: int | None = None
    limit_w: float | None = None


class Meter(ABC):
    """An energy source. Times are seconds on CLOCK_MONOTONIC.

    Between `open` and `close` it watches; `mark` takes a reading at a moment that matters (a window's edge, a
    batch's end) and is cheap. `energy` answers for any window inside, as often as asked, also after `close`.
    Used as a context manager it opens and closes; closing twice does nothing.
    """

    source: str
    """The name that results give: "estimate", "none", …"""

    measured_kinds: frozenset[DeviceKind] = frozenset()
    """The kinds of device of which it reads a sensor; none where it estimates, or knows nothing."""

    _listener: Listener | None = None

    @property
    def is_measurement(self) -> bool:
        """Whether it reads any sensor."""
        return bool(self.measured_kinds)

    def adopt(self, pids: frozenset[int] | None) -> None:  # noqa: B027 - most look at no processes
        """Before it opens: processes that are ours although we did not start them; None: whoever is there first."""

    @abstractmethod
    def open(self) -> None:
        """Begin to watch."""

    @abstractmethod
    def mark(self) -> None:
        """Take a reading now."""

    @abstractmethod
    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """The energy of each device in the window; an `energy_j` of None is unknown, and no list is nothing known.

        A sensor's answer waits, a second at the most, until its counter has ticked twice after the window.

        Raises:
            ValueError: the window reaches beyond what was watched (a sensor's devices are then unknown instead).
        """

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """How well each device was watched in the window; none where there is no sensor."""
        return []

    def samples(self, start_s: float, end_s: float) -> list[PowerSample]:
        """The power of each device over the window, its times counted from the window's start, in order of time."""
        return []

    def cross_check(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """What a second, independent reader found for the same devices; none where there is no such reader."""
        return []

    def forget(self, before_s: float) -> None:  # noqa: B027 - most have nothing to give up
        """No window will begin before then; what was read earlier may be given up."""

    def tell(self, listener: Listener) -> None:
        """Have `listener` called now, and from any thread whenever readings come, until it closes."""
        self._listener = listener
        self._tell()

    def _so_far(self) -> list[EnergySoFar]:
        """The joules of each device by its last reading."""
        return []

    def _tell(self) -> None:
        if self._listener is not None and (readings := self._so_far()):
            self._listener(readings)

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
        """Nothing to open."""

    def mark(self) -> None:
        """Nothing to read."""

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """No device is known."""
        return []

    def close(self) -> None:
        """Nothing to close."""
