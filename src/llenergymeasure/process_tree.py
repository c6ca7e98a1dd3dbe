"""The processes that a process has started, and the CPU time that they have spent."""

import os

import psutil

TRIES = 5


def live_descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that `process` has started, directly or not, and that still run; parents come first.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    return [each for each in process.children(recursive=True) if _is_alive(each)]


def started_cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of all that `process` has started, directly or not, running or ended; not its own.

    Those of a process that has ended are counted once its parent has waited for it, as the kernel does. (On macOS that
    is known of this process's own children alone.)

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    spent_s = 0.0
    for _ in range(TRIES):
        spent_s, is_whole = _walk(process)
        if is_whole:
            break
    return spent_s


def _walk(process: psutil.Process) -> tuple[float, bool]:
    """Return the seconds, and False if a process ended meanwhile: it is missed where its parent was read before it.

    The list comes first and parents are read before their children, so that none is counted twice.
    """
    started = process.children(recursive=True)
    spent_s, is_whole = _waited_for_s(process), True
    for each in started:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            is_whole = False
        except psutil.Error:  # another user's
            continue
        else:
            spent_s += times.user + times.system + times.children_user + times.children_system
    return spent_s, is_whole


def _waited_for_s(process: psutil.Process) -> float:
    times = os.times() if process.pid == os.getpid() else process.cpu_times()
    return times.children_user + times.children_system


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
