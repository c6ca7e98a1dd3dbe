"""Hints on values of a wrong type: what YAML has made of a text, and what to write in its place."""

import re
from typing import Any

from labledger.json_text import dump_json

WORDS = {"yes": True, "no": False, "on": True, "off": False, "true": True, "false": False, "y": True, "n": False}
GROUPED = re.compile(r"[-+]?[0-9]{1,3}(?:[,' _ ][0-9]{3})+")
WHOLE = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
MAX_SHOWN = 60


def hint_on(kind: str, found: Any, text: str | None) -> str:
    """Return what to write in place of a value, as the end of a message; empty where there is nothing to say.

    `kind` is pydantic's of the problem, `text` the value as it is written, where that is known and plain.
    """
    if kind == "string_type":
        return _as_text(found, text)
    if kind in ("int_type", "int_from_float", "int_parsing"):
        return _as_whole(found, text)
    if kind in ("float_type", "float_parsing") and isinstance(found, str):
        return _without_quotes(found, NUMBER)
    if kind in ("bool_type", "bool_parsing"):
        known = (
            WORDS.get(found.lower())
            if isinstance(found, str)
            else {0: False, 1: True}.get(found)
            if found in (0, 1)
            else None
        )
        return "" if known is None else f"; write {str(known).lower()}"
    return ""


def _as_text(found: Any, text: str | None) -> str:
    if isinstance(found, dict | list | str):
        return ""
    if found is None and not text:
        return "; write a text"
    what = "nothing" if found is None else "true or false" if isinstance(found, bool) else "a number"
    written = text or ("" if found is None else dump_json(found))
    reads = f" ({written} is {what} in YAML)" if text not in (None, "", repr(found)) else ""
    return f'{reads}; put it in quotes: "{written}"' if written and len(written) <= MAX_SHOWN else ""


def _as_whole(found: Any, text: str | None) -> str:
    if isinstance(found, float):
        if found.is_integer() and abs(found) < 2**63:
            return f"; write {int(found)}" + (f" in place of {text}" if text and len(text) <= MAX_SHOWN else "")
        return "; write a whole number"
    return _without_quotes(found, WHOLE) if isinstance(found, str) else ""


def _without_quotes(found: str, number: re.Pattern[str]) -> str:
    plain = found.strip()
    if number.fullmatch(plain) and len(plain) <= MAX_SHOWN:
        return f"; write it without quotes: {plain}"
    if GROUPED.fullmatch(plain) and len(plain) <= MAX_SHOWN:
        return f"; write it without signs between: {re.sub('[^-+0-9]', '', plain)}"
    return ""


def in_a_line(value: Any) -> str:
    """Return a value as YAML on one line: JSON, but for quotes where none are needed."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return re.sub(r'"([A-Za-z]\w*(?:[./-]\w+)*)"', _unquoted, dump_json(whole, indent=None))


def _unquoted(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in (*WORDS, "null") else found[1]
