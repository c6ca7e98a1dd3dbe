"""Records that are strict when built and tolerant when read, so that every version's files stay readable.

A field that a file lacks loads as None (a list or dict whose default is empty, as empty), a field that this
version does not know is kept and written back, and a text that a `Literal` does not list yet is kept. Nothing
is migrated and nothing is invented: who wants a newer field measures it again.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema, from_json

from labledger.errors import UnreadableFileError
from labledger.untrusted_text import SHOWN, clean

FROM_FILE = "from file"
MAX_INT_DIGITS = 4_000
MAX_INT = 10**MAX_INT_DIGITS - 1
MAX_NESTING = 100
SHOWN_VERSION = 40
MAX_NESTING_READ = 200  # the JSON parser's own limit

R = TypeVar("R", bound="Record")


class SchemaVersionWarning(UserWarning):
    """A file was written by another version of its schema."""


class Record(BaseModel):
    """The base of every stored model: frozen, no unknown keyword when built, none lost when read.

    Loading is `model_validate(from_json(text), context=FROM_FILE)`, see `parse_record`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    max_nesting: ClassVar[int] = MAX_NESTING
    """The greatest depth of what a field holds when the record is built."""

    _unknown: dict[str, JsonValue] = PrivateAttr(default_factory=dict)  # takes part in ==

    @model_validator(mode="wrap")
    @classmethod
    def _tolerant(cls, data: Any, build: ModelWrapValidatorHandler[R], info: ValidationInfo) -> R:
        if info.context != FROM_FILE or not isinstance(data, dict):
            return build(data)
        fields = cls.model_fields
        absent = {n: None for n in fields if n not in data and fields[n].default_factory is None}
        record = build(absent | {n: v for n, v in data.items() if n in fields})
        unknown = {n: v for n, v in data.items() if n not in fields}
        refuse_unstorable(unknown, max_nesting=MAX_NESTING_READ)  # what is kept must be readable once more
        record._unknown.update(unknown)
        return record

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context != FROM_FILE:
            refuse_unstorable(value, cls.max_nesting)
        return value

    @model_serializer(mode="wrap")
    def _keep(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**write(self), **self._unknown}


def _known_when_built(value: Any, info: ValidationInfo) -> Any:
    if value is None and info.context != FROM_FILE:
        raise ValueError("must be given; only a file may lack it")
    return value


Known = AfterValidator(_known_when_built)
"""Marks a field of type `T | None` that may be None only in a file that lacks it."""


class OpenWhenRead:
    """Marks a `Literal` that is closed when built and keeps a text that it does not know when read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the literal's own schema, but for a text that comes from a file."""

        def keep(value: Any, build: Callable[[Any], Any], info: ValidationInfo) -> Any:
            return value if info.context == FROM_FILE and isinstance(value, str) else build(value)

        return core_schema.with_info_wrap_validator_function(
            keep,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


def _to_utc(value: datetime | None) -> datetime | None:
    if value is None or value.utcoffset() is None:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is too near the end of the calendar to be written in UTC") from error


Timestamp = Annotated[datetime | None, AfterValidator(_to_utc)]
"""A moment: an aware one is kept in UTC, a naive one stays naive."""


def refuse_unstorable(value: Any, max_nesting: int = MAX_NESTING) -> None:
    """Raise ValueError if `value` holds, at any depth, what JSON cannot give back.

    That is NaN and infinity, text that is not valid Unicode, integers of more than 4,000 digits, and nesting
    deeper than `max_nesting`. Records inside are skipped: they were checked when they were built.
    """
    waiting: list[tuple[Any, int, str]] = [(value, 0, "")]
    while waiting:
        each, depth, where = waiting.pop()
        if (problem := _unstorable(each, depth, max_nesting)) is not None:
            raise ValueError(f"{where.lstrip('.')}: {problem}" if where else problem)
        if isinstance(each, dict):
            waiting += [(key, depth, where) for key in each]
            waiting += [(item, depth + 1, f"{where}.{key}") for key, item in each.items()]
        elif isinstance(each, list | tuple) and not (depth < max_nesting and _are_storable_numbers(each)):
            waiting += [(item, depth + 1, f"{where}[{index}]") for index, item in enumerate(each)]


def _are_storable_numbers(values: Sequence[Any]) -> bool:
    """Return True if all are plain numbers that can be stored; lists of them are long, and this is quick."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return all(map(math.isfinite, values))
    return kinds == {int} and min(values) >= -MAX_INT and max(values) <= MAX_INT


def _unstorable(value: Any, depth: int, max_nesting: int) -> str | None:
    if depth > max_nesting:
        return f"nested over {max_nesting} deep"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a number that a file can hold; None means that a value is unknown"
    if isinstance(value, int) and abs(value) > MAX_INT:
        return f"an integer of more than {MAX_INT_DIGITS} digits"
    if isinstance(value, str) and not _is_unicode(value):
        return "text that is not valid Unicode"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def parse_record(model: type[R], text: bytes, where: str) -> tuple[R, dict[str, Any]]:
    """Return the record in `text`, and the JSON object that it was read from. Errors name the file by `where`.

    Raises:
        UnreadableFileError: `text` is not JSON (with line and column), not an object, or a value in it has a
            wrong type (with the field's path).
    """
    data = parse_json(text, where)
    if not isinstance(data, dict):
        raise UnreadableFileError(f"{where}: line 1 column 1: expected an object, found {type(data).__name__}")
    return record_of(model, data, where), data


def parse_json(text: bytes, where: str) -> Any:
    """Return the value in `text`; NaN and infinity are no JSON.

    Raises:
        UnreadableFileError: it is not JSON, with line and column.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableFileError(f"{where}: not JSON: {error}") from error


def record_of(model: type[R], data: dict[str, Any], where: str) -> R:
    """Return the record in a file's JSON object.

    Raises:
        UnreadableFileError: values have a wrong type, each with its field's path.
    """
    try:
        return model.model_validate(data, context=FROM_FILE)
    except ValidationError as error:
        problems = [f"{where}: {_problem(each)}" for each in error.errors(include_url=False)]
        raise UnreadableFileError("\n".join(problems)) from error


def _problem(error: Any) -> str:
    """Return `field: what is wrong` of one of pydantic's errors."""
    path = clean(".".join(map(str, error["loc"])), SHOWN)
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def version_warning(record: Record, data: dict[str, Any], *, current: str, rerun: str) -> str | None:
    """Return the warning that `record`, read from `data`, is of another schema version; None if it is not.

    `current` is this tool's version, `rerun` the command that measures again.
    """
    version = data.get("schema_version")
    if version == current:
        return None
    head = (
        f'Result file schema_version="{clean(str(version), SHOWN_VERSION)}"'
        if version
        else "Result file has no schema_version"
    )
    lines = [f'Warning: {head}; current schema is "{current}".']
    if missing := list(_missing(record, data)):
        lines.append(f"  Missing fields: {', '.join(f'[{name}]' for name in missing)} → None")
    strange = ", ".join(f"[{clean(name, SHOWN)}]" for name in _not_understood(record))
    kept = f"Kept but not understood: {strange}. " if strange else ""
    if _newer(version, current):
        lines.append(f"  {kept}Upgrade labledger.")
    else:
        lines += [f"  {kept.rstrip()}"] if kept else []
        lines.append(f"  To rerun with updated schema: {rerun}")
    return "\n".join(lines)


def _newer(version: Any, current: str) -> bool:
    def numbers(text: Any) -> list[int]:
        return [int(part) for part in str(text).split(".") if re.fullmatch(r"[0-9]{1,9}", part)]

    return numbers(version) > numbers(current)


def _missing(record: Record, data: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of fields that load as None because `data` lacks them."""
    for name, field in type(record).model_fields.items():
        if name not in data:
            if field.default_factory is None and not field.exclude:
                yield prefix + name
            continue
        for keys, each in _records_in(getattr(record, name)):
            raw = data[name][keys[0]] if keys else data[name]
            yield from _missing(each, raw, _path(prefix, name, *keys) + ".")


def _not_understood(record: Record, prefix: str = "") -> Iterator[str]:
    """Yield the paths of fields, and of texts in a `Literal`, that this version does not know."""
    for name in record._unknown:
        yield prefix + name
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, str) and (texts := _literal_texts(field.annotation)) and value not in texts:
            yield prefix + name
        for keys, each in _records_in(value):
            yield from _not_understood(each, _path(prefix, name, *keys) + ".")


def _records_in(value: Any) -> Iterator[tuple[tuple[Any, ...], Record]]:
    """Yield the records directly inside a field's value, each with its key in there (none for the value itself)."""
    if isinstance(value, Record):
        yield (), value
    elif isinstance(value, list | dict):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        yield from (((key,), each) for key, each in pairs if isinstance(each, Record))


def _path(prefix: str, name: str, *keys: Any) -> str:
    return prefix + name + "".join(f"[{key}]" for key in keys)


def _literal_texts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((texts for part in get_args(annotation) if (texts := _literal_texts(part))), ())
