"""Small records of experiments, each a valid one unless told otherwise."""

from datetime import UTC, datetime
from pathlib import Path

from payment_simulator.experiments.persistence import EventRecord, ExperimentRecord, IterationRecord

MOMENT = datetime(2026, 2, 26, 14, 0, tzinfo=UTC)
OLD_RUNS = Path(__file__).parent / "golden" / "payments_runs_1.sql"
OLD_CONFIG = {
    "name": "castro1",
    "scenario": "castro_exp1.yaml",
    "convergence": {"max_iterations": 25, "stability_window": 2},
    "policy_constraints": {
        "allowed_parameters": [{"name": "initial_liquidity_fraction", "allowed_values": [0.0, 0.2, 0.5]}]
    },
    "master_seed": 42,
}
"""The configuration of the runs in `OLD_RUNS`, but for where they are stored."""


def old_database(path):
    """Make a database of version 1, with a run that is completed and one that was interrupted; its path."""
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute(OLD_RUNS.read_text())
    return path


def experiment(experiment_id="run-1", **fields):
    given = {"experiment_name": "castro", "experiment_type": "generic", "config": {"master_seed": 42}}
    return ExperimentRecord(**{"experiment_id": experiment_id, **given, "started_at": MOMENT, **fields})


def iteration(number=1, experiment_id="run-1", **fields):
    given = {"total_cost": 30, "per_agent_costs": {"A": 10, "B": 20}, "policies": {"A": {}, "B": {}}}
    return IterationRecord(
        **{"experiment_id": experiment_id, "iteration_number": number, **given, "timestamp": MOMENT, **fields}
    )


def event(event_type="evaluation", experiment_id="run-1", **fields):
    given = {"iteration": 1, "event_type": event_type, "event_data": {}, "timestamp": MOMENT}
    return EventRecord(**{"experiment_id": experiment_id, **given, **fields})


def complete(repository, experiment_id="run-1", **fields):
    """The completion of an experiment, as an `ExperimentRepository` or one of its transactions stores it."""
    given = {"completed_at": MOMENT, "converged": True, "convergence_reason": "stability", "final_cost": 30}
    repository.update_experiment_completion(experiment_id, **{**given, "total_duration_seconds": 1.5, **fields})
