"""The signals that end a program: Ctrl-C, SIGTERM, and SIGHUP, which comes when its terminal or its connection closes.

A program that was started to ignore SIGHUP, as by `nohup`, ignores it.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)
"""None on Windows."""
ENDING = (signal.SIGTERM,) if HANGUP is None else (signal.SIGTERM, HANGUP)
"""Those that end a program beside Ctrl-C."""


class Terminated(KeyboardInterrupt):
    """The signal `number`: it ends a run as Ctrl-C does, keeping what was measured."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def terminate(number: int, frame: FrameType | None) -> None:
    """Raise `Terminated`: the handler of the signals that end a program."""
    if number == HANGUP:  # a shell and the kernel may both send it; one does not hurry the other
        signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)


def end_on_signals(handler: Callable[[int, FrameType | None], Any] = terminate) -> None:
    """Let `handler` hear the signals that end a program, SIGHUP unless it is ignored."""
    for number in ENDING:
        if number != HANGUP or not is_ignored(number):
            signal.signal(number, handler)


def hear_of_children() -> None:
    """Let this process, and those that it starts, be told how its children end and what CPU time they have spent.

    One that was started with SIGCHLD ignored is not, and takes every child's exit code for 0.
    """
    child = getattr(signal, "SIGCHLD", None)  # None on Windows
    if child is not None and is_ignored(child):
        signal.signal(child, signal.SIG_DFL)


def is_ignored(number: int) -> bool:
    """Return True if this process ignores the signal."""
    return signal.getsignal(number) is signal.SIG_IGN
