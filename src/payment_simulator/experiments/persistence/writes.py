"""Writes to a database of experiments, each in a transaction: one of its own, or one shared with others."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from payment_simulator.experiments.persistence.columns import COLUMNS, to_row
from payment_simulator.experiments.persistence.owner import describe, this_process
from payment_simulator.experiments.persistence.records import Ending, EventRecord, ExperimentRecord, IterationRecord
from payment_simulator.experiments.persistence.schema import MIGRATIONS
from payment_simulator.experiments.persistence.tables import (
    RecordError,
    insert,
    last_event,
    load,
    require,
    unknown,
    update,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EndStatus = Literal["completed", "failed", "interrupted"]


def check_resumable(record: ExperimentRecord, path: Path) -> None:
    """Make sure that a run of the database at `path` can be gone on with.

    Raises:
        RecordError: it is completed, or its owner runs it still.
    """
    if record.status == "completed":
        raise RecordError(f"{path}: {record.experiment_id} is completed; there is nothing to resume")
    if record.status == "running":
        owner = describe(record.owner)
        raise RecordError(f"{path}: {record.experiment_id} is run by {owner}; resume it when that has ended")


class Writes(ABC):
    """Every way to store something in the database at `path`."""

    path: Path

    @abstractmethod
    def _writing(self) -> "AbstractContextManager[DuckDBPyConnection]":
        """A transaction, or a part of one."""

    def save_experiment(self, record: ExperimentRecord) -> None:
        """Store a new experiment; its owner is this process unless the record names another.

        Raises:
            RecordError: there is one of that id already.
            TypeError, ValueError: a value cannot be stored (see `columns.to_row`).
            DatabaseError: it could not be written.
        """
        if record.status not in ("running", *get_args(EndStatus)):
            raise ValueError(f"status: {record.status!r} is not one of running, {', '.join(get_args(EndStatus))}")
        owner = this_process() if record.owner is None else record.owner
        row = to_row(dataclasses.replace(record, owner=owner, schema_version=len(MIGRATIONS)))
        with self._writing() as connection:
            if not insert(connection, ExperimentRecord, [row]):
                raise RecordError(
                    f"{self.path}: there is an experiment {record.experiment_id} already, and it stays as it is; "
                    "give the new one another id"
                )

    def update_experiment_completion(
        self, experiment_id: str, *, status: EndStatus = "completed", **ending: Any
    ) -> None:
        """Store an ending whose fields are keywords; see `save_ending`.

        Raises:
            TypeError: a keyword is not a field of `Ending`.
            RecordError, TypeError, ValueError, DatabaseError: as `save_ending`.
        """
        self.save_ending(experiment_id, status, Ending(**ending))

    def save_ending(self, experiment_id: str, status: EndStatus, ending: Ending) -> None:
        """Store how an experiment ended and what it found.

        Raises:
            RecordError: there is no such experiment.
            TypeError, ValueError: a value cannot be stored (see `columns.to_row`).
            DatabaseError: it could not be written.
        """
        if status not in get_args(EndStatus):
            raise ValueError(f"status: {status!r} is not one of {', '.join(get_args(EndStatus))}")
        row = {"status": status, **to_row(ending)}
        with self._writing() as connection:
            if not update(connection, experiment_id, row):
                raise unknown(connection, self.path, experiment_id)

    def take_over(self, experiment_id: str, config: dict[str, Any] | None = None) -> ExperimentRecord:
        """Make this process the owner of an experiment that was interrupted or failed: it is running again.

        Its stored ending is cleared, and `config` takes the place of its configuration. Of several processes that try
        at once, one succeeds.

        Raises:
            RecordError: there is no such experiment, it is completed, or its owner runs it still.
            DatabaseError: it could not be written.
        """
        with self._writing() as connection:
            record = load(connection, self.path, experiment_id)
            check_resumable(record, self.path)
            columns = COLUMNS[ExperimentRecord]
            row = {"status": "running", "owner": columns["owner"].keep("owner", this_process()), **to_row(Ending())}
            row |= {} if config is None else {"config": columns["config"].keep("config", config)}
            update(connection, experiment_id, row)
            return load(connection, self.path, experiment_id)

    def save_iteration(self, record: IterationRecord) -> None:
        """Store an iteration.

        Raises:
            RecordError: there is no such experiment, or it has an iteration of that number.
            TypeError, ValueError: a value cannot be stored (see `columns.to_row`).
            DatabaseError: it could not be written.
        """
        row = to_row(record)
        with self._writing() as connection:
            require(connection, self.path, record.experiment_id)
            if not insert(connection, IterationRecord, [row]):
                raise RecordError(
                    f"{self.path}: {record.experiment_id} has an iteration {record.iteration_number} already, "
                    "and it stays as it is"
                )

    def save_event(self, record: EventRecord) -> None:
        """Store an event; its number is the next one of its experiment.

        Raises:
            RecordError: there is no such experiment.
            TypeError, ValueError: a value cannot be stored (see `columns.to_row`).
            DatabaseError: it could not be written.
        """
        self.save_events([record])

    def save_events(self, records: Iterable[EventRecord]) -> None:
        """Store events, in this order: all of them, or none.

        Raises:
            RecordError, TypeError, ValueError, DatabaseError: as `save_event`.
        """
        rows = [to_row(record) for record in records]
        last: dict[str, int] = {}
        with self._writing() as connection:
            for row in rows:
                experiment_id = row["experiment_id"]
                if experiment_id not in last:
                    last[experiment_id] = last_event(connection, self.path, experiment_id)
                last[experiment_id] += 1
                row["event_id"] = last[experiment_id]
            insert(connection, EventRecord, rows)


class Step(Writes):
    """Writes that are stored together: in full when the transaction ends, or not at all."""

    def __init__(self, connection: "DuckDBPyConnection", path: Path) -> None:
        self.path = path
        self._connection = connection

    @contextmanager
    def _writing(self) -> "Iterator[DuckDBPyConnection]":
        yield self._connection
