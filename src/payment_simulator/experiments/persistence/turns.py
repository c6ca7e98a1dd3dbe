"""Whose turn it is with a file: processes and threads take turns, and each knows who has it now.

Two lock files stand beside the file, with names that begin with a dot. Who holds the first has the file, and writes
into it who that is. Who holds the second is next; so whoever has just given the file back cannot take it again before
those who wait. The kernel frees both when a process ends, however it ends. Neither is ever removed: a process may be
about to lock it.
"""

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from labledger.errors import LabledgerError
from labledger.files import lock, uninterrupted

HOLDER_BYTES = 512


class DatabaseError(LabledgerError):
    """The database could not be read or written; nothing of the step that failed is in it."""


class DatabaseBusyError(DatabaseError):
    """Someone else has had the database for longer than we wait."""


class Turns:
    """The turns with the file at `path`. Who waits for longer than `patience_s` in all is told who has it."""

    def __init__(self, path: Path, patience_s: float) -> None:
        self._path = path
        self._patience_s = patience_s
        self._taken = path.with_name(f".{path.name}.lock")
        self._next = path.with_name(f".{path.name}.next")

    def deadline_s(self) -> float:
        """When who begins to wait now has waited for long enough, on the monotonic clock."""
        return time.monotonic() + self._patience_s

    @contextlib.contextmanager
    def turn(self, deadline_s: float, *, to_read: bool = False) -> Iterator["Turn"]:
        """It is our turn.

        Raises:
            DatabaseBusyError: it was not by then.
            DatabaseError: there can be no lock file; a reader does without, for DuckDB has a lock of its own.
        """
        with contextlib.ExitStack() as held, contextlib.ExitStack() as in_line:
            self._lock(self._next, in_line, deadline_s, to_read=to_read)
            turn = Turn(self._lock(self._taken, held, deadline_s, to_read=to_read), in_line)
            turn.tell(f"process {os.getpid()} on {platform.node()}")
            yield turn

    def is_awaited(self) -> bool:
        """Whether somebody is next."""
        try:
            with _opened(self._next) as file:
                return not lock(file.fileno(), exclusive=True, wait=False)
        except OSError:
            return False

    def wait_until(self, attempt: Callable[[], bool], deadline_s: float, every_s: float) -> None:
        """Try until it succeeds; Ctrl-C ends the wait, but never an attempt.

        Raises:
            DatabaseBusyError: it did not succeed by then.
        """
        while True:
            with uninterrupted():
                if attempt():
                    return
            if time.monotonic() > deadline_s:
                raise self._busy()
            time.sleep(every_s)

    def _lock(self, path: Path, stack: contextlib.ExitStack, deadline_s: float, *, to_read: bool) -> BinaryIO | None:
        try:
            file = stack.enter_context(_opened(path))
        except OSError as error:
            if to_read:
                return None
            raise DatabaseError(f"{path}: {error.strerror}; whoever writes needs this file") from error
        if not lock(file.fileno(), exclusive=True, wait=False) and not _granted(file, deadline_s):
            raise self._busy()
        return file

    def _busy(self) -> DatabaseBusyError:
        waited = f"in use for the last {self._patience_s:g} s, now by {self._holder()}"
        return DatabaseBusyError(f"{self._path}: {waited}; try again when that has ended")

    def _holder(self) -> str:
        try:
            return self._taken.read_text(encoding="utf-8", errors="replace").strip(" \0\n") or "someone unknown"
        except OSError:
            return "someone unknown"


class Turn:
    """Our turn, and the lock file in which we tell the others about it; we are `in_line` still."""

    def __init__(self, file: BinaryIO | None, in_line: contextlib.ExitStack) -> None:
        self._file = file
        self._in_line = in_line
        self._told = ""

    def call_next(self) -> None:
        """Let another be next.

        Not at the very moment at which our turn comes: whoever has just ended theirs, and wants another one, would come
        before those who have waited all the while.
        """
        self._in_line.close()

    def tell(self, who: str) -> None:
        """Let those who wait know who has the file, and since when."""
        if self._file is None or who == self._told:
            return
        self._told = who
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = f"{who} since {since}\n".encode()[:HOLDER_BYTES].ljust(HOLDER_BYTES)
        with contextlib.suppress(OSError):  # a full disk, or a file that we may only read: they do not learn it
            os.pwrite(self._file.fileno(), text, 0)


def _granted(file: BinaryIO, deadline_s: float) -> bool:
    """Whether the lock on `file` is ours by then: the kernel grants it in the order in which it was asked for.

    It cannot be told for how long to wait, so a thread of its own waits, on a descriptor of its own: once we have given
    up and closed `file`, the lock is free again as soon as it is granted.
    """
    descriptor, granted = os.dup(file.fileno()), threading.Event()

    def wait() -> None:
        lock(descriptor, exclusive=True)
        os.close(descriptor)
        granted.set()

    threading.Thread(target=wait, daemon=True).start()
    return granted.wait(max(0.0, deadline_s - time.monotonic()))


def _opened(path: Path) -> BinaryIO:
    """The lock file, made if it is not there; one that we may not write to can be locked as well."""
    try:
        return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", buffering=0)
    except OSError:
        if not path.exists():
            raise
        return open(path, "rb", buffering=0)
