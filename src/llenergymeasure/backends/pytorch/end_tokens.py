"""The tokens that end a sequence, as a model's generation_config.json has them.

Nothing else of that file is in our configuration, so nothing else of it is read: a model is given settings of our own
in its place. transformers would refuse a model for what is wrong with the rest.
"""

from pathlib import Path
from typing import Any

from labledger.untrusted_text import SHOWN, clean, reason_of
from llenergymeasure.backends.pytorch.model_files import read_json
from llenergymeasure.errors import BackendError

GENERATION_FILE = "generation_config.json"
MOST = 1 << 63  # what a tensor of token ids does not hold


def end_tokens(declared: Any) -> tuple[int, ...] | None:
    """Return the ids of an `eos_token_id`, one or a list; None where it is none.

    Raises:
        ValueError: it is something else.
    """
    if declared is None:
        return None
    ids = declared if isinstance(declared, list | tuple) else [declared]
    if not all(type(each) is int and -MOST <= each < MOST for each in ids):
        raise ValueError(f"eos_token_id: {clean(str(declared), SHOWN)}, and a token's id is a whole number")
    return tuple(ids)


def declared_end_tokens(file: Path) -> tuple[int, ...] | None:
    """Return the ids that a generation_config.json has; None where it leaves them to the tokenizer.

    Raises:
        BackendError: it cannot be read, is no object in JSON, or has no ids where they should be.
    """
    try:
        settings = read_json(file)
        if not isinstance(settings, dict):
            raise ValueError("it holds no object")
        return end_tokens(settings.get("eos_token_id"))
    except (OSError, ValueError) as error:
        raise BackendError(
            f"model: {file}: cannot be used: {reason_of(error)}; correct it, or fetch it again"
        ) from error


def end_tokens_problem(folder: Path) -> str | None:
    """Return why the generation_config.json in a folder cannot be used; None where it can be, or there is none."""
    try:
        if (folder / GENERATION_FILE).is_file():
            declared_end_tokens(folder / GENERATION_FILE)
    except BackendError as error:
        return str(error)
    return None
