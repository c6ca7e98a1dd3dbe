"""The source of a model: its folder, its commit, and its problems, found before anything is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.pytorch.adapters import ADAPTER_CONFIG, adapter_alone, adapter_beside_a_model
from llenergymeasure.backends.pytorch.model_files import irregular_files, odd_numbers, read_json, reason_of
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

LAYER_COUNTS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
MOST_LAYERS = 1000  # to build so many, without their weights, takes seconds
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "tekken.json")


def model_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield what keeps the model from being loaded."""
    if config.model == RANDOM_LLAMA:
        return
    folder = local_folder(config.model)
    if folder is None:
        yield from _hub_problems(config)
    elif not folder.is_dir():
        yield f"model: {config.model}: no such folder (looked for {folder.absolute()})"
    else:
        yield from _folder_problems(folder, config.pytorch.trust_remote_code)


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


def hub_commit(config: ExperimentConfig) -> str | None:
    """The commit of a hub model as it lies in the local cache (`snapshots/{commit}/config.json`)."""
    path = _cached(config, "config.json")
    return path.parent.name if path else None


def model_folder(config: ExperimentConfig) -> Path | None:
    """Return the folder that the model is loaded from: a local one, or a hub model's in the cache; None if not here."""
    if (folder := local_folder(config.model)) is not None:
        return folder
    path = _cached(config, "config.json")
    return path.parent if path else None


def _cached(config: ExperimentConfig, name: str) -> Path | None:
    """A file of a hub model in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    if config.model == RANDOM_LLAMA or local_folder(config.model) is not None:
        return None
    path = try_to_load_from_cache(config.model, name, revision=config.pytorch.revision)
    return Path(path) if isinstance(path, str) else None


def _folder_problems(folder: Path, trust_remote_code: bool) -> Iterator[str]:
    if irregular := list(irregular_files(folder)):
        yield from (f"model: {problem}" for problem in irregular)
        return
    adapter = folder / ADAPTER_CONFIG
    try:
        model_config = read_json(folder / "config.json")
    except FileNotFoundError:
        no_model = "has no config.json; it is not a model's folder"
        yield f"model: {folder}: {adapter_alone(adapter, str(folder)) if adapter.is_file() else no_model}"
        return
    except (OSError, ValueError) as error:
        yield f"model: {folder / 'config.json'}: cannot be read as JSON: {reason_of(error)}"
        return
    for problem in config_problems(model_config, trust_remote_code):
        yield f"model: {folder}: {problem}"
    if adapter.is_file():
        yield f"model: {folder}: {adapter_beside_a_model()}"
    yield from _weight_problems(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        yield f"model: {folder}: has no tokenizer (tokenizer.json, tokenizer.model or vocab.json)"


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
        if missing := [name for name in wanted if not (folder / name).exists()]:
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
    for name in LAYER_COUNTS:
        if isinstance(count := model_config.get(name), int) and count > MOST_LAYERS:
            yield f"config.json has {name}: {count}, and at most {MOST_LAYERS} are built; correct it, or fetch it again"


def _hub_problems(config: ExperimentConfig) -> Iterator[str]:
    """Look for the model's config.json in the local cache, then on the hub: one question, not repeated."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError

    name, revision = config.model, config.pytorch.revision
    adapter = _cached(config, ADAPTER_CONFIG)
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
            "to its base and lora: {path: FOLDER} to where it was downloaded)"
        )
    except Exception as error:  # whatever the network library raises
        yield f"model: {name}: no folder here, not in the local cache, and {_hub_failure(error)}"
    else:
        for problem in config_problems(model_config, config.pytorch.trust_remote_code):
            yield f"model: {name}: {problem}"
        if _cached(config, ADAPTER_CONFIG) is not None:
            yield f"model: {name}: {adapter_beside_a_model(name)}"


def _hub_failure(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return "not on the hub (private models need hf auth login)"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE keeps it from being fetched"
    if isinstance(error, HfHubHTTPError):
        return f"the hub refused: {_first_words(error)}"
    return f"the hub cannot be reached ({type(error).__name__}: {_first_words(error)})"


def _first_words(error: Exception) -> str:
    return clean(next(iter(str(error).splitlines()), ""), SHOWN)
