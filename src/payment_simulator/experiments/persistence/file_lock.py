"""A fair lock on a file, for processes and threads: first come, first served, and each can read who holds it now.

Two lock files stand beside the file, with names that begin with a dot. The holder of the first has the file, and writes
its own name into it. The holder of the second is next, so a process that has just released the file cannot take it
again before those that wait. Only the first keeps others out. The second gives the order only: a process that is next
but does not take the free file (it was stopped) is passed over.

The kernel frees both when a process ends, however it ends. Neither is ever removed: a process may be about to lock it.
What somebody else has placed under their names (a link, a pipe, a file with something in it) is neither locked nor
written. A program that locks the first, and is none of ours, keeps nobody out for longer than we wait: DuckDB has a
lock of its own on the file, which decides.
"""

import contextlib
import errno
import os
import platform
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from labledger.durations import rough_duration
from labledger.locks import SOMEBODY, lock
from labledger.locks import holder as holder_of
from labledger.notices import notify
from labledger.regular_files import open_regular
from payment_simulator.experiments.persistence.lock_wait import DatabaseBusyError, DatabaseError, LockWait

HOLDER_BYTES = 512
WHO_BYTES = 430  # the rest is for the moment
WRITTEN_BY_US = re.compile(rb".+ since \d{4}-\d\d-\d\dT[\d:.]+\+00:00\n *", re.DOTALL)
OTHER_PROGRAM = ", which does not take turns, at least"
NOBODY = "nobody"
UNKNOWN = "someone unknown"
FOREIGN_PATIENCE_S = 30.0  # the most that we wait for a program that locks our lock file and is none of ours
AT_ONCE_S = 1.0  # what no patience is: another run that stores a step has the file for less


class FileLock:
    """A lock on the file at `path`. A wait fails, and names the holder, when one holder has kept it for `patience_s`.

    Others that come before us do not count: the kernel keeps the order, so our turn comes, on a busy machine later.
    """

    def __init__(self, path: Path, patience_s: float) -> None:
        self._path = path
        self._patience_s = patience_s or AT_ONCE_S
        self._held_path = path.with_name(f".{path.name}.lock")
        self._next_path = path.with_name(f".{path.name}.next")
        self._places: dict[Path, Place] = {}
        self._passed_over: str | None = None  # a program that is none of ours, for which we have waited once

    @contextlib.contextmanager
    def acquired(self, wait: LockWait, *, to_read: bool = False) -> Iterator["HeldLock"]:
        """Return a context in which we hold the lock.

        Raises:
            DatabaseBusyError: somebody kept the file for too long.
            DatabaseError: there can be no lock file; a reader does without, for DuckDB has a lock of its own.
        """
        with contextlib.ExitStack() as held, contextlib.ExitStack() as in_line:
            self._lock(self._next_path, in_line, wait.until_next, to_read=to_read)
            held_lock = HeldLock(self, self._lock(self._held_path, held, wait.until_granted, to_read=to_read), in_line)
            if OTHER_PROGRAM not in self.holder():  # else that one may have the file still, and not we
                held_lock.publish()
            try:
                yield held_lock
            finally:
                held_lock.publish_release()

    def is_awaited(self) -> bool:
        """Return True if a process or thread waits for the lock."""
        try:
            with _opened(self._next_path) as file:
                return not lock(file.fileno(), exclusive=True, wait=False)
        except OSError:
            return False

    def wait(self, heed: Callable[[], None] = lambda: None) -> LockWait:
        """Return a wait that begins when it is first asked about; `heed` raises where the wait is to end."""
        return LockWait(self, self._patience_s, heed)

    def holder(self) -> str:
        """Return the published holder of the file, and since when; empty where that is not known.

        After a release it is "nobody" until the next holder. A process that was killed stays published for as long.
        """
        try:
            with open(open_regular(self._held_path, os.O_RDONLY), "rb") as file:
                text = file.read(HOLDER_BYTES).decode(errors="replace").strip(" \0\n")
        except OSError:
            return ""
        return "".join(each if each.isprintable() else "�" for each in text)

    def left(self) -> str | None:
        """Return the published last holder of a free file; None where the file is held now.

        A look keeps no other look out, and a process that wants the file waits no longer than a look takes.
        """
        try:
            with _opened(self._held_path) as file:
                return self.holder() if lock(file.fileno(), exclusive=False, wait=False) else None
        except OSError as error:
            return str(error)  # acquiring the lock raises it

    def busy(self) -> DatabaseBusyError:
        """Return the error of a wait in which one holder kept the file for too long."""
        waited = f"in use for the last {rough_duration(self._patience_s)}, now by {self._who()}"
        return DatabaseBusyError(f"{self._path}: {waited}; try again when that has ended")

    def hurry(self) -> None:
        """Have no patience from now on: the user has asked for an end."""
        self._patience_s = min(self._patience_s, AT_ONCE_S)

    def tell_of_wait(self, waited_s: float | None) -> None:
        """Tell the user who has the file, how long we wait for it and, not the first time, how long we have waited."""
        patience = f"waiting for it up to {rough_duration(self._patience_of(self.is_foreign()))}"
        since = "" if waited_s is None else f", for {rough_duration(waited_s)} so far"
        notify(f"{self._path}: in use by {self._who()}; {patience}{since}")

    def tell_of_end(self, waited_s: float) -> None:
        """Tell the user, who was told of a wait, that it is over."""
        notify(f"{self._path}: free after {rough_duration(waited_s)}; going on")

    def is_foreign(self) -> bool:
        """Return True if the lock of the file is held by a program that is none of ours."""
        return self._foreign_holder() is not None

    def has_waited_for_foreign(self, waited_s: float) -> bool:
        """Return True if we have waited for long enough for a program that is none of ours, and has the lock file."""
        return self._patience_s > FOREIGN_PATIENCE_S <= waited_s and self.is_foreign()

    def _patience_of(self, is_foreign: bool) -> float:
        return min(self._patience_s, FOREIGN_PATIENCE_S) if is_foreign else self._patience_s

    def _who(self) -> str:
        return self._foreign_holder() or self.holder()

    def _foreign_holder(self) -> str | None:
        """Return who has locked the file's lock without publishing that, as all of ours do; None of ours."""
        try:
            with _opened(self._held_path) as file:
                who = holder_of(file.fileno())
        except OSError:
            who = SOMEBODY
        published = self.holder()
        is_published = published != "" and not published.startswith(NOBODY)
        is_known = who != SOMEBODY and OTHER_PROGRAM not in published
        if is_published and not (is_known and f"{who.partition(' (')[0]} " not in published):
            return None
        return UNKNOWN if who == SOMEBODY else who

    def _passes_over(self) -> bool:
        """Return True if what we wait for is a program that is none of ours: it is passed over from now on."""
        self._passed_over = self._foreign_holder()
        if self._passed_over is None:
            return False
        waited = f"locked for {rough_duration(self._patience_of(True))} by {self._passed_over}"
        notify(f"{self._held_path}: {waited}, which is no labledger; going on without it: DuckDB locks the file itself")
        return True

    def _lock(
        self, path: Path, stack: contextlib.ExitStack, until: Callable[["Place"], None], *, to_read: bool
    ) -> BinaryIO | None:
        try:
            file, place = self._in_line(path)
            stack.enter_context(file)
            if place is not None:
                self._places[path] = place
                if not self._is_granted(place, until):
                    return None
            _refuse_foreign(file, path)
        except OSError as error:
            if to_read:
                return None
            raise DatabaseError(f"{path}: {error.strerror}; a process that writes needs this file") from error
        return file

    def _is_granted(self, place: "Place", until: Callable[["Place"], None]) -> bool:
        """Wait for the lock; return False where we go on without it."""
        if self._passed_over is not None and self._passed_over == self._foreign_holder():
            return False
        try:
            until(place)
        except DatabaseBusyError:
            if not self._passes_over():
                raise
            return False
        return True

    def _in_line(self, path: Path) -> tuple[BinaryIO, "Place | None"]:
        """The lock file and our place in its line, which we may have had before; None: the lock is ours."""
        place = self._places.pop(path, None)
        if place is not None and (file := place.joined()) is not None:
            return file, place
        file = _opened(path)
        return file, None if lock(file.fileno(), exclusive=True, wait=False) else Place(file)


class Place:
    """A place in the line for a lock, which the kernel grants in the order in which it was asked for.

    The kernel takes no time limit, so a thread waits, with the lock file opened once more. The place is kept
    for as long as that takes, and may be joined again; a lock that is granted when nobody has joined is free at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.granted = threading.Event()
        self._file = _once_more(file)
        self._changing = threading.Lock()
        _places.add(self)
        threading.Thread(target=self._wait, daemon=True).start()

    def joined(self) -> BinaryIO | None:
        """The lock file once more: who closes it last gives the lock back. None: it was granted before."""
        with self._changing:
            return None if self._file.closed else _once_more(self._file)

    def leave(self) -> None:
        """Keep nothing in a child that was forked, where no thread waits."""
        self._changing = threading.Lock()
        self._file.close()

    def _wait(self) -> None:
        lock(self._file.fileno(), exclusive=True)
        with self._changing:
            self.granted.set()
            self._file.close()


_places: "weakref.WeakSet[Place]" = weakref.WeakSet()


def _leave_all() -> None:
    for each in list(_places):
        each.leave()


os.register_at_fork(after_in_child=_leave_all)


class HeldLock:
    """A lock that we hold, and its file, in which we publish that; we are `in_line` still."""

    def __init__(self, file_lock: FileLock, file: BinaryIO | None, in_line: contextlib.ExitStack) -> None:
        self._file_lock = file_lock
        self._file = file
        self._in_line = in_line

    def call_next(self) -> None:
        """Let another be next.

        Not at the very moment at which we get the lock: a process that has just released it, and wants it again, would
        come before those that have waited all the while.
        """
        self._in_line.close()

    def publish(self) -> None:
        """Publish that this process holds the file, from now on."""
        self._write(f"process {os.getpid()} on {platform.node()}")

    def publish_release(self) -> None:
        """Publish that nobody holds the file, unless another program has it still that does not use this lock."""
        if OTHER_PROGRAM not in self._file_lock.holder():
            self._write(NOBODY)

    def publish_other(self, other: str) -> None:
        """Publish that another program has the file, which does not use this lock.

        The moment stays, while one process after another waits for the same program: the file has not changed hands.
        """
        if not self._file_lock.holder().startswith(other + OTHER_PROGRAM):
            self._write(other + OTHER_PROGRAM)

    def _write(self, who: str) -> None:
        if self._file is None:
            return
        since = datetime.now(UTC).isoformat(timespec="milliseconds")  # no two holders begin at the same
        text = who.encode()[-WHO_BYTES:] + f" since {since}\n".encode()
        with contextlib.suppress(OSError):  # a full disk, or a file that we may only read: they do not learn it
            os.pwrite(self._file.fileno(), text.ljust(HOLDER_BYTES), 0)


def _opened(path: Path) -> BinaryIO:
    """The lock file, made if it is not there; one that we may not write to can be locked as well.

    Raises:
        OSError: there can be none, or there is something else than a regular file, or a file that has another name
            too: locked under both, it would wait for itself.
    """
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        if not path.exists():
            raise
        descriptor = open_regular(path, os.O_RDONLY)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise _foreign(path)
    return open(descriptor, "rb", buffering=0)  # it is locked, and written with `os.pwrite`


def _once_more(file: BinaryIO) -> BinaryIO:
    return open(os.dup(file.fileno()), "rb", buffering=0)


def _refuse_foreign(file: BinaryIO, path: Path) -> None:
    """Refuse a file that holds something that no lock has written; for a caller that has locked it.

    Raises:
        OSError: it is such a file.
    """
    found = os.pread(file.fileno(), HOLDER_BYTES, 0).strip(b"\0")  # as a power cut may leave it
    if os.fstat(file.fileno()).st_size > HOLDER_BYTES or (found and not WRITTEN_BY_US.fullmatch(found)):
        raise _foreign(path)


def _foreign(path: Path) -> OSError:
    return OSError(errno.EINVAL, "is not a lock file of ours; move it away", os.fspath(path))
