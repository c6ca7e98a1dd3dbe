"""Composing YAML's events into plain values, with the line of each.

libyaml (PyYAML's) makes the events: a hundred times as fast as Python can. What a value means, in YAML 1.2, ruamel
says, whose parser also words what is wrong in a file of usual size; it makes all events where libyaml is missing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from labledger.errors import ConfigError
from labledger.json_text import MAX_DIGITS
from labledger.untrusted_text import SHOWN, clean, first_line, reason_of

Location = tuple[str | int, ...]

MAX_NODES = 600_000  # seconds; and an alias that multiplies ends here, not in memory
MAX_MERGES = 1_000
MAX_DEPTH = 50
MAX_EXACT = 200_000
"""Characters of a text that Python's parser, which looks at each of them for microseconds, may read again."""
MAX_ODD = 2_000_000
"""Characters of a text that only Python's parser reads as YAML 1.2 has it: a minute."""
ODD = re.compile("[^\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|^%", re.MULTILINE)
"""Characters, tabs first of all, and directives that the two parsers may not read alike."""
SIMPLE_INTEGER = re.compile(r"[1-9][0-9]{0,17}|0")
INTEGER = re.compile(r"[-+]?[0-9_]+")
TOO_MANY = "make it smaller"
DUPLICATE = 'found duplicate key "{}"'


class Written(NamedTuple):
    """A value's line, counted from 1, its text where that is plain, and what is written inside of it."""

    line: int
    text: str | None
    inside: dict[str | int, "Written"] | None


class Lines(Mapping[Location, int]):
    """The line of each value of a file, by its location."""

    def __init__(self, whole: Written) -> None:
        self._whole = whole

    def written(self, location: Location) -> Written | None:
        """Return what is written at a location; None where nothing is."""
        found: Written | None = self._whole
        for part in location:
            found = found.inside.get(part) if found is not None and found.inside is not None else None
        return found

    def __getitem__(self, location: Location) -> int:
        found = self.written(location) if location else None
        if found is None:
            raise KeyError(location)
        return found.line

    def __iter__(self) -> Iterator[Location]:
        pending: list[tuple[Location, Written]] = [((), self._whole)]
        while pending:
            here, found = pending.pop()
            if here:
                yield here
            pending += [((*here, part), each) for part, each in reversed((found.inside or {}).items())]

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Composed(NamedTuple):
    """The value of a node, what is written there, how many values are inside of it, and how deep."""

    value: Any
    written: Written
    size: int = 0
    depth: int = 0


@dataclass(frozen=True)
class _Parser:
    """A parser's events, and its errors in words: the line, counted from 1, and the problem."""

    events: Callable[[str], Iterable[Any]]
    errors: tuple[type[Exception], ...]


def composed(text: str, name: str, remedy: str = TOO_MANY) -> Composed | None:
    """Return the value of a YAML text, called `name` in messages; None of one that is empty.

    `remedy` ends the message of one with more than `MAX_NODES` values.

    Raises:
        ConfigError: it is not YAML, or has what is not accepted: `name:line: problem`.
    """
    quick, exact = _of_libyaml(), _of_ruamel()
    odd = ODD.search(text)
    if odd is not None and len(text) > MAX_ODD:
        line, shown = text.count("\n", 0, odd.start()) + 1, ascii(odd[0])
        problem = f"the character {shown} is read in files of up to {MAX_ODD / 1e6:g} MB"
        raise ConfigError(f"{name}:{line}: {problem}; take it out, or write it as an escape in double quotes")
    if quick is not None and odd is None:
        try:
            return _Composer(name, remedy).document(quick.events(text))
        except quick.errors as error:
            if len(text) > MAX_EXACT:
                raise _error_at(error, name) from error
    try:
        return _Composer(name, remedy).document(exact.events(text))
    except exact.errors as error:
        raise _error_at(error, name) from error


def _of_libyaml() -> _Parser | None:
    try:
        import yaml
        from yaml import CSafeLoader
    except ImportError:
        return None
    # Also the text itself: a lone surrogate in it, which no UTF-8 has.
    return _Parser(lambda text: yaml.parse(text, Loader=CSafeLoader), (yaml.YAMLError, UnicodeEncodeError))


def _of_ruamel() -> _Parser:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    return _Parser(
        lambda text: YAML(typ="safe", pure=True).parse(text),
        (YAMLError, AssertionError, AttributeError, TypeError, ValueError),
    )


def _error_at(error: Exception, name: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return ConfigError(f"{name}: not valid YAML: {first_line(error)}")
    problem = first_line(getattr(error, "problem", None) or getattr(error, "context", None) or "not valid YAML")
    if problem.startswith("but "):
        problem = f"{getattr(error, 'context', '')}, {problem}"
    hint = "; indent with spaces" if "'\\t'" in problem else ""
    return ConfigError(f"{name}:{mark.line + 1}: {problem}{hint}")


class _Composer:
    """Composes one document; refuses tags, deep nesting, too many values, and an alias inside what it stands for."""

    def __init__(self, name: str, remedy: str) -> None:
        self._name, self._remedy = name, remedy
        self._values, self._merges = 0, 0
        self._anchors: dict[str, Composed | object] = {}
        """The values of anchors; of a mapping or list that is not composed yet an object that is only itself."""
        self._scalars = _Scalars(name)
        self._next: Callable[[], Any]

    def document(self, events: Iterable[Any]) -> Composed | None:
        """Return the value of the one document that there is; None where there is none."""
        self._next = iter(events).__next__
        self._next()  # the stream's start
        start = self._next()
        if _kind(start) == "StreamEndEvent":
            return None
        self._scalars.version = getattr(start, "version", None)
        found = self._node(self._next(), 0)
        self._next()
        if _kind(after := self._next()) != "StreamEndEvent":
            raise self._problem(after, "expected a single document in the stream, but found another document")
        return found

    def _node(self, event: Any, depth: int, line: int | None = None) -> Composed:
        """Compose a node; what it is the value of stands in `line`, if it is one of a mapping."""
        kind, line = _kind(event), line or event.start_mark.line + 1
        if kind == "AliasEvent":
            return self._alias(event, depth, line)
        if event.tag:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise self._problem(event, f"the tag {tag} is not accepted; write the plain value")
        if kind == "ScalarEvent":
            text = None if event.style else event.value
            found = Composed(self._scalars.value(event), Written(line, text, None))
        else:
            if depth >= MAX_DEPTH:
                raise self._problem(event, f"nested over {MAX_DEPTH} deep")
            waiting = self._anchors[event.anchor] = object()
            found = (self._mapping if kind == "MappingStartEvent" else self._sequence)(depth + 1, line)
            if self._anchors[event.anchor] is not waiting:  # its anchor has come to stand for something inside of it
                return found
        self._anchors[event.anchor] = found
        return found

    def _alias(self, event: Any, depth: int, line: int) -> Composed:
        found = self._anchors.get(event.anchor)
        if found is None:
            raise self._problem(event, f"found undefined alias {event.anchor!r}")
        if not isinstance(found, Composed):
            raise self._problem(event, f"the alias *{event.anchor} stands inside what it stands for")
        if depth + found.depth > MAX_DEPTH:
            raise self._problem(event, f"nested over {MAX_DEPTH} deep")
        self._count(found.size)
        return found._replace(value=_copied(found.value), written=found.written._replace(line=line))

    def _count(self, values: int) -> int:
        self._values += values
        if self._values > MAX_NODES:
            problem = f"more than {MAX_NODES:,} values, which take too long to read; {self._remedy}"
            raise ConfigError(f"{self._name}: {problem}")
        return values

    def _sequence(self, depth: int, line: int) -> Composed:
        values: list[Any] = []
        inside: dict[str | int, Written] = {}
        size = deepest = 0
        while _kind(item := self._next()) != "SequenceEndEvent":
            found = self._node(item, depth)
            size += self._count(1) + found.size
            deepest = max(deepest, found.depth)
            inside[len(values)] = found.written
            values.append(found.value)
        return Composed(values, Written(line, None, inside), size, deepest + 1)

    def _mapping(self, depth: int, line: int) -> Composed:
        values: dict[str, Any] = {}
        inside: dict[str | int, Written] = {}
        merged: list[Composed] | None = None
        size = deepest = 0
        while _kind(key := self._next()) != "MappingEndEvent":
            if _kind(key) == "ScalarEvent" and key.value == "<<" and not key.style:
                if merged is not None:
                    raise self._problem(key, DUPLICATE.format("<<"))
                merged = self._merged(key, depth)
                continue
            name = self._key(key, depth)
            if name in values:
                raise self._problem(key, DUPLICATE.format(name))
            found = self._node(self._next(), depth, key.start_mark.line + 1)
            size += self._count(1) + found.size
            deepest = max(deepest, found.depth)
            inside[name] = found.written
            values[name] = found.value
        for each in merged or ():  # what is written here, or named first, holds
            size += self._count(each.size)
            deepest = max(deepest, each.depth - 1)
            for name in each.value:
                if name not in values:
                    values[name] = _copied(each.value[name])
                    inside[name] = (each.written.inside or {})[name]._replace(line=line)
        return Composed(values, Written(line, None, inside), size, deepest + 1)

    def _key(self, event: Any, depth: int) -> str:
        if _kind(event) == "ScalarEvent" and not event.tag and event.anchor is None and event.style:
            return str(self._scalars.value(event))
        found = self._node(event, depth).value
        if not isinstance(found, str):
            raise self._problem(
                event, f"the key {clean(repr(found), SHOWN)} is not text; put it in quotes{_of_a_number(found)}"
            )
        return found

    def _merged(self, key: Any, depth: int) -> list[Composed]:
        self._merges += 1
        if self._merges > MAX_MERGES:
            raise self._problem(key, f"more than {MAX_MERGES:,} merges (<<), which take too long to read")
        event = self._next()
        if _kind(event) == "SequenceStartEvent":
            found, expected = [], "a mapping"
            while _kind(item := self._next()) != "SequenceEndEvent":
                found.append((item, self._node(item, depth)))
        else:
            found, expected = [(event, self._node(event, depth))], "a mapping or list of mappings"
        for item, each in found:
            if not isinstance(each.value, dict):
                what = "sequence" if isinstance(each.value, list) else "scalar"
                raise self._problem(item, f"expected {expected} for merging, but found {what}")
        return [each for _, each in found]

    def _problem(self, event: Any, text: str) -> ConfigError:
        return ConfigError(f"{self._name}:{event.start_mark.line + 1}: {text}")


def _kind(event: Any) -> str:
    return type(event).__name__


def _copied(value: Any) -> Any:
    """Return a value with mappings and lists of its own; texts and numbers are shared."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


class _Scalars:
    """The values of plain texts, each found once, by the rules of YAML 1.2 or of the version that a file names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[str, Any] = {}
        self._yaml: Any = None
        self.version: tuple[int, int] | None = None

    def value(self, event: Any) -> Any:
        """Return the value of a scalar. Raises ConfigError: no type can hold it."""
        text = event.value
        if event.style:
            return text if text.isascii() else self._unicode(event)
        if text not in self._known:
            is_whole = SIMPLE_INTEGER.fullmatch(text)
            self._known[text] = int(text) if is_whole else text if text in ("=", "<<") else self._plain(event)
        return self._known[text]

    def _plain(self, event: Any) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
        from ruamel.yaml.nodes import ScalarNode

        text, place = event.value, f"{self._name}:{event.start_mark.line + 1}"
        if len(text) > MAX_DIGITS and INTEGER.fullmatch(text):
            raise _too_long(place)
        if self._yaml is None:
            self._yaml = YAML(typ="rt")
            self._yaml.version = self.version
        try:
            tag = self._yaml.resolver.resolve(ScalarNode, text, (True, False))
            node = self._yaml.constructor.construct_object(ScalarNode(tag, text, event.start_mark, event.end_mark))
        except (YAMLError, AssertionError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ConfigError(f"{place}: a value cannot be read: {reason_of(error)}") from error
        if node is None or isinstance(node, bool):
            return node
        kind = next((kind for kind in (int, float, str) if isinstance(node, kind)), str)  # else a date or time
        value = kind(node)
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:  # in hexadecimal digits, which are fewer
            raise _too_long(place)
        return self._unicode(event) if isinstance(value, str) and not value.isascii() else value

    def _unicode(self, event: Any) -> str:
        """Return a text with pairs of surrogates, as JSON writes what is beyond U+FFFF, put together."""
        text: str = event.value
        try:
            return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            place, shown = f"{self._name}:{event.start_mark.line + 1}", clean(text, SHOWN)
            raise ConfigError(f"{place}: half a surrogate pair in {shown!r} is not valid Unicode") from None


def _too_long(place: str) -> ConfigError:
    return ConfigError(f"{place}: an integer of more than {MAX_DIGITS:,} digits, which is not read")


def _of_a_number(key: object) -> str:
    """Return the advice on a key that is the rest of a number, cut at its comma: 0,3 or 1,000."""
    is_number = isinstance(key, int | float) and not isinstance(key, bool)
    return "; a number has a point before its decimals, as 0.3, and no commas, as 1000000" if is_number else ""
