"""A result as text for people."""

from pathlib import Path

from labledger.console import print_answer, print_facts, print_line, print_warnings
from labledger.durations import rough_duration
from llenergymeasure.cli.config_rows import settings
from llenergymeasure.cli.work_rows import adapter_rows, dataset_rows
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.figures import ComputeMetrics, Distribution, PowerSensor, UsedCalibration
from llenergymeasure.domain.quality import AnswerQuality, LmEvalMetric

SHOWN_RESOLUTION_S = 1e-3
MOST_LM_EVAL = 5


def print_result(result: ExperimentResult, path: Path | None, *, with_settings: bool = False) -> None:
    """Print the main figures, the warnings, and where the result is saved; if asked, what it set that is no default."""
    latency, config = result.latency_stats, result.effective_config
    facts = [
        ("model", str(config.get("model"))),
        *adapter_rows(config),
        ("backend", f"{result.backend} ({result.backend_version or 'version unknown'})"),
        ("device", _device(result)),
        *_how_it_ran(result),
        *dataset_rows(config),
        *(settings(result) if with_settings else []),
        *([("processes", str(len(result.process_results)))] if len(result.process_results) > 1 else []),
        (
            "tokens",
            f"{count(result.total_tokens)} ({count(result.input_tokens)} in, {count(result.output_tokens)} out)",
        ),
        *_token_counts(result),
        ("duration", f"{seconds(result.total_inference_time_sec)} ({_methodology(result)})"),
        ("output tokens/s", number(result.output_tokens_per_second)),
        ("TTFT", mean_and_p99(latency.ttft_ms if latency else None)),
        ("TPOT", mean_and_p99(latency.tpot_ms if latency else None)),
        ("energy/output token", energy_per_token(result)),
        *_energy_rows(result),
        *sensor_rows(result.sensor, result.calibration),
        *_cpu_time(result),
        ("FLOPs", _flops(result)),
        *_memory(result),
        *quality_rows(result),
        ("verdict", f"{result.verdict}: {'; '.join(result.verdict_reasons)}".rstrip(": ")),
    ]
    print_facts("", facts)
    print_warnings(result.measurement_warnings)
    if path is not None:
        print_answer("")
        print_line(f"saved in {path.parent}")


def _how_it_ran(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return precision and batch or, of a server, its load and its failed requests."""
    config = result.effective_config
    if not result.has_load:
        return [("precision, batch", f"{config.get('precision')}, {config.get('batch_size')}")]
    load = config.get("load")
    load = load if isinstance(load, dict) else {}
    arrival = f"{load.get('request_rate')} requests/s, {load.get('arrival')}"
    asked = arrival if load.get("request_rate") else f"{load.get('concurrency')} requests in flight"
    rows = [("load", asked), ("requests/s", number(result.requests_per_second))]
    if result.request_failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in result.request_failures.items())
        rows.append(("failed requests", f"{sum(result.request_failures.values())} ({kinds})"))
    return rows


def _token_counts(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return whose counts a server's tokens are, and the audit of them."""
    if result.token_audit is None:
        return []
    by = {"server": "the server's", "tokenizer": "the tokenizer's", "chunks": "a guess, one for each chunk"}
    source = by.get(str(result.token_count_source), "unknown")
    return [("token counts", f"{source}; {result.token_audit.described}")]


def _memory(result: ExperimentResult) -> list[tuple[str, str]]:
    if result.has_load and result.peak_memory_mb is None:
        reason = result.not_known.get("peak_memory_mb")
        return [("peak memory", f"unknown ({reason})")] if reason else []
    if result.has_load and result.model_memory_mb is None:
        return [("peak memory", f"{number(result.peak_memory_mb)} MB")]
    return [("peak memory", f"{number(result.peak_memory_mb)} MB (weights {number(result.model_memory_mb)} MB)")]


def energy_per_token(result: ExperimentResult) -> str:
    """Return `0.0842 ± 0.0113 J/token (nvml_counter)`, or "unknown" with what is missing; the verdict says why."""
    value, bound_j = result.energy_per_output_token_j, result.energy_uncertainty_j
    if value is None and result.output_tokens is None:
        return "unknown (so are the output tokens)"
    if value is None:
        return "unknown (so is the energy)" if result.total_energy_j is None else "unknown (no output token)"
    if bound_j is None or not result.output_tokens:
        return f"{number(value)} J/token, bound unknown ({result.energy_source})"
    return f"{number(value)} ± {number(bound_j / result.output_tokens)} J/token ({result.energy_source})"


def _energy_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the rows that need a sensor: total, power, and the energy above the idle machine."""
    rows = []
    if result.mean_power_w is not None:
        total = f"{number(result.total_energy_j)} ± {number(result.energy_uncertainty_j)} J"
        rows.append(("energy", f"{total}, {number(result.mean_power_w)} W mean, {number(result.peak_power_w)} W peak"))
    if result.energy_adjusted_j is not None:
        idle = f"{number(result.baseline_power_w)} ± {number(result.baseline_power_spread_w)} W"
        above = f"{number(result.energy_adjusted_j)} ± {number(result.energy_adjusted_uncertainty_j)} J"
        rows.append(("above idle", f"{above} (idle {idle})"))
    return rows


def _cpu_time(result: ExperimentResult) -> list[tuple[str, str]]:
    reason = result.not_known.get("cpu_seconds")
    spent = cpu_rows(result.cpu_seconds, result.cpu_seconds_resolution_s, reason)
    each = f", {number(result.cpu_seconds_per_output_token)} CPU s/output token"
    return [(name, words + (each if result.cpu_seconds is not None else "")) for name, words in spent]


def cpu_rows(spent_s: float | None, resolution_s: float | None, reason: str | None) -> list[tuple[str, str]]:
    """Return the row of CPU seconds, or of why they are unknown; none where no reason is kept, as in older results."""
    if spent_s is None:
        return [("CPU time", f"unknown ({reason})")] if reason else []
    off = resolution_s or 0.0
    bound = f" ± {number(off)}" if off >= SHOWN_RESOLUTION_S else ""
    return [("CPU time", f"{number(spent_s)}{bound} CPU s")]


def sensor_rows(sensor: PowerSensor | None, calibration: UsedCalibration | None) -> list[tuple[str, str]]:
    """Return the power sensor that was read, and the calibration that the figures rest on."""
    rows = []
    if sensor is not None:
        rows.append(("power sensor", f"{sensor.described} ({sensor.source})"))
    if calibration is not None and calibration.measured_at is not None:
        rows.append(("calibration", f"{calibration.measured_at:%Y-%m-%d %H:%M} UTC ({', '.join(calibration.used)})"))
    return rows


def quality_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the share of right answers and the joules of each, and what a file of lm_eval says."""
    rows, quality, why = [], result.quality, result.not_known.get("quality")
    if quality is None and why is not None:
        rows.append(("right answers", f"unknown ({why})"))
    if quality is not None:
        rows.append(("right answers", right_answers(quality)))
        rows.append(("energy/right answer", _energy_per_right_answer(result, quality)))
    if result.lm_eval:
        shown = [f"{each.task} {each.metric} {_with_error(each)}" for each in result.lm_eval[:MOST_LM_EVAL]]
        more = len(result.lm_eval) - MOST_LM_EVAL
        rows.append(("lm_eval, as given", "; ".join([*shown, *([f"and {more} more"] if more > 0 else [])])))
    return rows


def right_answers(quality: AnswerQuality) -> str:
    """Return `41 of 50: 82.0 % (69.2 to 90.2 at 95 %)`."""
    counts = f"{count(quality.right)} of {count(quality.questions)}"
    if quality.share is None or quality.low is None or quality.high is None or quality.level is None:
        return counts
    interval = f"{100 * quality.low:.1f} to {100 * quality.high:.1f} at {100 * quality.level:g} %"
    return f"{counts}: {100 * quality.share:.1f} % ({interval})"


def _energy_per_right_answer(result: ExperimentResult, quality: AnswerQuality) -> str:
    value, bound_j, answers = result.energy_per_right_answer_j, result.energy_uncertainty_j, quality.right_in_window
    if value is None or not answers:
        why = result.not_known.get("energy_per_right_answer_j", "so is the energy")
        return f"unknown ({why})"
    bound = "bound unknown" if bound_j is None else f"± {number(bound_j / answers)}"
    return f"{number(value)} {bound} J/right answer ({result.energy_source})"


def _with_error(metric: LmEvalMetric) -> str:
    return number(metric.value) + ("" if metric.stderr is None else f" ± {number(metric.stderr)}")


def _device(result: ExperimentResult) -> str:
    device, environment = str(result.effective_config.get("device")), result.environment_snapshot
    if environment is None:
        return device
    if device == "cpu":
        return f"cpu ({environment.cpu_model}, {environment.cpu_logical_cores} cores)"
    indices = {process.gpu_id for process in result.process_results}
    uuids = set(result.multi_gpu.gpu_uuids or ()) if result.multi_gpu else set()
    names = [f"GPU {gpu.index}, {gpu.name}" for gpu in environment.gpus if gpu.index in indices or gpu.uuid in uuids]
    return f"{device} ({'; '.join(names)})" if names else device


def _methodology(result: ExperimentResult) -> str:
    excluded = result.warmup_excluded_samples or 0
    words = str(result.measurement_methodology).replace("_", " ")
    return f"{words}, after {excluded} warm-up requests" if excluded else f"{words}, no warm-up"


def count(value: int | None) -> str:
    """Return a whole number with a comma between thousands."""
    return "unknown" if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """Return a duration to the hundredth of a second."""
    return "unknown" if value is None else f"{value:.2f} s"


def mean_and_p99(values: Distribution | None) -> str:
    """Return the mean and the 99th percentile of a latency."""
    return "unknown" if values is None else f"{number(values.mean)} ms mean, {number(values.p99)} ms p99"


def _flops(result: ExperimentResult) -> str:
    compute = result.process_results[0].compute_metrics if result.process_results else None
    return flops_words(result.total_flops, result.total_tokens, compute)


def flops_words(flops: float | None, tokens: int | None, compute: ComputeMetrics | None) -> str:
    """Return the operations, in all and for each token, or why they are unknown, which `compute` says."""
    if flops is None or not tokens:
        return f"unknown ({compute.flops_method})" if compute and compute.flops_method else "unknown"
    return f"{flops:.3e} ({flops / tokens:.3e} per token)"


def number(value: float | None) -> str:
    """Return a number with three significant digits, without an exponent in the usual range."""
    if value is None:
        return "unknown"
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    digits = max(0, 2 - int(f"{value:e}".partition("e")[2]))
    return f"{value:,.{digits}f}"


def estimated(seconds: float | None, is_least: bool) -> str:
    """Return an estimate of a duration in words."""
    if seconds is None:
        return "unknown"
    return f"{'at least ' if is_least else ''}{rough_duration(seconds)}"
