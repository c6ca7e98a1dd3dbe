"""How each field of a record is kept in its column: what is refused, and how it comes back exactly."""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from labledger.json_text import dump_json
from labledger.schema_versions import refuse_unstorable
from payment_simulator.experiments.persistence.records import EventRecord, ExperimentRecord, IterationRecord

R = TypeVar("R", ExperimentRecord, IterationRecord, EventRecord)

BIGINT_MAX = 2**63 - 1


@dataclass(frozen=True)
class Column:
    """`keep(name, value)` is what the database gets, or an exception; `back` turns it into what it was."""

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


def _owner(name: str, value: Any) -> str:
    text = _json(name, value)
    if set(value) != {"host", "pid", "pid_started_at"}:
        raise TypeError(f"{name}: has {', '.join(value)}, not host, pid and pid_started_at")
    _integer(f"{name}.pid", value["pid"])
    _moment(f"{name}.pid_started_at", value["pid_started_at"])
    return text


def _refuse_odd_keys(name: str, value: Any) -> None:
    """JSON would turn them into text."""
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
        raise ValueError(f"{name}: {value} is not a number of seconds; None says that it is unknown")
    return float(value)


def _moment(name: str, value: Any) -> datetime:
    if not isinstance(value, str | datetime):
        raise TypeError(f"{name}: {value!r} is neither ISO 8601 text nor a datetime")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC)  # a naive one is local
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {value!r} is not a moment: {error}") from error


def _iso(stored: datetime) -> str:
    return stored.astimezone(UTC).isoformat()


TEXT = Column(_text)
INTEGER = Column(_integer)
TRUTH = Column(_truth)
SECONDS = Column(_seconds)
COSTS = Column(_costs, json.loads)
JSON = Column(_json, json.loads)
OWNER = Column(_owner, json.loads)
MOMENT = Column(_moment, _iso)

COLUMNS: dict[type, dict[str, Column]] = {
    ExperimentRecord: {
        "experiment_id": TEXT,
        "experiment_name": TEXT,
        "experiment_type": TEXT,
        "config": JSON,
        "started_at": MOMENT,
        "scenario": JSON,
        "environment": JSON,
        "owner": OWNER,
        "schema_version": INTEGER,
        "status": TEXT,
        "completed_at": MOMENT,
        "converged": TRUTH,
        "convergence_reason": TEXT,
        "num_iterations": INTEGER,
        "final_cost": INTEGER,
        "final_costs_by_agent": COSTS,
        "final_policies": JSON,
        "final_nash_gap": INTEGER,
        "final_nash_gap_half_width": INTEGER,
        "total_duration_seconds": SECONDS,
    },
    IterationRecord: {
        "experiment_id": TEXT,
        "iteration_number": INTEGER,
        "total_cost": INTEGER,
        "per_agent_costs": COSTS,
        "policies": JSON,
        "timestamp": MOMENT,
        "nash_gap": INTEGER,
        "nash_gap_half_width": INTEGER,
    },
    EventRecord: {
        "experiment_id": TEXT,
        "iteration": INTEGER,
        "event_type": TEXT,
        "event_data": JSON,
        "timestamp": MOMENT,
        "event_id": INTEGER,
    },
}


def to_row(record: ExperimentRecord | IterationRecord | EventRecord) -> dict[str, Any]:
    """What the database gets for each column.

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


def to_record(kind: type[R], row: tuple[Any, ...]) -> R:
    """The record of a row whose columns are in the order of `COLUMNS`."""
    columns = COLUMNS[kind].items()
    pairs = zip(columns, row, strict=True)
    values: dict[str, Any] = {name: None if value is None else column.back(value) for (name, column), value in pairs}
    return kind(**values)
