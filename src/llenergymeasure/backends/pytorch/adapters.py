"""LoRA adapters: what is wrong with one, found before anything is loaded, and how one is put onto a model."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llenergymeasure.backends.pytorch.safetensors_files import safetensors_problem
from llenergymeasure.backends.pytorch.weights import Misfit, named, problems_of, remarks_on
from llenergymeasure.config.models import ExperimentConfig, LoraConfig
from llenergymeasure.errors import BackendError

ADAPTER_CONFIG = "adapter_config.json"


def lora_problems(lora: LoraConfig) -> Iterator[str]:
    """Yield the problems that keep the adapter from being loaded."""
    folder = Path(os.path.expanduser(lora.path))
    if not folder.is_dir():
        yield f"lora.path: {lora.path}: no such folder (looked for {folder.absolute()})"
        return
    if not (folder / ADAPTER_CONFIG).is_file():
        yield f"lora.path: {lora.path}: has no {ADAPTER_CONFIG}"
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        yield f"lora.path: {lora.path}: has no adapter_model.safetensors (pickle files are not loaded)"
    elif problem := safetensors_problem(weights):
        yield f"lora.path: {problem}"


def adapter_beside_a_model(hub_id: str | None = None) -> str:
    """Return the reason why a model is refused whose folder holds an adapter as well, and the way out.

    transformers applies such an adapter to the model unasked.
    """
    first = f"download it (hf download {hub_id} --local-dir FOLDER), " if hub_id else ""
    return (
        f"holds an adapter beside the model ({ADAPTER_CONFIG}), which would be applied to it; {first}move the "
        "adapter's files into a folder of their own and, to measure with it, set lora: {path: THAT FOLDER}"
    )


def adapter_alone(config_file: Path, source: str) -> str:
    """Return the reason why `source`, a folder or hub id with an adapter and no model, is refused, and the way out."""
    try:
        base = json.loads(config_file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    known = f"its base, {named([base])}," if isinstance(base, str) and base else "its base"
    path = source if Path(source).is_dir() else f"where it is downloaded to (hf download {source} --local-dir FOLDER)"
    return f"is an adapter ({ADAPTER_CONFIG}), not a model; set model to {known} and lora.path to {path}"


def refuse_adapter_of(origin: dict[str, Any]) -> None:
    """Raise if the model that `from_pretrained` would load from `origin` has an adapter of its own.

    Raises:
        BackendError: it has.
    """
    from transformers.utils import find_adapter_config_file

    name = origin["pretrained_model_name_or_path"]
    found = find_adapter_config_file(
        name, revision=origin["revision"], local_files_only=origin["local_files_only"]
    )  # where transformers itself looks
    if found is not None:
        raise BackendError(f"model: {name}: {adapter_beside_a_model(None if os.path.isdir(name) else name)}")


def with_adapter(model: Any, lora: LoraConfig) -> tuple[Any, Misfit]:
    """The model with its adapter, folded into the weights if asked for, and how the adapter's tensors fit it.

    Raises:
        BackendError: it is not of a kind that works inside the model's layers.
    """
    from peft import PeftConfig, get_peft_model

    folder = os.path.expanduser(lora.path)
    adapter = PeftConfig.from_pretrained(folder)
    if adapter.is_prompt_learning or adapter.is_adaption_prompt:
        raise BackendError(
            f"lora.path: {lora.path}: holds a {adapter.peft_type.value} adapter, and only LoRA is measured"
        )
    adapter.inference_mode = True
    # Without autocast_adapter_dtype=False an adapter computes in fp32, whatever the precision.
    adapted = get_peft_model(model, adapter, autocast_adapter_dtype=False)
    loaded = adapted.load_adapter(
        folder, "default", use_safetensors=True, autocast_adapter_dtype=False, torch_device=str(model.device)
    )
    adapted = adapted.to(model.dtype)
    misfit = Misfit(tuple(loaded.missing_keys), tuple(loaded.unexpected_keys))
    if lora.merge:
        return adapted.merge_and_unload(), misfit
    return adapted.get_base_model(), misfit  # its linear layers now hold the adapter


def adapter_remarks(found: Misfit, config: ExperimentConfig) -> tuple[str, ...]:
    """Raise if an adapter's tensors are not those that its model takes; else what to say of it in the result.

    Raises:
        BackendError: every reason, a line each.
    """
    assert config.lora is not None  # noqa: S101 - the caller asked
    source = f"lora.path: {config.lora.path}"
    if problems := list(problems_of(found, allowed=config.pytorch.allow_missing_weights)):
        raise BackendError("\n".join(f"{source}: {problem}" for problem in problems))
    return tuple(remarks_on(found, source))
