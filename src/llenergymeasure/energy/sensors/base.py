"""The interface of a sensor to the sampler.

A sensor is a module of this folder: how it is found (`probe`), and `open_sensor`, which the sampler calls by the
module's name with the options of its spec. The sampler imports it, so it imports nothing heavy.
"""

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
        """Yield what to read, each with its pace."""
