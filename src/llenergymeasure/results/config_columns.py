"""The configuration of a result as columns of the flat table: `config.decoder.temperature` and the like."""

import hashlib
import json
import marshal
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import JsonValue
from pydantic_core import PydanticUndefined

from labledger.comparison import PLAIN_KEY
from labledger.sections import models_in
from labledger.untrusted_text import clean
from llenergymeasure.config.fields import path_problem
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.section import Section
from llenergymeasure.results.configurations import with_defaults

Value = str | int | float | None
PREFIX = "config."
BEGINNINGS = (PREFIX, "config[")
"""The beginnings of every column's name: a key that is no plain word is quoted in brackets."""
MAX_INT64 = 2**63 - 1
MAX_NUMBER: Mapping[type, float] = {bool: 1, int: MAX_INT64, float: sys.float_info.max}
MAX_KEYS, MAX_VALUES = 100, 500
"""An object of more keys is one JSON text, and so is each that would make a configuration more values than that."""
MAX_TEXT, MAX_KEY_TEXT = 1_000, 80
"""A longer text is cut, with a digest of the whole: texts that differ stay apart."""
MAX_COLUMNS = 200
REMEMBERED = 1_000


class Field(NamedTuple):
    """A field of a configuration: the type of its values (str, int, float or bool; None: any), and its default."""

    kind: type | None
    default: Any
    is_open: bool = False
    """True of an object whose keys are the user's own, as `launch.flags`."""


class ConfigValues(NamedTuple):
    """A configuration as it ran, by the names of columns: what is not default, and what is.

    A field that had no effect is in neither, as `config.decoder.temperature` of a greedy run.
    """

    changes: Mapping[str, Value]
    defaults: Mapping[str, Value]

    def get(self, name: str) -> Value:
        """Return the value of a column; None where the configuration has none."""
        return self.changes.get(name, self.defaults.get(name))


NO_CONFIG = ConfigValues({}, {})


@cache
def config_fields() -> dict[str, Field]:
    """Return every field of an experiment, by the name of its column, in the order of the schema."""
    return {PREFIX + path: field for path, field in _fields(ExperimentConfig, "")}


def is_config_column(name: str) -> bool:
    """Return True if a configuration may have a column of that name."""
    fields = config_fields()
    return name in fields or any(each.is_open and name.startswith((f"{at}.", f"{at}[")) for at, each in fields.items())


def config_values(effective: dict[str, JsonValue]) -> ConfigValues:
    """Return a result's `effective_config` by the names of columns; an absent key is its default.

    Of a configuration that this version cannot read, of a newer version or another tool, every value that is written
    is a change. Lists are JSON text, and so are objects that are larger than a table is wide, or of which two keys
    differ by case only.
    """
    digest = hashlib.sha256(marshal.dumps(effective, 2)).digest()  # faster than JSON, and there is one for each result
    if digest not in _remembered:
        if len(_remembered) >= REMEMBERED:
            _remembered.clear()
        _remembered[digest] = _values_of(effective)
    return _remembered[digest]


_remembered: dict[bytes, ConfigValues] = {}
"""The values of configurations by their digest: a folder has many results and few configurations."""


def changed_columns(configurations: Iterable[ConfigValues]) -> list[str]:
    """Return the columns of whatever is not default in some configuration, in the order of the schema."""
    found = {name for each in {id(each): each for each in configurations}.values() for name in each.changes}
    order = {name: place for place, name in enumerate(config_fields())}
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def differing_columns(configurations: Sequence[ConfigValues]) -> list[str]:
    """Return the columns in which not all configurations are the same, in the order of the schema."""
    distinct = list({id(each): each for each in configurations}.values())
    return [name for name in changed_columns(distinct) if len({_apart(each.get(name)) for each in distinct}) > 1]


def _apart(value: Value) -> tuple[bool, Value]:
    """Return a key by which true is not 1."""
    return isinstance(value, bool), value


def config_table(configurations: Sequence[ConfigValues]) -> dict[str, tuple[type, list[Value]]]:
    """Return each column of whatever is not default somewhere: its type (str, int, float or bool) and its values.

    Values of several types become text, but whole numbers among others. Of more columns than a table has room for,
    which is a UserWarning, the last ones are left out.
    """
    names = changed_columns(configurations)
    if len(names) > MAX_COLUMNS:
        left_out = f"{len(names) - MAX_COLUMNS} of {len(names)} columns of configurations are left out of the table"
        warnings.warn(f"{left_out}, the first of them {clean(names[MAX_COLUMNS], MAX_KEY_TEXT)}", stacklevel=3)
    return {name: _typed([each.get(name) for each in configurations]) for name in names[:MAX_COLUMNS]}


def _typed(values: list[Value]) -> tuple[type, list[Value]]:
    kinds = {type(each) for each in values} - {type(None)}
    if len(kinds) == 1:
        return kinds.pop(), values
    if kinds == {int, float}:
        return float, [None if each is None else float(each) for each in values]
    return str, [None if each is None else as_text(each) for each in values]


def as_text(value: Value) -> str:
    """Return a value as it stands in YAML and JSON: true, not True."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _values_of(effective: dict[str, JsonValue]) -> ConfigValues:
    read, fields = with_defaults(effective), config_fields()
    changes, defaults = dict[str, Value](), dict[str, Value]()
    for name, value in _leaves(read or effective):
        field = fields.get(name)
        is_default = read is not None and field is not None and field.default == value
        (defaults if is_default else changes)[name] = value
    return ConfigValues(changes, defaults)


def _leaves(config: dict[str, JsonValue]) -> Iterator[tuple[str, Value]]:
    """Yield the name and value of each column; what is None is not there."""
    waiting: list[tuple[str, JsonValue]] = [(PREFIX.removesuffix("."), config)]
    seen = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and _has_columns(value) and seen + len(value) <= MAX_VALUES:
            seen += len(value)
            waiting += reversed([(_below(name, key), each) for key, each in value.items()])
        elif value is not None:
            yield name, _cell(value)


def _has_columns(value: dict[str, JsonValue]) -> bool:
    """Return True of an object that is no larger than a table is wide, and whose keys SQL tells apart.

    Names that differ in upper and lower case only are one in SQL.
    """
    return len(value) <= MAX_KEYS and len({key.casefold() for key in value}) == len(value)


def _below(name: str, key: str) -> str:
    """Return the name of a key's column; one that is no plain word is quoted: `config.launch.flags["a.b"]`."""
    key = _short(key, MAX_KEY_TEXT)
    return f"{name}.{key}" if PLAIN_KEY.fullmatch(key) and key.isprintable() else f"{name}[{json.dumps(key)}]"


def _cell(value: JsonValue) -> Value:
    if isinstance(value, dict | list | tuple):
        return _short(json.dumps(value), MAX_TEXT)
    if value is None or (isinstance(value, int | float) and abs(value) <= MAX_NUMBER[type(value)]):
        return value
    return _short(str(value), MAX_TEXT)


def _short(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: limit - 28]}... sha256 {digest}"


def _fields(model: type[Section], above: str) -> Iterator[tuple[str, Field]]:
    for name, field in model.model_fields.items():
        path, kind = above + name, _kind(field.annotation)
        default = field.get_default(call_default_factory=True)
        if kind is not Section:
            has_value = default is not PydanticUndefined and not isinstance(default, Section | dict)
            is_open = not path_problem(f"{path}.*")
            yield path, Field(kind, _cell(default) if has_value else None, is_open)
        for section in models_in(field.annotation):
            if issubclass(section, Section):
                yield from _fields(section, f"{path}.")


def _kind(annotation: Any) -> type | None:
    """Return the type of a field's values; None of a list, an object, or values of several types; or Section."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        kinds = {type(each) for each in get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else None
    if origin in (Union, UnionType):
        parts = {_kind(part) for part in get_args(annotation) if part is not type(None)}
        return parts.pop() if len(parts) == 1 else None
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Section
    return annotation if annotation in (str, int, float, bool) else None
