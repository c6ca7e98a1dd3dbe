"""Experiments, their iterations and their events, in one DuckDB file that many processes share.

with ExperimentRepository("results/exp1.db") as repository:
    with repository.transaction() as step:  # both, or neither
        step.save_iteration(iteration)
        step.save_event(event)
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from payment_simulator.experiments.persistence.columns import TooMuchError
from payment_simulator.experiments.persistence.database import PATIENCE_S, Database, DatabaseError
from payment_simulator.experiments.persistence.records import EventRecord, ExperimentRecord, IterationRecord
from payment_simulator.experiments.persistence.tables import ids, load, require, select, with_true_status
from payment_simulator.experiments.persistence.writes import Step, Writes

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE = 1_000
"""Experiments that are read at once; then others may have the file."""
LAST_FIRST = "ORDER BY started_at DESC, experiment_id"


class ExperimentRepository(Writes):
    """The experiments in the file at `path`, which is made if it is not there, unless it `must_exist`.

    Any number of threads and processes may use the same file at the same time. Each call waits for the file,
    as long as no one holder keeps it for `patience_s`. Whatever a call has stored when it returns survives `kill -9`.
    After `close` everything still works; it only gives the file back at once, where else that takes a moment.

    With `gather_s` the calls of `save_step` are stored together, those of so many seconds at a time, and before any
    other write: many processes that each store small steps would else spend their time in handing the file over.

    Raises:
        ConfigError: DuckDB is not installed.
        UnusableDatabaseError: there is no file and it must exist, or it is not one of ours, or of a newer version.
        DatabaseBusyError: someone else has had the file for `patience_s`; every other method raises it too.
        DatabaseError: the file could not be made or read; a write: nor brought to the present schema.
    """

    def __init__(
        self, path: Path | str, *, must_exist: bool = False, patience_s: float = PATIENCE_S, gather_s: float = 0.0
    ) -> None:
        self._database = Database(path, must_exist=must_exist, patience_s=patience_s)
        self.path = self._database.path
        self._gather_s = gather_s
        self._stored_s = time.monotonic()
        self._waiting: list[tuple[IterationRecord | None, Sequence[EventRecord]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def hurry(self) -> None:
        """Wait no longer than a moment for others from now on."""
        self._database.hurry()

    def close(self) -> None:
        """Store what waits, and give the file back to others now."""
        if self._waiting:
            with self.transaction():
                pass
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[Step]:
        """Store several things together: in full when the block has ended, or, after an exception, not at all.

        Raises:
            DatabaseError: they could not be written.
        """
        with self._writing() as connection:
            yield Step(connection, self.path)

    def save_step(self, iteration: IterationRecord | None, events: Sequence[EventRecord]) -> None:
        """Store a step of a run: an iteration, if there is one, and events; in a moment where steps are gathered.

        Raises:
            RecordError, TypeError, ValueError, DatabaseError: as `save_iteration` and `save_event`, of what waited too.
        """
        self._waiting.append((iteration, events))
        if time.monotonic() - self._stored_s < self._gather_s:
            return
        try:
            with self.transaction():
                pass
        except BaseException:
            del self._waiting[-1:]  # the caller knows that it is not stored; what waited before is stored later
            raise

    def list_experiments(
        self, *, status: str | None = None, name: str | None = None, limit: int | None = None
    ) -> list[ExperimentRecord]:
        """Return the experiments, the last to be started first: of a status, of a name, at most `limit`.

        Raises:
            DatabaseError: they could not be read.
        """
        return list(islice(self.each_experiment(status=status, name=name), limit))

    def each_experiment(self, *, status: str | None = None, name: str | None = None) -> Iterator[ExperimentRecord]:
        """Yield the experiments, the last to be started first: of a status, of a name; read a page at a time.

        Those that are saved meanwhile are not among them.

        Raises:
            DatabaseError: they could not be read.
        """
        found = self.experiment_ids(name=name)
        for start in range(0, len(found), PAGE):
            for record in self._page(found[start : start + PAGE]):
                if status in (None, record.status):
                    yield record

    def experiment_ids(self, *, name: str | None = None) -> list[str]:
        """Return the ids of the experiments, the last to be started first: of a name.

        Raises:
            DatabaseError: they could not be read.
        """
        with self._database.read() as connection:
            return ids(connection, f"WHERE experiment_name = coalesce(?, experiment_name) {LAST_FIRST}", [name])

    def _page(self, chosen: Sequence[str]) -> Iterator[ExperimentRecord]:
        """Yield the experiments of these ids: all at once, or, where they are too much for that, half by half."""
        try:
            with self._database.read() as connection:
                which = f"WHERE experiment_id IN ({', '.join('?' * len(chosen))}) {LAST_FIRST}"
                records = select(connection, ExperimentRecord, which, chosen)
        except DatabaseError as error:
            if len(chosen) == 1 or not isinstance(error.__cause__, TooMuchError):
                raise
            middle = len(chosen) // 2
            yield from self._page(chosen[:middle])
            yield from self._page(chosen[middle:])
        else:
            yield from map(with_true_status, records)

    def load_experiment(self, experiment_id: str) -> ExperimentRecord:
        """Return the experiment of that id.

        Raises:
            RecordError: there is none.
            DatabaseError: it could not be read.
        """
        with self._database.read() as connection:
            return load(connection, self.path, experiment_id)

    def get_iterations(self, experiment_id: str) -> list[IterationRecord]:
        """Return an experiment's iterations, in their order.

        Raises:
            RecordError: there is no such experiment.
            DatabaseError: they could not be read.
        """
        with self._database.read() as connection:
            require(connection, self.path, experiment_id)
            which = "WHERE experiment_id = ? ORDER BY iteration_number"
            return select(connection, IterationRecord, which, [experiment_id])

    def get_events(
        self, experiment_id: str, iteration: int | None = None, event_type: str | None = None
    ) -> list[EventRecord]:
        """Return an experiment's events, in their order: of an iteration, of a type.

        Raises:
            RecordError: there is no such experiment.
            DatabaseError: they could not be read.
        """
        with self._database.read() as connection:
            require(connection, self.path, experiment_id)
            which = """
                WHERE experiment_id = ? AND iteration = coalesce(?, iteration) AND event_type = coalesce(?, event_type)
                ORDER BY event_id
            """
            return select(connection, EventRecord, which, [experiment_id, iteration, event_type])

    @contextmanager
    def _writing(self) -> "Iterator[DuckDBPyConnection]":
        """A transaction, which stores what waits first."""
        with self._database.write(self._stored) as connection:
            step = Step(connection, self.path)
            for iteration, events in self._waiting:
                if iteration is not None:
                    step.save_iteration(iteration)
                step.save_events(events)
            yield connection

    def _stored(self) -> None:
        self._waiting.clear()
        self._stored_s = time.monotonic()
