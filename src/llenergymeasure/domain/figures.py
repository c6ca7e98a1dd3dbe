"""The parts of a result: distributions, energy, compute, warm-up. Data only."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from labledger.schema_versions import Known, OpenWhenRead, Record, Retired, Timestamp
from llenergymeasure.domain.choices import DeviceKind, SensorModelSource, SensorShape


class Distribution(Record):
    """Mean and percentiles of `n` values (linear interpolation), in the unit of the field that holds it."""

    n: int | None
    """Number of values."""
    mean: float | None
    """Arithmetic mean."""
    median: float | None
    """50th percentile."""
    p90: float | None
    """90th percentile."""
    p95: float | None
    """95th percentile."""
    p99: float | None
    """99th percentile."""


class LatencyStats(Record):
    """Latencies in milliseconds; one is None where nothing has it (TPOT with one output token).

    TTFT: from a request's submission to its first token. TPOT: (time to the last token - TTFT) / (output tokens - 1),
    one value per request. ITL: between neighbouring tokens, one value per gap. E2E: from submission to the end: the
    last token or, where that came later, the server's reason for the end.
    """

    ttft_ms: Distribution | None = None
    """Milliseconds to the first token, one value per request."""
    tpot_ms: Distribution | None = None
    """Milliseconds per output token after the first, one value per request that has two or more."""
    itl_ms: Distribution | None = None
    """Milliseconds between neighbouring tokens of a request, one value per gap."""
    e2e_ms: Distribution | None = None
    """Milliseconds to the end of the answer, one value per request."""


class ConfidenceInterval(Record):
    """An interval for a mean: `level` (0.95), over `n` independent units, by `method`."""

    low: float | None
    """Lower end, in the unit of the figure."""
    high: float | None
    """Upper end, in the unit of the figure."""
    level: float | None
    """Confidence level, as a share."""
    n: int | None
    """Independent units that it rests on: batches, for latencies."""
    method: str | None
    """Method of the computation, in words."""


class EnergyBreakdown(Record):
    """Gross energy, and the same less the loaded idle over the window (negative is information)."""

    raw_j: float | None = None
    """Gross joules: `total_energy_j` of the result."""
    adjusted_j: float | None = None
    """Joules above idle: `energy_adjusted_j` of the result; None where idle power is unknown."""
    baseline_power_w: float | None = None
    """Watts that were subtracted; None where idle power is unknown."""
    baseline_method: str | None = None
    """Name of the idle power that was subtracted, in words; None where none was."""
    baseline_timestamp: Timestamp = None
    """Moment at which the watch of the idle machine began, in UTC."""
    baseline_cache_age_sec: Annotated[float | None, Retired()] = None
    """Seconds since then, of an idle power kept from an earlier run."""


class PowerSensor(Record):
    """Model of a power sensor: how often it publishes a value, and what time that value is the mean of."""

    period_ms: float | None
    """Milliseconds from one value to the next."""
    window_ms: float | None
    """Milliseconds that a value is the mean of; of a low-pass, its time constant. None of a sensor that is blind for a
    part of each period, if nothing tells how long."""
    shape: Annotated[SensorShape | None, OpenWhenRead()]
    """boxcar (the mean of the window) or low_pass."""
    source: Annotated[SensorModelSource | None, OpenWhenRead()]
    """table (published measurements of such boards), measured (by `llem calibrate`) or assumed (neither has it)."""

    @property
    def described(self) -> str:
        """It in words: `a value every 100 ms, the mean of the last 25 ms`."""
        period, window = (
            f"{value:.4g} ms" if value is not None else "unknown" for value in (self.period_ms, self.window_ms)
        )
        if self.shape == "low_pass":
            return f"a value every {period}, a low-pass of time constant {window}"
        of = "an unknown part of them" if self.window_ms is None else f"the last {window}"
        return f"a value every {period}, the mean of {of}"

    @property
    def seen(self) -> str | None:
        """`25 of every 100 ms` of a sensor that is blind for a part of each period; None of others."""
        if self.shape != "boxcar" or self.period_ms is None:
            return None
        if self.window_ms is None:
            return f"an unknown part of every {self.period_ms:.4g} ms"
        return f"{self.window_ms:.4g} of every {self.period_ms:.4g} ms" if self.window_ms < self.period_ms else None


class UsedCalibration(Record):
    """The calibration of a board (`llem calibrate`) that a figure rests on."""

    measured_at: Timestamp
    """Moment of the calibration, in UTC."""
    used: list[str] = Field(default_factory=list)
    """The parts of it that were used: sensor (the model of the power sensor), counter (if the energy counter misses a
    part of the time), scale (gain and offset, by a meter)."""


class DeviceEnergy(Record):
    """Energy of one device in the window, with the parts of its bound in joules."""

    device: str | None
    """A GPU's UUID, a RAPL domain (package-0, dram-0), or cpu for an estimate."""
    kind: Annotated[DeviceKind | None, OpenWhenRead()]
    """gpu, cpu (a package, or an estimate) or dram."""
    source: str | None
    """Source that read it, in the words of `energy_source`."""
    energy_j: float | None
    """Joules in the window; None where it could not be read throughout."""
    edge_j: float | None = None
    """Bound in joules on the error at the window's edges; None where the source gives none."""
    coverage_j: float | None = None
    """Bound in joules on what the sensor did not see, or counted more than the rest; 0 of one that sees all alike."""
    gain_j: float | None = None
    """Bound in joules on the error of the sensor's scale; of an estimate, its whole bound."""
    sensor: PowerSensor | None = None
    """Model of the power sensor that was read, as the source or beside a counter; None where none was."""
    calibration: UsedCalibration | None = None
    """Calibration that the energy or its bound rests on; None where there is none."""

    @property
    def bound_j(self) -> float:
        """The linear sum of the parts of its bound that apply."""
        return sum(part or 0.0 for part in (self.edge_j, self.coverage_j, self.gain_j))


class EnergyUncertainty(Record):
    """The parts of the bound on `total_energy_j`; a part that does not apply is None."""

    edge_j: float | None = None
    """Joules at the window's edges, summed over the devices."""
    coverage_j: float | None = None
    """Joules that part-time sensors may have missed, summed over the devices; None where no power was the source and
    no counter was found to miss a part of the time."""
    disagreement_j: float | None = None
    """Joules between counter and integrated power, summed over the devices that have both."""
    gain_j: float | None = None
    """Joules that the sensors' scale may be off, summed over the devices; of an estimate, its whole bound."""

    @property
    def sum_j(self) -> float:
        """The linear sum of the parts that apply."""
        return sum(getattr(self, name) or 0.0 for name in type(self).model_fields)


class MultiGPUMetrics(Record):
    """Energy over several GPUs."""

    num_gpus: int | None
    """Number of GPUs."""
    energy_per_gpu_j: list[float | None] | None
    """Joules of each; one that is unknown is None."""
    gpu_uuids: list[str] | None = None
    """The UUID of each, in the same order; None of results that do not have them."""
    energy_total_j: float | None
    """Joules of all together."""
    energy_per_output_token_j: float | None
    """`energy_total_j` over the output tokens."""


class ThermalThrottleInfo(Record):
    """Throttling in the window: the share and the reasons for which the hardware slowed itself down."""

    detected: bool | None
    """True if any reason was seen."""
    throttled_s: float | None = None
    """Seconds: `share` of the window."""
    share: float | None = None
    """Share of the looks, 0 to 1, at which a reason held: the largest of any reason and device."""
    reasons: list[str] = Field(default_factory=list)
    """Those seen: hw_power_brake, hw_slowdown, hw_thermal, sw_thermal."""


class WarmupResult(Record):
    """The warm-up: a latency for each call (one batch), and whether they settled.

    `converged` is True only if convergence was sought and the coefficient of variation of the last
    `window_size` latencies came to `target_cv` or under.
    """

    converged: bool | None
    """True if latencies settled; False where that was not asked for."""
    final_cv: float | None
    """Coefficient of variation of the last `window_size` latencies, or of all if fewer; None of fewer than two."""
    iterations_completed: int | None
    """Calls that succeeded."""
    target_cv: float | None
    """Coefficient of variation to settle to; None where convergence was not asked for."""
    max_prompts: int | None
    """Most calls, of one batch each, to be made; None where convergence was not asked for."""
    latencies_ms: list[float] = Field(default_factory=list)
    """Milliseconds of each call that succeeded, in order."""
    thermal_floor_wait_s: float | None = None
    """Seconds waited after the calls; 0 where none was asked for, or the source measures no power."""


class Timestamps(Record):
    """Start, end and duration of one process's window."""

    start: Annotated[Timestamp, Known]
    """Start of the window, in UTC."""
    end: Annotated[Timestamp, Known]
    """End of the window, in UTC."""
    duration_sec: float | None
    """Seconds from start to end."""

    @classmethod
    def from_times(cls, start: datetime, end: datetime) -> Self:
        """Both aware or both naive; the duration is their difference."""
        return cls(start=start, end=end, duration_sec=(end - start).total_seconds())


class InferenceMetrics(Record):
    """Tokens and time of one process."""

    total_tokens: int | None
    """Input and output tokens of the window."""
    input_tokens: int | None
    """Tokens of the prompts whose first output token came in the window, without padding."""
    output_tokens: int | None
    """Tokens generated in the window, without padding."""
    inference_time_sec: Annotated[float | None, Known]
    """Seconds that the window lasts."""
    tokens_per_second: float | None
    """`total_tokens` over `inference_time_sec`."""
    latency_per_token_ms: float | None
    """Milliseconds of the window over `total_tokens`; None where there is no token."""
    time_to_first_token_ms: float | None = None
    """Mean TTFT in milliseconds of the requests that lie wholly inside the window; None where none does."""


class EnergyMetrics(Record):
    """Energy of one process; what was not measured is None."""

    total_energy_j: float | None
    """Joules of the GPU used or, on a CPU run, of CPU and memory; None where any of them is unknown."""
    duration_sec: float | None
    """Seconds that the window lasts; of devices that several processes share, the union of their windows."""
    gpu_energy_j: float | None = None
    """Joules of the GPU used, null where unknown; on a CPU run, of all metered GPUs."""
    cpu_energy_j: float | None = None
    """Joules of all CPU packages, or the estimate; on a GPU run too."""
    ram_energy_j: float | None = None
    """Joules of all memory that RAPL reads."""
    gpu_power_w: float | None = None
    """Mean watts of the total, of a GPU run."""
    cpu_power_w: float | None = None
    """Mean watts of the total, memory included, of a CPU run; None of an estimate."""
    emissions_kg_co2: float | None = None
    """Kilograms of CO2 equivalent of the total; None where the grid's intensity is not stated."""
    energy_per_token_j: float | None = None
    """`total_energy_j` over input and output tokens."""


class ComputeMetrics(Record):
    """Operations and memory of one process."""

    flops_total: float | None
    """Operations of the forward passes that ended in the window, with padding; None where they cannot be counted."""
    flops_per_token: float | None = None
    """`flops_total` over input and output tokens."""
    flops_per_second: float | None = None
    """`flops_total` over the seconds of the window."""
    cpu_seconds: float | None = None
    """CPU seconds of the window, as `cpu_seconds` of the result."""
    cpu_seconds_resolution_s: float | None = None
    """Seconds by which they may be off, as `cpu_seconds_resolution_s` of the result."""
    peak_memory_mb: float | None = None
    """MB (10^6 bytes), as `peak_memory_mb` of the result."""
    model_memory_mb: float | None = None
    """MB (10^6 bytes) that the model's parameters take."""
    flops_method: str | None = None
    """Method by which operations were counted, or why this model's cannot be."""
    flops_confidence: str | None = None
    """Error that the count may have, in words; None where there is no count."""
    compute_precision: str | None = None
    """Precision asked for: fp32, fp16 or bf16."""


class AggregationMetadata(Record):
    """The way in which the results of several processes became one."""

    method: str | None
    """Method by which they became one, in words."""
    num_processes: int | None
    """Number of processes."""
    temporal_overlap_verified: bool | None = None
    """True if all ran at the same time for a while; None where that was not checked (one process)."""
    gpu_attribution_verified: bool | None = None
    """True if no two name the same GPU; None where that was not checked (one process)."""
    warnings: list[str] = Field(default_factory=list)
    """Reasons against putting them together, a sentence each."""
