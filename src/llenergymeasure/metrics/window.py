"""Which part of the run the figures are of."""

from collections.abc import Sequence
from dataclasses import dataclass

from llenergymeasure.domain.choices import MeasurementMethodology
from llenergymeasure.domain.metrics import WarmupResult
from llenergymeasure.domain.requests import Batch


@dataclass(frozen=True)
class Window:
    """From `start_s` to `end_s` on CLOCK_MONOTONIC; `note` says where it is not what was asked for."""

    methodology: MeasurementMethodology
    start_s: float
    end_s: float
    note: str | None = None

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


def derive_measurement_methodology(warmup: WarmupResult | None) -> MeasurementMethodology:
    """`steady_state` after a warm-up that converged, else `total`."""
    return "steady_state" if warmup is not None and warmup.converged else "total"


def choose_window(
    asked: tuple[float, float] | None,
    warmup: WarmupResult | None,
    batches: Sequence[Batch],
    opened_s: float,
    closed_s: float,
) -> Window:
    """The window that `asked` names (seconds from the start), else the steady state, else the whole.

    The steady state of static batches is from the first batch's start to the end of the last full batch.
    """
    whole = Window("total", opened_s, closed_s)
    if asked is not None:
        return _windowed(asked, whole)
    if derive_measurement_methodology(warmup) == "total":
        return whole
    full_ends = [batch.end_s for batch in batches if batch.full]
    if not full_ends:
        note = "The warm-up converged but no batch was full, so there is no steady state; figures are of the whole run."
        return Window("total", opened_s, closed_s, note)
    return Window("steady_state", batches[0].start_s, max(full_ends))


def _windowed(asked: tuple[float, float], whole: Window) -> Window:
    length_s = whole.duration_s
    if asked[0] >= length_s:
        late = (
            f"measurement.window starts at {asked[0]:g} s and the run took {length_s:.1f} s; figures are of the "
            "whole run: name an earlier window or send more prompts."
        )
        return Window("total", whole.start_s, whole.end_s, late)
    note: str | None = None
    if asked[1] > length_s:
        note = (
            f"measurement.window ends at {asked[1]:g} s and the run took {length_s:.1f} s; the window ends with it: "
            "send more prompts to fill it."
        )
    return Window("windowed", whole.start_s + asked[0], min(whole.start_s + asked[1], whole.end_s), note)
