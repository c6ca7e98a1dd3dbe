"""The journal of a process: what it has measured so far, on disk while it measures, so that a kill does not lose it.

`.state/{experiment_id}/process_{index}.jsonl`: the first line names what runs, and each later one when the measurement
began, requests that ended, joules, or CPU seconds. A line is one write, some microseconds, and nothing is synced: what
was written survives the process at once, and a power cut after the seconds that the kernel takes. A line that cannot
be written ends the journal, and the user is told then, while the run goes on and there is time to make room.
"""

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from labledger.documents import Document, document_dict
from labledger.files import joined_directory
from labledger.notices import notify
from labledger.schema_versions import OpenWhenRead, Record, Timestamp
from llenergymeasure.domain.choices import DeviceKind
from llenergymeasure.domain.experiment import FailedRequestColumns, RawProcessResult, RequestColumns
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.metrics.latency import failed_lists, request_lists
from llenergymeasure.results.persistence import state_folder
from llenergymeasure.results.state import JOURNAL_FILE, remove_file

FINEST_SHARE = 1e-3
"""Joules are written at most once in this share of the time since the start: a journal of days stays small."""
LOOK_EVERY_S = 5.0
"""Time from one look at whether the file is still at its path to the next: what is removed takes lines all the same."""
GONE = "it is no longer there: it was removed, or its disk was taken away"


class Begun(Document):
    """The run: the process's result before there is anything in it, and what else its figures take.

    As the first line it has the kind of the whole file.
    """

    document_kind = "llem.journal"
    known_by = "raw"

    raw: RawProcessResult | None
    share: int | None
    """The number of requests that it is to serve."""
    on_accelerator: bool | None
    device_uuids: list[str] | None
    source: str | None
    unmetered: str | None = None
    """The reason why its energy cannot be known."""
    grid_carbon_intensity: float | None = None
    datacenter_pue: float | None = None


class DeviceEnergyLine(Record):
    """`EnergySoFar`, as it is written."""

    device: str | None
    kind: Annotated[DeviceKind | None, OpenWhenRead()]
    source: str | None
    at_s: float | None
    energy_j: float | None


class CpuTimeLine(Record):
    """CPU seconds from some moment to `at_s` on CLOCK_MONOTONIC, and by how many seconds they may be off."""

    at_s: float | None
    cpu_s: float | None
    resolution_s: float | None


class JournalEntry(Record):
    """Any later line; what it does not hold is None."""

    opened_at: Timestamp | None = None
    clock_s: float | None = None
    requests: RequestColumns | None = None
    failed: FailedRequestColumns | None = None
    energy: list[DeviceEnergyLine] | None = None
    cpu: CpuTimeLine | None = None


class Journal:
    """A process's journal, which several threads may write; its folder is held until it is closed.

    A full disk, or one that has gone, ends it with a notice. Without a `path` it keeps nothing. `requests` is how many
    it has. Below `within` no link is followed.
    """

    def __init__(self, path: Path | None = None, *, within: Path | None = None) -> None:
        self.path = path
        self._within = within
        self._made = False
        self.requests = 0
        self._held = contextlib.ExitStack()
        self._was_there: Path | None = None
        self._lock = threading.Lock()
        self._opened_s = 0.0
        self._written_s: dict[str, float] = {}
        self._looked_s = 0.0
        self._descriptor: int | None = None

    def open(self) -> None:
        """Hold the folder, which is made if it is not there, and begin.

        Raises:
            OSError: it cannot be written to.
        """
        if self.path is None:
            return
        self._was_there = next((each for each in self.path.parents if each.exists()), None)
        folder = self._held.enter_context(joined_directory(self.path.parent, within=self._within))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path.name, flags, 0o666, dir_fd=folder)
        self._made = True

    def begun(self, begun: Begun) -> None:
        """Write what runs."""
        self._put(document_dict(begun))

    def opened(self, at: datetime, clock_s: float) -> None:
        """Write that the measurement begins, now on two clocks."""
        self._opened_s = clock_s
        self._put({"opened_at": at.isoformat(), "clock_s": clock_s})

    def take(self, part: Batch | FailedRequest) -> None:
        """Write requests that ended."""
        if isinstance(part, FailedRequest):
            self._put({"failed": failed_lists([part], self._opened_s)})
        elif self._put({"requests": request_lists(part.requests, self._opened_s)}):
            self.requests += len(part.requests)

    def energy(self, readings: Sequence[EnergySoFar]) -> None:
        """Write joules, as a meter reads them; those that come too soon after the last are left out."""
        first = readings[0]
        if self._is_due(first.device, first.at_s):
            self._put({"energy": [vars(reading) for reading in readings]})

    def cpu(self, at_s: float, cpu_s: float, resolution_s: float) -> None:
        """Write the CPU time so far; one that comes too soon after the last is left out."""
        if self._is_due("cpu time", at_s):
            self._put({"cpu": {"at_s": at_s, "cpu_s": cpu_s, "resolution_s": resolution_s}})

    def close(self) -> None:
        """Keep nothing from now on; the file stays. Closing twice does nothing."""
        with self._lock:
            self._let_go()
        self._held.close()

    def discard(self) -> None:
        """Close it and remove it, with the directories that were made for it, where nothing else is in them."""
        path, self.path, self.requests = self.path, None, 0
        with contextlib.suppress(OSError):
            if path is not None:
                if self._made:  # what stood there before this one was opened is another's
                    remove_file(path, self._within)
                for folder in path.parents:
                    if folder == self._was_there:
                        break
                    folder.rmdir()
        self.close()

    def leave(self, error: BaseException) -> None:
        """Close it as `error` ends the run, and add a note on its place to that; without requests it is removed.

        One that a saved result has superseded is there no more.
        """
        if not self.requests or self.path is None or not self.path.exists():
            self.discard()
            return
        self.close()
        error.add_note(f"{self.requests} finished requests are in {self.path}: llem results recover reads them")

    def _is_due(self, name: str, at_s: float) -> bool:
        """Return True if the last reading of this name was long enough before."""
        finest_s = FINEST_SHARE * (at_s - self._opened_s) if self._opened_s else 0.0
        if at_s - self._written_s.get(name, 0.0) < finest_s:
            return False
        self._written_s[name] = at_s
        return True

    def _put(self, entry: dict[str, Any]) -> bool:
        """Write a line; return True if it is there whole."""
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        with self._lock:
            if self._descriptor is None:
                return False
            try:
                self._check_place()
                if os.write(self._descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._let_go()
                self.tell(error)
                return False
            return True

    def _check_place(self) -> None:
        """Look now and then whether the file is still where `recover` looks for it.

        Raises:
            OSError: it is not.
        """
        now_s = time.monotonic()
        if self.path is None or self._descriptor is None or now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        try:
            is_there = os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise OSError(errno.ENOENT, GONE)

    def tell(self, error: OSError) -> None:
        """Tell the user that nothing is written from now on."""
        notify(
            f"{self.path}: {error.strerror}. The run goes on, but its requests are held in memory alone from now on: a "
            "kill would lose them. Make room, or bring the disk back, before it ends: its result is saved there"
        )

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # some file systems report a full disk only now
                os.close(descriptor)


def open_journal(output_dir: Path | None, begun: Begun) -> Journal:
    """A journal in a folder of `.state/`; one that keeps nothing where there is no `output_dir`, or nothing can be
    written."""
    if output_dir is None or begun.raw is None:
        return Journal()
    folder = state_folder(output_dir, begun.raw.experiment_id)
    journal = Journal(folder / JOURNAL_FILE.format(index=begun.raw.process_index), within=output_dir)
    try:
        journal.open()
        journal.begun(begun)
    except OSError as error:
        journal.tell(error)
        journal.discard()
    except BaseException:
        journal.discard()
        raise
    return journal
