"""The processes that a process has started, and the CPU time that they have spent."""

import contextlib
import math
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import psutil

TRIES = 5
LOOK_EVERY_S = 0.1
LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
LINUX_SCHEDULER_CLOCK = 2
"""In a clock's number, beside that of a process: its CPU time by the scheduler (CPUCLOCK_SCHED of posix-timers)."""

CLOCK_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""The kernel tells the CPU time of processes that have ended in ticks, of 10 ms on any usual Linux."""

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
IGNORES = (
    "process {pid} ({name}) ignores SIGCHLD, so nobody is told the CPU time of the processes that it starts once they "
    "have ended"
)


class CpuSpent(NamedTuple):
    """CPU seconds, user and system, of some processes and of what these have started, as far as it has ended.

    `in_ticks` of the processes were told in ticks of the kernel's clock. `ended` has of each, by its number, the part
    that is of what it had started: that part always is in ticks. Processes that ended without anybody being told of
    their time have spent up to `untold_s` seconds more. `unknown` is the reason why the seconds are not all there is.
    """

    seconds: float
    in_ticks: int
    ended: frozenset[tuple[int, float]] = frozenset()
    untold_s: float = 0.0
    unknown: str | None = None


class _Seen(NamedTuple):
    """One process as it was seen: the number of its parent, its own CPU time, and that of what it has waited for."""

    parent: int
    own: CpuSpent
    waited_for_s: float


def live_descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that `process` has started, directly or not, and that still run; parents come first.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    return [each for each in process.children(recursive=True) if _is_alive(each)]


def end_marked(mark: tuple[str, str], grace_s: float, *, supervised: str, kill_patience_s: float = 20.0) -> None:
    """End the processes whose environment has this variable and value, whatever parent and session they have by now.

    Each gets SIGTERM, but for those that have a variable `supervised`, which others end; what still runs `grace_s`
    later gets SIGKILL. Returns when none is left, or `kill_patience_s` after that.
    """
    until_s = time.monotonic() + grace_s
    asked: set[psutil.Process] = set()
    while (left := _marked(*mark)) and (now_s := time.monotonic()) < until_s + kill_patience_s:
        for process, environment in left.items():
            with contextlib.suppress(psutil.Error):
                if now_s >= until_s:
                    process.kill()
                elif process not in asked and supervised not in environment:
                    process.terminate()
        asked.update(left)
        time.sleep(LOOK_EVERY_S)


def _marked(name: str, value: str) -> dict[psutil.Process, dict[str, str]]:
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # another user's
            environment = process.environ()
            if environment.get(name) == value and process.pid != os.getpid() and _is_alive(process):
                found[process] = environment
    return found


def adopt_orphans() -> None:
    """Let this process be the parent of all that it has started, directly or not, and that loses its own: on Linux."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """`adopt_orphans` for a block. Those that end are counted as this process's until it waits for them or ends."""
    import ctypes

    before = ctypes.c_int(0)
    _prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    adopt_orphans()
    try:
        yield
    finally:
        _prctl(PR_SET_CHILD_SUBREAPER, before.value)


def _prctl(option: int, argument: Any) -> None:
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


class FollowedTree:
    """The CPU time of all that `root` has started, directly or not, running or ended; its own too, `with_root`.

    That of a process that has ended is told to the parent that waits for it, and counts from then on. (On macOS that
    is known of this process's own children alone.) A process that was seen once is followed, also where its parent has
    ended and it has left the tree. Where it ends and nobody is told, it counts as far as it was seen, and what it can
    have spent since is `untold_s`: all cores, from one look to the next. What comes and goes between two looks is
    known by what its parent is told, and by nothing else.
    """

    def __init__(self, root: psutil.Process, *, with_root: bool = False) -> None:
        self._root = root
        self._with_root = with_root
        self._known: dict[psutil.Process, _Seen] = {}
        self._strays: list[psutil.Process] = []
        self._kept_s = self._untold_s = self._compared_s = 0.0

    def look(self, without: Collection[int] = ()) -> CpuSpent:
        """Return the time so far; that of the processes whose numbers are in `without` is left out.

        Raises:
            psutil.Error: `root` has ended, or is not to be looked at.
        """
        now: dict[psutil.Process, _Seen] = {}
        self._known = {each: seen for each, seen in self._known.items() if each.pid not in without}
        for _ in range(TRIES):
            at_s = time.monotonic()
            now, is_whole = self._walk(without)
            if is_whole and not self._lost_sight(now):
                self._compare(now, at_s)
                break
        return self._sum(now)

    def _walk(self, without: Collection[int]) -> tuple[dict[psutil.Process, _Seen], bool]:
        """Return all processes, and False if one ended meanwhile: it is missed where its parent was read before it.

        The list comes first and parents are read before their children, so that none is counted twice.
        """
        found, is_whole = _descendants(self._root)
        seen = {self._root: _Seen(0, _own_cpu(self._root), _waited_for_s(self._root))}
        for stray in list(self._strays):
            try:
                below, has_all = _descendants(stray)
            except psutil.NoSuchProcess:
                self._strays.remove(stray)
                is_whole = False
            else:
                found += [(stray, 0), *below]
                is_whole = is_whole and has_all
        for each, parent in found:
            if each.pid in without:
                continue
            try:
                seen[each] = _Seen(parent, _own_cpu(each), _waited_for_s(each))
            except psutil.NoSuchProcess:
                is_whole = False
            except psutil.Error:  # another user's
                continue
        return seen, is_whole

    def _lost_sight(self, now: Collection[psutil.Process]) -> bool:
        """Follow those that run and are in the tree no longer; return True if there are such."""
        gone = [each for each in self._known if each not in now and each not in self._strays]
        left = [each for each in gone if each.is_running()]
        self._strays += left
        return bool(left)

    def _compare(self, now: dict[psutil.Process, _Seen], at_s: float) -> None:
        """Keep the time of those that have ended and of whom those that are left have been told less."""
        parents = {each.pid: seen.parent for each, seen in self._known.items()}
        left = {each.pid: each for each in now if each in self._known}
        to_tell_s: defaultdict[int, float] = defaultdict(float)
        for each, seen in self._known.items():
            if each in now:
                continue
            ancestor = seen.parent
            while ancestor in parents and ancestor not in left:
                ancestor = parents[ancestor]
            to_tell_s[ancestor] += seen.own.seconds + seen.waited_for_s
        for ancestor, spent_s in to_tell_s.items():
            by = left.get(ancestor)
            told_s = 0.0 if by is None else now[by].waited_for_s - self._known[by].waited_for_s
            if spent_s - told_s > 2 * CLOCK_TICK_S:  # a tick of user and one of system time
                self._kept_s += spent_s - told_s
                self._untold_s += (at_s - self._compared_s) * (psutil.cpu_count() or 1)
        self._known, self._compared_s = now, at_s

    def _sum(self, now: dict[psutil.Process, _Seen]) -> CpuSpent:
        own = [seen.own for each, seen in now.items() if self._with_root or each != self._root]
        ended = frozenset((each.pid, seen.waited_for_s) for each, seen in now.items() if seen.waited_for_s > 0)
        return CpuSpent(
            math.fsum([*(each.seconds for each in own), *(seconds for _, seconds in ended), self._kept_s]),
            sum(each.in_ticks for each in own),
            ended,
            self._untold_s,
            next((IGNORES.format(pid=each.pid, name=_name(each)) for each in now if _ignores_children(each.pid)), None),
        )


def added_up(parts: Collection[CpuSpent]) -> CpuSpent:
    """Return the time of all parts, of which none is in another."""
    return CpuSpent(
        sum(part.seconds for part in parts),
        sum(part.in_ticks for part in parts),
        frozenset(each for part in parts for each in part.ended),
        sum(part.untold_s for part in parts),
        next((part.unknown for part in parts if part.unknown is not None), None),
    )


def _descendants(process: psutil.Process) -> tuple[list[tuple[psutil.Process, int]], bool]:
    """Return what a process has started, directly or not, each with its parent's number, parents first, and False if
    one of them ended meanwhile.

    Linux lists the children of each thread: that takes as long as there are threads, and not as there are processes.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    if not LISTS_CHILDREN:
        return _with_parents(process.children(recursive=True))
    if not process.is_running():
        raise psutil.NoSuchProcess(process.pid)
    found: list[tuple[psutil.Process, int]] = []
    waiting, is_whole = [process.pid], True
    for pid in waiting:
        for child in _children(pid):
            try:
                found.append((psutil.Process(child), pid))
            except psutil.NoSuchProcess:
                is_whole = False
            else:
                waiting.append(child)
    return found, is_whole


def _with_parents(processes: list[psutil.Process]) -> tuple[list[tuple[psutil.Process, int]], bool]:
    found = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append((each, each.ppid()))
    return found, len(found) == len(processes)


def _children(pid: int) -> list[int]:
    """Return the numbers of a process's children; none once it has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found


def _own_cpu(process: psutil.Process) -> CpuSpent:
    """Return the CPU time of one process, without what it has started: Linux tells it to the nanosecond.

    Raises:
        psutil.Error: it has ended, or is not to be looked at.
    """
    try:
        return CpuSpent(time.clock_gettime((~process.pid << 3) | LINUX_SCHEDULER_CLOCK), 0)
    except OSError:  # another system, or none of it is left
        times = process.cpu_times()
        return CpuSpent(times.user + times.system, 1)


def _waited_for_s(process: psutil.Process) -> float:
    times = os.times() if process.pid == os.getpid() else process.cpu_times()
    return times.children_user + times.children_system


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "ended"


def _ignores_children(pid: int) -> bool:
    """Return True of a process that ignores SIGCHLD, where the system tells that: Linux."""
    with (
        contextlib.suppress(OSError, ValueError),
        open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file,
    ):
        ignored = next((line.split()[1] for line in file if line.startswith("SigIgn:")), "0")
        return bool(int(ignored, 16) >> (signal.SIGCHLD - 1) & 1)
    return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
