"""Records in their tables: SQL, inside of a transaction that the caller has."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.yaml_files import did_you_mean
from payment_simulator.experiments.persistence.columns import COLUMNS, R, TooMuchError, to_record
from payment_simulator.experiments.persistence.lock_wait import DatabaseError
from payment_simulator.experiments.persistence.owner import is_gone
from payment_simulator.experiments.persistence.records import EventRecord, ExperimentRecord, IterationRecord
from payment_simulator.experiments.persistence.statements import Value, fetch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Names of tables and columns in the statements below are these, never a user's text.
TABLES = {ExperimentRecord: "experiments", IterationRecord: "iterations", EventRecord: "events"}
NAMED_WHEN_UNKNOWN = 10
MAX_ROWS = 1_000_000
MAX_BYTES = 1 << 28
"""The texts that are read at once, at most: JSON is several times as large in memory. The prompts of a thousand
iterations have some tenth of it."""
MAX_VALUES = 10_000_000
"""The JSON values that are read at once, at most: three bytes of text can be one, and 100 bytes in memory."""
STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
STORED_COLUMNS = "SELECT name FROM system.main.pragma_table_info(?)"
# Of an experiment that has not ended, its iterations so far.
ITERATIONS = """
    coalesce(num_iterations, (
        SELECT system.main.count(*) FROM iterations i WHERE i.experiment_id = experiments.experiment_id
    ))
"""


class RecordError(DatabaseError):
    """There is no such experiment, the record is there already, or another process runs the experiment."""


def insert(connection: "DuckDBPyConnection", kind: type, rows: Sequence[dict[str, Any]]) -> bool:
    """Insert rows; return False where one of the same key is there already, then maybe not all are stored."""
    if not rows:
        return True
    names = COLUMNS[kind]
    values = ", ".join([f"({', '.join('?' * len(names))})"] * len(rows))
    statement = f"INSERT INTO {TABLES[kind]} ({', '.join(names)}) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608
    count = fetch(connection, statement, [row[name] for row in rows for name in names])[0][0]
    return bool(count == len(rows))


def update(connection: "DuckDBPyConnection", experiment_id: str, row: dict[str, Any]) -> bool:
    """Replace the columns of `row`; return False if there is no such experiment."""
    changes = ", ".join(f"{name} = ?" for name in row)
    statement = f"UPDATE experiments SET {changes} WHERE experiment_id = ?"  # noqa: S608
    return bool(fetch(connection, statement, [*row.values(), experiment_id])[0][0])


def select(connection: "DuckDBPyConnection", kind: type[R], rest: str, values: Sequence[Value]) -> list[R]:
    """Return the records of a kind that the `rest` of a SELECT chooses.

    A file that is only read keeps the schema that it has: of a column that it lacks, a record has the field's default.

    Raises:
        TooMuchError: there are too many.
        UnreadableRowError: a value is not one that we store.
    """
    columns = {name for (name,) in fetch(connection, STORED_COLUMNS, [TABLES[kind]])}
    names = [name for name in COLUMNS[kind] if name in columns]
    _refuse_too_much(connection, kind, names, rest, values)
    selected = ", ".join(ITERATIONS if name == "num_iterations" else name for name in names)
    rows = fetch(connection, f"SELECT {selected} FROM {TABLES[kind]} {rest}", values)  # noqa: S608
    _refuse_too_many_values(kind, names, rows)
    return [to_record(kind, names, row) for row in rows]


def ids(connection: "DuckDBPyConnection", rest: str, values: Sequence[Value]) -> list[str]:
    """Return the ids of the experiments that the `rest` of a SELECT chooses.

    Raises:
        TooMuchError: there are too many.
    """
    _refuse_too_much(connection, ExperimentRecord, ["experiment_id"], rest, values)
    return [each for (each,) in fetch(connection, f"SELECT experiment_id FROM experiments {rest}", values)]  # noqa: S608


def _refuse_too_much(
    connection: "DuckDBPyConnection", kind: type, names: Sequence[str], rest: str, values: Sequence[Value]
) -> None:
    """Raise TooMuchError where the rows, or the texts in them, are more than memory is to hold."""
    texts = [name for name in names if COLUMNS[kind][name].sql_type in ("VARCHAR", "JSON")]
    sums = ", ".join(["system.main.count(*)", *(f"system.main.sum(system.main.strlen({name}))" for name in texts)])
    which = rest.partition("ORDER BY")[0]
    count, *lengths = fetch(connection, f"SELECT {sums} FROM {TABLES[kind]} {which}", values)[0]  # noqa: S608
    size = sum(map(int, filter(None, lengths)))
    if count > MAX_ROWS or size > MAX_BYTES:
        rows = f"{count:,} row" + "s" * (count != 1)
        raise TooMuchError(
            f"{TABLES[kind]} has {rows} and {size / 1e9:,.1f} GB to read at once, and at most {MAX_ROWS:,} rows and "
            f"{MAX_BYTES / 1e9:,.1f} GB are read"
        )


def _refuse_too_many_values(kind: type, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Raise TooMuchError where the JSON in the rows has more values than memory is to hold."""
    places = [place for place, name in enumerate(names) if COLUMNS[kind][name].sql_type == "JSON"]
    texts = [row[place] for row in rows for place in places if row[place] is not None]
    if sum(map(_values, texts)) <= MAX_VALUES:  # those in strings counted too
        return
    if (count := sum(_values(STRING.sub("", text)) for text in texts)) > MAX_VALUES:
        raise TooMuchError(
            f"{TABLES[kind]} has {count:,} JSON values to read at once, and at most {MAX_VALUES:,} are read"
        )


def _values(text: str) -> int:
    """Return the number of values in a JSON text, at most."""
    return sum(map(text.count, "[{:,"))


def with_true_status(record: ExperimentRecord) -> ExperimentRecord:
    """Return the record; one that runs, and whose process is gone, is interrupted."""
    gone = record.status == "running" and record.owner is not None and is_gone(record.owner)
    return dataclasses.replace(record, status="interrupted") if gone else record


def load(connection: "DuckDBPyConnection", path: Path, experiment_id: str) -> ExperimentRecord:
    """Return the experiment of that id.

    Raises:
        RecordError: there is none.
    """
    found = select(connection, ExperimentRecord, "WHERE experiment_id = ?", [experiment_id])
    if not found:
        raise unknown(connection, path, experiment_id)
    return with_true_status(found[0])


def last_event(connection: "DuckDBPyConnection", path: Path, experiment_id: str) -> int:
    """Return the number of an experiment's last event; 0 where it has none.

    Raises:
        RecordError: there is no such experiment.
    """
    require(connection, path, experiment_id)
    statement = "SELECT coalesce(system.main.max(event_id), 0) FROM events WHERE experiment_id = ?"
    return int(fetch(connection, statement, [experiment_id])[0][0])


def require(connection: "DuckDBPyConnection", path: Path, experiment_id: str) -> None:
    """Refuse an experiment that is not there.

    Raises:
        RecordError: it is not.
    """
    if not fetch(connection, "SELECT 1 FROM experiments WHERE experiment_id = ?", [experiment_id]):
        raise unknown(connection, path, experiment_id)


def unknown(connection: "DuckDBPyConnection", path: Path, experiment_id: str) -> RecordError:
    """Return the error for an experiment that is not there."""
    statement = "SELECT experiment_id FROM experiments ORDER BY started_at DESC, experiment_id LIMIT ?"
    names = [name for (name,) in fetch(connection, statement, [NAMED_WHEN_UNKNOWN])]
    return RecordError(f"{path}: there is no experiment {experiment_id}{did_you_mean(str(experiment_id), names)}")
