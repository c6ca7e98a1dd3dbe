"""A model without its weights: built from its config on torch's meta device, in no memory, whatever its size."""

import os
import re
from pathlib import Path
from typing import Any

from llenergymeasure.backends.pytorch.model_files import excessive_counts, read_json
from llenergymeasure.config.paths import local_folder
from llenergymeasure.config.precision import DTYPES, Precision

OF_META = re.compile(
    r"\bmeta\b|unexpected keyword|Expected inputs of BF16 type|incompatible tensor type|uses cache of its own"
)
"""Words of errors that a model has on the meta device alone, or when it is called in another way than by `generate`.

Grouped multiplication, of experts, takes bf16 alone there; adapters made from the weights have nothing to be made from.
"""


def build_skeleton(model: str, revision: str | None = None) -> Any:
    """The modules of a local folder's or a cached hub model, every tensor of which has a shape and no data.

    Nothing is fetched, and none of the model's own code is run.

    Raises:
        Exception: its config is not here, or transformers cannot build it, in transformers' own words.
    """
    return skeleton_of(read_config(model, revision))


def read_config(
    model: str, revision: str | None = None, *, precision: Precision = "fp32", attention: str = "eager"
) -> Any:
    """Return transformers' config of a local folder's or a cached hub model, as it is when the model is loaded.

    Loading names the precision and the attention, so what config.json says of these is not used. The defaults are what
    every model has; its shapes do not depend on them.

    Raises:
        Exception: it is not here, or transformers does not know its kind, in transformers' own words; or no file, or
            describes what would be built for ever.
    """
    folder = local_folder(model)
    _refuse_endless(_config_file(folder, model, revision))
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(
        str(folder) if folder else model,
        revision=revision or "main",
        local_files_only=True,
        trust_remote_code=False,
        dtype=getattr(torch, DTYPES[precision]),
        attn_implementation=attention,
    )


def _config_file(folder: Path | None, model: str, revision: str | None) -> Path | None:
    if folder is not None:
        return folder / "config.json"
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(path) if isinstance(path, str) else None


def _refuse_endless(file: Path | None) -> None:
    """Raise for what transformers would wait for, or build without an end."""
    if file is None or not os.path.lexists(file):
        return
    for name, count, most in excessive_counts(read_json(file)):
        raise ValueError(f"config.json has {name}: {count}, and at most {most} are built")


def skeleton_of(config: Any) -> Any:
    """Return the modules that a config describes, without data.

    Raises:
        Exception: transformers cannot build them, in its own words.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False, dtype=config.dtype)


def is_of_meta(error: BaseException) -> bool:
    """Return True if an error says nothing of a model, but that it was computed on the meta device."""
    return OF_META.search(str(error)) is not None


def embedded_tokens(model: Any) -> int:
    """Return the number of tokens that a model has embeddings for; an adapter may wrap the embedding."""
    return int(model.get_input_embeddings().weight.shape[0])


def saved_config(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's config.json; an empty dict where it cannot be read."""
    return settings_of(folder / "config.json")


def settings_of(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty dict where it cannot be read."""
    try:
        settings = read_json(path)
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
