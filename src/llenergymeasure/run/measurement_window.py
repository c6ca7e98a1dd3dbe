"""The measurement window: it is filled while it is open, so that nothing is lost whatever ends it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from labledger.console import Progress
from labledger.host import CpuContention, read_cpu_contention
from llenergymeasure.backends.protocol import Backend
from llenergymeasure.backends.pytorch.memory import NO_MARK
from llenergymeasure.domain.quality import Judged
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.energy.cpu_time import CpuTime
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.metrics.measurement import CpuUse
from llenergymeasure.results.journal import Journal
from llenergymeasure.run.server_memory import ServerMemory

MARK_EVERY_S = 0.1
"""Seconds between marks where requests overlap: the end of one is then not the edge of a phase."""


@dataclass
class MeasurementWindow:
    """Everything that was measured so far."""

    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    opened_s: float = field(default_factory=time.monotonic)
    closed_s: float | None = None
    batches: Sequence[Batch] = field(default_factory=list)
    failed: list[FailedRequest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory_mb: float | None = None
    tokenizer_unavailable: str | None = None
    contention: tuple[CpuContention, CpuContention] | None = None
    cpu: CpuTime | str = "the run had not begun"
    memory: ServerMemory | None = None
    not_known: dict[str, str] = field(default_factory=dict)
    judged: Judged | None = None

    def mark_cpu(self, journal: Journal, *, is_edge: bool = False) -> None:
        """Read the CPU time of the processes that are measured, where it can be, for the journal too."""
        if isinstance(self.cpu, str):
            return
        self.cpu.mark(is_edge=is_edge)
        if self.cpu.lost is None:
            journal.cpu(*self.cpu.last, self.cpu.resolution_s)

    def cpu_use(self, start_s: float, end_s: float) -> CpuUse:
        """Return the CPU seconds of a part of the window, or the reason why they are unknown."""
        if isinstance(self.cpu, str):
            return CpuUse(unknown=self.cpu)
        try:
            return CpuUse(self.cpu.grown(start_s, end_s), self.cpu.resolution_s)
        except ValueError:
            return CpuUse(unknown=self.cpu.lost or "the run was ended before they were read")

    def contention_shares(self) -> dict[str, float | None]:
        """Return the share of the run in which tasks waited for a core, and of the cores' time that others took."""
        if self.contention is None or self.closed_s is None:
            return {}
        before, after = self.contention
        duration_s = self.closed_s - self.opened_s

        def share(first: float | None, last: float | None, cores: int) -> float | None:
            if first is None or last is None:
                return None
            return min((last - first) / (duration_s * cores), 1.0)  # the counters are read just outside of the window

        return {
            "cpu_wait_share": share(before.waited_s, after.waited_s, 1),
            "cpu_steal_share": share(before.stolen_core_s, after.stolen_core_s, os.cpu_count() or 1),
        }


def run_window(
    window: MeasurementWindow, backend: Backend, meter: Meter, journal: Journal, progress: Progress, total: int
) -> None:
    """Run the backend and fill `window` and `journal`; the window opens and closes when the device is idle.

    When something ends it before, Ctrl-C say, the backend still hands over what it has.
    """
    backend.synchronize()
    backend.reset_peak_memory()
    if window.memory is not None:
        window.memory.reset()
    meter.mark(is_edge=True)
    before = read_cpu_contention()
    window.mark_cpu(journal, is_edge=True)
    window.opened_at, window.opened_s = datetime.now(UTC), time.monotonic()
    window.mark_cpu(journal)  # what it takes to look at all processes is not the window's
    journal.opened(window.opened_at, window.opened_s)
    collector = _Collector(window, meter, journal, progress, total)
    parts = backend.run()
    try:
        for part in parts:
            collector.take(part)
    except BaseException as error:
        rest = parts.throw(error)  # raises it again, at once where it was the backend's own
        while True:
            collector.take(rest)
            rest = next(parts)
    window.notes = backend.remarks()
    backend.synchronize()
    closed_s = time.monotonic()
    window.mark_cpu(journal, is_edge=True)
    meter.mark(is_edge=True)
    window.closed_s = closed_s  # not before the mark: an interrupt here must find the window inside of the marks
    window.contention = (before, read_cpu_contention())
    window.peak_memory_mb, why = window.memory.peak() if window.memory else (backend.peak_memory_mb(), NO_MARK)
    if window.peak_memory_mb is None and why is not None:
        window.not_known["peak_memory_mb"] = why
    window.batches, window.tokenizer_unavailable = backend.recounted(window.batches)


class _Collector:
    """Adds each part that the backend hands over to the window and the journal, and shows the progress."""

    def __init__(
        self, window: MeasurementWindow, meter: Meter, journal: Journal, progress: Progress, total: int
    ) -> None:
        self._window, self._meter, self._journal = window, meter, journal
        self._progress, self._total = progress, total
        self._done = self._tokens = 0
        self._batches: list[Batch] = []
        window.batches = self._batches
        self._last_end_s = self._marked_s = window.opened_s

    def take(self, part: Batch | FailedRequest) -> None:
        window = self._window
        if isinstance(part, FailedRequest):
            window.failed.append(part)
        else:
            self._batches.append(part)
            self._done += len(part.requests)
            self._tokens += sum(request.output_tokens or 0 for request in part.requests)
        if part.start_s >= self._last_end_s or time.monotonic() >= self._marked_s + MARK_EVERY_S:
            self._meter.mark()
            window.mark_cpu(self._journal)
            self._marked_s = time.monotonic()
        self._journal.take(part)
        self._last_end_s = max(self._last_end_s, part.end_s)
        failed = f", {len(window.failed)} failed" if window.failed else ""
        rate = self._tokens / (part.end_s - window.opened_s)
        self._progress.update(self._done, self._total, f"{rate:.0f} output tokens/s{failed}")
