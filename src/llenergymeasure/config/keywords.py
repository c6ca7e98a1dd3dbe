"""The fields of a configuration as keywords of a Python call, so that a type checker finds a misspelt one.

They are those of the models in `config`, which check the values; a section is a dictionary here.
"""

from typing import Literal, TypedDict

from pydantic import JsonValue

from llenergymeasure.config.energy_sources import SourceSetting


class RandomModelFields(TypedDict, total=False):
    """Fields of RandomModelConfig."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None
    vocab_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool


class UniformLengthsFields(TypedDict, total=False):
    """Fields of UniformLengths."""

    distribution: Literal["uniform"]
    min: int
    max: int


class NormalLengthsFields(TypedDict, total=False):
    """Fields of NormalLengths."""

    mean: float
    stdev: float
    min: int
    max: int
    distribution: Literal["normal"]


class LognormalLengthsFields(TypedDict, total=False):
    """Fields of LognormalLengths."""

    mean: float
    stdev: float
    min: int
    max: int
    distribution: Literal["lognormal"]


class SyntheticLengthsFields(TypedDict, total=False):
    """Fields of SyntheticLengths."""

    input_len: int | UniformLengthsFields | NormalLengthsFields | LognormalLengthsFields
    output_len: int | UniformLengthsFields | NormalLengthsFields | LognormalLengthsFields
    shared_prefix: float


class SyntheticDatasetFields(TypedDict, total=False):
    """Fields of SyntheticDataset."""

    synthetic: SyntheticLengthsFields


class DecoderFields(TypedDict, total=False):
    """Fields of DecoderConfig."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    ignore_eos: bool


class WarmupFields(TypedDict, total=False):
    """Fields of WarmupConfig."""

    iterations: int
    convergence_detection: bool
    cv_threshold: float
    window_size: int
    max_prompts: int
    thermal_floor_seconds: float


class BaselineFields(TypedDict, total=False):
    """Fields of BaselineConfig."""

    enabled: bool
    duration_seconds: float


class EnergyFields(TypedDict, total=False):
    """Fields of EnergyConfig."""

    source: SourceSetting
    sampling_hz: float
    sensor_gain: float | None
    cross_check: Literal["zeus"] | None


class MeasurementFields(TypedDict, total=False):
    """Fields of MeasurementConfig."""

    window: tuple[float, float] | None


class GpuFields(TypedDict, total=False):
    """Fields of GpuConfig."""

    power_limit_w: float | None
    clock_mhz: int | None


class LoraFields(TypedDict, total=False):
    """Fields of LoraConfig."""

    path: str
    merge: bool


class PytorchFields(TypedDict, total=False):
    """Fields of PytorchConfig."""

    attn_implementation: Literal["sdpa", "eager"]
    cache: Literal["dynamic", "static"]
    torch_compile: bool
    trust_remote_code: bool
    allow_missing_weights: bool
    revision: str | None
    data_parallel: int


class OpenaiFields(TypedDict, total=False):
    """Fields of OpenaiConfig."""

    base_url: str
    model: str | None
    api_key_env: str | None
    endpoint: Literal["chat", "completions"]
    limit_field: Literal["max_tokens", "max_completion_tokens"]
    timeout_s: float
    stall_s: float


class LaunchFields(TypedDict, total=False):
    """Fields of LaunchConfig."""

    command: list[str] | None
    preset: Literal["vllm", "sglang", "tensorrt", "llamacpp", "transformers"] | None
    flags: dict[str, JsonValue]
    ready_timeout_s: float


class LoadSearchFields(TypedDict, total=False):
    """Fields of LoadSearch."""

    metric: Literal["request_rate", "concurrency"]
    goal: str
    between: tuple[float, float]
    tolerance: float | str


class LoadFields(TypedDict, total=False):
    """Fields of LoadConfig."""

    concurrency: int
    request_rate: float | None
    arrival: Literal["poisson", "constant"]
    duration_s: float | None
    drain_s: float
    search: LoadSearchFields | None


class QualityFields(TypedDict, total=False):
    """Fields of QualityConfig."""

    task: str | None
    match: Literal["exact", "regex", "number"]
    keep_answers: bool
    lm_eval: str | None


class ExperimentFields(TypedDict, total=False):
    """Fields of ExperimentConfig."""

    model: str
    random_model: RandomModelFields | None
    backend: Literal["pytorch", "openai"]
    precision: Literal["fp32", "fp16", "bf16"]
    device: Literal["auto", "cuda", "cpu"]
    dataset: str | SyntheticDatasetFields
    chat_template: Literal["auto", "always"]
    num_prompts: int
    dataset_repeat: bool | None
    max_input_tokens: int | None
    max_output_tokens: int
    batch_size: int
    random_seed: int
    decoder: DecoderFields
    warmup: WarmupFields
    baseline: BaselineFields
    energy: EnergyFields
    measurement: MeasurementFields
    gpu: GpuFields
    lora: LoraFields | None
    pytorch: PytorchFields
    openai: OpenaiFields
    launch: LaunchFields | list[str] | str | None
    load: LoadFields
    quality: QualityFields | None
    passthrough_kwargs: dict[str, JsonValue]
