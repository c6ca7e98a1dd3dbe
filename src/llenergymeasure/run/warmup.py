"""The warm-up: calls before the window, until latencies settle or a fixed number."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from labledger.console import Progress
from llenergymeasure.backends.protocol import Backend
from llenergymeasure.config.models import WarmupConfig
from llenergymeasure.domain.figures import WarmupResult
from llenergymeasure.errors import BackendError, ExperimentError, MemoryExhaustedError


@dataclass(frozen=True)
class Warmup:
    """The outcome (None: no warm-up was asked for), the requests that it took, and notes for the result."""

    result: WarmupResult | None
    excluded_requests: int
    notes: tuple[str, ...] = ()


def run_warmup(
    backend: Backend,
    config: WarmupConfig,
    progress: Progress,
    *,
    thermal_wait: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Warmup:
    """Call `backend.warmup` as `config` says, then wait `thermal_floor_seconds` if `thermal_wait`.

    Raises:
        ExperimentError: every call failed.
    """
    limit = config.max_prompts if config.convergence_detection else config.iterations
    if limit == 0 and config.thermal_floor_seconds == 0:
        return Warmup(None, 0)
    latencies_s: list[float] = []
    failures: list[str] = []  # the texts alone: an exception would keep the memory of its frames
    requests = 0
    for call in range(1, limit + 1):
        try:
            latency_s, count = backend.warmup()
        except MemoryExhaustedError:
            raise
        except BackendError as error:
            failures.append(str(error))
            continue
        latencies_s.append(latency_s)
        requests += count
        progress.update(call, limit, f"{latency_s:.2f} s per call")
        if config.convergence_detection and _settled(latencies_s, config):
            break
    if failures and not latencies_s:
        raise ExperimentError(f"every warm-up call failed ({len(failures)}); the last: {failures[-1]}")
    notes = [f"{len(failures)} of {limit} warm-up calls failed; the last: {failures[-1]}"] if failures else []
    waited_s = 0.0
    if config.thermal_floor_seconds > 0 and thermal_wait:
        progress.phase("waiting for the thermal floor")
        sleep(config.thermal_floor_seconds)
        waited_s = config.thermal_floor_seconds
    elif config.thermal_floor_seconds > 0:
        notes.append("The thermal wait was skipped: the energy source measures no power.")
    return Warmup(_result(latencies_s, config, waited_s), requests, tuple(notes))


def coefficient_of_variation(values: list[float]) -> float | None:
    """Return the sample standard deviation over the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    return statistics.stdev(values) / statistics.fmean(values)


def _settled(latencies_s: list[float], config: WarmupConfig) -> bool:
    recent = latencies_s[-config.window_size :]
    cv = coefficient_of_variation(recent)
    return len(recent) == config.window_size and cv is not None and cv <= config.cv_threshold


def _result(latencies_s: list[float], config: WarmupConfig, waited_s: float) -> WarmupResult:
    seeking = config.convergence_detection
    return WarmupResult(
        converged=seeking and _settled(latencies_s, config),
        final_cv=coefficient_of_variation(latencies_s[-config.window_size :]),
        iterations_completed=len(latencies_s),
        target_cv=config.cv_threshold if seeking else None,
        max_prompts=config.max_prompts if seeking else None,
        latencies_ms=[latency_s * 1e3 for latency_s in latencies_s],
        thermal_floor_wait_s=waited_s,
    )
