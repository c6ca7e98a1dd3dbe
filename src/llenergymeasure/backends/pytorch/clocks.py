"""Clocks of token times that do not wait for the device at each token."""

import time
from typing import Any, Protocol


class StepClock(Protocol):
    """Times of one batch's forward passes, in seconds on CLOCK_MONOTONIC."""

    def start(self) -> float:
        """Begin; the device must have nothing left to do."""

    def step(self) -> None:
        """Note that a token has been chosen (on a GPU: its work is queued)."""

    def step_times_s(self) -> tuple[float, ...]:
        """The time of each step; on a GPU the device must have finished them."""


class HostClock:
    """On a CPU a step is done when the call returns."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def start(self) -> float:
        """Begin."""
        self._times = []
        return time.monotonic()

    def step(self) -> None:
        """Read the clock."""
        self._times.append(time.monotonic())

    def step_times_s(self) -> tuple[float, ...]:
        """As they were read."""
        return tuple(self._times)


class CudaClock:
    """CUDA events: the device writes down when it passed each, and the host reads them after the batch."""

    def __init__(self) -> None:
        self._origin_s = 0.0
        self._events: list[Any] = []

    def start(self) -> float:
        """Record the origin on both clocks; the stream is empty, so both are the same moment."""
        self._events = []
        self.step()
        self._events[0].synchronize()
        self._origin_s = time.monotonic()
        return self._origin_s

    def step(self) -> None:
        """Queue an event; this does not wait."""
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._events.append(event)

    def step_times_s(self) -> tuple[float, ...]:
        """The events' times on the host's clock (resolution about 0.5 microseconds)."""
        origin, *steps = self._events
        return tuple(self._origin_s + origin.elapsed_time(step) / 1e3 for step in steps)
