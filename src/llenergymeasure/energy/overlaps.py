"""The energy windows that are open in this process: those that are open at once count the same joules."""

import os
import sys
import threading
import warnings
from collections.abc import Hashable
from dataclasses import dataclass, field

PACKAGE = __name__.partition(".")[0]


@dataclass
class Overlap:
    """An open window over the devices of `scope` (None: it reads none), and how many others were open meanwhile."""

    scope: Hashable | None
    others: int = field(default=0, init=False)

    def begin(self) -> None:
        """Count this window and the open ones of its scope as overlapping, and warn where there are any."""
        if self.scope is None:
            return
        with _lock:
            at_once = [each for each in _open if each.scope == self.scope]
            for each in at_once:
                each.others += 1
            self.others = len(at_once)
            _open.append(self)
        if self.others:
            warnings.warn(self.warning, stacklevel=_depth_of_the_caller())

    def end(self) -> None:
        """No longer count it among the open ones; ending twice does nothing."""
        with _lock:
            _open[:] = [each for each in _open if each is not self]

    @property
    def warning(self) -> str:
        """A sentence on the others; there are some."""
        one = self.others == 1
        others = "Another energy window" if one else f"{self.others} other energy windows"
        return (
            f"{others} of this process {'was' if one else 'were'} open at the same time: the joules of that time are "
            "in each, so do not add them up; measure one after another, or around all of them once."
        )


_lock = threading.Lock()
_open: list[Overlap] = []


def _forget_the_parents() -> None:
    """In a child process: the windows of its parent are not its own, nor is a lock that a thread of it held."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)


def _depth_of_the_caller() -> int:
    """Return the `stacklevel`, for a warning of the function that calls this one, of the first frame outside of us."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (PACKAGE, "contextlib"):
        depth, frame = depth + 1, frame.f_back
    return depth
