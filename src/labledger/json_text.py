"""JSON text of plain values, as files and screens have it, and what others wrote of it.

Records write their own, see `documents.dump_document`, and are read by a quicker parser, see `schema_versions`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 400
"""The greatest depth of what is read: what walks through it afterwards does so by recursion."""

MAX_DIGITS = 4_000
"""The most digits of an integer; to read one takes time by the square of them."""

MOST = (("[{", 5_000_000, "lists and objects"), (":", 8_000_000, "named values"), (",", 60_000_000, "values"))
"""Signs, how many of each a text has at most, and what they begin: a value takes up to 70 times its text's memory."""

_TEXT_OR_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """A text is not JSON that is read: `reason`, and where, counted from 1, if that is one place."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason if line is None else f"{reason} (line {line} column {column})")
        self.reason, self.line, self.column = reason, line, column


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    """Return `value` as JSON text, letters beyond ASCII as they are; on one line if `indent` is None.

    Raises:
        ValueError: it holds NaN or infinity, which JSON has no form for, or contains itself.
        TypeError: it holds something else that JSON has no form for.
    """
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def load_json(text: str | bytes, *, unique: bool = False, allow_nan: bool = False, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text that somebody else wrote; bytes are UTF-8.

    With `unique` no object may have a key twice; with `allow_nan` NaN and infinity are numbers, as Python writes them.

    Raises:
        JsonError: it is no JSON, is nested over `max_depth` deep, has an integer of over `MAX_DIGITS` digits, half of a
            surrogate pair, a key twice, or more values than `MOST`.
    """
    refuse_many(text)
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(
            decoded,
            parse_int=_integer,
            parse_constant=None if allow_nan else lambda name: _refuse_no_number(decoded, name),
            object_pairs_hook=_once if unique else None,
        )
    except json.JSONDecodeError as error:
        raise JsonError(error.msg, error.lineno, error.colno) from error
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise JsonError(f"nested over {max_depth} deep") from error
    _refuse_deep(value, max_depth)
    if _HALF_A_PAIR.search(decoded):
        _refuse_halves(value)
    return value


def refuse_many(text: str | bytes) -> None:
    """Refuse a JSON text that may hold too many values for the memory, before it is parsed.

    Raises:
        JsonError: it has more signs than `MOST`; those within texts count as well.
    """
    if len(text) <= min(most for _, most, _ in MOST):
        return
    for signs, most, things in MOST:
        count = sum(text.count(sign) if isinstance(text, str) else text.count(sign.encode()) for sign in signs)
        if count > most:
            raise JsonError(f"holds up to {count:,} {things}, and at most {most:,} are read")


def _integer(digits: str) -> int:
    if (count := len(digits.lstrip("-"))) > MAX_DIGITS:
        raise JsonError(f"an integer of {count:,} digits; at most {MAX_DIGITS:,} are read")
    return int(digits)


def _refuse_no_number(text: str, name: str) -> float:
    """Raise for the first NaN or infinity that stands outside of a text."""
    found = next(found for found in _TEXT_OR_NO_NUMBER.finditer(text) if not found[0].startswith('"'))
    line, before = text.count("\n", 0, found.start()) + 1, text.rfind("\n", 0, found.start())
    raise JsonError(f"{name} is not a JSON number", line, found.start() - before)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise JsonError(f"the key {ascii(doubled)[:120]} stands twice in one section")
    return found


def _refuse_deep(value: Any, max_depth: int) -> None:
    """Raise for what the parser still reads, at whatever depth of the stack it was called."""
    level, depth = [value], 0
    while level := [item for each in level if isinstance(each, dict | list) for item in _items(each)]:
        depth += 1
        if depth > max_depth:
            raise JsonError(f"nested over {max_depth} deep")


def _items(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _refuse_halves(value: Any) -> None:
    try:
        dump = json.dumps(value, ensure_ascii=False)
        dump.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise JsonError(f"half of a surrogate pair ({half}) is not valid Unicode") from error
