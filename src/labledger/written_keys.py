"""Keys that somebody has written into a configuration, which results would keep.

A key is known by what it is given to (`--api-key X`, `api_key: X`, `HF_TOKEN=X`, `Authorization: Bearer X`,
`https://user:X@host`), or by its shape (`sk-…`, `hf_…`). The rules of names and values are in `secret_rules`; here are
the places.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from labledger.errors import ConfigError
from labledger.secret_rules import Secrecy, is_literal, is_random, secrecy, shapes
from labledger.untrusted_text import SHOWN, clean

Location = tuple[str | int, ...]

WRITTEN_DOWN = "a key that is written down is no secret, and results would keep it"
MAX_DEPTH = 50

FREE_TEXTS = re.compile(
    r"stop(?:_sequences|_strings)?|bad_?words|(?:system_?)?prompt|system|messages|content|description|tools|functions"
    r"|guided_\w+|response_format|structured_outputs|json_schema|grammar|regex|chat_template"
)
"""Fields whose texts a model is sent: their words on passwords are no key, unless they look like one."""

SCHEME = r"(?:(?:Bearer|Basic|Token|Digest|ApiKey|Api-Key|Key|[A-Z][\w-]*)\s+)?"
HEADER = re.compile(
    rf"(?:-H\s*|--headers?[= ])?[\"']?([A-Za-z][\w-]*)[\"']?:\s*({SCHEME})([^\s;]+)(?:;.*)?", re.IGNORECASE
)
ASSIGNMENT = re.compile(r"((?:\$env[:.]|[-/]*)[A-Za-z_][\w.-]*)(=|:(?!//))(.*)", re.DOTALL)
NAME = re.compile(r"[A-Za-z][\w-]*")
FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
USER = re.compile(r"-u|--(?:proxy-)?user")
USER_AND_KEY = re.compile(r"[^:/\s]+:(.*[A-Za-z].*)")
GIVEN = re.compile(
    rf"(?:\$env[:.])?([A-Za-z][\w.-]*)[\"'\]]*\s*[=:]\s*(?P<quote>[\"']?)({SCHEME})([^\s\"'`&;,]+)(?:(?P=quote))?",
    re.IGNORECASE,
)
"""`name=value`, `name: scheme value` and `['name'] = 'value'` within a longer text."""
QUOTED_IN_CODE = re.compile(r"([A-Za-z_][\w.-]*)(?:[\"']\])?\s*[=:]\s*([\"'])([^\"'\s]+)\2")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/\s?#]*)([^\s?#]*)")
QUERY = re.compile(r"[?&;#]([\w.-]+)=([^&;#\s]+)")
SEGMENT = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w-]{20,}")
"""A part of a URL's path that may be a key: an id or a digest has letters of one case only."""


NAME_OF_PAIR, VALUE_OF_PAIR = ("name", "key", "header"), ("value", "values")


class WrittenKeyError(ConfigError):
    """A configuration has keys in it. `found` has the place of each and a text that does not repeat it."""

    def __init__(self, found: Sequence[tuple[Location, str]]) -> None:
        super().__init__("\n".join(f"{'.'.join(map(str, location))}: {text}" for location, text in found))
        self.found = tuple(found)

    def placed(self, place: Callable[[Location], str]) -> ConfigError:
        """Return the same error with the place of each, as `describe_errors` names it: `file:line: field: problem`."""
        lines = []
        for location, text in self.found:
            where = place(location)
            field = "" if where.startswith("--") else ".".join(clean(str(part), SHOWN) for part in location)
            lines.append(": ".join(part for part in (where, field, text) if part))
        return ConfigError("\n".join(lines))


def refuse_written_keys(document: Any, way: str) -> None:
    """Refuse a configuration, as YAML or Python gives it, that has a key in it; `way` is what to do instead.

    Raises:
        WrittenKeyError: it has.
    """
    if found := [(location, f"{what}: {WRITTEN_DOWN}; {way}") for location, what in written_keys(document)]:
        raise WrittenKeyError(found)


def written_keys(document: Any, location: Location = (), *, is_free: bool = False) -> Iterator[tuple[Location, str]]:
    """Yield the place of each key in a mapping, a list or a text, and how it is known. A list of texts is a command.

    Where it `is_free` text, a key is known by its shape alone.
    """
    if len(location) > MAX_DEPTH:
        return
    if hasattr(document, "model_dump"):
        document = document.model_dump()
    if isinstance(document, Mapping):
        yield from _in_mapping(document, location, is_free)
    elif isinstance(document, list | tuple):
        yield from _in_list(document, location, is_free)
    elif isinstance(document, str):
        what = in_text(document) if is_free or not _is_word(document) else _in_word(document)
        if what:
            yield location, what


def in_text(text: str) -> str | None:
    """Return the sign by which a key in a text is known, its shape or its place; None where there is none."""
    if shape := next(shapes(text), None):
        return f"holds what looks like {shape}"
    if what := next(_in_urls(text), None):
        return what
    named = (found[1] for found in GIVEN.finditer(text) if secrecy(found[1]) and is_random(f"{found[3]} {found[4]}"))
    return next((f"holds a value of {name}" for name in named), None)


def _in_urls(text: str) -> Iterator[str]:
    for found in URL.finditer(text):
        user, colon, password = found[1].rpartition("@")[0].partition(":")
        if is_literal(password) if colon else is_random(user):
            yield "holds a password in a URL"
        if any(SEGMENT.fullmatch(part) and is_random(part) for part in found[2].split("/")):
            yield "holds what looks like a key in a URL"
    for found in QUERY.finditer(text):
        if _is_key_of(found[1], found[2]):
            yield f"holds a value of {found[1]} in a URL"


def _is_key_of(name: str, value: Any) -> bool:
    """Return True if a value is a key, as it is given to this name."""
    of_secret = secrecy(name)
    if of_secret is Secrecy.STRONG:
        return _is_written(value)
    return of_secret is Secrecy.WEAK and not isinstance(value, Mapping) and _is_drawn(value)


def _is_written(value: Any) -> bool:
    """Return True if a value of a secret's name is a literal: one word, but for its scheme, or some that hold one."""
    if isinstance(value, list | tuple):
        return any(map(_is_written, value))
    if isinstance(value, Mapping):
        return any(_is_written(each) if name in VALUE_OF_PAIR else _is_drawn(each) for name, each in value.items())
    if not isinstance(value, str):
        return is_literal(value)
    *scheme, word = value.split() or [""]
    return is_literal(word) if len(scheme) <= 1 and _is_scheme(scheme) else any(map(is_random, value.split()))


def _is_scheme(words: Sequence[str]) -> bool:
    """Return True if words may stand before a key in a header."""
    return all(re.fullmatch(SCHEME, f"{word} ") for word in words)


def _is_drawn(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_drawn, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_drawn, value))
    return isinstance(value, str) and is_literal(value) and is_random(value)


def _in_mapping(document: Mapping[Any, Any], location: Location, is_free: bool) -> Iterator[tuple[Location, str]]:
    name = next((str(document[each]) for each in NAME_OF_PAIR if isinstance(document.get(each), str)), "")
    for key, value in document.items():
        field = str(key)
        place = (*location, key if isinstance(key, int) else field)
        if what := _in_word(field):
            yield location, f"a name in it {what}"
        elif not is_free and (_is_key_of(field, value) or (field in VALUE_OF_PAIR and _is_key_of(name, value))):
            yield place, "holds a key"
        else:
            yield from written_keys(value, place, is_free=is_free or FREE_TEXTS.fullmatch(field.lower()) is not None)


def _in_list(document: Sequence[Any], location: Location, is_free: bool) -> Iterator[tuple[Location, str]]:
    if not is_free and len(document) == 2 and isinstance(document[0], str) and NAME.fullmatch(document[0]):
        name, value = document
        if _is_key_of(name, value):
            yield (*location, 1), "holds a key"
            return
    before = ""
    for place, each in enumerate(document):
        if not isinstance(each, str) or is_free:
            of_flag = not is_free and FLAG.fullmatch(before) and _is_key_of(before, each)
            yield from (
                [((*location, place), f"holds a value of {before}")]
                if of_flag
                else written_keys(each, (*location, place), is_free=is_free)
            )
        elif what := _in_word(each, before):
            yield (*location, place), what
        before = each if isinstance(each, str) else ""


def _is_word(text: str) -> bool:
    """Return True if a text may be a flag, a header or JSON, and not a person's prose."""
    is_header = (found := HEADER.fullmatch(text)) is not None and secrecy(found[1])
    return text.lstrip().startswith(("-", "{", "[")) or len(text.split(None, 1)) < 2 or bool(is_header)


def _in_word(word: str, before: str = "", depth: int = 0) -> str | None:
    """Return the sign of a key in a word of a command, or of one that is given to the flag `before` it."""
    if what := in_text(word):
        return what
    if _is_given_to(before, word):
        return f"holds a value of {before}"
    if (found := HEADER.fullmatch(word)) and _is_key_of(found[1], found[3]):
        return f"holds a value of {found[1]}"
    if (found := ASSIGNMENT.fullmatch(word)) and _is_key_of(found[1], found[3]):
        return f"holds a value of {found[1]}"
    return next(_in_parts(word, depth), None) if depth < MAX_DEPTH else None


def _is_given_to(before: str, word: str) -> bool:
    if FLAG.fullmatch(before):
        if USER.fullmatch(before):
            return (found := USER_AND_KEY.fullmatch(word)) is not None and _has_letters_and_digits(found[1])
        return _is_key_of(before, word.lstrip("-")) and (not word.startswith("--") or is_random(word))
    return before.isupper() and secrecy(before) is Secrecy.STRONG and is_random(word)  # set -x NAME word


def _has_letters_and_digits(text: str) -> bool:
    """Return True if a text has both, as passwords have, and the names of users and groups have not."""
    return is_literal(text) and re.search("[A-Za-z]", text) is not None and re.search(r"\d", text) is not None


def _in_parts(word: str, depth: int) -> Iterator[str]:
    """Yield the signs of keys in a word that is JSON, a shell's command, or a flag with one of these as its value."""
    if word.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            yield from (what for _, what in written_keys(json.loads(word)))
    parts: Iterable[str] = ()
    if (found := ASSIGNMENT.fullmatch(word)) and found[2] == "=" and not re.search(r"\s", found[1]):
        parts = [found[3]]
    elif len(word.split(None, 1)) > 1:
        quoted = (found for found in QUOTED_IN_CODE.finditer(word) if _is_key_of(found[1], found[3]))
        yield from (f"holds a value of {found[1]}" for found in quoted)
        parts = _shell_words(word)
    before = ""
    for part in parts:
        if part != word and (what := _in_word(part.lstrip("(;&|{"), before, depth + 1)):
            yield what
        before = part


def _shell_words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed
        return command.split()
