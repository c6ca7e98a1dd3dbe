"""Adapters, LoRA above all: what is wrong with one, found before anything is loaded, and how a model gets one."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.untrusted_text import reason_of
from llenergymeasure.backends.limited_process import raise_if_exhausted
from llenergymeasure.backends.pytorch.folders import runs_own_code
from llenergymeasure.backends.pytorch.model_files import odd_numbers, read_json, unusable_files
from llenergymeasure.backends.pytorch.random_llama import random_skeleton
from llenergymeasure.backends.pytorch.safetensors_files import (
    FLOATS,
    named,
    safetensors_problem,
    stored_tensors,
    tensors,
)
from llenergymeasure.backends.pytorch.skeleton import (
    build_skeleton,
    embedded_tokens,
    is_of_meta,
    settings_of,
)
from llenergymeasure.backends.pytorch.weights import Misfit, first_line, problems_of, remarks_on
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig, RandomModelConfig
from llenergymeasure.config.pytorch import LoraConfig
from llenergymeasure.errors import BackendError

MOST_RANK = 65_536
"""No layer is as wide; peft makes its matrices before their shapes can be held against the file's."""
ADAPTER_CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def lora_problems(lora: LoraConfig) -> Iterator[str]:
    """Yield the problems that keep the adapter from being loaded, as its own files show them."""
    folder = _folder(lora)
    if not folder.is_dir():
        yield f"lora.path: {lora.path}: no such folder (looked for {folder.absolute()})"
        return
    if unusable := list(unusable_files(folder)):
        yield from (f"lora.path: {problem}" for problem in unusable)
        return
    if not (folder / ADAPTER_CONFIG).is_file():
        yield f"lora.path: {lora.path}: has no {ADAPTER_CONFIG}"
    else:
        for problem in _settings_problems(folder / ADAPTER_CONFIG):
            yield f"lora.path: {folder / ADAPTER_CONFIG}: {problem}"
    if not (folder / WEIGHTS).is_file():
        yield f"lora.path: {lora.path}: has no {WEIGHTS} (pickle files are not loaded)"
    else:
        yield from (f"lora.path: {problem}" for problem in _weight_problems(folder / WEIGHTS))


def _weight_problems(file: Path) -> Iterator[str]:
    if problem := safetensors_problem(file):
        yield problem
    elif low := [name for name, each in (stored_tensors(file) or {}).items() if each.dtype not in FLOATS]:
        yield (
            f"{file}: stores {tensors(low)} as other numbers than floating-point ones ({named(low)}): "
            "quantised adapters are not measured; save it in fp32, fp16 or bf16"
        )


def _settings_problems(file: Path) -> Iterator[str]:
    try:
        settings = read_json(file)
    except (OSError, ValueError) as error:
        yield f"cannot be read as JSON: {reason_of(error)}"
        return
    if not isinstance(settings, dict):
        yield "holds no object"
        return
    if not isinstance(settings.get("peft_type"), str):
        yield "names no peft_type, as every adapter's does; fetch it again"
    for name, number in odd_numbers(settings):
        yield f"has {name}: {number}, with which nothing is computed; correct it, or fetch it again"
    for name, rank in _ranks(settings):
        if isinstance(rank, int) and rank > MOST_RANK:
            yield f"has {name}: {rank}, and at most {MOST_RANK} is built; correct it, or fetch it again"


def _ranks(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "r", settings.get("r")
    if isinstance(pattern := settings.get("rank_pattern"), dict):
        yield from ((f"rank_pattern of {named([name])}", rank) for name, rank in pattern.items())


def fit_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield the ways in which the adapter does not fit its model: it is put onto the model without the model's weights.

    Nothing where transformers does not build the model, or not without code of its own: then loading shows them.
    """
    lora = config.lora
    if lora is None or runs_own_code(config):
        return
    try:
        if config.model == RANDOM_LLAMA:
            model = random_skeleton(config.random_model or RandomModelConfig())
        else:
            model = build_skeleton(config.model, config.pytorch.revision)
    except Exception as error:  # transformers raises whatever its parts raise
        raise_if_exhausted(error)
        return
    try:
        _, found = with_adapter(model, config, lora)
        adapter_remarks(found, config)
    except BackendError as error:
        raise_if_exhausted(error)
        if error.__cause__ is None or not is_of_meta(error.__cause__):
            yield from str(error).splitlines()


def adapter_bytes(lora: LoraConfig) -> int:
    """Return the size of the adapter's tensors on disk, in bytes."""
    return (_folder(lora) / WEIGHTS).stat().st_size


def base_remarks(config: ExperimentConfig) -> Iterator[str]:
    """Yield a warning if the adapter names another base than the model that it is put onto, which may be a copy."""
    if config.lora is None:
        return
    base = _named_base(_folder(config.lora))
    if base is None or {base, _last_name(base)} & {config.model, _last_name(config.model)}:
        return
    yield (
        f"lora.path: {config.lora.path}: names {named([base])} as its base ({ADAPTER_CONFIG}), and is measured on "
        f"{config.model}."
    )


def _named_base(folder: Path) -> str | None:
    base = settings_of(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


def _last_name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]


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
    base = _named_base(config_file.parent)
    known = f"its base, {named([base])}," if base is not None else "its base"
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


def with_adapter(model: Any, config: ExperimentConfig, lora: LoraConfig) -> tuple[Any, Misfit]:
    """The model with its adapter, folded into the weights if asked for, and how the adapter's tensors fit it.

    Raises:
        BackendError: it is not of a kind that works inside the model's layers, does not fit, or is damaged.
    """
    adapted, misfit = _adapted(model, config, lora)
    adapted = adapted.to(model.dtype)
    if lora.merge:
        return _folded(adapted, config, lora), misfit
    return adapted.get_base_model(), misfit  # its linear layers now hold the adapter


def _folded(adapted: Any, config: ExperimentConfig, lora: LoraConfig) -> Any:
    """Return the model with its adapter folded into its weights."""
    try:
        return adapted.merge_and_unload()
    except MemoryError:
        raise
    except Exception as error:  # peft raises whatever its parts raise
        if "OutOfMemory" in type(error).__name__:
            raise
        raise BackendError(
            f"lora.path: {lora.path}: could not be folded into the weights of {config.model}, set lora.merge: false "
            f"({first_line(error)})"
        ) from error


def _adapted(model: Any, config: ExperimentConfig, lora: LoraConfig) -> tuple[Any, Misfit]:
    """The model, which may have no data, with its adapter, not yet folded in, and how the adapter's tensors fit it."""
    from peft import PeftConfig, get_peft_model

    folder = str(_folder(lora))
    try:
        _check_numbers(lora)
        adapter = PeftConfig.from_pretrained(folder)
        if adapter.is_prompt_learning or adapter.is_adaption_prompt:
            raise BackendError(
                f"lora.path: {lora.path}: holds a {adapter.peft_type.value} adapter, and only adapters that work "
                "inside the model's own layers are measured: LoRA, and others such as IA3 and LoHa"
            )
        _check_trained_tokens(adapter, model, config, lora)
        adapter.inference_mode = True
        # Without autocast_adapter_dtype=False an adapter computes in fp32, whatever the precision.
        adapted = get_peft_model(model, adapter, autocast_adapter_dtype=False)
        lost = _check_shapes(adapted, config, lora)
        device = "cpu" if model.device.type == "meta" else str(model.device)
        loaded = adapted.load_adapter(
            folder, "default", use_safetensors=True, autocast_adapter_dtype=False, torch_device=device
        )
    except (BackendError, MemoryError):
        raise
    except Exception as error:  # peft raises whatever its parts raise
        if "OutOfMemory" in type(error).__name__:
            raise
        raise BackendError(
            f"lora.path: {lora.path}: could not be put onto {config.model}: {first_line(error)}"
        ) from error
    missing = {name.replace(".default", ""): None for name in loaded.missing_keys}  # as the file would name them
    return adapted, Misfit((*(missing | dict.fromkeys(lost)),), tuple(loaded.unexpected_keys))


def _check_trained_tokens(adapter: Any, model: Any, config: ExperimentConfig, lora: LoraConfig) -> None:
    """Raise if the adapter has trained tokens that the model has no embeddings for."""
    trained, embedded = getattr(adapter, "trainable_token_indices", None) or [], embedded_tokens(model)
    lists = trained.values() if isinstance(trained, dict) else [trained]
    if stray := [token for each in lists for token in each if token >= embedded]:
        raise BackendError(
            f"lora.path: {lora.path}: has trained token {max(stray)} (trainable_token_indices in {ADAPTER_CONFIG}), "
            f"and {config.model} has embeddings for 0 to {embedded - 1}: {_whose(lora)}"
        )


def _whose(lora: LoraConfig) -> str:
    """Return what an adapter that does not fit is, and what to do."""
    base = _named_base(_folder(lora))
    own = f", that of {named([base])}" if base else ""
    return f"it is another model's adapter{own}; name that model, or an adapter of this one"


def _check_numbers(lora: LoraConfig) -> None:
    """Raise if a number of the adapter's file is NaN or infinite: in the model it would be the model's."""
    from safetensors.torch import load_file

    held = load_file(_folder(lora) / WEIGHTS)
    if damaged := [name for name, each in held.items() if each.is_floating_point() and not each.isfinite().all()]:
        raise BackendError(
            f"lora.path: {lora.path}: NaN or infinity in {tensors(damaged)} ({named(damaged)}): the adapter is "
            "damaged; fetch it again"
        )


def _check_shapes(adapted: Any, config: ExperimentConfig, lora: LoraConfig) -> list[str]:
    """Raise if tensors of the adapter's file have other shapes than it takes; else those that it lacks, not LoRA's own.

    Of some peft's own report on loading says nothing: biases, which the model has, too, with other numbers.
    """
    from peft import get_peft_model_state_dict

    own = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    stored = stored_tensors(_folder(lora) / WEIGHTS) or {}
    other = [
        f"{name} {list(stored[name].shape)}, not {list(each.shape)}"
        for name, each in own.items()
        if name in stored and stored[name].shape != tuple(each.shape)
    ]
    if other:
        raise BackendError(
            f"lora.path: {lora.path}: its files hold {tensors(other)} in another shape than {ADAPTER_CONFIG} and "
            f"{config.model} give it ({named(other)}): {_whose(lora)}"
        )
    lost = [name for name in own if name not in stored and "lora_" not in name]
    if lost and not config.pytorch.allow_missing_weights:  # at once: peft fails over some of them
        adapter_remarks(Misfit(tuple(lost)), config)
    return lost


def _folder(lora: LoraConfig) -> Path:
    return Path(os.path.expanduser(lora.path))


def adapter_remarks(found: Misfit, config: ExperimentConfig) -> tuple[str, ...]:
    """Raise if an adapter's tensors are not those that its model takes; else return remarks for the result.

    Raises:
        BackendError: every reason, a line each.
    """
    assert config.lora is not None  # noqa: S101 - the caller asked
    source = f"lora.path: {config.lora.path}"
    if problems := list(problems_of(found, allowed=config.pytorch.allow_missing_weights, described_in=ADAPTER_CONFIG)):
        raise BackendError("\n".join(f"{source}: {problem}" for problem in problems))
    return tuple(remarks_on(found, source))
