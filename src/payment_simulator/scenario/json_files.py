"""JSON that users write, and keys in what they write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from labledger.errors import ConfigError
from labledger.json_text import JsonError, load_json
from labledger.written_keys import WrittenKeyError, refuse_written_keys
from labledger.yaml_files import Location, read_text

MAX_JSON_BYTES = 10_000_000
NO_KEY = "leave it out: nothing here takes a key"


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        ConfigError: it cannot be read, is not JSON (the message has line and column), or has a key twice.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES), str(path))


def parse_json(text: str, name: str) -> Any:
    """Return the value of a JSON text, called `name` in messages.

    Raises:
        ConfigError: it is not JSON (the message has line and column), or has a key twice.
    """
    try:
        return load_json(text, unique=True)
    except JsonError as error:
        place = name if error.line is None else f"{name}:{error.line}:{error.column}: not JSON"
        raise ConfigError(f"{place}: {error.reason}") from error


def refuse_keys(document: Any, place: Callable[[Location], str]) -> None:
    """Refuse a document in which a key is written, which results and databases would keep.

    Raises:
        ConfigError: there is one; the message has its place.
    """
    try:
        refuse_written_keys(document, NO_KEY)
    except WrittenKeyError as error:
        raise error.placed(place) from None
