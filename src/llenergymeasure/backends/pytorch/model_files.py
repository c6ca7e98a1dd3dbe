"""Files of models and adapters, which others have written: JSON, and what is no file at all."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.regular_files import A_REGULAR_FILE, behind_link, kind_of, read_regular

LOADED = {".json", ".jinja", ".model", ".safetensors", ".txt"}
"""The endings of what is read of a folder."""


def read_json(path: Path) -> Any:
    """The value in a file; a link is followed, as the hub's cache is made of them.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no JSON, or nested too deep.
    """
    return parsed(read_regular(behind_link(path)))


def reason_of(error: Exception) -> str:
    """The reason why `read_json` did not read a file, without its path."""
    return str(getattr(error, "strerror", None) or error)[:200]


def irregular_files(folder: Path) -> Iterator[str]:
    """Yield a line for each name of a model's or an adapter's files that is none: to open a named pipe would hang."""
    for path in sorted(folder.iterdir()):
        if path.suffix not in LOADED:
            continue
        try:
            kind = kind_of(behind_link(path))
        except FileNotFoundError:  # a link that leads nowhere is not there for transformers either
            continue
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        if kind != A_REGULAR_FILE:
            yield f"{path}: is {kind}, not a regular file; fetch it again"


def parsed(content: bytes, *, unique: bool = False) -> Any:
    """The value in JSON text; with `unique` a key that an object has twice is refused.

    Raises:
        ValueError: it is no JSON, nested too deep, or has a key twice.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_once if unique else None)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {ascii(twice)[:120]} twice")
    return found


def odd_numbers(settings: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers that no model computes with, each with its key: NaN, infinity, a negative epsilon.

    A limit may be infinite: `time_step_limit` of Mamba's kin is.
    """
    waiting = [("", settings)]
    while waiting:  # no recursion: the text may be nested as deep as the parser allows
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(key if key != "__float__" else name, each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif (number := _number(value)) is not None and _is_odd(name, number):
            yield name, number


def _number(value: Any) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):  # as transformers writes them, under __float__
        return float(value)
    return value if isinstance(value, float | int) else None


def _is_odd(name: str, number: float) -> bool:
    if isinstance(number, float) and not math.isfinite(number):
        return math.isnan(number) or not name.endswith("limit")
    return (name.endswith(("eps", "epsilon")) and number < 0) or (name == "rope_theta" and number <= 0)
