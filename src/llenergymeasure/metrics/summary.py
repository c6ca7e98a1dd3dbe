"""The result of one process's measurement: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from llenergymeasure.domain.choices import TokenCountSource
from llenergymeasure.domain.environment import GpuInfo
from llenergymeasure.domain.experiment import (
    ExperimentResult,
    RawProcessResult,
    compute_measurement_config_hash,
)
from llenergymeasure.domain.figures import (
    AggregationMetadata,
    ComputeMetrics,
    ConfidenceInterval,
    EnergyMetrics,
    Timestamps,
)
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.advice import energy_warnings, idle_warnings, run_warnings, size_warnings
from llenergymeasure.metrics.arithmetic import sum_of_all
from llenergymeasure.metrics.derived import EnergyTotals, RunTotals, derived
from llenergymeasure.metrics.energy import RunEnergy, emissions_kg_co2, multi_gpu_metrics
from llenergymeasure.metrics.flops import FLOPS_CONFIDENCE, total_flops
from llenergymeasure.metrics.latency import (
    e2e_ms,
    failed_columns,
    latency_stats,
    mean_intervals,
    request_columns,
    tpot_ms,
    ttft_ms,
    unless_memory_is_out,
)
from llenergymeasure.metrics.measurement import Measurement, energy_of
from llenergymeasure.metrics.phases import phase_fields
from llenergymeasure.metrics.power import peak_power_w, thermal_time_series, throttling
from llenergymeasure.metrics.process_metrics import compute_metrics, energy_metrics, inference_metrics
from llenergymeasure.metrics.quality import (
    answer_quality,
    answer_warnings,
    scored_answers,
    why_no_energy_per_right_answer,
)
from llenergymeasure.metrics.reasons import not_known, why_no_zeus, zeus_energy_j
from llenergymeasure.metrics.serving import (
    client_lateness_ms,
    request_failures,
    serving_warnings,
)
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.token_audit import (
    CountedRequest,
    cached_input_tokens,
    counted_requests,
    token_audit,
    token_reasons,
    token_warnings,
    weakest_source,
)
from llenergymeasure.metrics.verdict import verdict


@dataclass(frozen=True)
class Totals:
    """Tokens, time and operations within the window; tokens are None where those of one request are unknown.

    Input tokens count when their prefill has ended, `completed` requests when they have. `requests` are those whose
    latency counts: that began and ended inside or, of a whole run, began in it and ended while it drained. `counted`
    are the counts of all that have a token inside, whenever they ended.
    """

    input_tokens: int | None
    output_tokens: int | None
    completed: int
    requests: Sequence[RequestRecord]
    duration_s: float
    flops: float | None
    counted: Sequence[CountedRequest] = ()

    @property
    def tokens(self) -> int | None:
        """Input and output tokens."""
        return sum_of_all([self.input_tokens, self.output_tokens])


def totals(batches: Sequence[Batch], window: Window, model: ModelFacts) -> Totals:
    """Tokens, requests, seconds and operations within the window."""
    whole_run = window.methodology == "total"
    requests = [request for batch in batches for request in batch.requests]

    def inside(moment_s: float) -> bool:
        return window.start_s <= moment_s <= window.end_s

    def inside_of(times_s: Sequence[float]) -> int:
        if times_s and inside(min(times_s)) and inside(max(times_s)):  # of most requests, and quick
            return len(times_s)
        return sum(map(inside, times_s))

    inputs = [request.input_tokens for request in requests if inside(request.prefilled_s)]
    unknown = any(request.output_tokens is None and inside(request.end_s) for request in requests)
    return Totals(
        input_tokens=None if None in inputs else sum(filter(None, inputs)),
        output_tokens=None if unknown else sum(inside_of(request.token_times_s) for request in requests),
        completed=sum(inside(request.end_s) for request in requests),
        requests=[request for request in requests if inside(request.start_s) and (whole_run or inside(request.end_s))],
        duration_s=window.duration_s,
        flops=total_flops(model.shape, batches, window.start_s, window.end_s),
        counted=counted_requests(request for request in requests if _has_tokens_in(window, request)),
    )


def _has_tokens_in(window: Window, request: RequestRecord) -> bool:
    """Return True if the request was at its output within the window: columns know the first and the last token."""
    return request.prefilled_s <= window.end_s and request.last_token_s >= window.start_s


def summarise(measurement: Measurement) -> ExperimentResult:
    """The result of one process's measurement."""
    config, model, window = measurement.config, measurement.model, measurement.window
    counted = totals(measurement.batches, window, model)
    energy = energy_of(measurement, measurement.energy.devices)
    start = _started_at(measurement)
    intervals, interval_notes = unless_memory_is_out(
        lambda: latency_intervals(measurement.batches, counted.requests, config.random_seed)
    )
    scored = scored_answers(measurement)
    quality = None if scored is None else answer_quality([scored])
    run_totals = _run_totals(measurement, counted, energy, quality.right_in_window if quality else None)
    found, reasons = verdict(energy, token_reasons(counted.counted))
    phases, phase_notes = phase_fields(measurement, energy)
    return ExperimentResult(
        experiment_id=measurement.experiment_id,
        measurement_config_hash=compute_measurement_config_hash(config),
        measurement_methodology=window.methodology,
        steady_state_window=_steady_state_window(measurement),
        backend=config.backend,
        backend_version=model.backend_version,
        effective_config=effective_config(measurement),
        start_time=start,
        end_time=start + timedelta(seconds=counted.duration_s),
        token_count_source=_token_count_source(measurement, counted),
        token_audit=token_audit(counted.counted, measurement.tokenizer_unavailable),
        cached_input_tokens=cached_input_tokens(counted.counted),
        model_kept=measurement.model_kept,
        prompt_mark=measurement.prompt_mark,
        latency_stats=latency_stats(counted.requests),
        confidence_intervals=intervals,
        request_failures=request_failures(measurement),
        client_lateness_ms=client_lateness_ms(measurement),
        **derived(run_totals),
        **_energy_fields(measurement, energy, run_totals.energy_per_output_token_j),
        **phases,
        total_flops=counted.flops,
        cpu_seconds_resolution_s=measurement.cpu.resolution_s,
        peak_memory_mb=measurement.peak_memory_mb,
        model_memory_mb=model.model_memory_mb,
        quality=quality,
        lm_eval=list(measurement.lm_eval),
        verdict=found,
        verdict_reasons=reasons,
        measurement_warnings=_warnings(measurement, counted, energy, [*phase_notes, *interval_notes]),
        warmup_result=measurement.warmup,
        warmup_excluded_samples=measurement.warmup_excluded,
        environment_snapshot=measurement.environment,
        not_known=not_known(measurement) | why_no_energy_per_right_answer(quality),
        docker_image_digest=measurement.environment.image_digest if measurement.environment else None,
        process_results=[_raw_result(measurement, counted, energy)],
        aggregation=AggregationMetadata(method="one process", num_processes=1),
    )


def _token_count_source(measurement: Measurement, counted: Totals) -> TokenCountSource | None:
    inside = [request.counted_by for request in counted.counted]
    sources = inside or [request.counted_by for batch in measurement.batches for request in batch.requests]
    return weakest_source(sources) if sources else "tokenizer"


def effective_config(measurement: Measurement) -> dict[str, JsonValue]:
    """The configuration as it ran: without what had no effect, and with what it left open filled in."""
    source = energy_of(measurement, measurement.energy.devices).source
    return {
        **measurement.config.in_effect(),
        **measurement.model.effective,
        "energy": measurement.config.energy.model_copy(update={"source": source}).in_effect(),
    }


def raw_result(measurement: Measurement) -> RawProcessResult:
    """This process's part: figures of the window, and a row for every request that finished, window or not."""
    counted = totals(measurement.batches, measurement.window, measurement.model)
    return _raw_result(measurement, counted, energy_of(measurement, measurement.energy.devices))


def _raw_result(measurement: Measurement, counted: Totals, energy: RunEnergy) -> RawProcessResult:
    requests = [request for batch in measurement.batches for request in batch.requests]
    start = _started_at(measurement)
    first_tokens = [value for request in counted.requests if (value := ttft_ms(request)) is not None]
    return RawProcessResult(
        experiment_id=measurement.experiment_id,
        process_index=measurement.process_index,
        gpu_id=gpus[0].index if len(gpus := _gpus(measurement)) == 1 else None,
        config_name=None,
        model_name=measurement.config.model,
        timestamps=Timestamps.from_times(start, start + timedelta(seconds=counted.duration_s)),
        inference_metrics=inference_metrics(
            counted.input_tokens, counted.output_tokens, counted.duration_s, first_tokens
        ),
        energy_metrics=_process_energy(measurement, counted, energy),
        compute_metrics=_compute_metrics(measurement, counted),
        per_request_latencies_ms=[e2e_ms(request) for request in requests],
        requests=request_columns(requests, measurement.opened_s),
        failed_requests=failed_columns(measurement.failed, measurement.opened_s),
        clock_s=measurement.opened_s,
        window_start_s=measurement.window.start_s - measurement.opened_s,
        metered_by=measurement.metered_by,
        not_known=not_known(measurement),
        is_partial=False,
        scored_answers=scored_answers(measurement),
    )


def latency_intervals(
    batches: Sequence[Batch], requests: Sequence[RequestRecord], seed: int
) -> dict[str, ConfidenceInterval]:
    """`mean_intervals` of the requests that count."""
    counted = set(map(id, requests))
    groups = [[each for each in batch.requests if id(each) in counted] for batch in batches]
    return mean_intervals(
        {
            name: [[value for each in group if (value := latency(each)) is not None] for group in groups]
            for name, latency in (("ttft_ms", ttft_ms), ("tpot_ms", tpot_ms), ("e2e_ms", e2e_ms))
        },
        seed,
    )


def _started_at(measurement: Measurement) -> datetime:
    """The moment at which the window of the figures begins."""
    return measurement.opened_at + timedelta(seconds=measurement.window.start_s - measurement.opened_s)


def _gpus(measurement: Measurement) -> list[GpuInfo]:
    """The GPUs that ran, as the driver knows them: PyTorch counts only those that are visible to it."""
    gpus = measurement.environment.gpus if measurement.environment else []
    found = []
    for uuid in measurement.model.device_uuids:
        sliced = uuid.startswith("MIG-")  # a slice has a name of its own; its board is one that is cut
        found += [gpu for gpu in gpus if gpu.uuid == uuid or (sliced and gpu.mig_enabled)][:1]
    return found


def _steady_state_window(measurement: Measurement) -> tuple[float, float] | None:
    window = measurement.window
    if window.methodology != "steady_state":
        return None
    return (window.start_s - measurement.opened_s, window.end_s - measurement.opened_s)


def _run_totals(measurement: Measurement, counted: Totals, energy: RunEnergy, right_answers: int | None) -> RunTotals:
    """The energy above the loaded idle, too, its bound widened by what idle varies."""
    total_j, loaded = energy.total_j, measurement.energy.loaded_idle
    start_s, end_s = _energy_span(measurement)
    lasted_s = end_s - start_s
    adjusted_j = None if total_j is None or loaded.power_w is None else total_j - loaded.power_w * lasted_s
    adjusted_bound_j = None
    if adjusted_j is not None and energy.bound_j is not None and loaded.spread_w is not None:
        adjusted_bound_j = energy.bound_j + loaded.spread_w * lasted_s
    return RunTotals(
        tokens=counted.tokens,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        requests=counted.completed,
        duration_s=counted.duration_s,
        cpu_seconds=measurement.cpu.seconds,
        right_answers=right_answers,
        energy=EnergyTotals(
            joules=total_j,
            lasted_s=lasted_s,
            is_measured=energy.is_measured,
            bound_j=energy.bound_j,
            adjusted_j=adjusted_j,
            adjusted_bound_j=adjusted_bound_j,
            baseline_power_w=loaded.power_w,
            baseline_method="loaded idle, before the warm-up",
            baseline_timestamp=loaded.measured_at,
        ),
    )


def _energy_fields(measurement: Measurement, energy: RunEnergy, per_output_token_j: float | None) -> dict[str, object]:
    """Return the fields of the energy beside its ratios. Powers are left to sources that measure."""
    reading, total_j, bare = measurement.energy, energy.total_j, measurement.energy.bare_idle
    start_s, end_s = _energy_span(measurement)
    duration_s = end_s - start_s
    gpu_parts = [device.energy_j for device in reading.devices if device.kind == "gpu"]
    offset_s = start_s - measurement.opened_s
    peak_w = peak_power_w(reading.samples, energy.watches, offset_s, offset_s + duration_s)
    ran_on = energy.devices if len(measurement.model.device_uuids) > 1 else ()
    return {
        "energy_uncertainty": energy.uncertainty,
        "sensor": energy.sensor,
        "calibration": energy.calibration,
        "energy_source": energy.source,
        "energy_scope": energy.scope,
        "sources_not_used": reading.not_used,
        "device_energy": list(reading.devices),
        "energy_per_device_j": gpu_parts if gpu_parts and None not in gpu_parts else None,
        "baseline_power_w": reading.loaded_idle.power_w,
        "baseline_power_spread_w": reading.loaded_idle.spread_w,
        "idle_power_w": bare.power_w if bare else None,
        "idle_power_spread_w": bare.spread_w if bare else None,
        "zeus_energy_j": zeus_energy_j(measurement),
        "peak_power_w": peak_w if energy.is_measured else None,
        "emissions_kg_co2": _emissions(measurement, total_j),
        "multi_gpu": multi_gpu_metrics(ran_on, total_j, per_output_token_j),
        "thermal_throttle": throttling(energy.watches, duration_s),
        "thermal_time_series": thermal_time_series(energy.watches, offset_s),
    }


def _energy_span(measurement: Measurement) -> tuple[float, float]:
    window = measurement.window
    return measurement.energy.span or (window.start_s, window.end_s)


def _emissions(measurement: Measurement, energy_j: float | None) -> float | None:
    user = measurement.user
    return emissions_kg_co2(energy_j, user.grid_carbon_intensity, user.datacenter_pue)


def _process_energy(measurement: Measurement, counted: Totals, energy: RunEnergy) -> EnergyMetrics:
    start_s, end_s = _energy_span(measurement)
    return energy_metrics(
        energy,
        measurement.energy.devices,
        on_accelerator=measurement.model.on_accelerator,
        duration_s=end_s - start_s,
        tokens=counted.tokens,
        emissions_kg_co2=_emissions(measurement, energy.total_j),
    )


def _compute_metrics(measurement: Measurement, counted: Totals) -> ComputeMetrics:
    known, config = counted.flops is not None, measurement.config
    return compute_metrics(
        counted.flops,
        counted.tokens,
        counted.duration_s,
        cpu_seconds=measurement.cpu.seconds,
        cpu_seconds_resolution_s=measurement.cpu.resolution_s,
        peak_memory_mb=measurement.peak_memory_mb,
        model_memory_mb=measurement.model.model_memory_mb,
        flops_method=measurement.flops_method if known else measurement.model.shape_unknown,
        flops_confidence=FLOPS_CONFIDENCE if known else None,
        compute_precision=None if "precision" in config.without_effect else config.precision,
    )


def _warnings(measurement: Measurement, counted: Totals, energy: RunEnergy, notes: Sequence[str]) -> list[str]:
    reading = measurement.energy
    start_s, end_s = _energy_span(measurement)
    found = [
        *([] if measurement.metered_by is not None else energy_warnings(energy, end_s - start_s, reading.not_used)),
        *run_warnings(
            warmup=measurement.warmup,
            cpu_wait_share=measurement.cpu_wait_share,
            cpu_steal_share=measurement.cpu_steal_share,
            gpus=_gpus(measurement),
        ),
        *(size_warnings(counted.duration_s, counted.completed) if measurement.processes == 1 else []),
        *idle_warnings(reading.loaded_idle, reading.bare_idle, energy),
        *([f"energy.cross_check: {why}: there is no cross-check."] if (why := why_no_zeus(measurement)) else []),
        *serving_warnings(measurement),
        *token_warnings(counted.counted, measurement.tokenizer_unavailable),
        *answer_warnings(scored_answers(measurement), measurement.judged.unknown if measurement.judged else None),
        *notes,
    ]
    before = [*measurement.notes, measurement.window.note] if measurement.window.note else [*measurement.notes]
    if measurement.window.methodology == "windowed" and len(counted.requests) < counted.completed:
        before.append(
            f"Latencies are of the {len(counted.requests)} requests that lie wholly inside the window, of "
            f"{counted.completed} that ended in it: long ones are too few among them; name a wider window."
        )
    return [*before, *found]
