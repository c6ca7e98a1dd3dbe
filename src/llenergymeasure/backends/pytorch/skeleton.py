"""A model without its weights: built from its config on torch's meta device, in no memory, whatever its size."""

from pathlib import Path
from typing import Any

from llenergymeasure.backends.pytorch.model_files import read_json
from llenergymeasure.config.paths import local_folder


def build_skeleton(model: str, revision: str | None = None) -> Any:
    """The modules of a local folder's or a cached hub model, every tensor of which has a shape and no data.

    Nothing is fetched, and none of the model's own code is run.

    Raises:
        Exception: its config is not here, or transformers cannot build it, in transformers' own words.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = local_folder(model)
    config = AutoConfig.from_pretrained(
        str(folder) if folder else model, revision=revision or "main", local_files_only=True, trust_remote_code=False
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def saved_config(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's config.json; an empty dict where it cannot be read."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
