"""ExperimentResult, schema 2.0: everything that one measurement found. Data only; the disk is in `results/`."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, JsonValue, ValidationInfo, model_validator

from labledger.schema_versions import FROM_FILE, Known, OpenWhenRead, Record, Timestamp
from llenergymeasure.domain.choices import MeasurementMethodology, TokenCountSource, Verdict
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.metrics import (
    ComputeMetrics,
    ConfidenceInterval,
    DeviceEnergy,
    Distribution,
    EnergyBreakdown,
    EnergyMetrics,
    EnergyUncertainty,
    InferenceMetrics,
    LatencyStats,
    MultiGPUMetrics,
    ThermalThrottleInfo,
    Timestamps,
    WarmupResult,
)

if TYPE_CHECKING:
    import pyarrow

    from llenergymeasure.config.models import ExperimentConfig

SCHEMA_VERSION = "2.0"

REPRODUCIBILITY_NOTES = (
    "Where the energy source is NVML, its gain is what limits accuracy: published board tests found -7.9 % to "
    "+12.7 % (the maker states 5 %); every figure, whatever its source, varies with thermal state and system load."
)


class RequestColumns(Record):
    """Every request of a process, one list a quantity, in the same order.

    `start_s` counts from the start of the window; `finish_reason` is "stop" or "length".
    """

    input_tokens: list[int] = Field(default_factory=list)
    output_tokens: list[int] = Field(default_factory=list)
    start_s: list[float] = Field(default_factory=list)
    ttft_ms: list[float] = Field(default_factory=list)
    e2e_ms: list[float] = Field(default_factory=list)
    finish_reason: list[str] = Field(default_factory=list)


class RawProcessResult(Record):
    """What one process measured; a run of one process holds its one entry too."""

    schema_version: str | None = SCHEMA_VERSION
    experiment_id: Annotated[str | None, Known]
    process_index: Annotated[int | None, Known]
    gpu_id: int | None
    config_name: str | None
    model_name: str | None
    timestamps: Annotated[Timestamps | None, Known]
    inference_metrics: Annotated[InferenceMetrics | None, Known]
    energy_metrics: Annotated[EnergyMetrics | None, Known]
    compute_metrics: Annotated[ComputeMetrics | None, Known]
    per_request_latencies_ms: list[float] = Field(default_factory=list)
    gpu_utilisation_samples: list[float] = Field(default_factory=list)
    requests: RequestColumns | None = None


class AggregationMetadata(Record):
    """How the results of several processes became one."""

    method: str | None
    num_processes: int | None
    temporal_overlap_verified: bool | None = None
    gpu_attribution_verified: bool | None = None
    warnings: list[str] = Field(default_factory=list)


class ExperimentResult(Record):
    """One measurement. Energy in joules, time in seconds unless a name says otherwise; unknown is None."""

    # What it is
    schema_version: str | None = SCHEMA_VERSION
    experiment_id: Annotated[str | None, Known]
    measurement_config_hash: Annotated[str | None, Known]
    measurement_methodology: Annotated[MeasurementMethodology | None, Known, OpenWhenRead()]
    steady_state_window: tuple[float, float] | None = None
    backend: str | None = "pytorch"
    backend_version: str | None = None
    effective_config: dict[str, JsonValue] = Field(default_factory=dict)
    start_time: Annotated[Timestamp, Known]
    end_time: Annotated[Timestamp, Known]

    # Tokens and time
    total_tokens: Annotated[int | None, Known]
    input_tokens: int | None = None
    output_tokens: int | None = None
    token_count_source: Annotated[TokenCountSource | None, OpenWhenRead()] = None
    total_inference_time_sec: Annotated[float | None, Known]
    avg_tokens_per_second: Annotated[float | None, Known]
    output_tokens_per_second: float | None = None
    requests_per_second: float | None = None
    latency_stats: LatencyStats | None = None
    confidence_intervals: dict[str, ConfidenceInterval] = Field(default_factory=dict)
    request_failures: dict[str, int] = Field(default_factory=dict)
    client_lateness_ms: Distribution | None = None

    # Energy
    total_energy_j: float | None
    energy_uncertainty_j: float | None = None
    energy_uncertainty: EnergyUncertainty | None = None
    avg_energy_per_token_j: float | None
    energy_per_output_token_j: float | None = None
    energy_per_request_j: float | None = None
    energy_delay_product_js: float | None = None
    energy_source: str | None = None
    energy_scope: str | None = None
    sources_not_used: dict[str, str] = Field(default_factory=dict)
    device_energy: list[DeviceEnergy] = Field(default_factory=list)
    energy_per_device_j: list[float] | None = None
    energy_breakdown: EnergyBreakdown | None = None
    energy_adjusted_j: float | None = None
    energy_prefill_j: float | None = None
    energy_prefill_uncertainty_j: float | None = None
    energy_decode_j: float | None = None
    energy_decode_uncertainty_j: float | None = None
    zeus_energy_j: float | None = None
    mean_power_w: float | None = None
    peak_power_w: float | None = None
    idle_power_w: float | None = None
    idle_power_spread_w: float | None = None
    baseline_power_w: float | None = None
    baseline_power_spread_w: float | None = None
    emissions_kg_co2: float | None = None
    multi_gpu: MultiGPUMetrics | None = None

    # Compute and memory
    total_flops: float | None
    peak_memory_mb: float | None = None
    model_memory_mb: float | None = None

    # Whether to believe it
    verdict: Annotated[Verdict | None, OpenWhenRead()] = None
    verdict_reasons: list[str] = Field(default_factory=list)
    measurement_warnings: list[str] = Field(default_factory=list)
    warmup_result: WarmupResult | None = None
    warmup_excluded_samples: int | None = None
    thermal_throttle: ThermalThrottleInfo | None = None
    thermal_time_series: list[tuple[float, float]] | None = None
    environment_snapshot: EnvironmentSnapshot | None = None
    docker_image_digest: str | None = None
    reproducibility_notes: str | None = REPRODUCIBILITY_NOTES

    # Where the rest is
    timeseries: str | None = None
    process_results: list[RawProcessResult] = Field(default_factory=list)
    aggregation: AggregationMetadata | None = None

    @model_validator(mode="after")
    def _one_kind_of_time(self, info: ValidationInfo) -> Self:
        moments = [("start_time", self.start_time), ("end_time", self.end_time)]
        for index, process in enumerate(self.process_results):
            if (times := process.timestamps) is not None:
                place = f"process_results[{index}].timestamps"
                moments += [(f"{place}.start", times.start), (f"{place}.end", times.end)]
        aware = [name for name, moment in moments if moment is not None and moment.tzinfo is not None]
        naive = [name for name, moment in moments if moment is not None and moment.tzinfo is None]
        if aware and naive and info.context != FROM_FILE:
            raise ValueError(f"{naive[0]} has no time zone and {aware[0]} has one: give all of them one, or none")
        return self

    @property
    def duration_sec(self) -> float | None:
        """From `start_time` to `end_time`; None of a file that lacks one, or has only one in a time zone."""
        if self.start_time is None or self.end_time is None:
            return None
        if (self.start_time.tzinfo is None) != (self.end_time.tzinfo is None):
            return None
        return (self.end_time - self.start_time).total_seconds()

    @property
    def tokens_per_joule(self) -> float | None:
        """Tokens (input and output) a joule; 0.0 when the energy is 0, None when it is unknown."""
        if self.total_energy_j is None or self.total_tokens is None:
            return None
        return self.total_tokens / self.total_energy_j if self.total_energy_j else 0.0

    def save(self, output_dir: Path, timeseries_source: Path | None = None) -> Path:
        """Save to a new folder in `output_dir`, durably, and return the path of its result.json.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        from llenergymeasure.results import persistence

        return persistence.save_result(self, output_dir, timeseries_source=timeseries_source)

    @classmethod
    def from_json(cls, path: Path) -> "ExperimentResult":
        """Load a result.json, of this or any other schema version.

        Warns (UserWarning) when the file was changed after it was saved, is of another schema version, or its
        timeseries file is gone.

        Raises:
            OSError: the file cannot be read.
            UnreadableFileError: it is not JSON, or a value has a wrong type.
        """
        from llenergymeasure.results import persistence

        return persistence.load_result(path)

    def to_json(self) -> str:
        """The result as JSON text, as `save` writes it but for the integrity key."""
        from llenergymeasure.results import persistence

        return persistence.to_json(self)

    def load_timeseries(self, path: Path) -> "pyarrow.Table | None":
        """The timeseries beside the result.json at `path`; None when the result has none or it is gone."""
        from llenergymeasure.results import persistence

        return persistence.load_timeseries(self, path)


AggregatedResult = ExperimentResult


def compute_measurement_config_hash(config: "ExperimentConfig") -> str:
    """The first 16 hex digits of the SHA-256 of the configuration's canonical JSON.

    Equal configurations have equal hashes on every machine: what belongs to the machine (user configuration,
    environment) is no part of ExperimentConfig.
    """
    canonical: dict[str, Any] = config.model_dump(mode="json")
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()[:16]


__all__ = [
    "SCHEMA_VERSION",
    "AggregatedResult",
    "AggregationMetadata",
    "ExperimentResult",
    "RawProcessResult",
    "RequestColumns",
    "compute_measurement_config_hash",
]
