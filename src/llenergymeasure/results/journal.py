"""What a process has measured so far, on disk while it measures: so much is left of one that is killed.

`.state/{experiment_id}/process_{index}.jsonl`: the first line says what runs, and each further one when the measurement
began, requests that ended, or joules. A line is one write, some microseconds, and nothing is synced:
what was written survives the process at once, and a power cut after the seconds that the kernel takes.
"""

import contextlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from labledger.errors import UnreadableFileError
from labledger.files import joined_directory
from labledger.schema_versions import Record, Timestamp, parse_record
from llenergymeasure.domain.experiment import FailedRequestColumns, RawProcessResult, RequestColumns
from llenergymeasure.domain.metrics import DeviceEnergy, EnergyMetrics, Timestamps
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.metrics.columns import failed_lists, request_lists
from llenergymeasure.metrics.energy import Headline, run_energy
from llenergymeasure.metrics.process_metrics import energy_metrics, inference_metrics
from llenergymeasure.results.persistence import state_folder

JOURNAL_FILE = "process_{index}.jsonl"
NO_FLOPS = "not known of a process that was killed"

Columns = TypeVar("Columns", RequestColumns, FailedRequestColumns)


class Begun(Record):
    """What runs: the process's result before there is anything in it, and which devices its total is of."""

    raw: RawProcessResult | None
    on_accelerator: bool | None
    device_uuids: list[str] | None
    source: str | None
    unmetered: str | None = None
    """Why its energy cannot be known."""


class Entry(Record):
    """One further line; what it does not tell is None."""

    opened_at: Timestamp | None = None
    clock_s: float | None = None
    requests: RequestColumns | None = None
    failed: FailedRequestColumns | None = None
    energy: list[EnergySoFar] | None = None


class Journal:
    """A process's journal, which several threads may write. A disk that is full ends it, without a word: that the
    result cannot be saved will be said. Without a `path` it keeps nothing."""

    def __init__(self, path: Path | None, was_there: Path | None = None) -> None:
        self.path = path
        self.has_requests = False
        self._was_there = was_there
        self._lock = threading.Lock()
        self._opened_s = 0.0
        self._descriptor: int | None = None
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    def begun(self, begun: Begun) -> None:
        """What runs."""
        self._put(begun.model_dump(mode="json"))

    def opened(self, at: datetime, clock_s: float) -> None:
        """The measurement begins, now on two clocks."""
        self._opened_s = clock_s
        self._put({"opened_at": at.isoformat(), "clock_s": clock_s})

    def take(self, part: Batch | FailedRequest) -> None:
        """Requests that ended."""
        if isinstance(part, FailedRequest):
            self._put({"failed": failed_lists([part], self._opened_s)})
        else:
            self.has_requests = True
            self._put({"requests": request_lists(part.requests, self._opened_s)})

    def energy(self, readings: Sequence[EnergySoFar]) -> None:
        """Joules, as a meter tells them."""
        self._put({"energy": [vars(reading) for reading in readings]})

    def close(self) -> None:
        """What is told from now on is not kept; the file stays. Closing twice does nothing."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Close it and remove it, with the directories that were made for it, where nothing else is in them."""
        self.close()
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
            for folder in self.path.parents:
                if folder == self._was_there:
                    break
                folder.rmdir()

    def _put(self, entry: dict[str, Any]) -> None:
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        with self._lock:
            if self._descriptor is None:
                return
            try:
                whole = os.write(self._descriptor, line) == len(line)
            except OSError:
                whole = False
            if not whole:
                os.close(self._descriptor)
                self._descriptor = None


@contextlib.contextmanager
def open_journal(output_dir: Path | None, begun: Begun) -> Iterator[Journal]:
    """A journal in a folder of `.state/` that is held until the end; one that keeps nothing where there is no
    `output_dir`, or nothing can be written. What ends in an error before any request has leaves none."""
    with contextlib.ExitStack() as stack:
        journal = Journal(None)
        if output_dir is not None and begun.raw is not None:
            folder = state_folder(output_dir, begun.raw.experiment_id)
            was_there = next((each for each in folder.parents if each.exists()), None)
            with contextlib.suppress(OSError):
                stack.enter_context(joined_directory(folder))
                journal = Journal(folder / JOURNAL_FILE.format(index=begun.raw.process_index), was_there)
        stack.callback(journal.close)
        try:
            journal.begun(begun)
            yield journal
        except BaseException:
            if not journal.has_requests:
                journal.discard()
            raise


def read_journal(path: Path) -> RawProcessResult | None:
    """The part of a result that a killed process has left; None where no request had ended.

    Its window is from the start to the last end of a request at which the energy was known still; without energy, to
    the last end. A last line that was cut is left out.

    Raises:
        UnreadableFileError: a line is broken.
        OSError: it cannot be read.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    if not lines:
        return None
    begun, _ = parse_record(Begun, lines[0], f"{path}: line 1")
    entries = [parse_record(Entry, line, f"{path}: line {number}")[0] for number, line in enumerate(lines[1:], 2)]
    requests = _joined(RequestColumns, [entry.requests for entry in entries])
    if not requests.start_s:
        return None
    opened = next((entry for entry in entries if entry.opened_at is not None), Entry())
    opened_at, clock_s = opened.opened_at, opened.clock_s
    if begun.raw is None or opened_at is None or clock_s is None:
        raise UnreadableFileError(f"{path}: it does not say what ran, and when it began")
    ends_s = [start_s + whole_ms / 1e3 for start_s, whole_ms in zip(requests.start_s, requests.e2e_ms, strict=True)]
    energy = _EnergyLog(begun, [reading for entry in entries for reading in entry.energy or []], clock_s)
    last_s = max((end_s for end_s in ends_s if end_s <= energy.known_until_s), default=max(ends_s))
    inside = [end_s <= last_s for end_s in ends_s]
    inputs, outputs = (
        sum(count for count, ended in zip(counts, inside, strict=True) if ended)
        for counts in (requests.input_tokens, requests.output_tokens)
    )
    first_ms = [ms for ms, ended in zip(requests.ttft_ms, inside, strict=True) if ended and ms is not None]
    failed = _joined(FailedRequestColumns, [entry.failed for entry in entries])
    return begun.raw.model_copy(
        update={
            "timestamps": Timestamps.from_times(opened_at, opened_at + timedelta(seconds=last_s)),
            "inference_metrics": inference_metrics(inputs, outputs, last_s, first_ms),
            "energy_metrics": energy.metrics(last_s, inputs + outputs),
            "compute_metrics": begun.raw.compute_metrics
            and begun.raw.compute_metrics.model_copy(
                update={"flops_total": None, "flops_method": NO_FLOPS, "flops_confidence": None}
            ),
            "per_request_latencies_ms": requests.e2e_ms,
            "clock_s": clock_s,
            "window_start_s": 0.0,
            "is_partial": True,
            "requests": requests,
            "failed_requests": failed if failed.kind else None,
        }
    )


def _joined(kind: type[Columns], parts: Sequence[Columns | None]) -> Columns:
    """The columns of all parts, one after another."""
    known = [part for part in parts if part is not None]
    return kind(**{name: [each for part in known for each in getattr(part, name)] for name in kind.model_fields})


class _EnergyLog:
    """The joules that a journal knows; times count from the start of the measurement."""

    def __init__(self, begun: Begun, readings: Sequence[EnergySoFar], clock_s: float) -> None:
        self._begun = begun
        self._headline = Headline(bool(begun.on_accelerator), tuple(begun.device_uuids or ()))
        self._devices: dict[str, list[EnergySoFar]] = defaultdict(list)
        for reading in sorted(readings, key=lambda reading: reading.at_s):
            self._devices[reading.device].append(reading)
        self._clock_s = clock_s

    @property
    def known_until_s(self) -> float:
        """The last moment at which every device of the total was read; -inf where there is none."""
        covered = [own[-1].at_s for own in self._devices.values() if self._headline.covers(_device(own[-1], None))]
        return min(covered) - self._clock_s if covered and self._begun.unmetered is None else -np.inf

    def metrics(self, last_s: float, tokens: int) -> EnergyMetrics:
        """Of the time from the start to `last_s`; of a device that was not read before or after, unknown."""
        devices = [_device(own[-1], self._grown(own, last_s)) for own in self._devices.values()]
        covered = [] if self._begun.unmetered else devices
        return energy_metrics(
            run_energy(covered, self._headline, self._begun.source or "none"),
            devices,
            on_accelerator=self._headline.on_accelerator,
            duration_s=last_s,
            tokens=tokens,
        )

    def _grown(self, own: Sequence[EnergySoFar], last_s: float) -> float | None:
        """Between two readings it is taken to grow evenly."""
        moments_s = [reading.at_s - self._clock_s for reading in own]
        if moments_s[0] > 0 or moments_s[-1] < last_s:
            return None
        first_j, last_j = np.interp([0.0, last_s], moments_s, [reading.energy_j for reading in own])
        return float(last_j - first_j)


def _device(reading: EnergySoFar, energy_j: float | None) -> DeviceEnergy:
    return DeviceEnergy(device=reading.device, kind=reading.kind, source=reading.source, energy_j=energy_j)
