"""The fields of an ending: one list, which the table and the result file follow."""

from dataclasses import fields

import duckdb
import pytest

from payment_simulator.experiments.persistence import Ending, ExperimentRecord, schema
from payment_simulator.experiments.result import ExperimentResult
from small_experiment import MOMENT

VERSION_1 = {
    "experiments": "experiment_id VARCHAR, experiment_name VARCHAR, experiment_type VARCHAR, config JSON, "
    "scenario JSON, environment JSON, owner JSON, schema_version BIGINT, status VARCHAR, "
    "started_at TIMESTAMP WITH TIME ZONE, completed_at TIMESTAMP WITH TIME ZONE, converged BOOLEAN, "
    "convergence_reason VARCHAR, num_iterations BIGINT, final_cost BIGINT, final_costs_by_agent JSON, "
    "final_policies JSON, final_nash_gap BIGINT, final_nash_gap_half_width BIGINT, total_duration_seconds DOUBLE",
    "iterations": "experiment_id VARCHAR, iteration_number BIGINT, total_cost BIGINT, per_agent_costs JSON, "
    "policies JSON, nash_gap BIGINT, nash_gap_half_width BIGINT, timestamp TIMESTAMP WITH TIME ZONE",
    "events": "experiment_id VARCHAR, event_id BIGINT, iteration BIGINT, event_type VARCHAR, event_data JSON, "
    "timestamp TIMESTAMP WITH TIME ZONE",
}


@pytest.mark.parametrize("table", VERSION_1)
def test_a_new_database_of_version_1_has_the_columns_that_files_of_version_1_have(table):
    with duckdb.connect() as connection:
        connection.execute(schema.MIGRATIONS[0])
        described = connection.execute(f"DESCRIBE {table}").fetchall()
    assert ", ".join(f"{name} {kind}" for name, kind, *_ in described) == VERSION_1[table]


def test_a_result_has_every_field_of_an_ending_but_its_moment():
    ending = Ending(
        completed_at=MOMENT,
        converged=True,
        convergence_reason="stability",
        num_iterations=3,
        refused_proposals=2,
        first_refusal="A, iteration 1: it is no policy",
        final_cost=30,
        final_costs_by_agent={"A": 30},
        final_policies={"A": {"type": "Fifo"}},
        final_nash_gap=2,
        final_nash_gap_kind="estimated",
        final_nash_gap_half_width=1,
        final_nash_gap_values=241,
        resting_points=[{"reached": 1}],
        total_duration_seconds=1.5,
    )
    assert None not in [getattr(ending, field.name) for field in fields(Ending)]
    result = ExperimentResult.from_ending(ending, "run-1", "castro", {"master_seed": 1})
    for field in fields(Ending):
        if field.name != "completed_at":
            name = "final_costs" if field.name == "final_cost" else field.name
            assert getattr(result, name) == getattr(ending, field.name)


def test_the_record_of_an_experiment_has_the_fields_of_its_ending_last():
    ending = [field.name for field in fields(Ending)]
    assert [field.name for field in fields(ExperimentRecord)][-len(ending) :] == ending
