"""Keys that somebody has written into a configuration, which results would keep.

A key is known by what it is given to (`--api-key X`, `api_key: X`, `HF_TOKEN=X`, `Authorization: Bearer X`,
`https://user:X@host`), or by its shape (`sk-…`, `hf_…`). The rules of names and values are in `secret_rules`; here are
the places.
"""

import contextlib
import functools
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from labledger.errors import ConfigError
from labledger.secret_rules import (
    Secrecy,
    is_key_in_path,
    is_literal,
    is_random,
    secrecy,
    shapes,
    takes_the_next_word,
)
from labledger.untrusted_text import SHOWN, clean

Location = tuple[str | int, ...]

WRITTEN_DOWN = "a key that is written down is no secret, and results would keep it"
MAX_DEPTH = 50  # of commands in commands
MAX_NESTING = 500  # of what is searched: trees of policies are the deepest

FREE_TEXTS = re.compile(
    r"stop(?:_sequences|_strings)?|bad_?words|(?:system_?)?prompt|system|messages|content|description|tools|functions"
    r"|guided_\w+|response_format|structured_outputs|json_schema|grammar|regex|chat_template"
)
"""Fields whose texts a model is sent: their words on passwords are no key, unless they look like one."""
SCHEMA_LITERALS = ("default", "const", "enum", "example", "examples")
"""Fields of a schema that hold values of what it describes."""

SCHEME = r"(?:(?:Bearer|Basic|Token|Digest|ApiKey|Api-Key|Key|[A-Z][\w-]*)\s+)?"
HEADER = re.compile(
    rf"(?:-H\s*|--headers?[= ])?[\"']?([A-Za-z][\w-]*)[\"']?:\s*({SCHEME})([^\s;]+)(?:;.*)?", re.IGNORECASE
)
ASSIGNMENT = re.compile(r"((?:\$env[:.]|[-/]*)[A-Za-z_][\w.-]*)(=|:(?!//))(.*)", re.DOTALL)
NAME = re.compile(r"[A-Za-z][\w-]*")
FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
USER = re.compile(r"-u|--(?:proxy-)?user")
USER_AND_KEY = re.compile(r"[^:/\s]+:([^A-Za-z\n]*[A-Za-z].*)")
RUN = r"(?<![\w.-])(?:[.-]|[^\WA-Za-z])*+"
"""From the beginning of a run of letters, digits and signs to its first letter: a name is looked for once in a run, as
a search from each of its letters on would take the square of its length."""
GIVEN = re.compile(
    rf"(?:\$env[:.]|{RUN})([A-Za-z][\w.-]*+)[\"'\]]*\s*[=:]\s*(?P<quote>[\"']?)({SCHEME})([^\s\"'`&;,]+)(?:(?P=quote))?",
    re.IGNORECASE,
)
"""`name=value`, `name: scheme value` and `['name'] = 'value'` within a longer text."""
QUOTED_IN_CODE = re.compile(
    r"(?<![\w.-])(?:[.-]|[^\WA-Za-z_])*+([A-Za-z_][\w.-]*+)(?:[\"']\])?\s*[=:]\s*([\"'])([^\"'\s]++)\2"
)
URL = re.compile(r"(?<=[A-Za-z0-9+.-])://([^/\s?#]*+)([^\s?#]*+)")
"""A URL from the end of its scheme on."""
QUERY = re.compile(r"[?&;#]([\w.%-]+)=([^&;#\s]+)")
URL_FIELD = re.compile(r"(?:.*[_-])?(?:url|uri|endpoint|proxy)", re.IGNORECASE)
PASSWORD = re.compile(r":([^\s/@]++)(@?)")
"""The part before the host of a URL, also of one whose beginning is miswritten; where an @ follows, a password."""
NAMES_A_VARIABLE = re.compile(r"-e|--env|-u|--unset")
"""Flags that take `NAME=value`, or a name alone, whose value is the environment's."""


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


class _Found(NamedTuple):
    location: Location
    what: str


class _Part(NamedTuple):
    """A part of a document that is to be searched: one of two in a list of pairs, or text for a model."""

    document: Any
    location: Location
    is_free: bool = False
    is_of_pairs: bool = False


def written_keys(document: Any, *, is_free: bool = False) -> Iterator[tuple[Location, str]]:
    """Yield the place of each key in a mapping, a list or a text, and how it is known. A list of texts is a command.

    Where it `is_free` text, for a model, a key is known by its shape, or as the literal of a strong name in a mapping.
    """
    pending: list[_Part | _Found] = [_Part(document, (), is_free)]
    while pending:
        part = pending.pop()
        if isinstance(part, _Found):
            yield part
        elif len(part.location) <= MAX_NESTING:
            pending += reversed([*_inside(part)])


def _inside(part: _Part) -> Iterator[_Part | _Found]:
    document = part.document.model_dump() if hasattr(part.document, "model_dump") else part.document
    if isinstance(document, Mapping):
        yield from _in_mapping(document, part.location, part.is_free)
    elif isinstance(document, list | tuple):
        yield from _in_list(document, part)
    elif isinstance(document, str):
        what = in_text(document) if part.is_free or not _is_word(document) else _in_word(document)
        if what:
            yield _Found(part.location, what)


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
        if any(is_key_in_path(unquote(part)) for part in found[2].split("/")):
            yield "holds what looks like a key in a URL"
    for found in QUERY.finditer(text):
        if _is_key_of(name := unquote(found[1]), found[2]):
            yield f"holds a value of {name} in a URL"


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


def _in_mapping(document: Mapping[Any, Any], location: Location, is_free: bool) -> Iterator[_Part | _Found]:
    name = next((str(document[each]) for each in NAME_OF_PAIR if isinstance(document.get(each), str)), "")
    has_key = _has_key_in_text if is_free else _is_key_of
    for key, value in document.items():
        field = str(key)
        given = f"--{field}" if location[-1:] == ("flags",) else field
        place = (*location, key if isinstance(key, int) else field)
        if what := _in_name(field):
            yield _Found(location, f"a name in it {what}")
        elif has_key(given, value) or (field in VALUE_OF_PAIR and has_key(name, value)):
            yield _Found(place, "holds a key")
        elif URL_FIELD.fullmatch(field) and _has_password(value):
            yield _Found(place, "holds a password in a URL")
        elif not is_free and _is_free(field) and isinstance(value, str):
            yield from (_Found(place, what) for what in _in_free_text(value))
        else:
            yield _Part(value, place, is_free or _is_free(field))


def _has_key_in_text(name: str, value: Any) -> bool:
    """Return True if a value in what a model is sent is a key. There a mapping is the schema of what has this name."""
    of_secret = secrecy(name)
    if of_secret is Secrecy.NONE:
        return False
    if isinstance(value, Mapping):
        return any(_is_drawn(value.get(each)) for each in SCHEMA_LITERALS)
    return _is_drawn(value) or (
        of_secret is Secrecy.STRONG and not isinstance(value, list | tuple) and _is_written(value)
    )


def _has_password(value: Any) -> bool:
    return isinstance(value, str) and any(found[2] and is_literal(found[1]) for found in PASSWORD.finditer(value))


@functools.lru_cache(maxsize=1_000)
def _is_free(name: str) -> bool:
    return FREE_TEXTS.fullmatch(name.lstrip("-").lower().replace("-", "_")) is not None


def _in_free_text(text: str) -> Iterator[str]:
    """Yield the signs of keys in a text for a model, or in the mapping that it is in JSON."""
    if what := in_text(text):
        yield what
    elif text.lstrip().startswith(("{", "[")):
        yield from _in_json(text, is_free=True)


def _in_json(text: str, *, is_free: bool = False) -> Iterator[str]:
    with contextlib.suppress(ValueError, RecursionError):
        yield from (what for _, what in written_keys(json.loads(text), is_free=is_free))


def _in_list(document: Sequence[Any], part: _Part) -> Iterator[_Part | _Found]:
    location, is_free = part.location, part.is_free
    if not is_free and _is_pair(document):
        name, value = document
        if _is_key_of(name, value) and (part.is_of_pairs or (secrecy(name) is Secrecy.STRONG and _is_drawn(value))):
            yield _Found((*location, 1), "holds a key")
            return
    before, has_pairs = "", all(map(_is_pair, document))
    for place, each in enumerate(document):
        here = (*location, place)
        if not isinstance(each, str) or is_free:
            of_flag = not is_free and FLAG.fullmatch(before) and _is_key_of(before, each)
            yield _Found(here, f"holds a value of {before}") if of_flag else _Part(each, here, is_free, has_pairs)
        elif what := _in_word(each, before):
            yield _Found(here, what)
        before = _name_for_next(before, each) if isinstance(each, str) else ""


def _is_pair(document: Any) -> bool:
    """Return True for a list of a name, as headers have it, and something else."""
    is_of_two = isinstance(document, list | tuple) and len(document) == 2
    return is_of_two and isinstance(document[0], str) and NAME.fullmatch(document[0]) is not None


def _name_for_next(before: str, word: str) -> str:
    """Return the word that the next one in a command may be given to: nothing is given to what is itself a value."""
    return "" if NAMES_A_VARIABLE.fullmatch(before) and not word.startswith("-") else word


def _is_word(text: str) -> bool:
    """Return True if a text may be a flag, a header or JSON, and not a person's prose."""
    is_header = (found := HEADER.fullmatch(text)) is not None and secrecy(found[1])
    return text.lstrip().startswith(("-", "{", "[")) or len(text.split(None, 1)) < 2 or bool(is_header)


def _in_word(word: str, before: str = "", depth: int = 0) -> str | None:
    """Return the sign of a key in a word of a command, or of one that is given to the flag `before` it."""
    if what := in_text(word):
        return what
    if FLAG.fullmatch(before) and _is_free(before) and not word.startswith("-"):
        return next(_in_free_text(word), None)
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
        is_value = takes_the_next_word(before) and (not word.startswith("--") or is_random(word))
        return is_value and _is_key_of(before, word.lstrip("-"))
    return before.isupper() and secrecy(before) is Secrecy.STRONG and is_random(word)  # set -x NAME word


def _has_letters_and_digits(text: str) -> bool:
    """Return True if a text has both, as passwords have, and the names of users and groups have not."""
    return is_literal(text) and re.search("[A-Za-z]", text) is not None and re.search(r"\d", text) is not None


@functools.lru_cache(maxsize=1_000)
def _in_name(name: str) -> str | None:
    """Return the sign of a key in the name of a field."""
    return _in_word(name)


def _in_parts(word: str, depth: int) -> Iterator[str]:
    """Yield the signs of keys in a word that is JSON, a shell's command, or a flag with one of these as its value."""
    if word.lstrip().startswith(("{", "[")):
        yield from _in_json(word)
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
        before = _name_for_next(before, part)


def _shell_words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed
        return command.split()
