"""Columns: the SQL type of each field of a record, and its conversion to a stored value and exactly back."""

import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from functools import partial, reduce
from operator import or_
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic_core import from_json

from labledger.json_text import dump_json
from labledger.schema_versions import refuse_unstorable
from labledger.untrusted_text import clean
from payment_simulator.experiments.persistence.records import (
    Ending,
    EventRecord,
    ExperimentRecord,
    IterationRecord,
    Moment,
    Owner,
)

R = TypeVar("R", ExperimentRecord, IterationRecord, EventRecord)

BIGINT_MAX = 2**63 - 1
SHOWN = 80


class UnreadableRowError(ValueError):
    """A stored value is not one that a record can hold, or there is too much of them."""


class TooMuchError(UnreadableRowError):
    """The rows that were asked for are more than memory is to hold at once."""


@dataclass(frozen=True)
class Column:
    """A column's SQL type; `keep(name, value)` returns the stored value, or raises; `back` reverses it."""

    sql_type: str
    keep: Callable[[str, Any], Any]
    back: Callable[[Any], Any] = lambda stored: stored


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not text")
    refuse_unstorable({name: value})
    return str(value)


def _integer(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} ({type(value).__name__}) is not an int")
    if not -BIGINT_MAX - 1 <= value <= BIGINT_MAX:
        raise ValueError(f"{name}: {value} does not fit in 64 bits")
    return int(value)


def _costs(name: str, value: Any) -> str:
    text = _json(name, value)
    for agent, cost in value.items():
        _integer(f"{name}.{agent}", cost)
    return text


def _json(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        raise TypeError(f"{name}: {type(value).__name__} where a dict belongs")
    refuse_unstorable({name: value})
    _refuse_odd_keys(name, value)
    try:
        return dump_json(value, indent=None)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error


def _rows(name: str, value: Any) -> str:
    if not isinstance(value, list):
        raise TypeError(f"{name}: {type(value).__name__} where a list belongs")
    return f"[{', '.join(_json(f'{name}[{index}]', each) for index, each in enumerate(value))}]"


def _owner(name: str, value: Any) -> str:
    text = _json(name, value)
    if set(value) != set(Owner.__annotations__):
        raise TypeError(f"{name}: has {', '.join(value)}, not host, pid and pid_started_at")
    _integer(f"{name}.pid", value["pid"])
    _moment(f"{name}.pid_started_at", value["pid_started_at"])
    return text


def _refuse_odd_keys(name: str, value: Any) -> None:
    """Raise TypeError for a key that is not text: JSON would turn it into text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{name}: key {key!r} is not text")
            _refuse_odd_keys(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_odd_keys(f"{name}[{index}]", item)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is not a bool")
    return value


def _seconds(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is not a number of seconds; use None where it is unknown")
    return float(value)


def _moment(name: str, value: Any) -> datetime:
    if not isinstance(value, str | datetime):
        raise TypeError(f"{name}: {value!r} is neither ISO 8601 text nor a datetime")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC)  # a naive one is local
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {value!r} is not a moment: {error}") from error


def _iso(stored: Any) -> str:
    return str(stored.astimezone(UTC).isoformat())


def _read_json(kind: type) -> Callable[[Any], Any]:
    def read(stored: Any) -> Any:
        value = from_json(stored, allow_inf_nan=False)
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} where a {kind.__name__} belongs")
        return value

    return read


_read_dict, _read_list = _read_json(dict), _read_json(list)


def _read_costs(stored: Any) -> Any:
    value = _read_dict(stored)
    for agent, cost in value.items():
        _integer(clean(agent, SHOWN), cost)
    return value


def _read_rows(stored: Any) -> Any:
    value = _read_list(stored)
    if not all(isinstance(each, dict) for each in value):
        raise TypeError("not every item is a dict")
    return value


def _read_owner(stored: Any) -> Any:
    value = _read_dict(stored)
    _owner("owner", value)
    return value


COLUMN_OF_TYPE: dict[Any, Column] = {
    str: Column("VARCHAR", _text),
    int: Column("BIGINT", _integer),
    bool: Column("BOOLEAN", _truth),
    float: Column("DOUBLE", _seconds, partial(_seconds, "stored")),
    dict[str, int]: Column("JSON", _costs, _read_costs),
    dict[str, Any]: Column("JSON", _json, _read_dict),
    list[dict[str, Any]]: Column("JSON", _rows, _read_rows),
    Owner: Column("JSON", _owner, _read_owner),
    Moment: Column("TIMESTAMPTZ", _moment, _iso),
}


def columns_of(kind: type) -> dict[str, Column]:
    """Return the column of each field of a record, by name, in the order of the fields.

    Raises:
        KeyError: a field has a type that is not in `COLUMN_OF_TYPE`.
    """
    hints = get_type_hints(kind)
    return {field.name: COLUMN_OF_TYPE[_without_none(hints[field.name])] for field in fields(kind)}


def _without_none(hint: Any) -> Any:
    known = [each for each in get_args(hint) if each is not NoneType]
    return reduce(or_, known) if NoneType in get_args(hint) else hint


COLUMNS: dict[type, dict[str, Column]] = {
    kind: columns_of(kind) for kind in (ExperimentRecord, Ending, IterationRecord, EventRecord)
}


def to_row(record: ExperimentRecord | Ending | IterationRecord | EventRecord) -> dict[str, Any]:
    """Return the stored value of each column, by name.

    Raises:
        TypeError: a value of a wrong type: a cost that is not an `int`, a key that is not text.
        ValueError: a value that would not come back as it is: NaN, an integer of more than 64 bits.
    """
    optional = {field.name for field in fields(record) if field.default is not MISSING}
    values = {name: getattr(record, name) for name in COLUMNS[type(record)]}
    return {
        name: None if value is None and name in optional else COLUMNS[type(record)][name].keep(name, value)
        for name, value in values.items()
    }


def to_record(kind: type[R], names: Sequence[str], row: tuple[Any, ...]) -> R:
    """Return the record of a row whose columns have these names; a field without a column has its default.

    Raises:
        UnreadableRowError: a value is not one that `to_row` gives.
    """
    columns = COLUMNS[kind]
    values: dict[str, Any] = {}
    for name, value in zip(names, row, strict=True):
        try:
            values[name] = None if value is None else columns[name].back(value)
        except (TypeError, ValueError, OverflowError) as error:
            reason = f"{name} of a stored {kind.__name__} is unusable: {error}; it was not stored by labledger"
            raise UnreadableRowError(reason) from error
    return kind(**values)
