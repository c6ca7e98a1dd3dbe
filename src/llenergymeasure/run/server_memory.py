"""The memory of a server while it is measured, as this machine sees it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from llenergymeasure.backends.pytorch.memory import MB, HostMemory
from llenergymeasure.energy.sensors.nvml import BoardUse

UNSEEN = "the server's processes cannot be seen from here"
NOT_TOLD = "the driver does not tell how much memory of the GPU a process has"

Pids = Callable[[], frozenset[int] | None]
Memory = tuple[float | None, str | None]
"""MB (10^6 bytes), or None with the reason."""


class ServerMemory(Protocol):
    """Something that watches the memory of a server."""

    def reset(self) -> None:
        """Begin: the window is about to open."""

    def peak(self) -> Memory:
        """Return the peak since then, or why it is not known."""


class NoServerMemory:
    """The memory of a server that cannot be seen, for a reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def reset(self) -> None:
        """Do nothing."""

    def peak(self) -> Memory:
        """Return the reason."""
        return None, self._reason


class ResidentMemory:
    """The peak resident memory of a server on the CPU, its processes' peaks added up: pages that several share count in
    each. Of a process of another user it is what is resident at the end."""

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self._watched: dict[int, HostMemory] = {}

    def reset(self) -> None:
        """Begin to watch the processes that there are."""
        self._watched = {pid: HostMemory(pid) for pid in self._pids() or ()}
        for memory in self._watched.values():
            memory.reset()

    def peak(self) -> Memory:
        """Return the peak since then."""
        watched = [self._watched.get(pid) or HostMemory(pid) for pid in self._pids() or ()]
        found = [mb for each in watched if (mb := each.peak_mb() or each.now_mb()) is not None]
        return (sum(found), None) if found else (None, UNSEEN)


class DeviceMemory:
    """The memory of its GPUs that a server has: the more of that at the window's start and at its end.

    `use` returns the use of each of its boards, `pids` the server's processes by the driver's numbers. Where none of
    these is known there, it is what the boards have more in use than `before`, if that was looked at.
    """

    def __init__(self, use: Callable[[], Iterable[tuple[BoardUse, BoardUse | None]]], pids: Pids) -> None:
        self._use = use
        self._pids = pids
        self._at_start: float | None = None

    def reset(self) -> None:
        """Look at the window's start."""
        self._at_start, _ = self._now()

    def peak(self) -> Memory:
        """Return the more of then and now."""
        now_mb, reason = self._now()
        known = [mb for mb in (self._at_start, now_mb) if mb is not None]
        return (max(known), None) if known else (None, reason)

    def _now(self) -> Memory:
        pids, found = self._pids(), 0
        for now, before in self._use():
            used = [now.process_bytes.get(pid) for pid in now.pids & (pids or frozenset())]
            if used and None not in used:
                found += sum(each for each in used if each is not None)
            elif before is not None:
                found += max(now.memory_bytes - before.memory_bytes, 0)
            else:
                return None, NOT_TOLD if used else UNSEEN
        return found / MB, None
