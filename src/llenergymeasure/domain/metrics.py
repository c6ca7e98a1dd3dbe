"""The parts of a result: distributions, energy, compute, warm-up. Data only."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from labledger.schema_versions import Known, OpenWhenRead, Record, Timestamp
from llenergymeasure.domain.choices import DeviceKind


class Distribution(Record):
    """Of `n` values: mean and percentiles (linear interpolation), in the unit of the field that holds it."""

    n: int | None
    mean: float | None
    median: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class LatencyStats(Record):
    """Latencies in milliseconds; one is None where nothing has it (TPOT with one output token).

    TTFT: from a request's submission to its first token. TPOT: (E2E - TTFT) / (output tokens - 1), a value a
    request. ITL: between neighbouring tokens, a value a gap. E2E: from submission to the last token.
    """

    ttft_ms: Distribution | None = None
    tpot_ms: Distribution | None = None
    itl_ms: Distribution | None = None
    e2e_ms: Distribution | None = None


class ConfidenceInterval(Record):
    """An interval for a mean: `level` (0.95), over `n` independent units, by `method`."""

    low: float | None
    high: float | None
    level: float | None
    n: int | None
    method: str | None


class EnergyBreakdown(Record):
    """Gross energy, and the same less the loaded idle over the window (negative is information)."""

    raw_j: float | None = None
    adjusted_j: float | None = None
    baseline_power_w: float | None = None
    baseline_method: str | None = None
    baseline_timestamp: Timestamp = None
    baseline_cache_age_sec: float | None = None


class DeviceEnergy(Record):
    """Energy of one device in the window, with the parts of its bound in joules."""

    device: str | None
    kind: Annotated[DeviceKind | None, OpenWhenRead()]
    source: str | None
    energy_j: float | None
    edge_j: float | None = None
    gain_j: float | None = None


class EnergyUncertainty(Record):
    """The parts of the bound on `total_energy_j`; a part that does not apply is None."""

    edge_j: float | None = None
    disagreement_j: float | None = None
    gain_j: float | None = None


class MultiGPUMetrics(Record):
    """Energy over several GPUs."""

    num_gpus: int | None
    energy_per_gpu_j: list[float | None] | None
    energy_total_j: float | None
    energy_per_output_token_j: float | None


class ThermalThrottleInfo(Record):
    """Whether, how long and why the hardware slowed itself down in the window."""

    detected: bool | None
    throttled_s: float | None = None
    share: float | None = None
    reasons: list[str] = Field(default_factory=list)


class WarmupResult(Record):
    """What the warm-up did: a latency for each call (one batch), and whether they settled.

    `converged` is True only if convergence was sought and the coefficient of variation of the last
    `window_size` latencies came to `target_cv` or under.
    """

    converged: bool | None
    final_cv: float | None
    iterations_completed: int | None
    target_cv: float | None
    max_prompts: int | None
    latencies_ms: list[float] = Field(default_factory=list)
    thermal_floor_wait_s: float | None = None


class Timestamps(Record):
    """Start, end and duration of one process's window."""

    start: Annotated[Timestamp, Known]
    end: Annotated[Timestamp, Known]
    duration_sec: float | None

    @classmethod
    def from_times(cls, start: datetime, end: datetime) -> Self:
        """Both aware or both naive; the duration is their difference."""
        return cls(start=start, end=end, duration_sec=(end - start).total_seconds())


class InferenceMetrics(Record):
    """Tokens and time of one process."""

    total_tokens: Annotated[int | None, Known]
    input_tokens: Annotated[int | None, Known]
    output_tokens: Annotated[int | None, Known]
    inference_time_sec: Annotated[float | None, Known]
    tokens_per_second: float | None
    latency_per_token_ms: float | None
    time_to_first_token_ms: float | None = None


class EnergyMetrics(Record):
    """Energy of one process; what was not measured is None."""

    total_energy_j: float | None
    duration_sec: float | None
    gpu_energy_j: float | None = None
    cpu_energy_j: float | None = None
    ram_energy_j: float | None = None
    gpu_power_w: float | None = None
    cpu_power_w: float | None = None
    emissions_kg_co2: float | None = None
    energy_per_token_j: float | None = None


class ComputeMetrics(Record):
    """Operations and memory of one process."""

    flops_total: float | None
    flops_per_token: float | None = None
    flops_per_second: float | None = None
    peak_memory_mb: float | None = None
    model_memory_mb: float | None = None
    flops_method: str | None = None
    flops_confidence: str | None = None
    compute_precision: str | None = None
