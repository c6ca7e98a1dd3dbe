"""The meeting of a run's processes before they measure: a folder in which each leaves its message, in rounds.

Nothing else travels between them, so nothing else is needed: no port, no library that waits where a signal does not
reach, and no communicator on the device that is measured.
"""

import contextlib
import itertools
import json
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from llenergymeasure.config.ranks import Rank
from llenergymeasure.errors import ExperimentError

LOOK_EVERY_S = 0.02
_runs = itertools.count()


class PeerEndedError(ExperimentError):
    """Another process of the run ended before all could begin to measure."""


class Meeting:
    """The meeting of one run. Processes that one parent started, and that call in the same order, meet each other."""

    def __init__(self, rank: Rank) -> None:
        self._folder = Path(f"{_place_of(os.getppid(), os.environ['MASTER_PORT'])}-{next(_runs)}")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_own(self._folder):
            raise ExperimentError(
                f"{self._folder} is not this user's own: others could change the messages of the run's processes; "
                "set TMPDIR to a directory of yours"
            )
        self._rank = rank
        self._rounds = itertools.count()
        self.peers: list[psutil.Process | None] = []
        self.peers = [_process(pid) for pid in self.exchange(os.getpid())]

    def exchange(self, mine: Any) -> list[Any]:
        """The message of every process in this round, in their order; all have come here when it returns.

        Raises:
            PeerEndedError: one has ended instead.
        """
        number = next(self._rounds)
        path = self._folder / f"{number}_{self._rank.index}"
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(mine))
        unfinished.replace(path)
        return [self._message(number, index) for index in range(self._rank.size)]

    def is_running(self, index: int) -> bool:
        """Return True if a process is still there and has not left; one whose pid is not known yet is."""
        if self._has_left(index):
            return False
        process = self.peers[index] if self.peers else None
        try:
            return not self.peers or (
                process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def close(self) -> None:
        """Leave; the last one to do so removes the folder."""
        with contextlib.suppress(OSError):
            (self._folder / f"left_{self._rank.index}").touch()
        if all(self._has_left(index) for index in range(self._rank.size)):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _has_left(self, index: int) -> bool:
        return (self._folder / f"left_{index}").exists()

    def _message(self, number: int, index: int) -> Any:
        path = self._folder / f"{number}_{index}"
        while not path.exists():
            if not self.is_running(index) and not path.exists():
                raise PeerEndedError(f"process {index} of the run ended before the measurement began")
            time.sleep(LOOK_EVERY_S)
        return json.loads(path.read_text())


def remove_meetings(port: int) -> None:
    """Remove the meetings of processes that this one has started and that ended before they could do so."""
    place = _place_of(os.getpid(), str(port))
    for folder in place.parent.glob(f"{place.name}-*"):
        if _is_own(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    """Return True if it is a directory of this user that nobody else can write to: anybody can make one of its name."""
    try:
        seen = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _place_of(parent: int, port: str) -> Path:
    began_s = psutil.Process(parent).create_time()  # a number alone comes again
    return Path(tempfile.gettempdir()) / f"llem-{parent}-{began_s:.2f}-{port}"


def _process(pid: int) -> psutil.Process | None:
    """The process; None if it has ended already."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
