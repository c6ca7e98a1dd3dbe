"""Reading what a user wrote in YAML, and saying where it is wrong.

YAML 1.2 through ruamel's round-trip loader: every value keeps its line, a key that stands twice is refused,
and so is any explicit tag. What comes out is plain dicts, lists and scalars.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from labledger.errors import ConfigError
from labledger.json_text import MAX_DIGITS
from labledger.regular_files import read_regular
from labledger.secret_rules import is_random
from labledger.untrusted_text import SHOWN, clean, first_line, reason_of

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from ruamel.yaml.error import MarkedYAMLError

Location = tuple[str | int, ...]

MAX_NODES = 50_000  # seconds; and an alias that multiplies or contains itself ends here, not in memory
MAX_MERGES = 1_000  # a second; they take time by the square of their number
MAX_DEPTH = 50
MAX_BYTES = 2_000_000  # seconds, too: the parser looks at every character
INTEGER = re.compile(r"[-+]?[0-9_]+")
MAX_TEXT_BYTES = 1 << 30  # of a file of prompts
MAX_SHOWN_KEY = 100  # characters
KEY_LIKE = "a value that looks like a key, which is not repeated"


@dataclass(frozen=True)
class YamlFile:
    """A YAML mapping with the line of each of its values (`lines`, counted from 1)."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[Location, int]

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


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file whose top level is a mapping (an empty file is an empty mapping).

    Raises:
        ConfigError: it cannot be read, is not YAML, or is not a mapping; the message has file and line.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = read_text(path, MAX_BYTES)
    try:
        loaded = _loaded(path, text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: {_yaml_problem(error)}") from error
    except YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {first_line(error)}") from error
    except _UnusableValueError as error:
        raise ConfigError(f"{path}: a value cannot be read: {first_line(error)}") from error
    if loaded is None:
        return YamlFile(path, {}, {})
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}:1: expected `key: value` lines, found {_kind(loaded)}")
    reader = _Reader(path)
    return YamlFile(path, reader.plain(loaded, ()), reader.lines)


def yaml_value(text: str) -> Any:
    """Return the plain value of a text of YAML. Raises ConfigError, which repeats nothing of it."""
    from ruamel.yaml.error import YAMLError

    try:
        return _Reader(Path("YAML")).plain(_loaded(Path("YAML"), text), ())
    except (YAMLError, ValueError, ConfigError) as error:
        raise ConfigError("cannot be read as YAML; put a text with signs of its own into quotes") from error


def _yaml_problem(error: "MarkedYAMLError") -> str:
    problem = first_line(error.problem or error.context or "not valid YAML")
    problem = problem.partition(" with value ")[0]  # of a key that stands twice: it may be a secret
    if problem.startswith("but "):
        return f"{error.context}, {problem}"
    return f"{problem}; indent with spaces" if "'\\t'" in problem else problem


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


class _UnusableValueError(ValueError):
    """A scalar that YAML's grammar allows and no type can hold: a 13th month, an integer of 5,000 digits."""


def _loaded(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    parser, check = yaml.parser, _EventCheck(path)
    next_event = parser.get_event
    parser.get_event = lambda: check.passed(next_event())  # each once, and all before anything is built of them
    try:
        return yaml.load(text)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _UnusableValueError(reason_of(error)) from error


class _EventCheck:
    """Refuses explicit tags, deep nesting, too many values, and an alias inside what it stands for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values, self._merges = 0.0, 0
        self._enclosing: list[tuple[str | None, float]] = []

    def passed(self, event: Any) -> Any:
        """Return an event of the parser. Raises ConfigError."""
        from ruamel.yaml.events import (
            AliasEvent,
            CollectionEndEvent,
            CollectionStartEvent,
            MappingStartEvent,
            NodeEvent,
            ScalarEvent,
        )

        place = f"{self._path}:{event.start_mark.line + 1}"
        if isinstance(event, NodeEvent) and self._enclosing:
            self._values += self._enclosing[-1][1]
            if self._values > MAX_NODES:
                raise _too_many(self._path)
        if getattr(event, "tag", None):
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise ConfigError(f"{place}: the tag {tag} is not accepted; write the plain value")
        if isinstance(event, AliasEvent) and any(event.anchor == anchor for anchor, _ in self._enclosing):
            raise ConfigError(f"{place}: the alias *{event.anchor} stands inside what it stands for")
        if isinstance(event, ScalarEvent) and not event.style:
            self._check_plain(event.value, place)
        if isinstance(event, CollectionStartEvent):
            self._enclosing.append((event.anchor, 0.5 if isinstance(event, MappingStartEvent) else 1.0))  # with its key
        elif isinstance(event, CollectionEndEvent):
            self._enclosing.pop()
        if len(self._enclosing) > MAX_DEPTH:
            raise ConfigError(f"{place}: nested over {MAX_DEPTH} deep")
        return event

    def _check_plain(self, text: str, place: str) -> None:
        if len(text) > MAX_DIGITS and INTEGER.fullmatch(text):
            raise _too_long(place)
        self._merges += text == "<<"
        if self._merges > MAX_MERGES:
            raise ConfigError(f"{place}: more than {MAX_MERGES:,} merges (<<), which take too long to read")


def _too_long(place: str) -> ConfigError:
    return ConfigError(f"{place}: an integer of more than {MAX_DIGITS:,} digits, which is not read")


def _too_many(path: Path) -> ConfigError:
    return ConfigError(f"{path}: more than {MAX_NODES:,} values, which take too long to read; make it smaller")


class _Reader:
    """Turns what ruamel loaded into plain values, and writes down the line of each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self._scalars: dict[int, Any] = {}  # one plain value for a text, however many aliases it has

    def plain(self, node: Any, location: Location) -> Any:
        if len(self.lines) > MAX_NODES:
            raise _too_many(self.path)
        if isinstance(node, dict):
            return {self._key(node, key, location): self._inside(node, key, location) for key in node}
        if isinstance(node, list):
            return [self._inside(node, index, location) for index in range(len(node))]
        if id(node) not in self._scalars:
            self._scalars[id(node)] = self._scalar(node, location)
        return self._scalars[id(node)]

    def _inside(self, node: Any, key: Any, location: Location) -> Any:
        part = str(key) if isinstance(node, dict) else key
        self.lines[(*location, part)] = _line(node, key, self.lines.get(location, 1))
        return self.plain(node[key], (*location, part))

    def _key(self, node: Any, key: Any, location: Location) -> str:
        if not isinstance(key, str):
            self._scalar(key, location)
            line = _line(node, key, self.lines.get(location, 1))
            raise ConfigError(f"{self.path}:{line}: the key {key!r} is not text; put it in quotes")
        return str(self._scalar(key, location))

    def _scalar(self, node: Any, location: Location) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if type(node).__name__ == "ScalarBoolean":
            return bool(node)
        kind = next((kind for kind in (int, float, str) if isinstance(node, kind)), str)  # else a date or time
        value = kind(node)
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:  # in hexadecimal digits, which are fewer
            raise _too_long(f"{self.path}:{self.lines.get(location, 1)}")
        return self._unicode(value, location) if isinstance(value, str) else value

    def _unicode(self, text: str, location: Location) -> str:
        """Return `text` with pairs of surrogates, as JSON writes what is beyond U+FFFF, put together."""
        try:
            return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            line = self.lines.get(location, 1)
            shown = clean(text, SHOWN)
            raise ConfigError(f"{self.path}:{line}: half a surrogate pair in {shown!r} is not valid Unicode") from None


def _line(node: Any, key: Any, otherwise: int) -> int:
    is_list = isinstance(node, list)
    places: Any = getattr(node, "lc", None)
    try:
        return int((places.item(key) if is_list else places.key(key))[0]) + 1
    except (KeyError, TypeError, AttributeError, IndexError):  # a key that came in through `<<`
        return otherwise


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
) -> list[str]:
    """Return a line for each problem: `place: field: what is wrong (did you mean …?)`, in the order of the places.

    `data` is what was validated against `model`; `place` tells where a location was written, `named` how it is shown;
    `advice` ends a problem's line. The problems `beside` are others that `data` has.
    """
    located = [each for problem in error.errors(include_url=False) for each in _located(problem, model, data)]
    lines = []
    for location, text in (*located, *beside):
        where, dotted = place(location), ".".join(map(str, location))
        is_the_flags = where.startswith("--") and (where.endswith(f" {dotted}") or place(location[:-1]) != where)
        field = "" if is_the_flags else ".".join(clean(str(part), MAX_SHOWN_KEY) for part in named(location))
        lines.append(": ".join(part for part in (where, field, text) if part) + advice(location))
    return in_order_of_lines(dict.fromkeys(lines))


def _located(problem: Any, model: "type[BaseModel]", data: object) -> list[tuple[Location, str]]:
    location = _written_location(problem["loc"], data, problem["type"])
    raised = problem.get("ctx", {}).get("error")
    if isinstance(raised, ProblemsError):
        return [((*location, *inside), text) for inside, text in raised.found]
    text = _problem_text(problem, model, location, data)
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


def _problem_text(problem: Any, model: "type[BaseModel]", location: Location, data: object) -> str:
    kind, found = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        owner = _model_at(model, location[:-1], data)
        names = [*owner.model_fields, *getattr(owner, "keys_beside", ())] if owner else []
        return "unknown key" + did_you_mean(str(location[-1]), names)
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
    if kind in ("model_type", "dict_type"):
        message = "be a section with keys of its own"
    if kind == "bool_type":
        message = "be true or false"
    return f"should {message}, found {_shown(found)}{hint}"


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


def did_you_mean(word: str, names: list[str]) -> str:
    """Return ` (did you mean …?)` with the nearest of `names`, else all of them."""
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else f" (known: {', '.join(names)})" if names else ""


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
