"""Loading of a model and its tokenizer onto the device, as configured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llenergymeasure.backends.pytorch.adapters import adapter_remarks, base_remarks, refuse_adapter_of, with_adapter
from llenergymeasure.backends.pytorch.attention import attention_failure, attention_of, class_of
from llenergymeasure.backends.pytorch.encoding import load_tokenizer
from llenergymeasure.backends.pytorch.end_tokens import GENERATION_FILE, declared_end_tokens, end_tokens
from llenergymeasure.backends.pytorch.folders import model_folder, runs_own_code
from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
from llenergymeasure.backends.pytorch.skeleton import embedded_tokens
from llenergymeasure.backends.pytorch.weights import (
    NOT_CONVERTED,
    check_numbers,
    check_weights,
    first_line,
    is_conversion_error,
    without_bars,
)
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig, RandomModelConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.config.precision import DTYPES
from llenergymeasure.errors import BackendError, MemoryExhaustedError


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode on `device`, its tokenizer, and the ids that end a sequence.

    `remarks`: what its files lack or hold besides, where the configuration allows that. `attention`: the
    implementation that was taken.
    """

    model: Any
    tokenizer: Any
    device: str
    eos_ids: tuple[int, ...]
    pad_id: int
    remarks: tuple[str, ...] = ()
    attention: str = "sdpa"


def choose_device(asked: str) -> str:
    """`auto` takes the first GPU that PyTorch sees, else the CPU."""
    import torch

    return "cuda:0" if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()) else "cpu"


def load(config: ExperimentConfig, corpus: Callable[[], str]) -> Loaded:
    """Load or build the model; `corpus` gives the text that a random model's tokenizer is trained on.

    Raises:
        BackendError: transformers could not load it, in its own words, in one line; or it is not the model on disk.
    """
    import torch

    device = choose_device(config.device)
    dtype = getattr(torch, DTYPES[config.precision])
    remarks: tuple[str, ...] = ()
    attention: str = config.pytorch.attn_implementation
    try:
        if config.model == RANDOM_LLAMA:
            model, tokenizer = _random(config, corpus(), device, dtype)
        else:
            model, tokenizer, attention, remarks = _pretrained(config, device, dtype)
        if config.lora is not None:
            model, adapters_own = with_adapter(model, config, config.lora)
            remarks += (*adapter_remarks(adapters_own, config), *base_remarks(config))
        if config.model != RANDOM_LLAMA or config.lora is not None:
            check_numbers(model, config)
        eos_ids = _eos_ids(model, tokenizer)
    except BackendError:
        raise
    except torch.OutOfMemoryError as error:
        raise MemoryExhaustedError(
            f"{config.model} does not fit into the memory of {device} in {config.precision}"
        ) from error
    except Exception as error:  # transformers raises whatever its parts raise
        raise BackendError(f"{config.model} could not be loaded: {_load_problem(error, config)}") from error
    if config.pytorch.torch_compile:
        model.forward = torch.compile(model.forward)
    pad_id = tokenizer.pad_token_id
    if pad_id is None or pad_id >= embedded_tokens(model):  # added, and the model not resized
        pad_id = next((each for each in eos_ids if each < embedded_tokens(model)), 0)
    neutral = type(model.generation_config)
    # What a model's own generation_config.json or config.json would add (temperature, penalties) is not in ours.
    model.generation_config = neutral(pad_token_id=pad_id)
    return Loaded(model.eval(), tokenizer, device, eos_ids, pad_id, remarks, attention)


def _load_problem(error: Exception, config: ExperimentConfig) -> str:
    return NOT_CONVERTED if is_conversion_error(error) else attention_failure(error, config) or first_line(error)


def _random(config: ExperimentConfig, corpus: str, device: str, dtype: Any) -> tuple[Any, Any]:
    shape = config.random_model or RandomModelConfig()
    tokenizer = build_tokenizer(corpus, shape.vocab_size)
    model = build_model(
        shape,
        tokenizer,
        seed=config.random_seed,
        device=device,
        dtype=dtype,
        attention=config.pytorch.attn_implementation,
    )
    return model, tokenizer


def _pretrained(config: ExperimentConfig, device: str, dtype: Any) -> tuple[Any, Any, str, tuple[str, ...]]:
    """Return the model, its tokenizer, its attention, and remarks on its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = local_folder(config.model)
    origin = {
        "pretrained_model_name_or_path": str(folder) if folder else config.model,
        "revision": config.pytorch.revision or "main",
        "trust_remote_code": config.pytorch.trust_remote_code,
        "local_files_only": folder is not None,
    }
    refuse_adapter_of(origin)
    attention = attention_of(config, None if runs_own_code(config) else _model_class(origin, dtype))
    torch.manual_seed(config.random_seed)  # of what the files lack, where that is allowed
    with without_bars():
        model, report = AutoModelForCausalLM.from_pretrained(
            **origin,
            dtype=dtype,
            device_map=device,
            use_safetensors=True,
            attn_implementation=attention,
            generation_config=_ends_alone(origin),
            ignore_mismatched_sizes=True,  # they are in the report, with their names
            output_loading_info=True,
        )
        tokenizer = load_tokenizer(**origin)
    remarks = check_weights(model, report, config, model_folder(config))
    return model, tokenizer, attention, remarks


def _model_class(origin: dict[str, Any], dtype: Any) -> type[Any] | None:
    """Return the class that transformers has for a model; None where it has none."""
    from transformers import AutoConfig

    return class_of(AutoConfig.from_pretrained(**origin, dtype=dtype))


def _ends_alone(origin: dict[str, Any]) -> Any | None:
    """Return transformers' settings with the ids of a model's generation_config.json alone; None where it has none.

    Raises:
        BackendError: that file cannot be used.
    """
    from transformers import GenerationConfig
    from transformers.utils import cached_file

    name = origin["pretrained_model_name_or_path"]
    file = cached_file(
        name,
        GENERATION_FILE,
        revision=origin["revision"],
        local_files_only=origin["local_files_only"],
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return None
    ids = declared_end_tokens(Path(file))
    return GenerationConfig(eos_token_id=None if ids is None else list(ids))


def _eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    declared = end_tokens(model.generation_config.eos_token_id)
    return declared if declared is not None else end_tokens(tokenizer.eos_token_id) or ()
