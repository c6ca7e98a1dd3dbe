"""JSON as servers send it, and the errors that they send in it in place of an answer, in all their shapes."""

import json
import re
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from pydantic_core import from_json

from labledger.redaction import Redactor

HIGH, LOW = ("\ud800", "\udbff"), ("\udc00", "\udfff")
"""The first and the last of each half of a character in UTF-16."""

MANY_DIGITS = re.compile(r"\d{4000}")
"""A number that strict readers refuse for its length."""

SUCCESS = (0, 200, "0", "200", "ok", "OK", "success")
"""Codes with which servers say that all is well."""

WORDS = ("message", "msg", "detail", "errors", "error_msg", "error_message", "error_code")
"""Fields in which an error has its words, where it has no field `error`."""


def read_json(data: bytes) -> Any:
    """Return the value of a JSON text. Halves of characters stay halves (see `whole_characters`), and bytes that are no
    text become U+FFFD: a server that cuts its text anywhere still sends JSON. A number of thousands of digits is
    infinite.

    Raises:
        ValueError: it is none.
    """
    try:
        return from_json(data)
    except ValueError:
        return _read_broken(data)


def _read_broken(data: bytes) -> Any:
    """Return the value of a JSON text that a strict reader refuses; a mistake is told in that one's words."""
    text = data.decode(errors="replace")
    if "\ufffd" in text or "\\ud" in text.lower() or MANY_DIGITS.search(text):
        try:
            return json.loads(text, parse_int=_integer)
        except (ValueError, RecursionError):
            pass
    return from_json(data)


def _integer(digits: str) -> float:
    return inf if MANY_DIGITS.search(digits) else int(digits)


def is_json(data: bytes) -> bool:
    """Return True if these bytes are a JSON text."""
    try:
        read_json(data)
    except ValueError:
        return False
    return True


def whole_characters(texts: Iterable[str]) -> list[str]:
    """Return the texts with characters whole whose two halves came in two of them; a half alone becomes U+FFFD."""
    whole: list[str] = []
    for text in texts:
        if whole and HIGH[0] <= whole[-1][-1:] <= HIGH[1] and LOW[0] <= text[:1] <= LOW[1]:
            whole[-1] += text[0]
            text = text[1:]
        whole.append(text)
    return [text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for text in whole]


def is_error(message: Mapping[str, Any]) -> bool:
    """Return True if a message of a server is an error by its name."""
    return bool(message.get("error")) or message.get("object") == "error"


def may_be_error(message: Mapping[str, Any]) -> bool:
    """Return True if a message without choices and counts reads as an error.

    A server's remark on itself may, too: such a message is an error only of an answer that has no reason for its end.
    """
    if message.get("success") is False:
        return True
    status = message.get("base_resp")  # MiniMax
    if isinstance(status, dict) and status.get("status_code"):
        return True
    code = message.get("code", message.get("status_code"))
    return code not in SUCCESS and (code is not None or any(message.get(name) for name in WORDS))


def error_text(body: bytes, keys: Redactor, *, is_cut: bool = False) -> str:
    """Return the message of a server's error, in any of the shapes that servers give it; else the start of its text."""
    try:
        found = read_json(body)
    except ValueError:
        return keys.quoted(body.decode(errors="replace"), is_cut=is_cut)
    for _ in range(2):  # {"error": {"message": ...}}, {"error": ...}, {"message": ...}, {"detail": ...}
        if isinstance(found, dict):
            names = ("error", *WORDS, "base_resp", "status_msg")
            found = next((found[name] for name in names if found.get(name)), found)
    return keys.quoted(found if isinstance(found, str) else json.dumps(found))
