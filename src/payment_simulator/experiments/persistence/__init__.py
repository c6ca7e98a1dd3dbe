"""Experiments in a DuckDB file: each step is stored in full or not at all, and stays.

from payment_simulator.experiments.persistence import EventRecord, ExperimentRepository, IterationRecord

with ExperimentRepository("results/exp1.db") as repository, repository.transaction() as step:
    step.save_iteration(IterationRecord(...))
    step.save_event(EventRecord(...))
"""

from payment_simulator.experiments.persistence.database import (
    Database,
    DatabaseBusyError,
    DatabaseError,
    UnusableDatabaseError,
)
from payment_simulator.experiments.persistence.records import (
    Ending,
    EventRecord,
    ExperimentRecord,
    IterationRecord,
)
from payment_simulator.experiments.persistence.repository import ExperimentRepository
from payment_simulator.experiments.persistence.tables import RecordError
from payment_simulator.experiments.persistence.writes import Step

__all__ = [
    "Database",
    "DatabaseBusyError",
    "DatabaseError",
    "Ending",
    "EventRecord",
    "ExperimentRecord",
    "ExperimentRepository",
    "IterationRecord",
    "RecordError",
    "Step",
    "UnusableDatabaseError",
]
