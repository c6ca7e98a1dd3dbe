"""The parts that the processes of a run leave in `.state/{experiment_id}/`, and the one result that they make.

A process leaves its raw result, its part (a result of its own, without the raw one), its power over time where it
has any, and last its marker. What only a part knows (energy bounds, verdict, environment) comes from there.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from labledger.files import copy_durably, write_durably
from labledger.schema_versions import parse_record
from llenergymeasure.domain.choices import Verdict
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.metrics import (
    DeviceEnergy,
    EnergyBreakdown,
    EnergyUncertainty,
    MultiGPUMetrics,
    ThermalThrottleInfo,
)
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.metrics.advice import size_warnings
from llenergymeasure.metrics.columns import served
from llenergymeasure.metrics.energy import multi_gpu_metrics
from llenergymeasure.metrics.unknowns import sum_of_all
from llenergymeasure.results.aggregation import (
    aggregate_results,
    is_metered,
    mark_completed,
)
from llenergymeasure.results.persistence import UnsavedResultError, save_raw_result, state_folder, to_json
from llenergymeasure.results.timeseries import load_timeseries_parquet, temporary_timeseries

PART_FILE = "part_{index}.json"
SAMPLES_FILE = "timeseries_{index}.parquet"

SUMS = (
    "energy_adjusted_j",
    "energy_adjusted_uncertainty_j",
    "energy_uncertainty_j",
    "baseline_power_w",
    "baseline_power_spread_w",
    "idle_power_w",
    "idle_power_spread_w",
    "zeus_energy_j",
    "energy_prefill_j",
    "energy_prefill_uncertainty_j",
    "energy_decode_j",
    "energy_decode_uncertainty_j",
)
"""Figures of which each process that metered has its summand."""

SAME = (
    "backend",
    "backend_version",
    "effective_config",
    "token_count_source",
    "energy_source",
    "energy_scope",
    "sources_not_used",
    "environment_snapshot",
    "docker_image_digest",
    "warmup_result",
)
"""Fields that are taken from the first process."""


def save_part(part: ExperimentResult, samples: Sequence[PowerSample], output_dir: Path) -> None:
    """Leave everything that one process has found, its marker last.

    Raises:
        OSError: it could not be written.
    """
    (raw,) = part.process_results
    folder = state_folder(output_dir, raw.experiment_id)
    save_raw_result(raw, output_dir)
    alone = part.model_copy(update={"process_results": []})
    write_durably(folder / PART_FILE.format(index=raw.process_index), to_json(alone).encode())
    with temporary_timeseries(samples) as source:
        if source is not None:
            copy_durably(source, folder / SAMPLES_FILE.format(index=raw.process_index))
    mark_completed(raw, output_dir)


def load_parts(folder: Path, raws: Sequence[RawProcessResult]) -> list[ExperimentResult]:
    """The parts of `raws`, in their order; none where one is missing.

    Raises:
        UnreadableFileError: one is broken.
        OSError: one cannot be read.
    """
    paths = [folder / PART_FILE.format(index=raw.process_index) for raw in raws]
    if not all(path.is_file() for path in paths):
        return []
    return [parse_record(ExperimentResult, path.read_bytes(), str(path))[0] for path in paths]


def load_samples(folder: Path, raws: Sequence[RawProcessResult]) -> list[PowerSample]:
    """The power over time of all processes, from the start of the first one's measurement, in order of time.

    Raises:
        OSError: a file cannot be read.
    """
    found = []
    for raw in raws:
        path = folder / SAMPLES_FILE.format(index=raw.process_index)
        if path.is_file():
            late_s = _late_s(raw, raws)
            rows = [PowerSample(**row) for row in load_timeseries_parquet(path).to_pylist()]
            found += [replace(row, timestamp_s=row.timestamp_s + late_s) for row in rows]
    return sorted(found, key=lambda row: row.timestamp_s)


def discard_run(folder: Path) -> None:
    """Remove a run from `.state/`, and that with it where no other is in there."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


@contextlib.contextmanager
def superseding(folder: Path) -> Iterator[None]:
    """Remove a run's folder in `.state/` once the result that is saved inside is anywhere."""
    try:
        yield
    except UnsavedResultError as error:
        if error.kept_at is not None:
            discard_run(folder)
        raise
    discard_run(folder)


def combine(raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]) -> ExperimentResult:
    """One result of all processes: the sums of their raw results, and what their parts know beside that."""
    first = parts[0]
    metered = [part for raw, part in zip(raws, parts, strict=True) if is_metered(raw)]
    devices = _devices(raws, parts)
    word, reasons = _verdict(metered)
    differ = len({part.measurement_methodology for part in parts}) > 1
    result = aggregate_results(
        raws,
        str(first.experiment_id),
        str(first.measurement_config_hash),
        "total" if differ else first.measurement_methodology or "total",
        **{name: getattr(first, name) for name in SAME},
        **{name: None if _is_doubled(raws) else sum_of_all([getattr(part, name) for part in metered]) for name in SUMS},
        steady_state_window=_steady_state_window(raws, parts),
        energy_uncertainty=_uncertainty(metered),
        device_energy=devices,
        energy_per_device_j=_gpu_joules(devices),
        peak_power_w=metered[0].peak_power_w if len(metered) == 1 else None,
        warmup_excluded_samples=sum_of_all([part.warmup_excluded_samples for part in parts]),
        verdict=word,
        verdict_reasons=reasons,
        measurement_warnings=list(_told([part.measurement_warnings for part in parts])),
        thermal_throttle=_throttle(metered),
        thermal_time_series=_hottest(raws, parts),
    )
    requests = sum(request.ended_inside for raw in raws for request in served(raw))
    windows = ["The processes' figures are not of the same kind of window; see process_results."] if differ else []
    small = size_warnings(result.total_inference_time_sec or 0.0, requests)
    return result.model_copy(
        update={
            **_of_the_total(result, metered),
            "measurement_warnings": [*result.measurement_warnings, *windows, *small],
        }
    )


def _is_doubled(raws: Sequence[RawProcessResult]) -> bool:
    """Whether two processes metered one GPU: then a sum would count it twice."""
    gpus = [raw.gpu_id for raw in raws if is_metered(raw) and raw.gpu_id is not None]
    return len(gpus) > len(set(gpus))


def _of_the_total(result: ExperimentResult, metered: Sequence[ExperimentResult]) -> dict[str, object]:
    """What follows from the total energy."""
    total_j, lasted_s = result.total_energy_j, result.total_inference_time_sec
    multi_gpu = {"multi_gpu": _multi_gpu(result)}
    if total_j is None:
        return multi_gpu | _UNKNOWN | _verdict_of_unknown(result)
    measured = all(part.mean_power_w is not None for part in metered)
    first = metered[0].energy_breakdown or EnergyBreakdown()
    breakdown = EnergyBreakdown(
        raw_j=total_j,
        adjusted_j=result.energy_adjusted_j,
        baseline_power_w=result.baseline_power_w,
        baseline_method=None if result.energy_adjusted_j is None else first.baseline_method,
        baseline_timestamp=first.baseline_timestamp,
    )
    mean_power_w = total_j / lasted_s if lasted_s and measured else None
    return {**multi_gpu, "energy_breakdown": breakdown, "mean_power_w": mean_power_w}


_UNKNOWN: dict[str, object] = dict.fromkeys(
    ("energy_scope", "energy_uncertainty", "energy_uncertainty_j", "energy_adjusted_j", "energy_adjusted_uncertainty_j")
)


def _verdict_of_unknown(result: ExperimentResult) -> dict[str, object]:
    """An energy that no process is sure of is not valid."""
    if result.verdict != "valid":
        return {}
    return {"verdict": "invalid", "verdict_reasons": ["energy is unknown: several processes metered one GPU"]}


def _multi_gpu(result: ExperimentResult) -> MultiGPUMetrics | None:
    """None unless the processes ran on several GPUs."""
    ran_on = {raw.gpu_id for raw in result.process_results} - {None}
    if len(ran_on) < 2:
        return None
    known = result.environment_snapshot.gpus if result.environment_snapshot else []
    uuids = {gpu.uuid for gpu in known if gpu.index in ran_on}
    gpus = [device for device in result.device_energy if len(uuids) < len(ran_on) or device.device in uuids]
    return multi_gpu_metrics(gpus, result.total_energy_j, result.energy_per_output_token_j)


def _verdict(metered: Sequence[ExperimentResult]) -> tuple[Verdict | None, list[str]]:
    """As sure as the least sure."""
    words = {part.verdict for part in metered}
    order: tuple[Verdict, ...] = ("invalid", "not_measured", "valid")
    word = next((word for word in order if word in words), None)
    return word, list(_told([part.verdict_reasons for part in metered]))


def _told(texts: Sequence[Sequence[str]]) -> Iterator[str]:
    """What all say, once; what some say, with the number of each."""
    common = [text for text in texts[0] if all(text in each for each in texts)] if texts else []
    yield from common
    for index, each in enumerate(texts):
        yield from (f"process {index}: {text}" for text in each if text not in common)


def _uncertainty(metered: Sequence[ExperimentResult]) -> EnergyUncertainty | None:
    found = [part.energy_uncertainty for part in metered]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None

    def total(part: Callable[[EnergyUncertainty], float | None]) -> float | None:
        values = [value for each in known if (value := part(each)) is not None]
        return sum(values) if values else None

    return EnergyUncertainty(
        edge_j=total(lambda each: each.edge_j),
        disagreement_j=total(lambda each: each.disagreement_j),
        gain_j=total(lambda each: each.gain_j),
    )


def _devices(raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]) -> list[DeviceEnergy]:
    """Every device once: of a GPU that several processes saw, what the one says that used it."""
    found: dict[object, DeviceEnergy] = {}
    for raw, part in zip(raws, parts, strict=True):
        gpus = part.environment_snapshot.gpus if part.environment_snapshot else []
        used = next((gpu.uuid for gpu in gpus if gpu.index == raw.gpu_id), None)
        for device in part.device_energy if is_metered(raw) else ():
            name = device.device if device.kind == "gpu" else (raw.process_index, device.device)
            if name not in found or device.device == used:
                found[name] = device
    return list(found.values())


def _gpu_joules(devices: Sequence[DeviceEnergy]) -> list[float] | None:
    known = [device.energy_j for device in devices if device.kind == "gpu"]
    return [each for each in known if each is not None] if known and None not in known else None


def _steady_state_window(
    raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]
) -> tuple[float, float] | None:
    """All windows together, from the start of the first process's measurement."""
    edges = [
        (part.steady_state_window[0] + _late_s(raw, raws), part.steady_state_window[1] + _late_s(raw, raws))
        for raw, part in zip(raws, parts, strict=True)
        if part.steady_state_window is not None
    ]
    return (min(first for first, _ in edges), max(last for _, last in edges)) if len(edges) == len(parts) else None


def _throttle(metered: Sequence[ExperimentResult]) -> ThermalThrottleInfo | None:
    known = [part.thermal_throttle for part in metered if part.thermal_throttle is not None]
    if not known:
        return None
    return ThermalThrottleInfo(
        detected=any(each.detected for each in known),
        throttled_s=max((each.throttled_s for each in known if each.throttled_s is not None), default=None),
        share=max((each.share for each in known if each.share is not None), default=None),
        reasons=sorted({reason for each in known for reason in each.reasons}),
    )


def _hottest(raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]) -> list[tuple[float, float]] | None:
    """The hottest device of any process, at most one look a second."""
    looks: dict[int, tuple[float, float]] = {}
    for raw, part in zip(raws, parts, strict=True):
        late_s = _late_s(raw, raws)
        for own_s, degrees_c in part.thermal_time_series or []:
            moment_s = own_s + late_s
            if (known := looks.get(int(moment_s))) is None or degrees_c > known[1]:
                looks[int(moment_s)] = (moment_s, degrees_c)
    return [looks[second] for second in sorted(looks)] or None


def _late_s(raw: RawProcessResult, raws: Sequence[RawProcessResult]) -> float:
    """How much later than the first of them a process began to measure."""
    clocks = [each.clock_s for each in raws if each.clock_s is not None]
    return raw.clock_s - min(clocks) if raw.clock_s is not None else 0.0
