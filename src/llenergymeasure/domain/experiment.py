"""ExperimentResult, schema 2.0: everything that one measurement found. Data only; the disk is in `results/`."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, JsonValue, ValidationInfo, model_validator

from labledger.documents import Document
from labledger.regular_files import behind_link
from labledger.schema_versions import FROM_FILE, Known, OpenWhenRead, Retired, Timestamp
from llenergymeasure.domain.choices import MeasurementMethodology, TokenCountSource, Verdict
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.figures import (
    AggregationMetadata,
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
    PowerSensor,
    ThermalThrottleInfo,
    Timestamps,
    UsedCalibration,
    WarmupResult,
)
from llenergymeasure.domain.quality import AnswerQuality, LmEvalMetric, ScoredAnswers
from llenergymeasure.domain.request_columns import FailedRequestColumns, RequestColumns
from llenergymeasure.domain.token_audit import TokenAudit

if TYPE_CHECKING:
    import pyarrow

    from llenergymeasure.config.models import ExperimentConfig

SCHEMA_VERSION = "2.0"
SHOWN_FIELDS = ("energy_per_output_token_j", "energy_source", "output_tokens_per_second", "verdict")

REPRODUCIBILITY_NOTES = (
    "Where the energy source is NVML, its gain is what limits accuracy: published board tests found -7.9 % to "
    "+12.7 % (the maker states 5 %); every figure, whatever its source, varies with thermal state and system load."
)


class RawProcessResult(Document):
    """The measurement of one process; a run of one process holds its one entry too."""

    document_kind = "llem.raw_result"
    known_by = "process_index"

    schema_version: str | None = SCHEMA_VERSION
    """Version of the schema that it was written by; None of a file that names none."""
    experiment_id: Annotated[str | None, Known]
    """The run that it is part of; the same in all of its processes."""
    process_index: Annotated[int | None, Known]
    """The process's number in the run, from 0."""
    gpu_id: int | None
    """The driver's index of the GPU that it ran on; None on a CPU, or where that is not known."""
    config_name: Annotated[str | None, Retired()]
    """A name of the configuration."""
    model_name: str | None
    """The model, as the configuration names it."""
    timestamps: Annotated[Timestamps | None, Known]
    """Start and end of its window."""
    inference_metrics: Annotated[InferenceMetrics | None, Known]
    """Its tokens and time in the window."""
    energy_metrics: Annotated[EnergyMetrics | None, Known]
    """Its energy in the window."""
    compute_metrics: Annotated[ComputeMetrics | None, Known]
    """Its operations and memory."""
    per_request_latencies_ms: list[float] = Field(default_factory=list)
    """E2E in milliseconds of every request that finished, in the window or not."""
    gpu_utilisation_samples: Annotated[list[float], Retired()] = Field(default_factory=list)
    """Utilisation of its GPU over time, in percent."""
    clock_s: float | None = None
    """The machine's monotonic clock, in seconds, at the start of the measurement: one line for all its processes."""
    window_start_s: float | None = None
    """Seconds from the start of the measurement to the start of the window."""
    metered_by: int | None = None
    """Index of the process that metered this one's devices too, over the union of the windows; None: it did itself."""
    not_known: dict[str, str] = Field(default_factory=dict)
    """Reason why a figure is None, by its field in the result."""
    is_partial: bool | None = None
    """True if it was stopped before it had served all of its requests."""
    requests: RequestColumns | None = None
    """Every request that finished, so that figures and intervals can be computed again."""
    failed_requests: FailedRequestColumns | None = None
    """Every request that failed; None where there is none."""
    scored_answers: ScoredAnswers | None = None
    """Its answers to the questions of `quality.task`; None without one."""


class ExperimentResult(Document):
    """One measurement. Energy in joules, time in seconds unless a name says otherwise; unknown is None.

    Figures are of the window that `measurement_methodology` names, where a field does not say otherwise.
    """

    document_kind = "llem.result"
    known_by = "measurement_config_hash"

    # What it is
    schema_version: str | None = SCHEMA_VERSION
    """Version of this list of fields; None of a file that names none."""
    experiment_id: Annotated[str | None, Known]
    """The run's own name: the moment it began (UTC), and random digits."""
    measurement_config_hash: Annotated[str | None, Known]
    """First 16 hex digits of the configuration's SHA-256; equal configurations, equal hashes, anywhere."""
    measurement_methodology: Annotated[MeasurementMethodology | None, Known, OpenWhenRead()]
    """Window of the figures: total (all), steady_state (after a warm-up that converged) or windowed (as asked for)."""
    steady_state_window: tuple[float, float] | None = None
    """Start and end in seconds from the start of the measurement; None unless the methodology is steady_state."""
    backend: str | None = "pytorch"
    """Name of the backend that ran the model, as in the configuration."""
    backend_version: str | None = None
    """Versions of the libraries that the backend is made of, as one text."""
    effective_config: dict[str, JsonValue] = Field(default_factory=dict)
    """The configuration as it ran: without what had no effect, with the device and energy source taken."""
    start_time: Annotated[Timestamp, Known]
    """Start of the window, in UTC."""
    end_time: Annotated[Timestamp, Known]
    """End of the window, in UTC."""
    model_kept: bool | None = None
    """True if an earlier run had loaded the model, or started the server; None of one that ran already, or unknown."""
    prompt_mark: int | None = None
    """Number, drawn for this run, that its prompts begin with, or are drawn with; None: they are the dataset's own."""

    # Tokens and time
    total_tokens: int | None
    """Input and output tokens of the window; None where a server told those of some request to nobody."""
    input_tokens: int | None = None
    """Tokens of the prompts whose first output token came in the window, without padding."""
    output_tokens: int | None = None
    """Tokens generated in the window, without padding and not past the end-of-sequence token, itself counted."""
    token_count_source: Annotated[TokenCountSource | None, OpenWhenRead()] = None
    """Counter of the tokens: server (as it reported them), tokenizer (counted here) or chunks (a guess: one each)."""
    token_audit: TokenAudit | None = None
    """The check of the server's counts; None where the tokens were counted here."""
    cached_input_tokens: int | None = None
    """Input tokens that the server took from its prefix cache; None where it does not tell."""
    total_inference_time_sec: Annotated[float | None, Known]
    """Seconds that the window lasts; of several processes, the union of their windows."""
    avg_tokens_per_second: float | None
    """`total_tokens` over `total_inference_time_sec`."""
    output_tokens_per_second: float | None = None
    """`output_tokens` over `total_inference_time_sec`."""
    requests_per_second: float | None = None
    """Requests whose last token came in the window, over `total_inference_time_sec`."""
    latency_stats: LatencyStats | None = None
    """TTFT, TPOT, ITL and E2E of the requests that lie wholly inside the window; no ITL of several processes."""
    confidence_intervals: dict[str, ConfidenceInterval] = Field(default_factory=dict)
    """Intervals of mean latencies, keyed `latency_stats.ttft_ms.mean` and so on; none under 30 batches."""
    request_failures: dict[str, int] = Field(default_factory=dict)
    """Failed requests by kind: refused, timeout, http_429/4xx/5xx, stalled, cut, malformed, server_error, cancelled."""
    client_lateness_ms: Distribution | None = None
    """Milliseconds from the moment a request was due to the moment the client sent it."""

    # Energy
    total_energy_j: float | None
    """Joules of the GPUs used or, on a CPU run, of CPU and memory; None where any of them is unknown."""
    energy_uncertainty_j: float | None = None
    """Bound in joules on the error of `total_energy_j`: the sum of the parts in `energy_uncertainty`."""
    energy_uncertainty: EnergyUncertainty | None = None
    """The parts of that bound; None where the total is unknown."""
    sensor: PowerSensor | None = None
    """Power sensor of the devices of the total, read as the source or beside a counter; None where theirs differ."""
    calibration: UsedCalibration | None = None
    """Calibration of the devices of the total that the figures rest on; None without one, or where theirs differ."""
    avg_energy_per_token_j: float | None
    """`total_energy_j` over `total_tokens`; None where the energy is unknown or there is no token."""
    energy_per_output_token_j: float | None = None
    """The headline: `total_energy_j` over `output_tokens`; None where the energy is unknown or there is no token."""
    energy_per_request_j: float | None = None
    """`total_energy_j` over the requests whose last token came in the window; None where there is none."""
    energy_delay_product_js: float | None = None
    """Joule-seconds: `total_energy_j` times `total_inference_time_sec`."""
    energy_source: str | None = None
    """Source that the total was read from: nvml_counter, nvml_power, rapl, zeus, estimate or none; more may come."""
    energy_scope: str | None = None
    """Devices that the total is of: gpu, cpu+dram, or cpu where memory has no reading; None where it is unknown."""
    sources_not_used: dict[str, str] = Field(default_factory=dict)
    """Reason why each other energy source was not taken, by its name."""
    device_energy: list[DeviceEnergy] = Field(default_factory=list)
    """Every device that was metered, those that are no part of the total too."""
    energy_per_device_j: list[float] | None = None
    """Joules of every metered GPU, in the order of `device_energy`; None without a GPU, or if one is unknown."""
    energy_breakdown: EnergyBreakdown | None = None
    """Gross energy, idle energy subtracted, and what was subtracted; None where the energy is unknown."""
    energy_adjusted_j: float | None = None
    """`total_energy_j` less `baseline_power_w` over the window (may be negative); None where either is unknown."""
    energy_adjusted_uncertainty_j: float | None = None
    """Bound in joules on its error: `energy_uncertainty_j`, and `baseline_power_spread_w` over the window."""
    energy_prefill_j: float | None = None
    """Joules up to the first tokens, by `phase_energy_method`; None if not measured, or if the bound passes half."""
    energy_prefill_uncertainty_j: float | None = None
    """Bound in joules on its error: edges (of a regression, half the width of its 95 % interval) and gain."""
    energy_decode_j: float | None = None
    """Joules from the first tokens to the last; None as for `energy_prefill_j`."""
    energy_decode_uncertainty_j: float | None = None
    """Bound in joules on its error, as for `energy_prefill_uncertainty_j`."""
    phase_energy_method: str | None = None
    """Method that separated prefill and decode: windows, or a regression, which leaves what belongs to neither out."""
    zeus_energy_j: float | None = None
    """Joules by the Zeus library for the GPUs of the total; None unless it ran as `energy.cross_check`."""
    mean_power_w: float | None = None
    """Watts: `total_energy_j` over `total_inference_time_sec`; None of an estimate."""
    peak_power_w: float | None = None
    """Highest watts, over 0.1 s at least, of all devices of the total; None of an estimate or one GPU per process."""
    idle_power_w: float | None = None
    """Watts of the devices of the total, idle, before the model was loaded; None where not measured."""
    idle_power_spread_w: float | None = None
    """Half the range in watts of the means of up to ten parts of that time; None where it was too short to cut."""
    baseline_power_w: float | None = None
    """Watts of the devices of the total, idle, with the model loaded, before the warm-up; None where not measured."""
    baseline_power_spread_w: float | None = None
    """Half the range in watts of the means of its parts, as for `idle_power_spread_w`."""
    emissions_kg_co2: float | None = None
    """Kilograms of CO2 equivalent, by the user configuration's PUE and grid intensity; None without the latter."""
    multi_gpu: MultiGPUMetrics | None = None
    """Energy, GPU by GPU, of a run on several."""

    # Compute and memory
    total_flops: float | None
    """Operations of the forward passes that ended in the window, with padding; None where they cannot be counted."""
    cpu_seconds: float | None = None
    """CPU seconds (user and system) of the processes that ran the model: a server's, else this one's with all that it
    started. One is a logical core that is busy for a second: two hyperthreads of one core count as two."""
    cpu_seconds_per_output_token: float | None = None
    """`cpu_seconds` over `output_tokens`; None where either is unknown or there is no token."""
    cpu_seconds_resolution_s: float | None = None
    """Seconds by which `cpu_seconds` may be off: two ticks for each process of which the kernel told some in ticks, and
    what processes can have spent that ended without anybody being told."""
    peak_memory_mb: float | None = None
    """Peak in MB (10^6 bytes) after the warm-up, of all processes: allocated on the GPU, or resident on a CPU run (with
    what earlier runs have left, where the model was kept)."""
    model_memory_mb: float | None = None
    """MB (10^6 bytes) that the model's parameters take, in all processes together."""

    # Quality
    quality: AnswerQuality | None = None
    """Share of right answers to `quality.task`, of the answers that were measured; None without one."""
    energy_per_right_answer_j: float | None = None
    """`total_energy_j` over `right_in_window` of `quality`; None without a task, an energy or a right answer."""
    lm_eval: list[LmEvalMetric] = Field(default_factory=list)
    """Metrics of the file at `quality.lm_eval`, as it gives them: lm_eval's own run found them, not this one."""

    # Whether to believe it
    verdict: Annotated[Verdict | None, OpenWhenRead()] = None
    """Verdict on energy and token counts: valid, invalid, or not_measured (energy is an estimate, or not known)."""
    verdict_reasons: list[str] = Field(default_factory=list)
    """Reasons why it is not valid, a sentence each; none where it is."""
    measurement_warnings: list[str] = Field(default_factory=list)
    """Warnings to read before the figures are used, a sentence each; the verdict does not depend on them."""
    warmup_result: WarmupResult | None = None
    """The warm-up, of several processes the first one's; None where none was asked for."""
    warmup_excluded_samples: int | None = None
    """Requests that the warm-up served; they are in no figure."""
    thermal_throttle: ThermalThrottleInfo | None = None
    """Throttling of the devices of the total; None where no sensor reported it."""
    thermal_time_series: list[tuple[float, float]] | None = None
    """Seconds from the measurement's start and the hottest device's degrees Celsius, at most one pair per second."""
    environment_snapshot: EnvironmentSnapshot | None = None
    """The machine, the tool and the model's origin."""
    docker_image_digest: str | None = None
    """Id of the container's image, where the engine reports it; as in `environment_snapshot`."""
    reproducibility_notes: str | None = REPRODUCIBILITY_NOTES
    """One fixed sentence on what limits accuracy, the same in every result."""

    not_known: dict[str, str] = Field(default_factory=dict)
    """Reason why a figure of compute, memory or quality, or `backend_version`, is None, by its field."""

    # Where the rest is
    timeseries: str | None = None
    """File name of the power over time, in the same folder; None where there is none."""
    process_results: list[RawProcessResult] = Field(default_factory=list)
    """The measurement of each process; a run of one process has one entry."""
    aggregation: AggregationMetadata | None = None
    """The way in which the results of the processes became this one."""

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

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what names it and its main figures: as a whole it has pages."""
        yield "experiment_id", self.experiment_id
        yield "model", self.effective_config.get("model")
        yield from ((name, getattr(self, name)) for name in SHOWN_FIELDS)

    @property
    def duration_sec(self) -> float | None:
        """From `start_time` to `end_time`; None of a file that lacks one, or has only one in a time zone."""
        if self.start_time is None or self.end_time is None:
            return None
        if (self.start_time.tzinfo is None) != (self.end_time.tzinfo is None):
            return None
        return (self.end_time - self.start_time).total_seconds()

    @property
    def has_load(self) -> bool:
        """True of a server's result: its configuration has a `load`, under which requests may fail."""
        return "load" in self.effective_config

    @property
    def tokens_per_joule(self) -> float | None:
        """Tokens (input and output) per joule; 0.0 when the energy is 0, None when it is unknown."""
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
            OtherKindError: it is not a result: a document of another kind, or none of labledger's.
            UnreadableFileError: it is not JSON, or a value has a wrong type.
        """
        from llenergymeasure.results import persistence

        return persistence.load_result(behind_link(Path(path)))

    def to_json(self) -> str:
        """The result as JSON text, as `save` writes it but for the integrity key."""
        from llenergymeasure.results import persistence

        return persistence.to_json(self)

    def to_parquet(self, path: Path) -> Path:
        """Write the result as one flat row (the columns of docs/results.md) to a Parquet file, and return its path.

        An integer that does not fit into 64 bits is null there, and a UserWarning.

        Raises:
            OSError: it could not be written.
        """
        from llenergymeasure.results import persistence

        return persistence.to_parquet(self, path)

    def load_timeseries(self, path: Path) -> "pyarrow.Table | None":
        """The timeseries beside the result.json at `path`; None where there is none. It need not be named in it."""
        from llenergymeasure.results import persistence

        return persistence.load_timeseries(self, path)


AggregatedResult = ExperimentResult


def compute_measurement_config_hash(config: "ExperimentConfig") -> str:
    """The first 16 hex digits of the SHA-256 of the configuration's canonical JSON.

    Equal configurations have equal hashes on every machine: what belongs to the machine (user configuration,
    environment) is not part of ExperimentConfig.
    """
    canonical: dict[str, Any] = config.model_dump(mode="json")
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()[:16]


__all__ = [
    "SCHEMA_VERSION",
    "AggregatedResult",
    "AggregationMetadata",
    "ExperimentResult",
    "FailedRequestColumns",
    "RawProcessResult",
    "RequestColumns",
    "compute_measurement_config_hash",
]
