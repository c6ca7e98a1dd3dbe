"""Records in their tables: SQL, inside of a transaction that the caller has."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.yaml_files import did_you_mean
from payment_simulator.experiments.persistence.columns import COLUMNS, R, to_record
from payment_simulator.experiments.persistence.file_lock import DatabaseError
from payment_simulator.experiments.persistence.owner import is_gone
from payment_simulator.experiments.persistence.records import EventRecord, ExperimentRecord, IterationRecord
from payment_simulator.experiments.persistence.statements import Value, fetch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Names of tables and columns in the statements below are these, never a user's text.
TABLES = {ExperimentRecord: "experiments", IterationRecord: "iterations", EventRecord: "events"}
NAMED_WHEN_UNKNOWN = 10
# Of an experiment that has not ended, its iterations so far.
ITERATIONS = """
    coalesce(num_iterations, (SELECT count(*) FROM iterations i WHERE i.experiment_id = experiments.experiment_id))
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
    """
    columns = {name for (name,) in fetch(connection, "SELECT name FROM pragma_table_info(?)", [TABLES[kind]])}
    names = [name for name in COLUMNS[kind] if name in columns]
    selected = ", ".join(ITERATIONS if name == "num_iterations" else name for name in names)
    rows = fetch(connection, f"SELECT {selected} FROM {TABLES[kind]} {rest}", values)  # noqa: S608
    return [to_record(kind, names, row) for row in rows]


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
    statement = "SELECT coalesce(max(event_id), 0) FROM events WHERE experiment_id = ?"
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
