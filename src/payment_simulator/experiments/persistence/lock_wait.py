"""A wait for the lock of a database's file, and the errors in which it may end."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from labledger.errors import LabledgerError
from labledger.files import uninterrupted

if TYPE_CHECKING:
    from payment_simulator.experiments.persistence.file_lock import FileLock, Place

LEAST_LOOKS = 10
"""Looks at the holder of the file in the whole of our patience, at least."""
LOOK_EVERY_S = 2.0
TOLD_AGAIN_S = 60.0
COURTESY_S = 0.1
"""Between two looks at whether the file is left to who is next; a lock is taken in some 10 ms."""


class DatabaseError(LabledgerError):
    """The database could not be read or written; nothing of the step that failed is in it."""


class DatabaseBusyError(DatabaseError):
    """One process has held the database for longer than we wait."""


class LockWait:
    """A wait for the lock, which goes on for as long as the file changes hands."""

    def __init__(self, file_lock: "FileLock", patience_s: float, heed: Callable[[], None]) -> None:
        self._file_lock = file_lock
        self._heed = heed
        self._every_s = min(patience_s / LEAST_LOOKS, LOOK_EVERY_S)
        self._looks = round(patience_s / self._every_s)
        self._looks_left = self._looks
        self._began_s = time.monotonic()
        self._next_look_s = 0.0
        self._holder: str | None = None
        self._told_s: float | None = None  # when the user was last told

    def until(self, attempt: Callable[[], bool], every_s: float) -> None:
        """Try until it succeeds; Ctrl-C ends the wait, but never an attempt.

        Raises:
            DatabaseBusyError: one and the same has had the file for too long.
        """
        while True:
            with uninterrupted():
                if attempt():
                    return
            self._look()
            time.sleep(every_s)

    def until_granted(self, place: "Place") -> None:
        """Return when the lock is ours.

        Raises:
            DatabaseBusyError: as `until`.
        """
        while not place.granted.is_set():
            self._look(at_lock=True)
            place.granted.wait(min(self._every_s, COURTESY_S))

    def until_next(self, place: "Place") -> None:
        """Return when the lock of who is next is ours, or that one leaves the file to us.

        It does so where nobody has, or has had, the file between two looks. It may have been stopped.

        Raises:
            DatabaseBusyError: as `until`.
        """
        left_before = None
        while not place.granted.is_set():
            self._heed()
            left = self._file_lock.left()
            if left is None:
                self._look(at_lock=True)
            elif left == left_before:
                return
            left_before = left
            place.granted.wait(min(self._every_s, COURTESY_S))

    def over(self) -> None:
        """Tell the user that the wait is over, if it was told."""
        if self._told_s is not None:
            self._file_lock.tell_of_end(time.monotonic() - self._began_s)

    def _look(self, *, at_lock: bool = False) -> None:
        """Count a look at which the file has not changed hands since the last one.

        Looks are counted, not time: a process that was stopped, or came to nothing on a busy machine, has not waited.
        For a program that is none of ours we wait less `at_lock`, the lock file, which DuckDB does not need.
        """
        self._heed()
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s, before, self._holder = now_s + self._every_s, self._holder, self._file_lock.holder()
        self._looks_left = self._looks_left - 1 if self._holder == before else self._looks
        if self._looks_left < self._looks:
            self._tell(now_s)
        waited_s = (self._looks - self._looks_left) * self._every_s
        if not self._looks_left or (at_lock and self._file_lock.has_waited_for_foreign(waited_s)):
            self._looks_left, self._told_s = self._looks, None  # who goes on without it may wait for another next
            raise self._file_lock.busy()

    def _tell(self, now_s: float) -> None:
        """Tell the user of the wait: at the first look at which the holder is the same, then once a minute."""
        if self._told_s is None:
            self._file_lock.tell_of_wait(None)
        elif now_s - self._told_s >= TOLD_AGAIN_S:
            self._file_lock.tell_of_wait(now_s - self._began_s)
        else:
            return
        self._told_s = now_s
