"""DuckDB as a good neighbour: one file that many processes write to and read, each for a moment.

DuckDB gives a file to one writing process alone. Here a process takes the file under a fair lock, for a short lease,
because to open and close a file costs about as much as ten commits. It gives the file back by itself, between two
transactions: soon when others wait or nothing is written, after `LEASE_S` in any case. A reader gives it back at
once. A process that does not use the lock, such as a `duckdb` shell, succeeds whenever no lease is held; while it has
the file, we wait for it as for any other.

What `write` has returned from survives `kill -9`: DuckDB syncs its log at each commit, and what a killed process left
in the log is taken over by the next one that opens the file.
"""

import contextlib
import errno
import os
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.files import copy_durably, joined_directory, uninterrupted
from labledger.regular_files import A_REGULAR_FILE, kind_of
from labledger.untrusted_text import reason_of
from payment_simulator.experiments.interrupts import hear_interrupt
from payment_simulator.experiments.persistence import schema
from payment_simulator.experiments.persistence.columns import UnreadableRowError
from payment_simulator.experiments.persistence.connections import (
    MEMORY_LIMIT,
    ForeignPartsError,
    connect,
    duckdb_module,
    refuse_macros,
    version_of,
    warm_up,
)
from payment_simulator.experiments.persistence.file_lock import FileLock, HeldLock
from payment_simulator.experiments.persistence.lock_wait import DatabaseBusyError, DatabaseError, LockWait

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Database", "DatabaseBusyError", "DatabaseError", "UnusableDatabaseError"]

LEASE_S = 0.4
UNUSED_S = 0.05  # a lease is given back when it was not used for so long, or when others wait and it has lasted so long
LOOK_EVERY_S = 0.002  # whether another thread of ours still uses the connection
TRY_EVERY_S = 0.05  # to open the file while a process has it that does not use our lock: each try takes some 10 ms
PATIENCE_S = 30.0
NO_ROOM = os.strerror(errno.ENOSPC)
SHOWN_REASON = 400
MAGIC, MAGIC_AT = b"DUCK", 8
LOGS, SPILLED = (".wal", ".wal.checkpoint", ".wal.recovery"), ".tmp"


class UnusableDatabaseError(DatabaseError):
    """There is no database, or it is not one of ours, or newer than this version; the file is as it was."""

    exit_code = 2


@dataclass
class _Lease:
    """The file for a moment: it is given back by closing the connection, then what is `held`."""

    connection: "DuckDBPyConnection"
    held: contextlib.ExitStack
    read_only: bool
    began_s: float = field(default_factory=time.monotonic)
    uses: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class Database:
    """The DuckDB file at `path`: made if it is not there (unless it `must_exist`).

    A file of an older schema is brought to the present one by the first `write`; until then it is read as it is.

    Any number of threads and processes may use it at the same time. It may be used after `close` too. A process that
    forks gives the file back first, and is not to fork inside of `write` or `read`.

    Raises:
        ConfigError: DuckDB is not installed.
        UnusableDatabaseError: see there.
        DatabaseBusyError: someone else has had the file for `patience_s`.
        DatabaseError: the file could not be made or read.
    """

    def __init__(self, path: Path | str, *, must_exist: bool = False, patience_s: float = PATIENCE_S) -> None:
        warm_up()
        self.path = Path(os.path.realpath(path))
        self._file_lock = FileLock(self.path, patience_s)
        self._busy = threading.Lock()
        self._user: int | None = None  # the thread that is inside of `write` or `read`
        self._lease: _Lease | None = None
        self._is_hurried = False
        _databases.add(self)
        if self._is_there():
            if not _is_duckdb(self.path):
                raise self._no_duckdb()
        elif must_exist:
            raise self._missing()
        else:
            self._make()
        with self._connection(read_only=True) as connection:  # a file that is not ours is not even opened to be written
            version = self._version(connection)
            refuse_macros(connection)
        if version == 0:  # no tables at all
            with self._connection(read_only=False):
                pass

    @contextlib.contextmanager
    def write(self, committed: Callable[[], None] = lambda: None) -> Iterator["DuckDBPyConnection"]:
        """Return a context with a transaction: committed when the block ends, rolled back after an exception.

        Ctrl-C waits until then, and until `committed` was called. Keep it short, for others wait.

        Raises:
            DatabaseBusyError: someone else has had the file for longer than we wait.
            DatabaseError: DuckDB refused something inside, or the commit: the disk is full; or an older schema could
                not be brought to the present one, and the file is as it was.
        """
        with self._connection(read_only=False) as connection:
            connection.begin()
            yield connection
            connection.commit()
            committed()

    @contextlib.contextmanager
    def read(self) -> Iterator["DuckDBPyConnection"]:
        """Return a context with a connection that reads the file as it is now. Keep it short, for others wait.

        Ctrl-C waits until its end.

        Raises:
            DatabaseBusyError: someone else has had the file for longer than we wait.
            DatabaseError: DuckDB refused something inside.
        """
        with self._connection(read_only=True) as connection:
            connection.execute("BEGIN TRANSACTION READ ONLY")
            yield connection
            connection.rollback()

    def hurry(self) -> None:
        """Wait no longer than a moment for others from now on, also in a task that is to be cancelled."""
        self._is_hurried = True
        self._file_lock.hurry()

    def close(self) -> None:
        """Give the file back now, and not in a moment."""
        self._refuse_inside()
        with uninterrupted(), self._busy:
            self._give_back()

    def _make(self) -> None:
        """Put an empty database at the path, whole."""
        try:
            with (
                uninterrupted() as heed,
                joined_directory(self.path.parent),
                self._file_lock.acquired(self._file_lock.wait(lambda: self._hear(heed))),
            ):
                if self._is_there():
                    return
                self._refuse_left_logs()
                with tempfile.TemporaryDirectory() as folder:
                    made = Path(folder) / "made.db"
                    with connect(made) as connection:
                        schema.migrate(connection, 0)
                    copy_durably(made, self.path)
        except (OSError, duckdb_module().Error) as error:
            raise DatabaseError(
                f"{self.path}: a database cannot be made there: {reason_of(error, SHOWN_REASON)}"
            ) from error

    @contextlib.contextmanager
    def _connection(self, *, read_only: bool) -> Iterator["DuckDBPyConnection"]:
        """A connection that nobody else uses meanwhile, and nobody again after an exception.

        Ctrl-C ends a wait for it; later it waits until all is given back, which else could be cut between two lines.
        """
        self._refuse_inside()
        with uninterrupted() as heed, contextlib.ExitStack() as mine:
            wait = self._file_lock.wait(lambda: self._hear(heed))
            wait.until(lambda: self._enter(mine), LOOK_EVERY_S)
            try:
                lease = self._lease or self._take(wait, read_only=read_only)
                yield lease.connection
                lease.uses += 1
                if self._is_over(lease):
                    self._give_back()
            except BaseException as error:
                self._give_back()
                if (told := self._told(error)) is not None:
                    raise told from error
                raise

    def _hear(self, heed: Callable[[], None]) -> None:
        """Let an interrupt end a wait: asyncio only cancels the task on a first Ctrl-C."""
        heed()
        if not self._is_hurried:
            hear_interrupt()

    def _refuse_inside(self) -> None:
        if self._user == threading.get_ident():
            raise RuntimeError(f"{self.path}: not inside of another write or read; use the connection of that one")

    def _enter(self, mine: contextlib.ExitStack) -> bool:
        if not self._busy.acquire(blocking=False):
            return False
        mine.callback(self._leave)
        self._user = threading.get_ident()
        return True

    def _leave(self) -> None:
        self._user = None
        self._busy.release()

    def _take(self, wait: LockWait, *, read_only: bool) -> _Lease:
        with contextlib.ExitStack() as held:
            held_lock = held.enter_context(self._file_lock.acquired(wait, to_read=read_only))
            wait.until(lambda: self._lend(held, held_lock, read_only=read_only), TRY_EVERY_S)
        wait.over()
        assert self._lease is not None  # noqa: S101 - it was lent
        return self._lease

    def _lend(self, held: contextlib.ExitStack, held_lock: HeldLock, *, read_only: bool) -> bool:
        connection = self._connect(held_lock, read_only=read_only)
        if connection is None:
            return False
        held_lock.publish()
        held_lock.call_next()
        self._lease = _Lease(connection, held.pop_all(), read_only)
        if not read_only:
            # No daemon: a process that ends gives the file back first.
            threading.Thread(target=self._watch, args=[self._lease]).start()
        return True

    def _connect(self, held_lock: HeldLock, *, read_only: bool) -> "DuckDBPyConnection | None":
        """Return a connection; None while a program has the file that does not use the lock."""
        duckdb = duckdb_module()
        if not self._is_there():
            raise self._missing()
        try:
            self._refuse_other_names(read_only=read_only)
            connection = connect(self.path, read_only=read_only)
        except duckdb.Error as error:
            if holder := re.search(r"Conflicting lock is held in (.*?\(PID \d+\))", str(error)):
                held_lock.publish_other(holder[1])
                return None
            if not _is_duckdb(self.path):
                raise self._no_duckdb() from error
            raise self._failed(error) from error
        except OSError as error:  # the disk has gone
            raise self._failed(error) from error
        try:
            version = self._version(connection)
            if not read_only and version < len(schema.MIGRATIONS):
                schema.migrate(connection, version)
        except BaseException as error:
            connection.close()
            if (told := self._told(error)) is not None:
                raise told from error
            raise
        return connection

    def _refuse_left_logs(self) -> None:
        """Refuse the log of a database that was taken away: DuckDB would play it into the new one, and break it."""
        for log in (self.path.with_name(self.path.name + suffix) for suffix in LOGS):
            if os.path.lexists(log):
                raise UnusableDatabaseError(f"{log}: is the log of a database that is not there; move it away")

    def _refuse_other_names(self, *, read_only: bool) -> None:
        """Refuse names that lead elsewhere: DuckDB opens what lies beside a database by itself, and follows links."""
        for suffix in LOGS:
            log = self.path.with_name(self.path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                found = kind_of(log)
                if found == A_REGULAR_FILE and log.stat().st_nlink > 1:
                    found = "a file that has another name too (a hard link)"
                if found != A_REGULAR_FILE:
                    raise UnusableDatabaseError(f"{log}: is {found}, where the log of {self.path} goes; move it away")
        spilled = self.path.with_name(self.path.name + SPILLED)
        if spilled.is_symlink():
            raise UnusableDatabaseError(f"{spilled}: is a symbolic link, where DuckDB makes a folder; move it away")
        if not read_only and self.path.stat().st_nlink > 1:
            raise UnusableDatabaseError(
                f"{self.path}: has another name too (a hard link), and a process that writes under one of "
                "two names does not see the log beside the other; copy it, and name the copy"
            )

    def _is_there(self) -> bool:
        """Return False if there is nothing at the path.

        Raises:
            UnusableDatabaseError: there is something that is no regular file, or its kind cannot be read.
        """
        try:
            found = kind_of(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise UnusableDatabaseError(f"{self.path}: {error.strerror}; name another one") from error
        if found != A_REGULAR_FILE:
            raise UnusableDatabaseError(f"{self.path}: is {found}, not {A_REGULAR_FILE}; name another one")
        return True

    def _no_duckdb(self) -> UnusableDatabaseError:
        return UnusableDatabaseError(f"{self.path}: not a DuckDB file; name another one")

    def _missing(self) -> UnusableDatabaseError:
        return UnusableDatabaseError(f"{self.path}: there is no such file; name one that an experiment has written")

    def _told(self, error: BaseException) -> DatabaseError | None:
        """Return the error that names this file in place of one of DuckDB's or of what is in it; None of any other."""
        if isinstance(error, ForeignPartsError):
            return UnusableDatabaseError(f"{self.path}: {error}; name another one")
        if isinstance(error, UnreadableRowError):
            return DatabaseError(f"{self.path}: {error}")
        return self._failed(error) if isinstance(error, duckdb_module().Error) else None

    def _failed(self, error: BaseException) -> DatabaseError:
        if isinstance(error, duckdb_module().OutOfMemoryException) and NO_ROOM not in str(error):
            return DatabaseError(f"{self.path}: has more in it than DuckDB can work on in {MEMORY_LIMIT} of memory")
        message = reason_of(error, SHOWN_REASON)  # of a full one there is its stack too
        advice = "; make room, and try that step again: nothing of it is stored" if NO_ROOM in message else ""
        return DatabaseError(f"{self.path}: {message}{advice}")

    def _version(self, connection: "DuckDBPyConnection") -> int:
        version, known = version_of(connection), len(schema.MIGRATIONS)
        if version is None:
            raise UnusableDatabaseError(f"{self.path}: a DuckDB file, but not one of experiments; name another one")
        if version > known:
            raise UnusableDatabaseError(
                f"{self.path}: written by a newer labledger (schema {version}; this one knows {known}); upgrade it"
            )
        return version

    def _watch(self, lease: _Lease) -> None:
        """Give back a lease that is not used. One that is used ends with a transaction (see `_connection`)."""
        uses = lease.uses
        while not lease.over.wait(UNUSED_S):
            with self._busy:
                if self._lease is lease and (lease.uses == uses or self._is_over(lease)):
                    self._give_back()
            uses = lease.uses

    def _is_over(self, lease: _Lease) -> bool:
        lasted_s = time.monotonic() - lease.began_s
        return lease.read_only or lasted_s > LEASE_S or (lasted_s > UNUSED_S and self._file_lock.is_awaited())

    def _give_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        lease.over.set()
        with contextlib.suppress(duckdb_module().Error):  # no room to tidy up: what was committed is in the log
            lease.connection.close()
        lease.held.close()


_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()
_still: list[Database] = []


def _before_fork() -> None:
    """A child must not have a connection of ours: when it ended, it would write to the file."""
    for each in list(_databases):
        if each._user != threading.get_ident():
            each._busy.acquire()
            each._give_back()
            _still.append(each)


def _after_fork() -> None:
    while _still:
        _still.pop()._busy.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _is_duckdb(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return True  # DuckDB's own message says why it cannot be read
