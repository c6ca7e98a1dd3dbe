"""From the totals of a run (tokens, requests, seconds, joules) to its figures, of one process and of several alike."""

from dataclasses import dataclass
from datetime import datetime

from llenergymeasure.domain.figures import EnergyBreakdown
from llenergymeasure.metrics.arithmetic import product, ratio


@dataclass(frozen=True)
class EnergyTotals:
    """Joules of a run with their bound, and joules above idle with theirs; None is unknown.

    `lasted_s` are the seconds in which they were used, `is_measured` is False of an estimate. `baseline_power_w`, the
    loaded idle, is what `adjusted_j` leaves out; `baseline_method` names it in words.
    """

    joules: float | None
    lasted_s: float
    is_measured: bool
    bound_j: float | None = None
    adjusted_j: float | None = None
    adjusted_bound_j: float | None = None
    baseline_power_w: float | None = None
    baseline_method: str | None = None
    baseline_timestamp: datetime | None = None


@dataclass(frozen=True)
class RunTotals:
    """Tokens, requests whose last token came, seconds and CPU seconds of a run's window, its energy, and the answers to
    a task that came in it and are right; None is unknown."""

    tokens: int | None
    input_tokens: int | None
    output_tokens: int | None
    requests: int | None
    duration_s: float
    energy: EnergyTotals
    cpu_seconds: float | None = None
    right_answers: int | None = None

    @property
    def energy_per_output_token_j(self) -> float | None:
        """Joules per output token, the headline; None where either is unknown or there is no token."""
        return ratio(self.energy.joules, self.output_tokens)


def derived(totals: RunTotals) -> dict[str, object]:
    """The fields of an ExperimentResult that follow from its totals, and the totals themselves.

    What rests on an energy that is unknown is unknown, its bounds and the breakdown too; so is a figure that no float
    can hold.
    """
    energy = totals.energy
    return {
        "total_tokens": totals.tokens,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "total_inference_time_sec": totals.duration_s,
        "avg_tokens_per_second": ratio(totals.tokens, totals.duration_s),
        "output_tokens_per_second": ratio(totals.output_tokens, totals.duration_s),
        "requests_per_second": ratio(totals.requests, totals.duration_s),
        "total_energy_j": energy.joules,
        "avg_energy_per_token_j": ratio(energy.joules, totals.tokens),
        "energy_per_output_token_j": totals.energy_per_output_token_j,
        "energy_per_request_j": ratio(energy.joules, totals.requests),
        "energy_per_right_answer_j": ratio(energy.joules, totals.right_answers),
        "energy_delay_product_js": product(energy.joules, totals.duration_s),
        "mean_power_w": mean_power_w(energy.joules, energy.lasted_s, is_measured=energy.is_measured),
        **_bounds(energy),
        "cpu_seconds": totals.cpu_seconds,
        "cpu_seconds_per_output_token": ratio(totals.cpu_seconds, totals.output_tokens),
    }


def mean_power_w(joules: float | None, lasted_s: float, *, is_measured: bool) -> float | None:
    """Watts; None of an estimate, and where the joules are unknown or the time has no length."""
    return ratio(joules, lasted_s) if is_measured else None


def _bounds(energy: EnergyTotals) -> dict[str, object]:
    names = ("energy_uncertainty_j", "energy_adjusted_j", "energy_adjusted_uncertainty_j", "energy_breakdown")
    if energy.joules is None:
        return dict.fromkeys(names)
    breakdown = EnergyBreakdown(
        raw_j=energy.joules,
        adjusted_j=energy.adjusted_j,
        baseline_power_w=energy.baseline_power_w,
        baseline_method=None if energy.adjusted_j is None else energy.baseline_method,
        baseline_timestamp=energy.baseline_timestamp,
    )
    found = (energy.bound_j, energy.adjusted_j, energy.adjusted_bound_j, breakdown)
    return dict(zip(names, found, strict=True))
