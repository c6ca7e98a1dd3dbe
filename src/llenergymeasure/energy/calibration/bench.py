"""The interface of a board to its calibration: put a load on it at set times, and read its sensors meanwhile."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llenergymeasure.energy.samples import SensorSample


class LoadTrace(NamedTuple):
    """A stretch of time on a board: the intervals in which it was kept busy, and every sample of its sensors.

    All times are seconds on the clock of the samples, `start_s` and `end_s` of the whole stretch included. `busy` are
    the times as the host saw them: from before the first piece of work was handed over to after the last had ended.
    """

    start_s: float
    end_s: float
    busy: tuple[tuple[float, float], ...]
    samples: tuple[SensorSample, ...]


class Bench(Protocol):
    """A board that can be kept busy or left alone while its sensors are polled."""

    @property
    def uuid(self) -> str:
        """The board's UUID, as its samples name it."""

    @property
    def limit_w(self) -> float | None:
        """The power limit in force; None where it is not known."""

    def record(self, seconds: float, busy: Sequence[tuple[float, float]] = ()) -> LoadTrace:
        """Poll the sensors for `seconds`, with the board busy in the intervals `busy` (seconds from the start, in
        order) as closely as it can be done, and idle otherwise."""
