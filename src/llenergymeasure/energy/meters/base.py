"""The one interface of every energy source."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from llenergymeasure.domain.metrics import DeviceEnergy


class Meter(ABC):
    """An energy source. Times are seconds on CLOCK_MONOTONIC.

    Between `open` and `close` it watches; `mark` takes a reading at a moment that matters (a window's edge, a
    batch's end) and is cheap. `energy` answers for any window inside, as often as asked, also after `close`.
    Used as a context manager it opens and closes; closing twice does nothing.
    """

    source: str
    """The name that results give: "estimate", "none", …"""

    is_measurement: bool
    """Whether it reads a sensor, as against estimating or knowing nothing."""

    @abstractmethod
    def open(self) -> None:
        """Begin to watch."""

    @abstractmethod
    def mark(self) -> None:
        """Take a reading now."""

    @abstractmethod
    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """The energy of each device in the window; an `energy_j` of None is unknown, and no list is nothing known.

        Raises:
            ValueError: the window reaches beyond what was watched.
        """

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
