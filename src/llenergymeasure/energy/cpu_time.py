"""The CPU time of the processes that are measured, as it grows.

A CPU second is a second of one logical core, in user or kernel mode: all threads count, also those that wait in a loop,
and two hyperthreads of one core that are busy for a second are two.
"""

import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import psutil

from llenergymeasure.metrics.interpolation import Marks
from llenergymeasure.process_tree import CLOCK_TICK_S, CpuSpent, FollowedTree, added_up

CHILDREN_EVERY_S = 0.5  # finding them walks the process table, milliseconds on a busy machine
OTHERS_EVERY_S = 0.25  # so does finding all that a server has started
GONE = "a process of the server has ended, and with it what it had spent"


class Reading(NamedTuple):
    """The CPU time so far, at a moment on CLOCK_MONOTONIC."""

    at_s: float
    spent: CpuSpent


class Reader(Protocol):
    """Something that reads CPU time, between the edges of windows `pace_s` apart at the least."""

    @property
    def pace_s(self) -> float:
        """Seconds."""

    def __call__(self, *, is_edge: bool) -> Reading:
        """Return the time so far; at the edge of a window all processes are looked at, whatever that takes.

        Raises:
            psutil.Error: it cannot be told any more.
        """


class CpuTime:
    """CPU seconds of some processes, read at marks; between two marks they are taken to grow evenly.

    `lost` is the reason why they cannot be told any more; None while they can.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._marks = Marks()
        self._first: CpuSpent | None = None
        self._in_ticks = 0
        self._untold_s = 0.0
        self._next_s = 0.0
        self.lost: str | None = None

    def mark(self, *, is_edge: bool = False) -> None:
        """Read them now; `is_edge` at the edge of a window."""
        if self.lost is not None or (not is_edge and time.monotonic() < self._next_s):
            return
        try:
            at_s, spent = self._reader(is_edge=is_edge)
        except psutil.Error:
            self.lost = GONE
            return
        if spent.unknown is not None:
            self.lost = spent.unknown
        else:
            self._first = self._first or spent
            self._untold_s = spent.untold_s - self._first.untold_s
            self._in_ticks = max(self._in_ticks, spent.in_ticks + len(spent.ended - self._first.ended))
            self._next_s = at_s + self._reader.pace_s
            self._marks.add(at_s, spent.seconds)

    @property
    def last(self) -> tuple[float, float]:
        """The last moment, and the seconds by then; there is none where they were never known."""
        return self._marks.last

    @property
    def resolution_s(self) -> float:
        """Seconds by which a window's may be off: for each process that is told in ticks one of user and one of system,
        and what processes can have spent of which nobody was told."""
        return 2 * CLOCK_TICK_S * self._in_ticks + self._untold_s or time.get_clock_info("process_time").resolution

    def grown(self, start_s: float, end_s: float) -> float:
        """Return the CPU seconds from `start_s` to `end_s`.

        Raises:
            ValueError: the window reaches beyond the marks.
        """
        return self._marks.grown(start_s, end_s)


class ThisProcess:
    """Reads this process and all that it has started, but for the processes that `without` returns."""

    pace_s = 0.0

    def __init__(self) -> None:
        self.without: Callable[[], Collection[int]] = frozenset
        self._tree = FollowedTree(psutil.Process())
        self._started = CpuSpent(0.0, 0)
        self._ended_s = 0.0
        self._looked_s = -CHILDREN_EVERY_S

    def __call__(self, *, is_edge: bool) -> Reading:
        """Return the time so far; children are looked for twice per second, at an edge, and when one has ended."""
        at_s, own_s, times = time.monotonic(), time.process_time(), os.times()
        ended_s = times.children_user + times.children_system
        if is_edge or at_s - self._looked_s >= CHILDREN_EVERY_S or ended_s != self._ended_s:
            self._looked_s, self._ended_s = at_s, ended_s
            self._started = self._tree.look(self.without())
        return Reading(at_s, self._started._replace(seconds=own_s + self._started.seconds))


class OtherProcesses:
    """Reads these processes and all that they have started; none descends from another."""

    pace_s = OTHERS_EVERY_S

    def __init__(self, roots: Sequence[psutil.Process]) -> None:
        self._trees = [FollowedTree(root, with_root=True) for root in roots]

    def __call__(self, *, is_edge: bool) -> Reading:
        """Return the time so far."""
        return Reading(time.monotonic(), added_up([tree.look() for tree in self._trees]))


class Counted:
    """Reads what `spent` returns, which never falls."""

    def __init__(self, spent: Callable[[], CpuSpent], pace_s: float = OTHERS_EVERY_S) -> None:
        self._spent = spent
        self.pace_s = pace_s

    def __call__(self, *, is_edge: bool) -> Reading:
        """Return the time so far."""
        return Reading(time.monotonic(), self._spent())


def of_this_process() -> CpuTime:
    """Return the CPU time of this process and of all that it has started."""
    return CpuTime(ThisProcess())


def of_this_machine() -> CpuTime:
    """Return the CPU time of all processes of this machine, which the kernel counts by core."""

    def spent() -> CpuSpent:
        times = psutil.cpu_times()
        return CpuSpent(float(times.user + times.system), psutil.cpu_count() or 1)

    return CpuTime(Counted(spent, pace_s=0.0))
