"""Records of the settings that boards had before a run changed them: a file for each, written before the first change.

A run holds the lock of each of its boards, which the kernel frees however the process ends: a record whose lock is free
was left by one that was killed. The locks lie elsewhere, so that the folder of the records is there only while a record
is, and to look for it costs one call. A board has one record at the most.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from labledger.files import write_durably
from labledger.locks import holder, lock
from labledger.regular_files import open_regular, read_regular
from llenergymeasure.config.own_folders import state_path
from llenergymeasure.results.persistence import safe_name

PROBES_S, LOOK_EVERY_S = 2.0, 0.02
CLOCKS_AGREE_S = 2.0
"""Starts of a process as two commands read them are this close, when the system's clock was set meanwhile."""


class BoardRecord(BaseModel):
    """One board's settings before a run, and the run's process. Limits are in milliwatts; None: not set by the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: str
    name: str
    pid: int
    started_s: float
    boot_id: str | None
    machine_id: str | None
    limit_before_mw: int | None
    limit_set_mw: int | None
    locks_clock: bool

    @property
    def is_of_this_boot(self) -> bool:
        """True if the machine has not been started anew since, which takes all settings away, and is no other."""
        return self.boot_id == _boot_id()

    @property
    def is_of_another_machine(self) -> bool:
        """True if it may be another machine's: several may share a home."""
        return not self.is_of_this_boot and (self.machine_id is None or self.machine_id != _machine_id())

    def is_alive(self) -> bool:
        """Return True while the run's process is there: a file system may have no locks."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started_s) < CLOCKS_AGREE_S
        except psutil.Error:
            return False


class BoardInUseError(Exception):
    """Another run holds a board; the text names its process."""


def records_folder() -> Path:
    """Return the folder of the records; it is there only while there is a record."""
    return state_path() / "boards"


def new_record(
    uuid: str, name: str, limit_before_mw: int | None, limit_set_mw: int | None, locks_clock: bool
) -> BoardRecord:
    """Return the record of a board that this process is about to set."""
    return BoardRecord(
        uuid=uuid,
        name=name,
        pid=os.getpid(),
        started_s=psutil.Process().create_time(),
        boot_id=_boot_id(),
        machine_id=_machine_id(),
        limit_before_mw=limit_before_mw,
        limit_set_mw=limit_set_mw,
        locks_clock=locks_clock,
    )


class HeldBoard:
    """A board that no other run may set until this is closed.

    Raises:
        BoardInUseError: another one holds it.
        OSError: the user's state folder cannot be written to.
    """

    def __init__(self, uuid: str) -> None:
        locks = state_path() / "board_locks"
        locks.mkdir(parents=True, exist_ok=True)
        self._path = records_folder() / f"{safe_name(uuid)}.json"
        self._descriptor = _opened(locks / safe_name(uuid))
        if not self._is_locked(time.monotonic() + PROBES_S):
            who = holder(self._descriptor)
            os.close(self._descriptor)
            raise BoardInUseError(who)
        if (left := self.left()) is not None and left.is_of_this_boot and left.pid != os.getpid() and left.is_alive():
            os.close(self._descriptor)
            raise BoardInUseError(f"process {left.pid}")

    def _is_locked(self, until_s: float) -> bool:
        """Lock it. One that has no record is only looked at by another command, which takes a moment."""
        while not lock(self._descriptor, exclusive=True, wait=False):
            if self._path.exists() or time.monotonic() > until_s:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def left(self) -> BoardRecord | None:
        """Return the record that a killed run has left; None where there is none, or one that nobody can read."""
        try:
            return BoardRecord.model_validate_json(read_regular(self._path))
        except (OSError, ValidationError):
            return None

    def write(self, record: BoardRecord) -> None:
        """Write the record, durably.

        Raises:
            OSError: it cannot be written.
        """
        write_durably(self._path, record.model_dump_json().encode())

    def remove(self) -> None:
        """Remove the record, and the folder where it was the last one."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        with contextlib.suppress(OSError):  # not empty
            self._path.parent.rmdir()

    def close(self) -> None:
        """Let others set it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def free_board(uuid: str) -> Iterator[bool]:
    """Yield True if no run holds a board; inside, none begins to.

    Raises:
        OSError: the user's state folder cannot be written to.
    """
    try:
        held = HeldBoard(uuid)
    except BoardInUseError:
        yield False
        return
    with held:
        yield True


def _opened(path: Path) -> int:
    """Return a descriptor of a lock's file, which root may have made in a user's home."""
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        return open_regular(path, os.O_RDONLY)


def _boot_id() -> str | None:
    return _first_line("/proc/sys/kernel/random/boot_id")


def _machine_id() -> str | None:
    return _first_line("/etc/machine-id")


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
