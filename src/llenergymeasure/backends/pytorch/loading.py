"""Bringing a model and its tokenizer to the device, as the configuration says."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig, RandomModelConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.errors import BackendError, MemoryExhaustedError

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode on `device`, its tokenizer, and the ids that end a sequence."""

    model: Any
    tokenizer: Any
    device: str
    eos_ids: tuple[int, ...]
    pad_id: int


def choose_device(asked: str) -> str:
    """`auto` takes the first GPU that PyTorch sees, else the CPU."""
    import torch

    return "cuda:0" if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()) else "cpu"


def load(config: ExperimentConfig, corpus: Callable[[], str]) -> Loaded:
    """Load or build the model; `corpus` gives the text that a random model's tokenizer is trained on.

    Raises:
        BackendError: transformers could not load it; the message is its own, in one line.
    """
    import torch

    device = choose_device(config.device)
    dtype = getattr(torch, DTYPES[config.precision])
    try:
        if config.model == RANDOM_LLAMA:
            model, tokenizer = _random(config, corpus(), device, dtype)
        else:
            model, tokenizer = _pretrained(config, device, dtype)
        if config.lora is not None:
            model = _with_adapter(model, config)
    except torch.OutOfMemoryError as error:
        raise MemoryExhaustedError(
            f"{config.model} does not fit into the memory of {device} in {config.precision}"
        ) from error
    except Exception as error:  # transformers raises whatever its parts raise
        raise BackendError(f"{config.model} could not be loaded: {_load_problem(error)}") from error
    if config.pytorch.torch_compile:
        model.forward = torch.compile(model.forward)
    eos_ids = _eos_ids(model, tokenizer)
    pad_id = tokenizer.pad_token_id
    if pad_id is None or pad_id >= model.get_input_embeddings().num_embeddings:  # added, and the model not resized
        pad_id = (*eos_ids, 0)[0]
    neutral = type(model.generation_config)
    # What a model's own generation_config.json would add (temperature, penalties) is not in our configuration.
    model.generation_config = neutral(pad_token_id=pad_id)
    return Loaded(model.eval(), tokenizer, device, eos_ids, pad_id)


def _load_problem(error: Exception) -> str:
    if "ignore_mismatched_sizes" in str(error):  # its report is in a log
        return "its weights do not have the shapes that its config.json describes"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {clean(lines[0], SHOWN)}" if lines else type(error).__name__


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


def _pretrained(config: ExperimentConfig, device: str, dtype: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = local_folder(config.model)
    origin = {
        "pretrained_model_name_or_path": str(folder) if folder else config.model,
        "revision": config.pytorch.revision or "main",
        "trust_remote_code": config.pytorch.trust_remote_code,
        "local_files_only": folder is not None,
    }
    model = AutoModelForCausalLM.from_pretrained(
        **origin,
        dtype=dtype,
        device_map=device,
        use_safetensors=True,
        attn_implementation=config.pytorch.attn_implementation,
    )
    return model, AutoTokenizer.from_pretrained(**origin)


def _with_adapter(model: Any, config: ExperimentConfig) -> Any:
    from peft import PeftModel

    assert config.lora is not None  # noqa: S101 - the caller asked
    folder = os.path.expanduser(config.lora.path)
    # Without autocast_adapter_dtype=False an adapter computes in fp32, whatever the precision.
    adapted = PeftModel.from_pretrained(model, folder, use_safetensors=True, autocast_adapter_dtype=False)
    adapted = adapted.to(model.dtype)
    if config.lora.merge:
        return adapted.merge_and_unload()
    return adapted.get_base_model()  # its linear layers now hold the adapter


def _eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    declared = getattr(model.generation_config, "eos_token_id", None)
    if declared is None:
        declared = tokenizer.eos_token_id
    if declared is None:
        return ()
    return tuple(declared) if isinstance(declared, list | tuple) else (int(declared),)
