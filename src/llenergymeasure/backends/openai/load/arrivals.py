"""Arrivals: when requests are sent; and stop rules: when no more are."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ClosedLoop:
    """`concurrency` requests in flight: each that ends makes room for the next, which is due at that moment."""

    concurrency: int


@dataclass(frozen=True)
class OpenLoop:
    """`request_rate` requests per second on average, whatever the server does."""

    request_rate: float
    arrival: Literal["poisson", "constant"] = "poisson"
    seed: int = 42

    def due_times_s(self) -> Iterator[float]:
        """Yield, without end, when each request is due in seconds after the load begins.

        `constant` begins at once, `poisson` with a gap.
        """
        if self.arrival == "constant":
            yield from (number / self.request_rate for number in itertools.count())
        draw = random.Random(self.seed)  # noqa: S311
        due_s = 0.0
        while True:
            due_s += draw.expovariate(self.request_rate)
            yield due_s


@dataclass(frozen=True)
class StopRule:
    """The end of a load: after `requests` requests or `duration_s` seconds none is sent; None is no limit.

    What is in flight then may end: after a `duration_s`, for up to `drain_s`.
    """

    requests: int | None = None
    duration_s: float | None = None
    drain_s: float = 30.0
