"""One result from those of several processes, late: after all of them have written theirs."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from labledger.errors import UnreadableFileError
from labledger.files import write_durably
from labledger.regular_files import read_regular
from labledger.schema_versions import SchemaVersionWarning
from llenergymeasure.domain.choices import MeasurementMethodology
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.figures import (
    AggregationMetadata,
    ConfidenceInterval,
    EnergyMetrics,
    InferenceMetrics,
    LatencyStats,
    MultiGPUMetrics,
)
from llenergymeasure.domain.quality import AnswerQuality
from llenergymeasure.errors import ExperimentError
from llenergymeasure.metrics.arithmetic import is_computable, sum_of_all
from llenergymeasure.metrics.derived import EnergyTotals, RunTotals, derived
from llenergymeasure.metrics.energy import gpus_by_energy
from llenergymeasure.metrics.latency import (
    Served,
    distribution,
    latency_intervals_of,
    latency_stats_of,
    served,
    unless_memory_is_out,
)
from llenergymeasure.metrics.quality import answer_quality, why_no_energy_per_right_answer
from llenergymeasure.metrics.serving import failures_by_kind
from llenergymeasure.metrics.token_audit import CountedRequest
from llenergymeasure.results.merged_tokens import audit_fields, counted_inside
from llenergymeasure.results.mixed_versions import versions_warning
from llenergymeasure.results.persistence import state_folder
from llenergymeasure.results.raw_results import processes
from llenergymeasure.results.shared_devices import UsedDevice, shared_gpus, used_devices
from llenergymeasure.results.state import EXPECTED, MARKER, is_regular

MAX_PROCESSES = 10_000
"""The most processes of a run that are believed of its files, since every index is checked."""


@dataclass(frozen=True)
class CompletenessReport:
    """The processes of a run whose results are missing or doubled; `error_message` names all that is wrong."""

    is_complete: bool
    missing_indices: list[int]
    duplicate_indices: list[int]
    error_message: str | None


def expect_processes(experiment_id: str, count: int, results_dir: Path) -> Path:
    """Write, durably and before they start, how many processes a run has: their files do not tell. Return the path."""
    path = state_folder(results_dir, experiment_id) / EXPECTED
    write_durably(path, f"{count}\n".encode(), within=results_dir)
    return path


def expected_processes(folder: Path) -> int | None:
    """Return the number that `expect_processes` left in a folder of `.state/`; None where it left none.

    Raises:
        UnreadableFileError: it is more than there can be.
        OSError: it cannot be read.
    """
    path = folder / EXPECTED
    text = read_regular(path).decode("ascii", "replace").strip() if is_regular(path) else ""
    if not text.isdecimal():
        return None
    if len(text) > len(str(MAX_PROCESSES)) or int(text) > MAX_PROCESSES:
        raise UnreadableFileError(f"{path}: {text[:20]} processes; a run has {MAX_PROCESSES} at most")
    return int(text)


def mark_completed(raw: RawProcessResult, results_dir: Path) -> Path:
    """Mark, durably, that a process has written everything; return the path. `results_dir` is where results go."""
    path = state_folder(results_dir, raw.experiment_id) / MARKER.format(index=raw.process_index)
    write_durably(path, b"", within=results_dir)
    return path


def is_marked(folder: Path, index: int) -> bool:
    """Return True if process `index` is marked in a folder of `.state/` as having written everything."""
    return is_regular(folder / MARKER.format(index=index))


def validate_process_completeness(
    experiment_id: str, raw_results: Sequence[RawProcessResult], expected_processes: int, results_dir: Path
) -> CompletenessReport:
    """Four checks: the count, indices from 0 without a gap, none twice, and a done-marker for each."""
    counted = Counter(raw.process_index for raw in raw_results if raw.process_index is not None)
    wanted = set(range(expected_processes))
    missing = sorted(wanted - set(counted))
    duplicates = sorted(index for index, times in counted.items() if times > 1)
    folder = state_folder(results_dir, experiment_id)
    unmarked = [i for i in sorted(wanted & set(counted)) if not is_marked(folder, i)]
    problems = []
    if len(raw_results) != expected_processes:
        problems.append(f"{len(raw_results)} results, expected {expected_processes}")
    if missing:
        problems.append(f"no result of {processes(missing)}")
    if duplicates:
        problems.append(f"more than one result of {processes(duplicates)}")
    if strange := sorted(set(counted) - wanted):
        problems.append(f"a result of {processes(strange)}, which is none of {expected_processes}")
    if unmarked:
        problems.append(f"{processes(unmarked)} did not finish (no {MARKER.format(index='N')} marker)")
    message = f"experiment {experiment_id} is incomplete: {'; '.join(problems)}" if problems else None
    return CompletenessReport(not problems, sorted({*missing, *unmarked}), duplicates, message)


def aggregate_results(
    raw_results: Sequence[RawProcessResult],
    experiment_id: str,
    measurement_config_hash: str,
    measurement_methodology: MeasurementMethodology = "total",
    **fields: object,
) -> ExperimentResult:
    """One result of all processes; `fields` are other fields of ExperimentResult, which override what is computed.

    Tokens, operations and energy are sums; throughput is total tokens over the union of the processes' intervals;
    latencies are put together and percentiles taken once; time is from the earliest start to the latest end. Energy is
    unknown where that of one device is; of processes that share a GPU, one alone may have it. Intervals are drawn with
    the `random_seed` of `effective_config`, 0 where it has none. Of a process that keeps no `requests`, only its
    `per_request_latencies_ms` count. Warns (SchemaVersionWarning) where the results are of several schema versions.

    Raises:
        ExperimentError: there is no result, or one lacks what the sum needs.
    """
    named = {
        "experiment_id": experiment_id,
        "measurement_config_hash": measurement_config_hash,
        "measurement_methodology": measurement_methodology,
    }
    gathered = gather(raw_results, experiment_id)
    if text := versions_warning(raw_results):
        warnings.warn(text, SchemaVersionWarning, stacklevel=2)
    return aggregated(gathered, gathered.totals, fields | named)


@dataclass(frozen=True)
class Gathered:
    """The raw results of all processes, their windows, devices and requests, and what they come to.

    `requests` are those that are kept; `without_requests` the processes that keep none. `counted` are the counts of
    those that have a token in the window, where a server's were audited.
    """

    raws: Sequence[RawProcessResult]
    spans: Sequence[tuple[datetime, datetime]]
    devices: Sequence[UsedDevice]
    requests: Sequence[Served]
    without_requests: Sequence[RawProcessResult]
    totals: RunTotals
    counted: Sequence[CountedRequest]
    quality: AnswerQuality | None = None


def gather(raw_results: Sequence[RawProcessResult], experiment_id: str) -> Gathered:
    """The raw results with their windows, their requests and their totals.

    Raises:
        ExperimentError: there is no result, or one lacks what the sum needs.
    """
    if not raw_results:
        raise ExperimentError(f"experiment {experiment_id}: no process has left a result to aggregate")
    spans = _spans(raw_results)
    inference = [_inference(raw) for raw in raw_results]
    start = min(first for first, _ in spans)
    active_s = _union_s([((first - start).total_seconds(), (last - start).total_seconds()) for first, last in spans])
    if not active_s:
        raise ExperimentError(f"experiment {experiment_id}: the processes' windows have no length")
    requests_of = [served(raw) for raw in raw_results]
    requests, devices = [*chain.from_iterable(requests_of)], used_devices(raw_results)
    without_requests = [raw for raw in raw_results if raw.requests is None]
    quality = answer_quality([raw.scored_answers for raw in raw_results])
    totals = RunTotals(
        tokens=sum_of_all([each.total_tokens for each in inference]),
        input_tokens=sum_of_all([each.input_tokens for each in inference]),
        output_tokens=sum_of_all([each.output_tokens for each in inference]),
        requests=None if without_requests else sum(request.ended_inside for request in requests),
        duration_s=active_s,
        cpu_seconds=sum_of_all(_computed(raw_results, "cpu_seconds")),
        right_answers=quality.right_in_window if quality else None,
        energy=EnergyTotals(
            joules=sum_of_all([device.joules for device in devices]),
            lasted_s=active_s,
            is_measured=all(_has_power(device.energy) for device in devices),
        ),
    )
    counted = counted_inside(raw_results, requests_of)
    return Gathered(raw_results, spans, devices, requests, without_requests, totals, counted, quality)


def aggregated(gathered: Gathered, totals: RunTotals, fields: Mapping[str, object]) -> ExperimentResult:
    """The result of what was gathered, where it comes to `totals`; `fields` override what is computed."""
    raws, spans = gathered.raws, gathered.spans
    intervals, interval_notes = unless_memory_is_out(lambda: _intervals(gathered, _seed(fields)))
    shared, apart = list(shared_gpus(raws)), list(_apart(spans))
    computed: dict[str, object] = {
        **derived(totals),
        "start_time": min(first for first, _ in spans),
        "end_time": max(last for _, last in spans),
        "emissions_kg_co2": None if totals.energy.joules is None else _emissions_kg_co2(gathered.devices),
        "multi_gpu": _multi_gpu(gathered.devices, totals),
        "request_failures": failures_by_kind(
            kind for raw in raws if raw.failed_requests for kind in raw.failed_requests.kind
        ),
        "total_flops": sum_of_all(_computed(raws, "flops_total")),
        "cpu_seconds_resolution_s": sum_of_all(_computed(raws, "cpu_seconds_resolution_s")),
        "not_known": _not_known(raws) | why_no_energy_per_right_answer(gathered.quality),
        "quality": gathered.quality,
        "peak_memory_mb": sum_of_all(_computed(raws, "peak_memory_mb")),
        "model_memory_mb": sum_of_all(_computed(raws, "model_memory_mb")),
        "latency_stats": _latency_stats(gathered),
        "confidence_intervals": intervals,
        "process_results": list(raws),
        "aggregation": AggregationMetadata(
            method="sum of processes, throughput over the union of their intervals",
            num_processes=len(raws),
            temporal_overlap_verified=not apart,
            gpu_attribution_verified=not shared,
            warnings=[*_without_gaps(raws), *shared, *apart, *_without_requests(gathered)],
        ),
    }
    found = {**computed, **fields, "measurement_warnings": [*_given_warnings(fields), *interval_notes]}
    try:
        return ExperimentResult.model_validate(found | audit_fields(gathered.counted, found))
    except ValidationError as error:
        raise ExperimentError(f"the processes' figures do not make a result: {_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    """Each field that is wrong, and how."""
    found = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return "; ".join(f"{place}: {text}" if place else text for place, text in found)


def _intervals(gathered: Gathered, seed: int) -> dict[str, ConfidenceInterval]:
    return {} if gathered.without_requests else latency_intervals_of(gathered.requests, seed)


def _latency_stats(gathered: Gathered) -> LatencyStats:
    """Latencies of all processes: where one keeps no requests E2E alone, if it has that."""
    without = gathered.without_requests
    if not without:
        return latency_stats_of(gathered.requests)
    if not all(raw.per_request_latencies_ms for raw in without):
        return LatencyStats()
    kept_ms = [request.e2e_ms for request in gathered.requests if request.inside]
    return LatencyStats(
        e2e_ms=distribution([*kept_ms, *(ms for raw in without for ms in raw.per_request_latencies_ms)])
    )


def _has_power(energy: EnergyMetrics | None) -> bool:
    return energy is not None and (energy.gpu_power_w is not None or energy.cpu_power_w is not None)


def _emissions_kg_co2(devices: Sequence[UsedDevice]) -> float | None:
    return sum_of_all([device.energy.emissions_kg_co2 if device.energy else None for device in devices])


def _multi_gpu(devices: Sequence[UsedDevice], totals: RunTotals) -> MultiGPUMetrics | None:
    """The joules of each GPU, where any are known; the raw results do not tell their UUIDs."""
    energies_j = [device.joules for device in devices if device.gpu is not None]
    if not any(energy_j is not None for energy_j in energies_j):
        return None
    return gpus_by_energy(energies_j, None, totals.energy.joules, totals.energy_per_output_token_j)


def _seed(fields: Mapping[str, object]) -> int:
    config = fields.get("effective_config")
    seed = config.get("random_seed") if isinstance(config, Mapping) else None
    if isinstance(seed, int) and seed < 0:
        raise ExperimentError(f"effective_config.random_seed: {seed} is not a seed; it must be 0 or more")
    return seed if isinstance(seed, int) else 0


def _given_warnings(fields: Mapping[str, object]) -> list[object]:
    given = fields.get("measurement_warnings")
    return list(given) if isinstance(given, Sequence) else []


def _computed(raw_results: Sequence[RawProcessResult], name: str) -> list[float | None]:
    return [getattr(raw.compute_metrics, name) if raw.compute_metrics else None for raw in raw_results]


def _not_known(raw_results: Sequence[RawProcessResult]) -> dict[str, str]:
    """The reasons of all processes, each once, by field."""
    names = dict.fromkeys(name for raw in raw_results for name in raw.not_known)
    return {
        name: "; ".join(dict.fromkeys(raw.not_known[name] for raw in raw_results if name in raw.not_known))
        for name in names
    }


def _without_gaps(raw_results: Sequence[RawProcessResult]) -> Iterator[str]:
    if len(raw_results) > 1:
        yield "ITL is unknown: the processes' results do not keep the gaps between tokens"


def _without_requests(gathered: Gathered) -> Iterator[str]:
    without = gathered.without_requests
    if not without:
        return
    who = f"the result of {processes([raw.process_index or 0 for raw in without])} keeps no requests"
    if all(raw.per_request_latencies_ms for raw in without):
        yield (
            f"{who}: E2E is of every request that finished there, in the window or not, and all other latencies, the "
            "intervals, and figures per request and requests per second are unknown"
        )
    else:
        yield f"{who}, and no latencies: all latencies, figures per request and requests per second are unknown"


def _apart(spans: Sequence[tuple[datetime, datetime]]) -> Iterator[str]:
    latest_start, earliest_end = max(first for first, _ in spans), min(last for _, last in spans)
    if len(spans) > 1 and latest_start >= earliest_end:
        yield "the processes' intervals do not overlap: they did not run at the same time"


def _spans(raw_results: Sequence[RawProcessResult]) -> list[tuple[datetime, datetime]]:
    spans = [_span(raw) for raw in raw_results]
    if len({moment.tzinfo is None for span in spans for moment in span}) > 1:
        some = zip(raw_results, spans, strict=True)
        naive = [raw.process_index or 0 for raw, span in some if any(moment.tzinfo is None for moment in span)]
        raise ExperimentError(f"timestamps of {processes(naive)} have no time zone, and others have one")
    return spans


def _span(raw: RawProcessResult) -> tuple[datetime, datetime]:
    times = raw.timestamps
    if times is None or times.start is None or times.end is None:
        raise ExperimentError(f"the result of process {raw.process_index} has no timestamps")
    return times.start, times.end


def _inference(raw: RawProcessResult) -> InferenceMetrics:
    found, whose = raw.inference_metrics, f"the result of process {raw.process_index}"
    if found is None:
        raise ExperimentError(f"{whose} has no inference_metrics")
    unknown = found.total_tokens is None and None in (found.input_tokens, found.output_tokens)
    if not unknown and not is_computable(found.total_tokens):
        raise ExperimentError(
            f"{whose} has no inference_metrics.total_tokens, or one that is too large to compute with"
        )
    return found


def _union_s(spans: Sequence[tuple[float, float]]) -> float:
    covered_s, reached_s = 0.0, -1.0
    for start_s, end_s in sorted(spans):
        covered_s += max(end_s - max(start_s, reached_s), 0.0)
        reached_s = max(reached_s, end_s)
    return covered_s
