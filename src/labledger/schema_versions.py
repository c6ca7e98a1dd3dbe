"""Records that are strict when built and tolerant when read, so that every version's files stay readable.

Python values build a record; a file's JSON is read, also by pydantic's own `model_validate_json`. A field that a file
lacks loads as None (a list or dict whose default is empty, as empty; of plans see `may_lack_fields`), a field that this
version does not know is kept and written back, and a text that a `Literal` does not list yet is kept. Nothing is
migrated and nothing is invented: who wants a newer field measures it again.
"""

import math
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, core_schema, from_json

from labledger.errors import UnreadableFileError
from labledger.json_text import JsonError, refuse_many
from labledger.untrusted_text import SHOWN, clean

FROM_FILE = "from file"
MAX_INT_DIGITS = 4_000
MAX_INT = 10**MAX_INT_DIGITS - 1
MAX_NESTING = 100
SHOWN_VERSION = 40
MAX_NESTING_READ = 200  # the JSON parser's own limit

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """The base of every stored model: frozen, no unknown keyword when built, none lost when read.

    Loading is `model_validate(from_json(text), context=FROM_FILE)`, see `parse_record`; `model_validate_json(text)`
    reads in the same way. What is not known of a file is in `model_extra`, None where all is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    max_nesting: ClassVar[int] = MAX_NESTING
    """The greatest depth of what a field holds when the record is built."""
    may_lack_fields: ClassVar[bool] = True
    """False of a plan and what is worked out from one: a file without one of its required fields is damaged, and what
    else it lacks is its default, not unknown."""

    @model_validator(mode="wrap")
    @classmethod
    def _built_or_read(cls, data: Any, build: ModelWrapValidatorHandler[R], info: ValidationInfo) -> R:
        if not isinstance(data, dict):
            return build(data)
        if info.context == FROM_FILE:
            return cls._read(data, build)
        if info.mode == "json":
            refuse_unstorable(data, MAX_NESTING_READ)  # pydantic's reader takes NaN, which is no JSON
            return cls.model_validate(data, context=FROM_FILE)  # type: ignore[return-value]
        record = build(data)
        if problems := list(_unstorable_fields(record)):
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return record

    @classmethod
    def _read(cls, data: dict[str, Any], build: ModelWrapValidatorHandler[R]) -> R:
        fields = cls.__pydantic_fields__
        if data.keys() == fields.keys():  # as nearly all are, and a folder has thousands of them
            return build(data)
        absent = _absent_values(cls)
        record = build({**absent, **{name: value for name, value in data.items() if name in fields}})
        unknown = {name: value for name, value in data.items() if name not in fields}
        if unknown:
            refuse_unstorable(unknown, max_nesting=MAX_NESTING_READ)  # what is kept must be readable once more
            object.__setattr__(record, "__pydantic_extra__", unknown)  # pydantic's own place for them: takes part in ==
        return record

    @model_serializer(mode="wrap")
    def _keep(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**write(self), **(self.model_extra or {})}


@cache
def _absent_values(model: type[Record]) -> dict[str, None]:
    """Return None for each field that may be absent from a file; the others are then empty, or required."""
    if not model.may_lack_fields:
        return {}
    return {name: None for name, field in model.model_fields.items() if field.default_factory is None}


def _unstorable_fields(record: Record) -> Iterator[InitErrorDetails]:
    for name in type(record).model_fields:
        value = getattr(record, name)
        try:
            refuse_unstorable(value, record.max_nesting)
        except ValueError as error:
            yield InitErrorDetails(type="value_error", loc=(name,), input=value, ctx={"error": error})


def _known_when_built(value: Any, info: ValidationInfo) -> Any:
    if value is None and info.context != FROM_FILE:
        raise ValueError("must be given; only a file may lack it")
    return value


Known = AfterValidator(_known_when_built)
"""Marks a field of type `T | None` that may be None only in a file that lacks it."""


class Retired:
    """Marks a field of older files and callers that nothing sets any more: the schema's docs leave it out."""


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
    """Return the value in `text`, which an editor may have begun with a byte order mark; NaN and infinity are no JSON.

    Raises:
        UnreadableFileError: it is not JSON, with line and column, or has more values than are read.
    """
    try:
        refuse_many(text)
        return from_json(text.removeprefix(BOM_UTF8), allow_inf_nan=False)
    except JsonError as error:
        raise UnreadableFileError(f"{where}: {error}") from error
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


@dataclass(frozen=True)
class OtherVersion:
    """Files of one other version of a schema.

    `where` names the first of them, `count` is their number; `missing` and `strange` are the fields that they lack and
    that are not understood, of several files those of the one that has most.
    """

    version: str | None
    current: str
    is_newer: bool
    rerun: str
    where: str
    missing: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        return self._of_one() if self.count == 1 else self._of_several()

    def __add__(self, other: "OtherVersion") -> "OtherVersion":
        missing, strange = max(self.missing, other.missing, key=len), max(self.strange, other.strange, key=len)
        return replace(self, missing=missing, strange=strange, count=self.count + other.count)

    @property
    def _advice(self) -> str:
        return "Upgrade labledger." if self.is_newer else f"To rerun with updated schema: {self.rerun}"

    def _of_one(self) -> str:
        said = "has no schema_version" if self.version is None else f'schema_version="{self.version}"'
        lines = [f'Warning: Result file {said}; current schema is "{self.current}".', f"  File: {self.where}"]
        if self.missing:
            lines.append(f"  Missing fields: {', '.join(f'[{name}]' for name in self.missing)} → None")
        kept = f"Kept but not understood: {', '.join(f'[{name}]' for name in self.strange)}." if self.strange else ""
        if kept and not self.is_newer:
            return "\n".join([*lines, f"  {kept}", f"  {self._advice}"])
        return "\n".join([*lines, f"  {kept} {self._advice}" if kept else f"  {self._advice}"])

    def _of_several(self) -> str:
        said = "no schema_version" if self.version is None else f'schema_version="{self.version}"'
        parts = [f"up to {len(self.missing)} fields are None"] if self.missing else []
        parts += [f"up to {len(self.strange)} are kept but not understood"] if self.strange else []
        files = f"{self.count} result files with {said}, the first {self.where}"
        head = f'Warning: {files}; current schema is "{self.current}"'
        return f"{head}{': ' if parts else ''}{', '.join(parts)}. {self._advice}"


class SchemaVersionWarning(UserWarning):
    """A file was written by another version of its schema; `found` is that version, None where several met."""

    def __init__(self, text: str, found: OtherVersion | None = None) -> None:
        super().__init__(text)
        self.found = found


def one_per_version(caught: Iterable[Warning]) -> list[Warning]:
    """Return the warnings in their order, those that say the same of several files of one version as one."""
    found: dict[object, Warning] = {}
    for each in caught:
        other = each.found if isinstance(each, SchemaVersionWarning) else None
        key = each if other is None else (other.version, other.current, other.rerun)
        before = found.get(key)
        if isinstance(before, SchemaVersionWarning) and before.found is not None and other is not None:
            both = before.found + other
            found[key] = SchemaVersionWarning(str(both), both)
        else:
            found[key] = each
    return list(found.values())


def version_warning(
    record: Record, data: dict[str, Any], where: str, *, current: str, rerun: str
) -> SchemaVersionWarning | None:
    """Return the warning that `record`, read from `data`, is of another schema version; None if it is not.

    `where` names the file, `current` is this tool's version, `rerun` the command that measures again.
    """
    version = data.get("schema_version")
    if is_same_version(version, current):
        return None
    found = OtherVersion(
        version=clean(str(version), SHOWN_VERSION) if version else None,
        current=current,
        is_newer=_numbers(version)[0] > _numbers(current)[0],
        rerun=rerun,
        where=clean(where),
        missing=tuple(_missing(record, data)),
        strange=tuple(clean(name, SHOWN) for name in _not_understood(record)),
    )
    return SchemaVersionWarning(str(found), found)


def is_same_version(one: object, other: object) -> bool:
    """Return True if two versions have the same numbers: "2", "2.0" and "2.0.0" are one."""
    return one == other or _numbers(one) == _numbers(other)


def _numbers(version: object) -> tuple[list[int], str]:
    """Return the numbers that a version begins with, without zeros at the end, and what is after them."""
    text = str(version)
    found = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", text)
    if found is None:
        return [], text
    numbers = [int(number) for number in found[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers, text[found.end() :]


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
    for name in record.model_extra or ():
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
