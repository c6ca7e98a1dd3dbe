"""The window that the figures of a run are of: all of it, its steady state, or the one that was asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.choices import MeasurementMethodology
from llenergymeasure.domain.figures import WarmupResult
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.metrics.arithmetic import seconds


@dataclass(frozen=True)
class Window:
    """From `start_s` to `end_s` on CLOCK_MONOTONIC; `note` gives the reason where it is not what was asked for."""

    methodology: MeasurementMethodology
    start_s: float
    end_s: float
    note: str | None = None

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s


def derive_measurement_methodology(warmup: WarmupResult | None) -> MeasurementMethodology:
    """`steady_state` after a warm-up that converged, else `total`."""
    return "steady_state" if warmup is not None and warmup.converged else "total"


def full_batches_span(batches: Sequence[Batch]) -> tuple[float, float] | str:
    """The steady state of static batches: from the first one's start to the end of the last full one; a text is the
    reason why there is none."""
    full_ends = [batch.end_s for batch in batches if batch.full]
    return (batches[0].start_s, max(full_ends)) if full_ends else "no batch was full"


def in_flight_span(requests: Iterable[tuple[float, float]], concurrency: int | None) -> tuple[float, float] | str:
    """The steady state of a server: from when `concurrency` requests are first in flight to the last time they are; a
    text is the reason why there is none.

    `requests` are the start and the end of each, failed ones too; a `concurrency` of None is an open loop's.
    """
    if concurrency is None:
        return "an open loop has no fixed number of requests in flight"
    changes = sorted((moment_s, change) for span in requests for moment_s, change in zip(span, (1, -1), strict=True))
    in_flight, full = 0, []
    for (moment_s, change), (next_s, _) in pairwise(changes):
        in_flight += change
        if in_flight >= concurrency:
            full.append((moment_s, next_s))
    return (full[0][0], full[-1][1]) if full else f"there were never {concurrency} requests in flight"


class Steady(NamedTuple):
    """The end of the measurement and, within it, the span of its steady state or the reason why it has none."""

    closed_s: float
    span: tuple[float, float] | str


def batches_window(
    config: ExperimentConfig,
    batches: Sequence[Batch],
    failed: Sequence[FailedRequest],
    opened_s: float,
    closed_s: float,
) -> Steady:
    """Return the steady state of static batches run one after another."""
    return Steady(closed_s, full_batches_span(batches))


def load_window(
    config: ExperimentConfig,
    batches: Sequence[Batch],
    failed: Sequence[FailedRequest],
    opened_s: float,
    closed_s: float,
) -> Steady:
    """Return the steady state of a server under a load, which ends with its last answer or before its drain."""
    ended: list[Batch | FailedRequest] = [*batches, *failed]
    closed_s = max((each.end_s for each in ended), default=closed_s)  # what this process does after is not counted
    if config.load.duration_s is not None:  # what comes later is the drain
        over_s = opened_s + config.load.duration_s
        closed_s = over_s if len(ended) < config.num_prompts else min(closed_s, over_s)
    sent = [(min(each.start_s, closed_s), min(each.end_s, closed_s)) for each in ended]
    return Steady(closed_s, in_flight_span(sent, config.load.in_flight))


def choose_window(
    asked: tuple[float, float] | None,
    warmup: WarmupResult | None,
    steady: tuple[float, float] | str,
    opened_s: float,
    closed_s: float,
) -> Window:
    """The window that `asked` names (seconds from the start), else the `steady` state, else the whole."""
    whole = Window("total", opened_s, closed_s)
    if asked is not None:
        return _windowed(asked, whole)
    if derive_measurement_methodology(warmup) == "total":
        return whole
    if isinstance(steady, str):
        note = f"The warm-up converged but {steady}, so there is no steady state; figures are of the whole run."
        return Window("total", opened_s, closed_s, note)
    return Window("steady_state", *steady)


def _windowed(asked: tuple[float, float], whole: Window) -> Window:
    length_s = whole.duration_s
    start_s, end_s = whole.start_s + asked[0], min(whole.start_s + asked[1], whole.end_s)
    if start_s >= whole.end_s:
        late = (
            f"measurement.window starts at {asked[0]:g} s and the run took {seconds(length_s)}; figures are of the "
            "whole run: name an earlier window or send more prompts."
        )
        return Window("total", whole.start_s, whole.end_s, late)
    if start_s >= end_s:
        short = (
            f"measurement.window is {asked[1] - asked[0]:g} s long, less than the clock can tell; figures are of the "
            "whole run: name a longer window."
        )
        return Window("total", whole.start_s, whole.end_s, short)
    note: str | None = None
    if asked[1] > length_s:
        note = (
            f"measurement.window ends at {asked[1]:g} s and the run took {seconds(length_s)}; the window ends with it: "
            "send more prompts to fill it."
        )
    return Window("windowed", start_s, end_s, note)
