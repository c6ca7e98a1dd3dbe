"""The source of a model, a folder or the hub, and its problems, found before anything is loaded."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.untrusted_text import first_line, reason_of
from llenergymeasure.backends.hub_cache import hub_name_problem
from llenergymeasure.backends.pytorch.adapters import ADAPTER_CONFIG, adapter_alone, adapter_beside_a_model
from llenergymeasure.backends.pytorch.end_tokens import end_tokens_problem
from llenergymeasure.backends.pytorch.folders import cached_of
from llenergymeasure.backends.pytorch.model_files import excessive_counts, odd_numbers, read_json, unusable_files
from llenergymeasure.backends.pytorch.safetensors_files import (
    INDEX_FILE,
    SINGLE_FILE,
    loaded_files,
    named,
    safetensors_problem,
    weight_files,
    weight_map,
)
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.config.paths import local_folder

GGUF = (
    "which llama.cpp runs: set backend: openai, model to the file and launch: {preset: llamacpp}; or name the folder "
    "of the model's safetensors files"
)
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "tekken.json")


def model_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield what keeps the model from being loaded."""
    if config.model == RANDOM_LLAMA:
        return
    folder = local_folder(config.model)
    if folder is None:
        if problem := _name_problem(config.model):
            yield f"model: {config.model}: {problem}"
        else:
            yield from _hub_problems(config)
    elif not folder.is_dir():
        yield f"model: {config.model}: {_no_folder(folder)}"
    else:
        yield from _folder_problems(folder, config.pytorch.trust_remote_code)


def _name_problem(name: str) -> str | None:
    """Return why a name is none that the hub has models of."""
    if name.lower().endswith(".gguf"):
        return f"is a GGUF file, {GGUF}"
    if problem := hub_name_problem(name):
        return f"no folder here (looked for {Path(name).absolute()}), and no name of the hub: {problem}"
    return None


def _no_model(folder: Path) -> str:
    """Return why a folder without a config.json is no model's."""
    if files := [path.name for path in folder.iterdir() if path.suffix.lower() == ".gguf"]:
        return f"holds GGUF files ({named(files)}), {GGUF}"
    return "has no config.json; it is not a model's folder"


def _no_folder(path: Path) -> str:
    """Return why a path that is no folder is no model, and what to name in its place."""
    if path.suffix.lower() == ".gguf":
        return f"is a GGUF file, {GGUF}"
    if path.is_file():
        return f"is a file; name the folder that it is in ({path.parent})"
    return f"no such folder (looked for {path.absolute()})"


def has_chat_template(folder: Path) -> bool:
    """Return True if the tokenizer in a folder has a chat template, or may have one that its files do not show."""
    if any((folder / name).is_file() for name in TEMPLATE_FILES):
        return True
    try:
        tokenizer = read_json(folder / "tokenizer_config.json")
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # what is wrong with it is the loader's to say
    if not isinstance(tokenizer, dict):
        return True
    return tokenizer.get("chat_template") is not None or "auto_map" in tokenizer


def _folder_problems(folder: Path, trust_remote_code: bool) -> Iterator[str]:
    if unusable := list(unusable_files(folder)):
        yield from (f"model: {problem}" for problem in unusable)
        return
    adapter = folder / ADAPTER_CONFIG
    try:
        model_config = read_json(folder / "config.json")
    except FileNotFoundError:
        yield f"model: {folder}: {adapter_alone(adapter, str(folder)) if adapter.is_file() else _no_model(folder)}"
        return
    except (OSError, ValueError) as error:
        yield f"model: {folder / 'config.json'}: cannot be read as JSON: {reason_of(error)}"
        return
    for problem in config_problems(model_config, trust_remote_code):
        yield f"model: {folder}: {problem}"
    if trust_remote_code and (absent := _absent_code(model_config, folder)):
        yield (
            f"model: {folder}: its code is not all there: config.json names {named(absent)} (auto_map); fetch it again"
        )
    if odd := end_tokens_problem(folder):
        yield odd
    if adapter.is_file():
        yield f"model: {folder}: {adapter_beside_a_model()}"
    yield from _weight_problems(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        yield f"model: {folder}: has no tokenizer (tokenizer.json, tokenizer.model or vocab.json)"


def _absent_code(model_config: Any, folder: Path) -> list[str]:
    """Return the files that a config.json names as its own code, for the config and the model, and that are not there.

    Code of another repository, named before a `--`, is not looked for.
    """
    own = model_config.get("auto_map") if isinstance(model_config, dict) else None
    places = [own.get(name) for name in ("AutoConfig", "AutoModelForCausalLM")] if isinstance(own, dict) else []
    files = [f"{place.partition('.')[0]}.py" for place in places if isinstance(place, str) and "--" not in place]
    return sorted({file for file in files if not os.path.isfile(folder / file)})  # of a name too long, too


def _weight_problems(folder: Path) -> Iterator[str]:
    files = weight_files(folder) or loaded_files(folder)
    if not files:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        found = f"only pickle files ({', '.join(pickles)}), which can run code when loaded" if pickles else "no weights"
        yield f"model: {folder}: {found}; convert the model to safetensors with save_pretrained()"
        return
    names = {file.name for file in files}
    if SINGLE_FILE not in names:  # it is loaded, whatever an index says
        if not (folder / INDEX_FILE).is_file():
            yield (
                f"model: {folder}: has neither {SINGLE_FILE} nor {INDEX_FILE}, and only those are loaded (found: "
                f"{named(names)}); fetch it again"
            )
            return
        try:
            wanted = {*weight_map(folder).values()}
        except (OSError, ValueError) as error:
            yield f"model: {folder / INDEX_FILE}: cannot be read: {reason_of(error)}"
            return
        if missing := [name for name in wanted if not os.path.exists(folder / name)]:
            yield f"model: {folder}: its index names files that are not there: {named(missing)}; fetch it again"
            return
    for file in loaded_files(folder):
        if problem := safetensors_problem(file):
            yield f"model: {problem}"


def config_problems(model_config: Any, trust_remote_code: bool) -> Iterator[str]:
    """Return why a model whose config.json is `model_config` is refused."""
    if not isinstance(model_config, dict):
        yield "its config.json holds no object"
        return
    if model_config.get("auto_map") and not trust_remote_code:
        yield (
            "runs Python code of its own (auto_map in config.json); read that code, then set "
            "pytorch: {trust_remote_code: true}"
        )
    if model_config.get("quantization_config") is not None:
        yield "its weights are quantised (quantization_config in config.json); this version runs fp32, fp16 and bf16"
    if model_config.get("transformers_weights") is not None:
        yield (
            "config.json names other files than those that are checked (transformers_weights); remove that key and "
            f"name the file {SINGLE_FILE}"
        )
    for name, number in odd_numbers(model_config):
        yield f"config.json has {name}: {number}, with which nothing is computed; correct it, or fetch it again"
    for name, count, most in excessive_counts(model_config):
        yield f"config.json has {name}: {count}, and at most {most} are built; correct it, or fetch it again"


def _hub_problems(config: ExperimentConfig) -> Iterator[str]:
    """Look for the model's config.json in the local cache, then on the hub: one question, not repeated."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError

    name, revision = config.model, config.pytorch.revision
    adapter = cached_of(config, ADAPTER_CONFIG)
    if adapter is not None and not adapter.with_name("config.json").is_file():
        yield f"model: {name}: {adapter_alone(adapter, name)}"
        return
    try:
        try:
            path = hf_hub_download(name, "config.json", revision=revision, local_files_only=True)
        except LocalEntryNotFoundError:
            get_hf_file_metadata(hf_hub_url(name, "config.json", revision=revision))
            path = hf_hub_download(name, "config.json", revision=revision)
        model_config = read_json(Path(path))
    except GatedRepoError:
        yield f"model: {name}: its owner asks for an agreement; accept it on the hub and log in (hf auth login)"
    except EntryNotFoundError:
        yield (
            f"model: {name}: has no config.json on the hub; it is not a transformers model (of an adapter, set model "
            "to its base and lora: {path: FOLDER} to where it was downloaded; GGUF files are run by backend: openai)"
        )
    except Exception as error:  # whatever the network library raises
        yield f"model: {name}: no folder here, not in the local cache, and {_hub_failure(error)}"
    else:
        yield from (f"model: {problem}" for problem in unusable_files(Path(path).parent))
        for problem in config_problems(model_config, config.pytorch.trust_remote_code):
            yield f"model: {name}: {problem}"
        if odd := end_tokens_problem(Path(path).parent):
            yield odd
        if cached_of(config, ADAPTER_CONFIG) is not None:
            yield f"model: {name}: {adapter_beside_a_model(name)}"


def _hub_failure(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return "not on the hub (private models need hf auth login)"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE keeps it from being fetched"
    if isinstance(error, HfHubHTTPError):
        return f"the hub refused: {first_line(error)}"
    return f"the hub cannot be reached ({type(error).__name__}: {first_line(error)})"
