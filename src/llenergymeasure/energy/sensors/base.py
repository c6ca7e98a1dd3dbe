"""What the sampler asks of a sensor."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from llenergymeasure.energy.samples import SensorSample, State


class Task(NamedTuple):
    """Something to read, and the seconds until it is read again; what fails gives no row."""

    read: Callable[[], Iterable[SensorSample | State]]
    every_s: Callable[[], float]


class Sensor(Protocol):
    """Something that is read at its own pace."""

    def tasks(self) -> Iterator[Task]:
        """What to read, and how often."""
