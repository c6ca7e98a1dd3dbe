"""Records of an experiment as a database holds them: data only.

Money is in cents, as `int`. Moments are ISO 8601 text or datetimes, naive ones in local time; what is read back is ISO
text in UTC. The type of a field decides how it is stored (see `columns`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

Moment = str | datetime


class Owner(TypedDict):
    """The process that runs an experiment."""

    host: str
    pid: int
    pid_started_at: str


@dataclass(frozen=True)
class ExperimentStart:
    """The facts of a run that are known when it begins.

    `status` is running, completed, failed or interrupted; a run whose process has ended without storing an ending reads
    as interrupted. `scenario` is resolved: files inlined, seeds included. `owner` is the process that runs it, and with
    `schema_version` is filled in when the record is saved.
    """

    experiment_id: str
    experiment_name: str
    experiment_type: str
    config: dict[str, Any]
    started_at: Moment
    scenario: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    owner: Owner | None = None
    schema_version: int | None = None
    status: str = "running"


@dataclass(frozen=True)
class Ending:
    """The facts of a run that are known when it has ended; None is what is not known.

    This is the one list of them: the record below, the columns, the table and `ExperimentResult` follow it. The kind of
    a gap is None where it is as `NashGap` has it for databases of version 1. `refused_proposals` counts the answers
    that were no policy, or none that is allowed and can be evaluated. `first_refusal` is the bank, iteration and
    problem of the first: of the bank that never had a valid one, if that is the reason. `resting_points` are the
    outcomes of several starts, as `runner.ending.Outcome.row` has them; None of a run with one start.
    """

    completed_at: Moment | None = None
    converged: bool | None = None
    convergence_reason: str | None = None
    num_iterations: int | None = None
    refused_proposals: int | None = None
    first_refusal: str | None = None
    final_cost: int | None = None
    final_costs_by_agent: dict[str, int] | None = None
    final_policies: dict[str, Any] | None = None
    final_nash_gap: int | None = None
    final_nash_gap_kind: str | None = None
    final_nash_gap_half_width: int | None = None
    final_nash_gap_values: int | None = None
    resting_points: list[dict[str, Any]] | None = None
    total_duration_seconds: float | None = None


@dataclass(frozen=True)
class ExperimentRecord(Ending, ExperimentStart):
    """One run of an experiment: how it began and, field by field, how it ended."""


@dataclass(frozen=True)
class IterationRecord:
    """The policies of an iteration and their costs; `start` counts, from 1, the profiles that a run begins from."""

    experiment_id: str
    iteration_number: int
    total_cost: int
    per_agent_costs: dict[str, int]
    policies: dict[str, Any]
    timestamp: Moment
    nash_gap: int | None = None
    nash_gap_kind: str | None = None
    nash_gap_half_width: int | None = None
    nash_gap_values: int | None = None
    start: int = 1


@dataclass(frozen=True)
class EventRecord:
    """Something that happened in an iteration; `event_id` counts an experiment's events from 1, as they are saved."""

    experiment_id: str
    iteration: int
    event_type: str
    event_data: dict[str, Any]
    timestamp: Moment
    event_id: int | None = None
