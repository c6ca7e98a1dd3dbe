"""The keys of YAML files, from their schema: type, default, example, unit and meaning of each."""

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from labledger.sections import Section, models_in
from labledger.value_hints import in_a_line

UNIT = re.compile(r"([A-Z][a-z]*(?: [a-z]+){0,4})\. (\S.*)", re.DOTALL)
"""A description of a number: its unit, and what it is."""
KINDS = ("type", "mode")
"""Keys that say which kind of section one is."""
MAX_KINDS = 4
"""Kinds of sections that are named where one of them may stand."""
MAX_BOUND = 10**9
"""A bound beyond keeps sums within what is counted exactly, and is told when it is passed."""
Sections: TypeAlias = type[Section]


class KeyRow(NamedTuple):
    """A key: its type as people write it, its default and an example as YAML, its unit (of numbers), its meaning."""

    key: str
    type: str
    default: str
    example: str
    unit: str
    meaning: str


class KeyTable(NamedTuple):
    """A section of a file: where it stands first, its class, and its keys."""

    place: str
    section: Sections
    rows: list[KeyRow]


def key_tables(section: Sections, place: str = "") -> list[KeyTable]:
    """Return the tables of a file's top section and of every one inside it, once each, as they are met.

    Raises:
        ValueError: a key has no description, no unit where it is a number, or no example and no default to show.
    """
    found: dict[Sections, KeyTable] = {}
    _add_tables(section, place, found)
    return list(found.values())


def _add_tables(section: Sections, place: str, found: dict[Sections, KeyTable]) -> None:
    if section not in found:
        rows = [_row(section, name, field) for name, field in section.model_fields.items()]
        rows.sort(key=lambda row: row.key not in KINDS)  # what kind it is, first
        found[section] = KeyTable(place, section, rows)
        for here, each in _inside(section, place):
            _add_tables(each, here, found)


def _inside(section: Sections, place: str) -> Iterator[tuple[str, Sections]]:
    for name, field in section.model_fields.items():
        models = [each for each in models_in(field.annotation) if issubclass(each, Section)]
        here = ".".join(filter(None, (place.partition(":")[0], name))) + "[]" * _is_list(field.annotation)
        for each in models:
            kind = _tag(each)
            yield (f"{here}: {kind}" if kind and len(models) > 1 else here), each


def _row(section: Sections, name: str, field: FieldInfo) -> KeyRow:
    where = f"{section.__name__}.{name}"
    tag = _literal(field.annotation)
    meaning = field.description or ("Its kind." if name in KINDS and tag else "")
    if not meaning:
        raise ValueError(f"{where} has no description: give it one, Field(description=...)")
    unit, found = "", UNIT.fullmatch(meaning)
    if _is_number(field.annotation):
        if found is None:
            raise ValueError(f"{where}: its description should begin with its unit, as in Cents. What it may borrow.")
        unit, meaning = found[1].lower(), found[2][:1].upper() + found[2][1:]
    words = type_words(field.annotation, field.metadata)
    return KeyRow(name, words, _default(field), _example(where, field), unit, meaning)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "its defaults"
    return "" if value in (None, [], {}, "") else in_a_line(value)


def _example(where: str, field: FieldInfo) -> str:
    if field.examples:
        return in_a_line(field.examples[0])
    if models_in(field.annotation):
        return ""
    if literals := _literal(field.annotation):
        return in_a_line(literals[-1])
    if field.annotation is bool:
        return "true"
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value in (None, [], {}, ""):
        raise ValueError(f"{where} has no example: give it one, Field(examples=[...])")
    return in_a_line(value)


def type_words(annotation: Any, metadata: Any = ()) -> str:
    """Return a type as people write it: `whole number, 0 to 10`, `list of text`, `Uniform or Exponential`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(parts[0], [each for mark in parts[1:] for each in getattr(mark, "metadata", [mark])])
    if origin is Literal:
        return " or ".join(map(str, parts))
    if annotation == JsonValue:
        return "any value"
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys(type_words(part, metadata) for part in parts if part is not type(None))
        return " or ".join(kinds) if len(kinds) <= MAX_KINDS else f"one of {len(kinds)} kinds, by its type"
    if origin is list:
        return f"list of {_in_brackets(type_words(parts[0]))}"
    if origin is tuple:
        return f"[{', '.join(map(type_words, parts))}]"
    if origin is dict:
        return f"{_in_brackets(type_words(parts[1]))} by name"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation.__name__
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return names[annotation] + _bounds(metadata)


def _in_brackets(text: str) -> str:
    return f"({text})" if " or " in text else text


def _bounds(metadata: Any) -> str:
    marks = {name: getattr(mark, name) for mark in metadata for name in ("ge", "gt", "le", "lt") if hasattr(mark, name)}
    words = {"ge": "{} or more", "gt": "over {}", "le": "at most {}", "lt": "under {}"}
    if {"ge", "le"} <= marks.keys() and abs(marks["le"]) <= MAX_BOUND:
        return f", {marks['ge']:g} to {int(marks['le']):,}"
    return "".join(f", {words[name].format(f'{each:,.15g}')}" for name, each in marks.items() if abs(each) <= MAX_BOUND)


def _literal(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((found for part in get_args(annotation) if (found := _literal(part))), ())


def _tag(section: Sections) -> str | None:
    kinds = (section.model_fields[name].annotation for name in KINDS if name in section.model_fields)
    return next((str(get_args(kind)[0]) for kind in kinds if get_origin(kind) is Literal), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _is_number(annotation: Any) -> bool:
    """Return True for a number, or a list, mapping or choice with one."""
    if annotation == JsonValue or get_origin(annotation) is Literal:
        return False
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))
