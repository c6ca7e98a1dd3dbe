"""The metrics of a comparison, by what may be said of each, and what the energy sensors leave open of one."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence

from llenergymeasure.config.energy_sources import basis_of
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.metrics.arithmetic import sum_of_known
from llenergymeasure.results.flat import Value as Cell

DEFAULT_MARGIN = 0.05
HEADLINE = ("energy_per_output_token_j", "output_tokens_per_second", "ttft_ms_median", "tpot_ms_median")
"""The metrics that get a word and drive gates; they are one family: `different` is false of any with 5 % at most."""
EXPLORATORY = (
    "energy_per_request_j",
    "total_energy_j",
    "cpu_seconds_per_output_token",
    "requests_per_second",
    "ttft_ms_mean",
    "tpot_ms_mean",
    "e2e_ms_mean",
    "e2e_ms_median",
    "peak_memory_mb",
    "energy_per_right_answer_j",
)
"""Shown with an interval of their own, and without a word."""
OF_TASKS = ("energy_per_right_answer_j",)
"""Metrics that no result has without a task: they are shown where one has."""
COUNTS = ("input_tokens", "output_tokens", "total_flops", "energy_uncertainty_edge_j")
"""Figures that do not come from the weather: compared as they are."""
ENERGY = ("energy_per_output_token_j", "energy_per_request_j", "total_energy_j", "energy_per_right_answer_j")
OWN_BOUNDS = {
    "energy_adjusted_j": "energy_adjusted_uncertainty_j",
    "energy_prefill_j": "energy_prefill_uncertainty_j",
    "energy_decode_j": "energy_decode_uncertainty_j",
    "idle_power_w": "idle_power_spread_w",
    "baseline_power_w": "baseline_power_spread_w",
}
"""Columns that come from joules and are no share of the total: each with the field of the bound on its error."""
FROM_JOULES = frozenset(
    (
        *ENERGY,
        *OWN_BOUNDS,
        *OWN_BOUNDS.values(),
        "energy_uncertainty_j",
        "energy_uncertainty_edge_j",
        "energy_uncertainty_coverage_j",
        "energy_uncertainty_disagreement_j",
        "energy_uncertainty_gain_j",
        "avg_energy_per_token_j",
        "energy_delay_product_js",
        "zeus_energy_j",
        "mean_power_w",
        "peak_power_w",
        "emissions_kg_co2",
    )
)
"""All columns of the flat table that come from joules; what is not in `OWN_BOUNDS` is open by the total's shares."""
HIGHER_IS_BETTER = ("output_tokens_per_second", "requests_per_second")

Figures = Mapping[str, Cell]
"""A result's row of the flat table."""


def figure(figures: Figures, metric: str) -> float | None:
    """Return a metric's value; None where it is unknown, or no number that a double has room for."""
    value = figures[metric]
    if not isinstance(value, int | float):
        return None
    with contextlib.suppress(OverflowError):
        return float(value) if math.isfinite(value) else None
    return None


def energy_marks(results: Sequence[ExperimentResult]) -> list[str]:
    """Return why energies are no valid measurements: `estimate`, or the verdicts that are not `valid`."""
    found = {"estimate" if basis_of(result.energy_source) == "estimate" else str(result.verdict) for result in results}
    return sorted(found - {"valid"})


def unusable_metrics(first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> dict[str, str]:
    """Return why a metric tells nothing of the configurations, by its name; none of those that do.

    Windows of two methods hold different work. Energies are none of two scopes, of two sources or if not valid.
    """
    if apart := _values_apart("measurement_methodology", first, second):
        return dict.fromkeys((*HEADLINE, *EXPLORATORY), apart)
    if marks := energy_marks([*first, *second]):
        return dict.fromkeys(ENERGY, f"energy is not a valid measurement: {', '.join(marks)}")
    apart = _values_apart("energy_scope", first, second) or _values_apart("energy_source", first, second)
    return dict.fromkeys(ENERGY, apart) if apart else {}


def _values_apart(name: str, first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> str:
    """Return a note if the values of a field are not the same ones on both sides; nothing where a side has none."""
    one, other = (sorted({str(found) for each in side if (found := getattr(each, name))}) for side in (first, second))
    apart = one and other and one != other
    return f"{name} differs: {', '.join(one)} against {', '.join(other)}" if apart else ""


def unsettled(first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> str:
    """Return why counts are of the weather; nothing where each window holds a work that was set beforehand."""
    results = [*first, *second]
    loads = [load for result in results if isinstance(load := result.effective_config.get("load"), dict)]
    if any(result.measurement_methodology != "total" for result in results) or any(
        load.get("duration_s") for load in loads
    ):
        return "as many as the window has room for"
    if loads and min(len(first), len(second)) < 2:
        return "a server's may change from run to run, and of one side there is one"
    return ""


def bound_shares(first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> tuple[float, float]:
    """Return the share of each side's energy that its sensors leave open.

    The parts are edge, disagreement and coverage, and gain unless one sensor of one board read all of both: a factor
    cancels there. An offset of up to b watts does not: the measured ratio is then off by (1 - b/P2) / (1 - b/P1) at
    the most, P being mean powers as they were read. It shows as a `gain_j` that is not the same share of each energy.
    """
    open_first, open_second = _most(first, bound_share), _most(second, bound_share)
    if (offset := offset_share([*first, *second])) is None:
        return open_first + _most(first, gain_share), open_second + _most(second, gain_share)
    return open_first, open_second + offset


def offset_share(results: Sequence[ExperimentResult]) -> float | None:
    """Return the share that a common offset leaves open where a common factor cancels; None where none is common."""
    if not _read_alike(results):
        return None
    gains = [gain_share(result) for result in results]
    return (max(gains) - min(gains)) / (1 - max(gains)) if max(gains) < 1 else 1.0


def open_bounds(result: ExperimentResult, metric: str, value: float) -> tuple[float, float]:
    """Return what sensors leave open of a run's figure, in its unit: edge, disagreement and coverage; and gain.

    Of a bound that holds the gain as well (a difference, in which no scale cancels) the whole is the first; it is at
    least the total's where it is not known. Of a total of 0 J no share is known: the first is then infinite.
    """
    own = OWN_BOUNDS.get(metric)
    if own is None:
        if result.total_energy_j == 0 and result.energy_uncertainty_j:
            return math.inf, 0.0
        return bound_share(result) * abs(value), gain_share(result) * abs(value)
    bound = getattr(result, own)
    if own.endswith("_spread_w"):
        return bound or 0.0, gain_share(result) * abs(value)
    return (result.energy_uncertainty_j if bound is None else bound) or 0.0, 0.0


def _most(results: Sequence[ExperimentResult], share_of: Callable[[ExperimentResult], float]) -> float:
    return max(map(share_of, results), default=0.0)


def bound_share(result: ExperimentResult) -> float:
    """Return the share of a run's energy that its edge, disagreement and coverage are."""
    parts = result.energy_uncertainty
    if parts is None or not result.total_energy_j:
        return 0.0
    return (sum_of_known([parts.edge_j, parts.disagreement_j, parts.coverage_j]) or 0.0) / abs(result.total_energy_j)


def gain_share(result: ExperimentResult) -> float:
    """Return the share of a run's energy that the bound on its sensors' scale is."""
    parts = result.energy_uncertainty
    if parts is None or parts.gain_j is None or not result.total_energy_j:
        return 0.0
    return parts.gain_j / abs(result.total_energy_j)


def _read_alike(results: Sequence[ExperimentResult]) -> bool:
    """Return True if every energy was read by the same sensors of the same boards, by the same calibration or none.

    GPUs have a UUID; CPUs only a recorded host name.
    """
    boards = {_board(result) for result in results}
    readers = [(result.energy_source, result.calibration) for result in results]
    return len(boards) == 1 and None not in boards and all(reader == readers[0] for reader in readers)


def _board(result: ExperimentResult) -> str | None:
    if result.energy_scope == "gpu":
        return ", ".join(sorted(metered_gpus(result))) or None
    environment = result.environment_snapshot
    return environment.hostname if environment else None


def metered_gpus(result: ExperimentResult) -> list[str]:
    """Return the UUIDs of the GPUs that were metered."""
    return [str(device.device) for device in result.device_energy if device.kind == "gpu"]
