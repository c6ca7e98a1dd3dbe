"""The configuration of an experiment and of the user's machine.

Every field reaches what it configures or is refused with a reason; a test walks these models to prove it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from labledger.written_keys import refuse_written_keys
from llenergymeasure.config.backends import BACKEND_RULES, BackendName, fields_of_others
from llenergymeasure.config.boards import GpuConfig
from llenergymeasure.config.datasets import BUILTIN_DATASET, Dataset, SyntheticDataset
from llenergymeasure.config.decoding import DecoderConfig
from llenergymeasure.config.energy_sources import ENERGY_SOURCES, SETTINGS, SourceSetting, basis_of, facts_of
from llenergymeasure.config.precision import Precision
from llenergymeasure.config.pytorch import LoraConfig, PytorchConfig
from llenergymeasure.config.quality import QualityConfig
from llenergymeasure.config.section import STUDY_KEYS, Name, Positive, PositiveFloat, Section
from llenergymeasure.config.servers import (
    KEEPS_ITS_OWN_PRECISION,
    LaunchConfig,
    LoadConfig,
    OpenaiConfig,
)

RANDOM_LLAMA = "random:llama"


class RandomModelConfig(Section):
    """The shape of `random:llama`; the defaults make a model of 34 million parameters."""

    hidden_size: Positive = 512
    intermediate_size: Positive = 1408
    num_hidden_layers: Positive = 8
    num_attention_heads: Positive = 8
    num_key_value_heads: Positive | None = Field(None, description="Default: as many as attention heads.")
    vocab_size: Annotated[int, Field(ge=512, strict=True)] = 8192
    max_position_embeddings: Positive = 4096
    tie_word_embeddings: bool = False

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.num_attention_heads or (self.hidden_size // self.num_attention_heads) % 2:
            heads = self.num_attention_heads
            raise ValueError(f"hidden_size: {self.hidden_size} is not num_attention_heads {heads} times an even number")
        if self.num_attention_heads % (self.num_key_value_heads or self.num_attention_heads):
            raise ValueError("num_key_value_heads: must divide num_attention_heads")
        return self


class WarmupConfig(Section):
    """Calls before the window, one batch each, that are measured and left out of the result.

    A fixed number of `iterations`; or, with `convergence_detection`, until the coefficient of variation of the
    last `window_size` latencies is at most `cv_threshold`, for `max_prompts` calls at the most.
    """

    iterations: Annotated[int, Field(ge=0, strict=True)] = 5
    convergence_detection: bool = False
    cv_threshold: PositiveFloat = 0.05
    window_size: Annotated[int, Field(ge=2, strict=True)] = 5
    max_prompts: Positive = 20
    thermal_floor_seconds: Annotated[float, Field(ge=0, strict=True)] = Field(
        0.0, description="Wait after the warm-up, so that the device is as warm as it stays."
    )

    @property
    def without_effect(self) -> dict[str, str]:
        """Either the fixed number counts, or what convergence is judged by."""
        if self.convergence_detection:
            return {"iterations": "with convergence_detection: true; use max_prompts"}
        return dict.fromkeys(("cv_threshold", "window_size", "max_prompts"), "without convergence_detection: true")

    @model_validator(mode="after")
    def _room_for_a_window(self) -> Self:
        if self.convergence_detection and self.max_prompts < self.window_size:
            raise ValueError(f"max_prompts: {self.max_prompts} is less than window_size {self.window_size}")
        return self


class BaselineConfig(Section):
    """The power of the idle device, measured before the warm-up."""

    enabled: bool = True
    duration_seconds: PositiveFloat = 30.0


class EnergyConfig(Section):
    """The source of the joules: `auto` takes the best source that this machine has."""

    source: SourceSetting = Field(
        "auto", description=f"auto, or one of {'; '.join(f'{n}: {s.summary}' for n, s in ENERGY_SOURCES.items())}."
    )
    sampling_hz: Annotated[float, Field(gt=0, le=100, strict=True)] = Field(
        10.0,
        description="Reads of a GPU's temperature per second; its energy counter and its power have their own pace.",
    )
    sensor_gain: Annotated[float, Field(ge=0, lt=1, strict=True)] | None = Field(
        None, description="Bound on the sensor's gain as a share, from a calibration; default 0.13 (NVML), 0.05 (RAPL)."
    )
    cross_check: Literal["zeus"] | None = Field(None, description="Have the same GPUs read by Zeus as well.")

    @property
    def without_effect(self) -> dict[str, str]:
        """Settings that the source does not heed; a calibration has no effect where its sensor is not named."""
        if self.source == "auto":
            return {"sensor_gain": "with energy.source: auto; name the source that was calibrated"}
        heeded = facts_of(self.source).heeds
        return {name: f"with energy.source: {self.source}" for name in SETTINGS if name not in heeded}

    @property
    def names_a_reader(self) -> bool:
        """True where a source is named that reads this machine."""
        return self.source != "auto" and basis_of(self.source) != "nothing"


class MeasurementConfig(Section):
    """The part of the run that the result is of."""

    window: tuple[float, float] | None = Field(
        None, description="Seconds from the start of the measurement: [start, end]. Default: all of it."
    )

    @model_validator(mode="after")
    def _window_goes_forward(self) -> Self:
        if self.window is not None and not 0 <= self.window[0] < self.window[1]:
            raise ValueError(f"window: {list(self.window)} is not [start, end] with 0 <= start < end")
        return self


class ExperimentConfig(Section):
    """One experiment: this model, run so, on this work.

    Raises:
        WrittenKeyError: a key is written in it; unlike pydantic's error this one does not repeat what was given.
        pydantic.ValidationError: a value is wrong.
    """

    keys_beside: ClassVar[Sequence[str]] = STUDY_KEYS
    model: Name = Field(description="Hub id, local folder, or random:llama.")
    random_model: RandomModelConfig | None = Field(None, description="The shape of random:llama.")
    backend: BackendName = Field(
        "pytorch", description="; ".join(f"{name}: {rules.label}" for name, rules in BACKEND_RULES.items()) + "."
    )
    precision: Precision = "bf16"
    device: Literal["auto", "cuda", "cpu"] = "auto"
    dataset: Dataset = Field(
        BUILTIN_DATASET, description="builtin, the path of a .jsonl file, or {synthetic: {input_len, output_len}}."
    )
    chat_template: Literal["auto", "always"] = Field(
        "auto",
        description="auto: conversations are rendered with the model's chat template, and plain prompts are sent as "
        "they are; always: a plain prompt too, as a turn of the user.",
    )
    num_prompts: Positive = Field(
        100,
        description="Not given: all prompts of the dataset, up to 100; 100 of one that is synthetic or goes round.",
    )
    dataset_repeat: bool | None = Field(
        None,
        strict=True,
        description="A dataset of fewer prompts goes round, each time with another beginning. Default: builtin does, "
        "and a file does not.",
    )
    max_input_tokens: Positive | None = Field(None, description="Longer prompts are cut to their first tokens.")
    max_output_tokens: Positive = 128
    batch_size: Positive = 1
    random_seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 42
    decoder: DecoderConfig = Field(default_factory=DecoderConfig)
    warmup: WarmupConfig = Field(default_factory=WarmupConfig)
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    energy: EnergyConfig = Field(default_factory=EnergyConfig)
    measurement: MeasurementConfig = Field(default_factory=MeasurementConfig)
    gpu: GpuConfig = Field(default_factory=GpuConfig)
    lora: LoraConfig | None = None
    pytorch: PytorchConfig = Field(default_factory=PytorchConfig)
    openai: OpenaiConfig = Field(default_factory=OpenaiConfig)
    launch: LaunchConfig | None = Field(
        None, description="How to start the server: a command as a list, or {preset: vllm}. Default: it runs already."
    )
    load: LoadConfig = Field(default_factory=LoadConfig)
    quality: QualityConfig | None = Field(None, description="Score the measured answers; keep scores of lm_eval.")
    passthrough_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further arguments of the generate call, or fields of each request, passed as they are.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_key_is_written_down(cls, data: Any) -> Any:
        refuse_written_keys(data, "give a server its key in a variable, and name that in openai.api_key_env")
        return data

    @model_validator(mode="before")
    @classmethod
    def _random_model_has_a_shape(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("model") == RANDOM_LLAMA and data.get("random_model") is None:
            return {**data, "random_model": {}}
        return data

    @model_validator(mode="after")
    def _a_shape_has_a_random_model(self) -> Self:
        if self.model.startswith("random:") and self.model != RANDOM_LLAMA:
            raise ValueError(f"model: {self.model!r} is not known; {RANDOM_LLAMA} is the one random model")
        if self.random_model is not None and self.model != RANDOM_LLAMA:
            raise ValueError(f"random_model: has no effect on {self.model}; it shapes {RANDOM_LLAMA}")
        if self.pytorch.revision is not None and self.model == RANDOM_LLAMA:
            raise ValueError(f"pytorch.revision: has no effect on {RANDOM_LLAMA}")
        if self.pytorch.allow_missing_weights and self.model == RANDOM_LLAMA and self.lora is None:
            raise ValueError(f"pytorch.allow_missing_weights: has no effect on {RANDOM_LLAMA}, which has no files")
        return self

    @property
    def without_effect(self) -> dict[str, str]:
        """The fields of other backends, what a task or a synthetic dataset replaces, and settings of GPUs on a CPU."""
        found = fields_of_others(self.backend) | self.gpu.without_effect_on(self.device)
        if self.is_server:
            found |= self._precision_of_a_server()
        if self.task is not None:
            found["dataset"] = "with quality.task: its questions are the prompts"
            found["dataset_repeat"] = "with quality.task: each question is asked once"
        if not isinstance(self.dataset, SyntheticDataset):
            return found
        return {
            **found,
            "max_output_tokens": "with a synthetic dataset: its output_len is the length",
            "chat_template": "with a synthetic dataset: its prompts are tokens, not text",
            "dataset_repeat": "with a synthetic dataset: as many prompts are drawn as are asked for",
        }

    def _precision_of_a_server(self) -> dict[str, str]:
        """Return `precision` with the reason where it does not reach the server."""
        if self.launch is None:
            return {"precision": "on a server that runs already: it is what the server was started with"}
        if self.launch.command is not None:
            return {"precision": "on a launch command: write it into the command"}
        if why := KEEPS_ITS_OWN_PRECISION.get(str(self.launch.preset)):
            return {"precision": f"with launch.preset: {self.launch.preset}; {why}"}
        return {}

    @model_validator(mode="after")
    def _synthetic_prompts_are_not_cut(self) -> Self:
        limit = self.max_input_tokens
        if (
            isinstance(self.dataset, SyntheticDataset)
            and limit is not None
            and limit < self.dataset.synthetic.longest_input
        ):
            raise ValueError("max_input_tokens: is less than dataset.synthetic.input_len can be")
        return self

    @model_validator(mode="after")
    def _answers_to_a_task_end(self) -> Self:
        if self.task is not None and self.decoder.ignore_eos:
            raise ValueError("quality.task: decoder.ignore_eos lets no answer end, so none could be scored; remove one")
        return self

    @model_validator(mode="after")
    def _every_process_has_a_batch(self) -> Self:
        processes, batches = self.pytorch.data_parallel, -(-self.num_prompts // self.batch_size)
        if processes > batches:
            raise ValueError(
                f"pytorch.data_parallel: {processes} processes, and {self.num_prompts} prompts in batches of "
                f"{self.batch_size} make {batches}: ask for fewer processes or send more prompts"
            )
        return self

    @model_validator(mode="after")
    def _a_server_gets_what_it_takes(self) -> Self:
        if not self.is_server:
            return self
        if self.launch is None and self.model == RANDOM_LLAMA:
            raise ValueError(f"model: {RANDOM_LLAMA} is built for a server that is launched; name the server's model")
        if isinstance(self.dataset, SyntheticDataset) and self.openai.endpoint == "chat":
            raise ValueError(
                "dataset: synthetic prompts are token ids, and the chat endpoint takes text; set openai: "
                "{endpoint: completions}"
            )
        if (in_flight := self.load.in_flight) is not None and in_flight > self.num_prompts:
            field = "load.concurrency" if self.load.search is None else "load.search.between"
            raise ValueError(
                f"{field}: {in_flight} requests in flight, and num_prompts is {self.num_prompts}: there would "
                "never be so many; send more prompts"
            )
        return self

    @model_validator(mode="after")
    def _passthrough_takes_no_field(self) -> Self:
        if taken := sorted(BACKEND_RULES[self.backend].own_keys & self.passthrough_kwargs.keys()):
            names = ", ".join(taken)
            raise ValueError(
                f"passthrough_kwargs: {names} cannot be passed through; use its own field, and leave out what has none"
            )
        return self

    @property
    def is_server(self) -> bool:
        """True where a server is measured, under a `load`."""
        return BACKEND_RULES[self.backend].is_server

    @property
    def task(self) -> str | None:
        """The file of questions that are asked in place of a dataset; None without one."""
        return self.quality.task if self.quality is not None else None

    @property
    def output_limit(self) -> int:
        """The most tokens that a request may generate; of lengths that are drawn, the longest."""
        if isinstance(self.dataset, SyntheticDataset):
            return self.dataset.synthetic.longest_output
        return self.max_output_tokens

    @property
    def goes_round(self) -> bool:
        """True if a dataset that is too short begins again."""
        asked = self.dataset == BUILTIN_DATASET if self.dataset_repeat is None else self.dataset_repeat
        return asked and self.task is None

    @property
    def ignores_eos(self) -> bool:
        """True if every request generates exactly as many tokens as were asked for."""
        return self.decoder.ignore_eos or isinstance(self.dataset, SyntheticDataset)


class UserConfig(Section):
    """The settings of the machine and its user; no part of an experiment or of its hash."""

    cpu_watts_per_core: PositiveFloat | None = Field(
        None, description="Power of one busy core, for the estimate of energy; default 10, with a bound of 100 %."
    )
    grid_carbon_intensity: Annotated[float, Field(ge=0, strict=True)] | None = Field(
        None, description="Grams of CO2 equivalent per kWh of this place's grid; without it emissions are unknown."
    )
    datacenter_pue: Annotated[float, Field(ge=1, strict=True)] = Field(
        1.0, description="Power usage effectiveness of the building, for emissions alone."
    )
    record_hostname: bool = Field(False, description="Keep the machine's name in results.")

    @property
    def without_effect(self) -> dict[str, str]:
        """The building's overhead counts in emissions only."""
        if self.grid_carbon_intensity is not None:
            return {}
        return {"datacenter_pue": "without grid_carbon_intensity: energy is the devices' own, whatever the building"}
