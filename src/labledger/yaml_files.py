"""Reading what a user wrote in YAML, and saying where it is wrong.

YAML 1.2: every value keeps its line, a key that stands twice is refused, and so is any explicit tag (see
`yaml_composing`). What comes out is plain dicts, lists and scalars.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from labledger.errors import ConfigError
from labledger.regular_files import read_regular
from labledger.secret_rules import is_random
from labledger.untrusted_text import clean
from labledger.value_hints import hint_on, in_a_line
from labledger.yaml_composing import TOO_MANY, Lines, composed
from labledger.yaml_composing import Location as Location

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

MAX_BYTES = 40_000_000  # some seconds
MAX_TEXT_BYTES = 1 << 30  # of a file of prompts
MAX_SHOWN_KEY = 100  # characters
WHOLE_SECTIONS = ("model_type", "dict_type", "model_attributes_type", "list_type", "tuple_type")
MAX_SHOWN_NAMES = 200
SURE = 0.85
"""Likeness, 0 to 1, from which on a name is no chance: in another section, or where it is written already."""
SAME_WORDS = {
    "from": "start",
    "begin": "start",
    "first": "start",
    "to": "end",
    "until": "end",
    "stop": "end",
    "last": "end",
}
"""Words of keys that other programs have in place of ours."""
KEY_LIKE = "a value that looks like a key, which is not repeated"


@dataclass(frozen=True)
class YamlFile:
    """A YAML mapping with the line of each of its values (`lines`, counted from 1)."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[Location, int]

    def written(self, location: Location) -> str | None:
        """Return the plain text of the value at `location`, as it is written; None where that is not known."""
        found = self.lines.written(location) if isinstance(self.lines, Lines) else None
        return None if found is None else found.text

    def place(self, location: Location) -> str:
        """Return `file:line` of the value at `location`, or of the nearest thing that encloses it."""
        for end in range(len(location), 0, -1):
            if (line := self.lines.get(location[:end])) is not None:
                return f"{self.path}:{line}"
        return str(self.path)


class ProblemsError(ValueError):
    """The problems that a validator of a whole model found, each at its own place."""

    def __init__(self, found: Sequence[tuple[Location, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, location))}: {text}" for location, text in found))
        self.found = found


def read_yaml(path: Path, remedy: str = TOO_MANY) -> YamlFile:
    """Read a YAML file whose top level is a mapping (an empty file is an empty mapping).

    `remedy` ends the message of a file that has too many values.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is not a mapping; the message has file and line.
    """
    found = composed(read_text(path, MAX_BYTES), str(path), remedy)
    if found is None or found.value is None:
        return YamlFile(path, {}, {})
    if not isinstance(found.value, dict):
        raise ConfigError(f"{path}:1: expected `key: value` lines, found {_kind(found.value)}")
    return YamlFile(path, found.value, Lines(found.written))


def yaml_value(text: str) -> Any:
    """Return the plain value of a text of YAML. Raises ConfigError, which repeats nothing of it."""
    try:
        found = composed(text, "YAML")
    except (ValueError, ConfigError) as error:
        raise ConfigError("cannot be read as YAML; put a text with signs of its own into quotes") from error
    return None if found is None else found.value


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file that a user wrote, its line breaks as `\\n`, without the byte order mark that some
    editors begin it with.

    Raises:
        ConfigError: it is not there, is no regular file, cannot be read, is larger than `max_bytes`, or is not UTF-8.
    """
    try:
        text = read_regular(path, max_bytes, follow=True).decode("utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file (looked in {path.absolute().parent})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise ConfigError(f"{str(path)!r}: cannot be read: {error}") from error


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return KEY_LIKE if is_random(str(value)) else f"the single value {str(value)[:40]!r}"


def has(data: object, part: str | int) -> bool:
    """Return True if `data[part]` is there: a key of a mapping, or an index of a list."""
    if isinstance(data, list):
        return isinstance(part, int) and 0 <= part < len(data)
    return isinstance(data, Mapping) and part in data


def describe_errors(
    error: "ValidationError",
    model: "type[BaseModel]",
    data: object,
    place: Callable[[Location], str],
    *,
    beside: Iterable[tuple[Location, str]] = (),
    named: Callable[[Location], Location] = tuple,
    advice: Callable[[Location], str] = lambda location: "",
    written: Callable[[Location], str | None] = lambda location: None,
    stand_ins: Mapping[Location, Any] | None = None,
) -> list[str]:
    """Return a line for each problem: `place: field: what is wrong (did you mean …?)`, in the order of the places.

    `data` is what was validated against `model`; `place` tells where a location was written, `named` how it is shown;
    `advice` ends a problem's line; `written` is the plain text of a value, if it is known. The problems `beside` are
    others that `data` has; with `stand_ins`, see `further_problems`, those that others hide are looked for too.
    """
    found = located_problems(error, model, data, written)
    located = [*found, *beside]
    if stand_ins is not None:
        from labledger.further_problems import further_problems

        located += further_problems(model, data, found, stand_ins)
    lines = []
    for location, text in located:
        where, dotted = place(location), ".".join(map(str, location))
        is_the_flags = where.startswith("--") and (where.endswith(f" {dotted}") or place(location[:-1]) != where)
        field = "" if is_the_flags else ".".join(clean(str(part), MAX_SHOWN_KEY) for part in named(location))
        lines.append(": ".join(part for part in (where, field, text) if part) + advice(location))
    return in_order_of_lines(dict.fromkeys(lines))


def located_problems(
    error: "ValidationError",
    model: "type[BaseModel]",
    data: object,
    written: Callable[[Location], str | None] = lambda location: None,
) -> list[tuple[Location, str]]:
    """Return the location and the text of each problem; the rest is as `describe_errors` has it."""
    return [each for problem in error.errors(include_url=False) for each in _located(problem, model, data, written)]


def _located(
    problem: Any, model: "type[BaseModel]", data: object, written: Callable[[Location], str | None]
) -> list[tuple[Location, str]]:
    location = _written_location(problem["loc"], data, problem["type"])
    raised = problem.get("ctx", {}).get("error")
    if isinstance(raised, ProblemsError):
        return [((*location, *inside), text) for inside, text in raised.found]
    text = _problem_text(problem, model, location, data, written(location))
    return [_named_field(model, location, text, data) if problem["type"] == "value_error" else (location, text)]


def in_order_of_lines(problems: Iterable[str]) -> list[str]:
    """Return problems that begin with `file:line` sorted: digits compare as the numbers that they are."""

    def key(text: str) -> list[str | int]:
        parts = re.split(r"([0-9]{1,9})", text)
        return [int(part) if place % 2 else part for place, part in enumerate(parts)]

    return sorted(problems, key=key)


def _written_location(loc: Location, data: Any, kind: str) -> Location:
    """Return `loc` without what pydantic adds for the branches of a union: only keys written, or missing."""
    written: list[str | int] = []
    for index, part in enumerate(loc):
        if has(data, part):
            data = data[part]
            written.append(part)
        elif kind == "missing" and index == len(loc) - 1:
            written.append(part)
    return tuple(written)


def _problem_text(problem: Any, model: "type[BaseModel]", location: Location, data: object, text: str | None) -> str:
    kind, found = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        meant = meant_key(model, location, data) or _key_elsewhere(model, location)
        hint = (
            f" (did you mean {meant}?)" if meant else did_you_mean(str(location[-1]), _names_at(model, location, data))
        )
        return f"unknown key{hint}"
    if kind == "missing":
        return "required, and missing"
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        known = re.findall(r"'([^']*)'", problem["ctx"].get("expected_tags", ""))
        key = problem["ctx"]["discriminator"].strip("'")
        tag = problem["ctx"].get("tag")
        return (
            f"{key}: required, and missing" if tag is None else f"{key}: {tag!r} is not known{did_you_mean(tag, known)}"
        )
    message = re.sub(r"^\w+ should ", "", str(problem["msg"]))
    hint = ""
    if kind == "literal_error":
        hint = did_you_mean(str(found), re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        message = "be a section with keys of its own"
    if kind in WHOLE_SECTIONS or kind == "string_type":
        hint = _example(model, location, data)
    if kind == "bool_type":
        message = "be true or false"
    message = re.sub(r" after validation, not [0-9]+$", "", message)
    if found is None and kind in WHOLE_SECTIONS:
        return f"should {message}, found nothing: are they indented below it?{hint}"
    return f"should {message}, found {_shown(found)}{hint_on(kind, found, text)}{hint}"


def meant_key(model: "type[BaseModel]", location: Location, data: object) -> str | None:
    """Return the key that an unknown one was probably to be, None where none is near.

    Where it is not sure, a key that is not written beside it goes before one that is.
    """
    word, names = str(location[-1]), _names_at(model, location, data)
    beside = data
    for part in location[:-1]:
        beside = beside[part] if has(beside, part) else None  # type: ignore[index]
    absent = [name for name in names if not has(beside, name)]
    in_our_words = "_".join(SAME_WORDS.get(part, part) for part in word.split("_"))
    if in_our_words in absent:
        return in_our_words
    sure = difflib.get_close_matches(word, names, n=1, cutoff=SURE)
    return sure[0] if sure else nearest(word, absent) or nearest(word, names)


def _names_at(model: "type[BaseModel]", location: Location, data: object) -> list[str]:
    """Return the keys that may stand beside a location."""
    owner = _model_at(model, location[:-1], data)
    return [*owner.model_fields, *getattr(owner, "keys_beside", ())] if owner else []


def _key_elsewhere(model: "type[BaseModel]", location: Location) -> str | None:
    """Return the key of another section that one at the top, where it is unknown, was certainly to be: its path."""
    from labledger.sections import models_in

    if len(location) > 1:
        return None
    paths: dict[str, list[str]] = {}
    for section, field in model.model_fields.items():
        for owner in models_in(field.annotation) if get_origin(field.annotation) is not list else ():
            for name in owner.model_fields:
                paths.setdefault(name, []).append(f"{section}.{name}")
    near = difflib.get_close_matches(str(location[0]), paths, n=1, cutoff=SURE)
    return paths[near[0]][0] if near and len(paths[near[0]]) == 1 else None


def _example(model: "type[BaseModel]", location: Location, data: object) -> str:
    """Return ` (as in …)` with the example of the field at a location; empty where it has none."""
    inside = location[:-1] if location and isinstance(location[-1], int) else location  # of a list's item the list
    field = field_at(model, inside, data)
    return f" (as in {inside[-1]}: {in_a_line(field.examples[0])})" if field and field.examples else ""


def _named_field(model: "type[BaseModel]", location: Location, text: str, data: object) -> tuple[Location, str]:
    """Return the place and the text of a whole section's problem, `field: text`, with the field in the place."""
    name, _, rest = text.partition(": ")
    inside: Location = (*location, *name.split("."))
    owner = _model_at(model, inside[:-1], data)
    return (inside, rest) if rest and owner and inside[-1] in owner.model_fields else (location, text)


def _shown(value: object) -> str:
    text = repr(value)
    if is_random(text):  # a key may have been written where it does not belong
        return KEY_LIKE
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, names: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with the nearest of `names`, else all of them, or the first where they are many."""
    if near := nearest(word, names):
        return f" (did you mean {near}?)"
    more = f", and {len(names) - MAX_SHOWN_NAMES:,} more" if len(names) > MAX_SHOWN_NAMES else ""
    return f" (known: {', '.join(names[:MAX_SHOWN_NAMES])}{more})" if names else ""


def nearest(word: str, names: Sequence[str]) -> str | None:
    """Return the name that a word was probably to be, None where none is near."""
    return _nearest(word, tuple(names))


@functools.lru_cache(maxsize=1_000)  # the same mistake may be made in each of thousands of sections
def _nearest(word: str, names: tuple[str, ...]) -> str | None:
    in_other_letters = next((name for name in names if name.casefold() == word.casefold()), None)
    return in_other_letters or next(iter(difflib.get_close_matches(word, names, n=1, cutoff=0.6)), None)


def field_at(model: "type[BaseModel]", location: Location, data: object) -> "FieldInfo | None":
    """Return the field of a location; None where the model has none there."""
    owner = _model_at(model, location[:-1], data) if location else None
    return owner.model_fields.get(str(location[-1])) if owner else None


def _model_at(model: "type[BaseModel]", location: Location, data: Any) -> "type[BaseModel] | None":
    """Return the model that holds the keys at `location` of `data`; of several that it may be, the one with its tag."""
    from labledger.sections import models_in

    choices = [model]
    for part in location:
        owner = _chosen(choices, data)
        data = data[part] if has(data, part) else None
        if isinstance(part, str):  # a list's items are of the list's type
            field = owner.model_fields.get(part) if owner else None
            choices = models_in(field.annotation) if field else []
    return _chosen(choices, data)


def _chosen(models: "Sequence[type[BaseModel]]", data: Any) -> "type[BaseModel] | None":
    def has_its_tag(model: "type[BaseModel]") -> bool:
        return any(
            get_origin(field.annotation) is Literal and has(data, name) and data[name] in get_args(field.annotation)
            for name, field in model.model_fields.items()
        )

    return next(filter(has_its_tag, models), models[0] if models else None)
