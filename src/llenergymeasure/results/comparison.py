"""Comparison of two groups of results, metric by metric: different, the same, or not to be told apart."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from labledger.comparison import Equivalence, diff, equivalence
from labledger.intervals import ratio_of_means, repeats_for
from llenergymeasure.config.energy_sources import basis_of
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.flat import Value, flat_row

DEFAULT_MARGIN = 0.05
ENERGY = ("energy_per_output_token_j", "energy_per_request_j", "total_energy_j")
LOWER_IS_BETTER = (*ENERGY, "ttft_ms_mean", "tpot_ms_mean", "e2e_ms_mean", "peak_memory_mb")
HIGHER_IS_BETTER = ("output_tokens_per_second", "requests_per_second")
METRICS = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)


@dataclass(frozen=True)
class Group:
    """Repeats of one configuration; `marks` name why its energies are not valid measurements."""

    name: str
    results: Sequence[ExperimentResult]

    @property
    def marks(self) -> list[str]:
        """`estimate`, or the verdict where it is not `valid`."""
        found = {
            "estimate" if basis_of(result.energy_source) == "estimate" else str(result.verdict)
            for result in self.results
        }
        return sorted(found - {"valid"})


@dataclass(frozen=True)
class Row:
    """One metric: its mean in both groups, second over first with its interval, and the conclusion."""

    metric: str
    first: float | None
    second: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    word: Equivalence = "cannot tell"
    note: str = ""

    @property
    def worse_by(self) -> float | None:
        """By what share the second is worse; negative where it is better."""
        if self.ratio is None:
            return None
        return self.ratio - 1 if self.metric in LOWER_IS_BETTER else 1 / self.ratio - 1


@dataclass(frozen=True)
class Comparison:
    """The second group against the first: what differs in their configurations, then one row per metric."""

    first: Group
    second: Group
    config_differences: dict[str, tuple[JsonValue, JsonValue]]
    rows: list[Row] = field(default_factory=list)


def compare(first: Group, second: Group, margin: float = DEFAULT_MARGIN) -> Comparison:
    """Compare two groups of results; `margin` is the share by which they may differ and still be the same.

    The interval is Welch's on the repeats' logarithms, widened by what the sensors leave open: edge and disagreement of
    both, and gain unless all of it was read on one board, where it cancels. `same` is an interval within the margin,
    `different` one without 1 in it, and neither is `cannot tell`, with about how many repeats would.
    """
    one, other = ([flat_row(result) for result in group.results] for group in (first, second))
    rows = [_row(metric, (first, _values(metric, one)), (second, _values(metric, other)), margin) for metric in METRICS]
    differences = diff(first.results[0].effective_config, second.results[0].effective_config)
    return Comparison(first, second, differences, rows)


def _row(metric: str, one: tuple[Group, list[float]], other: tuple[Group, list[float]], margin: float) -> Row:
    (first, second), values = (one[0], other[0]), [one[1], other[1]]
    means = [statistics.fmean(known) if known else None for known in values]
    if means[0] is None or means[1] is None or min(means[0], means[1]) <= 0:
        return Row(metric, means[0], means[1], note="not known in both")
    ratio = _ratio(values)
    if metric in ENERGY and (marks := sorted({*first.marks, *second.marks})):
        return Row(metric, means[0], means[1], ratio, note=f"energy is not a valid measurement: {', '.join(marks)}")
    if min(map(len, values)) < 2 or min(map(min, values)) <= 0:
        return Row(metric, means[0], means[1], ratio, note="one run has no spread; repeat each, three times or more")
    interval = ratio_of_means(values[0], values[1])
    widened_low, widened_high = interval.low, interval.high
    if metric in ENERGY:
        a, b = (_bound_share(group, gain=not _on_one_board(first, second)) for group in (first, second))
        widened_low = interval.low * (1 - b) / (1 + a)
        widened_high = interval.high * (1 + b) / (1 - a) if a < 1 else math.inf
    word = equivalence(widened_low, widened_high, none=1.0, margin=(1 / (1 + margin), 1 + margin))
    slack = max(interval.low / max(widened_low, 1e-12), widened_high / interval.high)
    note = _advice(values, ratio, slack, margin) if word == "cannot tell" else ""
    high = widened_high if math.isfinite(widened_high) else None
    return Row(metric, means[0], means[1], ratio, widened_low, high, word, note)


def _ratio(values: Sequence[Sequence[float]]) -> float:
    """The ratio of geometric means, as the interval's middle is; of arithmetic ones where a value is not above 0."""
    if min(map(min, values)) <= 0:
        return statistics.fmean(values[1]) / statistics.fmean(values[0])
    return statistics.geometric_mean(values[1]) / statistics.geometric_mean(values[0])


def _advice(values: Sequence[Sequence[float]], ratio: float, slack: float, margin: float) -> str:
    """About how many repeats of each would tell; `slack` is the factor that the sensors' bounds take."""
    apart = max(ratio, 1 / ratio)
    wanted = max(apart, (1 + margin) / apart) / slack
    repeats = repeats_for(values[0], values[1], wanted) if wanted > 1 else None
    if repeats is None:
        return "the sensors' bounds alone hide it: longer windows, or one board for both"
    return f"about {repeats} repeats of each would tell"


def _values(metric: str, rows: Sequence[dict[str, Value]]) -> list[float]:
    return [float(value) for row in rows if isinstance(value := row[metric], int | float)]


def _bound_share(group: Group, *, gain: bool) -> float:
    """The largest share of a run's energy that its edge, disagreement and (if it counts) gain leave open."""
    shares = [0.0]
    for result in group.results:
        if result.energy_uncertainty is None or not result.total_energy_j:
            continue
        parts = result.energy_uncertainty
        known = (parts.edge_j, parts.disagreement_j, parts.gain_j if gain else None)
        shares.append(sum(part for part in known if part is not None) / result.total_energy_j)
    return max(shares)


def _on_one_board(first: Group, second: Group) -> bool:
    """Return True if every energy was read by the same sensors: GPUs have a UUID; CPUs only a recorded host name."""
    boards = {_board(result) for group in (first, second) for result in group.results}
    return len(boards) == 1 and None not in boards


def _board(result: ExperimentResult) -> str | None:
    gpus = [str(device.device) for device in result.device_energy if device.kind == "gpu"]
    if result.energy_scope == "gpu":
        return ", ".join(sorted(gpus)) or None
    environment = result.environment_snapshot
    return environment.hostname if environment else None
