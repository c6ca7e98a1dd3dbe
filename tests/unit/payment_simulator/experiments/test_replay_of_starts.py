"""Replay of a run with several starts: what was changed by hand in one of them is found."""

import duckdb
import pytest
from scripted import EXAMPLES, FRACTION, config_of, run_config

from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.replay import replay
from payment_simulator.experiments.stored_run import StoredRun

COARSE = {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0, 0.2, 0.5]}]}
EXPERIMENTS, EVENTS = "UPDATE experiments SET ", "UPDATE events SET event_data = "
OF_THE_START = " WHERE event_type = 'start_begun' AND event_data::VARCHAR LIKE '%\"start\": 2%'"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starts")
    convergence = {"starts": 3}
    config = config_of(
        folder, EXAMPLES / "castro_immediate.yaml", policy_constraints=COARSE, convergence=convergence, window=1
    )
    run_config(config)
    return folder / "runs.db"


def wrong(path):
    with ExperimentRepository(path) as repository:
        run = StoredRun.load(repository, "latest")
    return {check.name for check in replay(run) if not check.is_same}


def test_a_run_with_several_starts_replays_as_it_was_stored(stored):
    assert wrong(stored) == set()


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (
            EXPERIMENTS
            + """resting_points = regexp_replace(resting_points::VARCHAR, '"reached": *[0-9]+', '"reached":9')""",
            "resting_points",
        ),
        (
            EVENTS
            + """regexp_replace(event_data::VARCHAR, 'fraction": *0[.]?[0-9]*', 'fraction":0.77')"""
            + OF_THE_START,
            "policies of start 2",
        ),
        (EVENTS + """replace(event_data::VARCHAR, '"start": 2', '"start": 7')""" + OF_THE_START, "next start"),
        ("UPDATE iterations SET start = 1 WHERE start = 2", "start"),
    ],
)
def test_a_start_that_was_changed_by_hand_is_found(stored, tmp_path, statement, name):
    path = tmp_path / "changed.db"
    path.write_bytes(stored.read_bytes())
    with duckdb.connect(str(path)) as shell:
        assert shell.execute(statement).fetchall()[0][0] > 0
    assert name in wrong(path)
