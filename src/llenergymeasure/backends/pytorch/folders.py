"""The folder that a model is loaded from: a local one, or a hub model's in the cache."""

from pathlib import Path

from llenergymeasure.backends.hub_cache import cached_file
from llenergymeasure.backends.pytorch.skeleton import saved_config
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.config.paths import local_folder


def hub_commit(config: ExperimentConfig) -> str | None:
    """The commit of a hub model as it lies in the local cache (`snapshots/{commit}/config.json`)."""
    path = cached_of(config, "config.json")
    return path.parent.name if path else None


def model_folder(config: ExperimentConfig) -> Path | None:
    """Return the folder that the model is loaded from: a local one, or a hub model's in the cache; None if not here."""
    if (folder := local_folder(config.model)) is not None:
        return folder
    path = cached_of(config, "config.json")
    return path.parent if path else None


def runs_own_code(config: ExperimentConfig) -> bool:
    """Return True if the model is loaded by Python code that comes with it."""
    folder = model_folder(config) if config.pytorch.trust_remote_code else None
    own = saved_config(folder).get("auto_map") if folder is not None else None
    return isinstance(own, dict) and "AutoModelForCausalLM" in own


def cached_of(config: ExperimentConfig, name: str) -> Path | None:
    """A file of a hub model in the local cache."""
    if config.model == RANDOM_LLAMA or local_folder(config.model) is not None:
        return None
    return cached_file(config.model, name, config.pytorch.revision)
