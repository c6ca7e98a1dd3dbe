"""What is kept of an experiment: data only.

Money is in cents, as `int`. Moments are ISO 8601 text or datetimes, naive ones in local time; what is read back is ISO
text in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ExperimentRecord:
    """One run of an experiment.

    `status` is running, completed, failed or interrupted; a run whose process has gone without a word reads as
    interrupted. `scenario` is resolved: files inlined, seeds included. `owner` is the process that runs it, and with
    `schema_version` is filled in when the record is saved.
    """

    experiment_id: str
    experiment_name: str
    experiment_type: str
    config: dict[str, Any]
    started_at: str | datetime
    scenario: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None
    schema_version: int | None = None
    status: str = "running"
    completed_at: str | datetime | None = None
    converged: bool | None = None
    convergence_reason: str | None = None
    num_iterations: int | None = None
    final_cost: int | None = None
    final_costs_by_agent: dict[str, int] | None = None
    final_policies: dict[str, Any] | None = None
    final_nash_gap: int | None = None
    final_nash_gap_half_width: int | None = None
    total_duration_seconds: float | None = None


@dataclass(frozen=True)
class IterationRecord:
    """The policies that an iteration had, and what they cost."""

    experiment_id: str
    iteration_number: int
    total_cost: int
    per_agent_costs: dict[str, int]
    policies: dict[str, Any]
    timestamp: str | datetime
    nash_gap: int | None = None
    nash_gap_half_width: int | None = None


@dataclass(frozen=True)
class EventRecord:
    """Something that happened in an iteration; `event_id` counts an experiment's events from 1, as they are saved."""

    experiment_id: str
    iteration: int
    event_type: str
    event_data: dict[str, Any]
    timestamp: str | datetime
    event_id: int | None = None
