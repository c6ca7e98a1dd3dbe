"""One result from those of several processes, late: after all of them have written theirs."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from labledger.errors import UnreadableFileError
from labledger.files import write_durably
from labledger.schema_versions import SchemaVersionWarning, parse_record, version_warning
from llenergymeasure.domain.choices import MeasurementMethodology
from llenergymeasure.domain.experiment import SCHEMA_VERSION, AggregationMetadata, ExperimentResult, RawProcessResult
from llenergymeasure.domain.metrics import EnergyMetrics
from llenergymeasure.errors import ExperimentError
from llenergymeasure.metrics.columns import latency_intervals_of, latency_stats_of, served, unless_memory_is_out
from llenergymeasure.metrics.serving import failures_by_kind
from llenergymeasure.metrics.unknowns import ratio, sum_of_all
from llenergymeasure.results.persistence import RAW_FILE, RERUN_COMMAND, state_folder

MARKER = ".completed_{index}"
EXPECTED = ".expected"


@dataclass(frozen=True)
class CompletenessReport:
    """Whether every process has written its result, and if not, what is wrong, in one message."""

    is_complete: bool
    missing_indices: list[int]
    duplicate_indices: list[int]
    error_message: str | None


def expect_processes(experiment_id: str, count: int, results_dir: Path) -> Path:
    """Say, durably and before they start, how many processes a run has: what they leave does not tell."""
    path = state_folder(results_dir, experiment_id) / EXPECTED
    write_durably(path, f"{count}\n".encode())
    return path


def expected_processes(folder: Path) -> int | None:
    """What `expect_processes` said in a folder of `.state/`; None where it did not."""
    path = folder / EXPECTED
    text = path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None


def mark_completed(raw: RawProcessResult, results_dir: Path) -> Path:
    """Say, durably, that a process has written all that it will; `results_dir` is where results go."""
    path = state_folder(results_dir, raw.experiment_id) / MARKER.format(index=raw.process_index)
    write_durably(path, b"")
    return path


def is_marked(folder: Path, index: int) -> bool:
    """Whether process `index` has said in a folder of `.state/` that it has written everything."""
    return (folder / MARKER.format(index=index)).exists()


def load_raw_results(folder: Path) -> list[RawProcessResult]:
    """The results of the processes in a folder of `.state/`, by their index. Warns once of another schema version.

    Raises:
        UnreadableFileError: one is broken.
        OSError: one cannot be read.
    """
    pattern = re.compile(RAW_FILE.format(index=r"\d+"))
    files = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    read = [parse_record(RawProcessResult, path.read_bytes(), str(path)) for path in files]
    told = (version_warning(raw, data, current=SCHEMA_VERSION, rerun=RERUN_COMMAND) for raw, data in read)
    if text := next(filter(None, told), None):
        warnings.warn(text, SchemaVersionWarning, stacklevel=2)
    raws = [raw for raw, _ in read]
    for path, raw in zip(files, raws, strict=True):
        if raw.process_index is None or raw.experiment_id is None:
            raise UnreadableFileError(f"{path}: names no experiment_id and process_index")
    return sorted(raws, key=lambda raw: raw.process_index or 0)


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
    """One result of all processes; `fields` are further fields of ExperimentResult, as the caller knows them.

    Tokens, operations and energy are sums; throughput is total tokens over the union of the processes' intervals;
    latencies are put together and percentiles taken once; time is from the earliest start to the latest end. Energy is
    unknown where that of one process is, unless another process metered its devices too. Intervals are drawn with the
    `random_seed` of `effective_config`, 0 where it has none.

    Raises:
        ExperimentError: there is no result, or one lacks what the sum needs.
    """
    if not raw_results:
        raise ExperimentError(f"experiment {experiment_id}: no process has left a result to aggregate")
    spans = [_span(raw) for raw in raw_results]
    inference = [raw.inference_metrics for raw in raw_results if raw.inference_metrics is not None]
    if len(inference) < len(raw_results):
        raise ExperimentError(f"experiment {experiment_id}: a process's result has no inference_metrics")
    start, end = min(first for first, _ in spans), max(last for _, last in spans)
    active_s = _union_s([((first - start).total_seconds(), (last - start).total_seconds()) for first, last in spans])
    if not active_s:
        raise ExperimentError(f"experiment {experiment_id}: the processes' windows have no length")
    total, outputs = (
        sum_of_all([getattr(each, name) for each in inference]) for name in ("total_tokens", "output_tokens")
    )
    found = list(_warnings(raw_results, spans))
    energy_j = _energy_j(raw_results)
    requests = [request for raw in raw_results for request in served(raw)]
    ended = sum(request.ended_inside for request in requests)
    intervals, interval_notes = unless_memory_is_out(lambda: latency_intervals_of(requests, _seed(fields)))
    computed: dict[str, object] = {
        "start_time": start,
        "end_time": end,
        "total_tokens": total,
        "input_tokens": sum_of_all([each.input_tokens for each in inference]),
        "output_tokens": outputs,
        "total_inference_time_sec": active_s,
        "avg_tokens_per_second": ratio(total, active_s),
        "output_tokens_per_second": ratio(outputs, active_s),
        "total_energy_j": energy_j,
        "avg_energy_per_token_j": ratio(energy_j, total),
        "energy_per_output_token_j": ratio(energy_j, outputs),
        "energy_per_request_j": ratio(energy_j, ended),
        "energy_delay_product_js": None if energy_j is None else energy_j * active_s,
        "emissions_kg_co2": None if energy_j is None else _emissions_kg_co2(raw_results),
        "request_failures": failures_by_kind(
            kind for raw in raw_results if raw.failed_requests for kind in raw.failed_requests.kind
        ),
        "total_flops": sum_of_all(_computed(raw_results, "flops_total")),
        "peak_memory_mb": sum_of_all(_computed(raw_results, "peak_memory_mb")),
        "model_memory_mb": sum_of_all(_computed(raw_results, "model_memory_mb")),
        "requests_per_second": ratio(ended, active_s) if requests else None,
        "latency_stats": latency_stats_of(requests),
        "confidence_intervals": intervals,
        "process_results": list(raw_results),
        "aggregation": AggregationMetadata(
            method="sum of processes, throughput over the union of their intervals",
            num_processes=len(raw_results),
            temporal_overlap_verified=not any("overlap" in warning for warning in found),
            gpu_attribution_verified=not any("GPU" in warning for warning in found),
            warnings=found,
        ),
    }
    return ExperimentResult.model_validate(
        {
            **computed,
            **fields,
            "measurement_warnings": [*_given_warnings(fields), *interval_notes],
            "experiment_id": experiment_id,
            "measurement_config_hash": measurement_config_hash,
            "measurement_methodology": measurement_methodology,
        }
    )


def _seed(fields: Mapping[str, object]) -> int:
    config = fields.get("effective_config")
    seed = config.get("random_seed") if isinstance(config, Mapping) else None
    return seed if isinstance(seed, int) else 0


def _given_warnings(fields: Mapping[str, object]) -> list[object]:
    given = fields.get("measurement_warnings")
    return list(given) if isinstance(given, Sequence) else []


def _computed(raw_results: Sequence[RawProcessResult], name: str) -> list[float | None]:
    return [getattr(raw.compute_metrics, name) if raw.compute_metrics else None for raw in raw_results]


def is_metered(raw: RawProcessResult) -> bool:
    """Whether a process metered its devices itself."""
    return raw.metered_by is None or raw.metered_by == raw.process_index


def _metered(raw_results: Sequence[RawProcessResult]) -> list[EnergyMetrics]:
    """What each process that metered has found."""
    unknown = EnergyMetrics(total_energy_j=None, duration_sec=None)
    return [raw.energy_metrics or unknown for raw in raw_results if is_metered(raw)]


def _emissions_kg_co2(raw_results: Sequence[RawProcessResult]) -> float | None:
    return sum_of_all([each.emissions_kg_co2 for each in _metered(raw_results)])


def _energy_j(raw_results: Sequence[RawProcessResult]) -> float | None:
    """Each device once: of processes that share a GPU one has metered it for all, and the others have no energy."""
    metering = {raw.process_index: raw.gpu_id for raw in raw_results if is_metered(raw)}
    for raw in raw_results:
        if not is_metered(raw) and metering.get(raw.metered_by, "nobody") != raw.gpu_id:
            return None
    by_gpu: dict[int | None, list[float | None]] = {}
    for raw in filter(is_metered, raw_results):
        found_j = raw.energy_metrics.total_energy_j if raw.energy_metrics else None
        by_gpu.setdefault(raw.gpu_id, []).append(found_j)
    parts: list[float | None] = []
    for gpu, energies in by_gpu.items():
        known = [energy for energy in energies if energy is not None]
        shared = gpu is not None and len(energies) > 1
        parts += [known[0] if len(known) == 1 else None] if shared else energies
    return sum_of_all(parts)


def _warnings(raw_results: Sequence[RawProcessResult], spans: Sequence[tuple[datetime, datetime]]) -> Iterator[str]:
    if len(raw_results) > 1:
        yield "ITL is unknown: the processes' results do not keep the gaps between tokens"
    gpus = Counter(raw.gpu_id for raw in raw_results if raw.gpu_id is not None)
    for gpu in sorted(gpu for gpu, times in gpus.items() if times > 1):
        yield f"{gpus[gpu]} processes name GPU {gpu}: its energy is known only where one of them metered it for all"
    latest_start, earliest_end = max(first for first, _ in spans), min(last for _, last in spans)
    if len(spans) > 1 and latest_start >= earliest_end:
        yield "the processes' intervals do not overlap: they did not run at the same time"


def _span(raw: RawProcessResult) -> tuple[datetime, datetime]:
    times = raw.timestamps
    if times is None or times.start is None or times.end is None:
        raise ExperimentError(f"the result of process {raw.process_index} has no timestamps")
    return times.start, times.end


def _union_s(spans: Sequence[tuple[float, float]]) -> float:
    """The length of what the spans cover together."""
    covered_s, reached_s = 0.0, -1.0
    for start_s, end_s in sorted(spans):
        covered_s += max(end_s - max(start_s, reached_s), 0.0)
        reached_s = max(reached_s, end_s)
    return covered_s


def processes(indices: Sequence[int]) -> str:
    """Them, as people name them."""
    return f"process{'es' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"
