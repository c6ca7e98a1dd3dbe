"""The files of hub models in the local cache, by names that users write."""

from pathlib import Path


def cached_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """Return a file of a hub model in the local cache; None where it is not there, or `model` is no name of the hub."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(model, name, revision=revision)
    except (OSError, ValueError):  # the hub's rules for names are broken, or those of the file system
        return None
    return Path(path) if isinstance(path, str) else None


def hub_name_problem(model: str) -> str | None:
    """Return the rule of the hub that a model's name breaks; None if it breaks none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError as error:
        return next(iter(str(error).splitlines()), type(error).__name__)
    return None
