"""The measurement window: what is gathered while it is open, so that whatever ends it loses nothing."""

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from labledger.console import Progress
from labledger.host import CpuContention, read_cpu_contention
from llenergymeasure.backends.protocol import Backend
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.results.journal import Journal

MARK_EVERY_S = 0.1
"""Where requests overlap, the end of one is no edge of a phase, and so many marks are enough."""


@dataclass
class MeasurementWindow:
    """What the window has gathered so far."""

    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    opened_s: float = field(default_factory=time.monotonic)
    closed_s: float | None = None
    batches: list[Batch] = field(default_factory=list)
    failed: list[FailedRequest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory_mb: float | None = None
    contention: tuple[CpuContention, CpuContention] | None = None

    def contention_shares(self) -> dict[str, float | None]:
        """The share of the run in which tasks waited for a core, and of the cores' time that went to other machines."""
        if self.contention is None or self.closed_s is None:
            return {}
        before, after = self.contention
        duration_s = self.closed_s - self.opened_s

        def share(first: float | None, last: float | None, cores: int) -> float | None:
            return None if first is None or last is None else (last - first) / (duration_s * cores)

        return {
            "cpu_wait_share": share(before.waited_s, after.waited_s, 1),
            "cpu_steal_share": share(before.stolen_core_s, after.stolen_core_s, os.cpu_count() or 1),
        }


def collect(
    collected: MeasurementWindow, backend: Backend, meter: Meter, journal: Journal, progress: Progress, total: int
) -> None:
    """Run the window into `collected` and `journal`: it opens and closes when the device has nothing left to do.

    When something ends it before, Ctrl-C say, the backend still hands over what it has.
    """
    backend.synchronize()
    backend.reset_peak_memory()
    meter.mark()
    before = read_cpu_contention()
    collected.opened_at, collected.opened_s = datetime.now(UTC), time.monotonic()
    journal.opened(collected.opened_at, collected.opened_s)
    taking = _Taking(collected, meter, journal, progress, total)
    parts = backend.run()
    try:
        for part in parts:
            taking.take(part)
    except BaseException as error:
        rest = parts.throw(error)  # raises it again, at once where it was the backend's own
        while True:
            taking.take(rest)
            rest = next(parts)
    collected.notes = backend.remarks()
    backend.synchronize()
    closed_s = time.monotonic()
    meter.mark()
    collected.closed_s = closed_s  # not before the mark: an interrupt here must find the window inside of the marks
    collected.contention = (before, read_cpu_contention())
    collected.peak_memory_mb = backend.peak_memory_mb()


class _Taking:
    """Takes what the backend hands over, and shows how far it is."""

    def __init__(
        self, collected: MeasurementWindow, meter: Meter, journal: Journal, progress: Progress, total: int
    ) -> None:
        self._collected, self._meter, self._journal = collected, meter, journal
        self._progress, self._total = progress, total
        self._done = self._tokens = 0
        self._last_end_s = self._marked_s = collected.opened_s

    def take(self, part: Batch | FailedRequest) -> None:
        collected = self._collected
        if isinstance(part, FailedRequest):
            collected.failed.append(part)
        else:
            collected.batches.append(part)
            self._done += len(part.requests)
            self._tokens += sum(request.output_tokens for request in part.requests)
        if part.start_s >= self._last_end_s or time.monotonic() >= self._marked_s + MARK_EVERY_S:
            self._meter.mark()
            self._marked_s = time.monotonic()
        self._journal.take(part)
        self._last_end_s = max(self._last_end_s, part.end_s)
        failed = f", {len(collected.failed)} failed" if collected.failed else ""
        rate = self._tokens / (part.end_s - collected.opened_s)
        self._progress.update(self._done, self._total, f"{rate:.0f} output tokens/s{failed}")
