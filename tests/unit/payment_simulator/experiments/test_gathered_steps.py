"""Steps that are stored together, those of some seconds at a time."""

import pytest

from payment_simulator.experiments.persistence import DatabaseError, ExperimentRepository, RecordError
from small_experiment import complete, event, experiment, iteration

HOUR_S = 3600


@pytest.fixture
def gathering(tmp_path):
    with ExperimentRepository(tmp_path / "runs.db", gather_s=HOUR_S) as repository:
        repository.save_experiment(experiment())
        yield repository


def stored(repository):
    """What another process finds: the iterations' numbers, and the kinds of events."""
    with ExperimentRepository(repository.path) as other:
        numbers = [each.iteration_number for each in other.get_iterations("run-1")]
        return numbers, [each.event_type for each in other.get_events("run-1")]


def test_steps_wait_and_are_stored_in_their_order_before_any_other_write(gathering):
    gathering.save_step(iteration(1), [event("a"), event("b")])
    gathering.save_step(None, [event("c")])
    assert stored(gathering) == ([], [])
    gathering.save_event(event("d"))
    assert stored(gathering) == ([1], ["a", "b", "c", "d"])
    gathering.save_step(iteration(2), [event("e")])
    complete(gathering)
    assert stored(gathering) == ([1, 2], ["a", "b", "c", "d", "e"])
    gathering.save_step(iteration(3), [])
    gathering.close()
    assert stored(gathering)[0] == [1, 2, 3]


def test_without_gathering_a_step_is_stored_before_the_next_one(tmp_path):
    with ExperimentRepository(tmp_path / "runs.db") as repository:
        repository.save_experiment(experiment())
        repository.save_step(iteration(1), [event("a")])
        assert stored(repository) == ([1], ["a"])
        with pytest.raises(RecordError, match="has an iteration 1 already"):
            repository.save_step(iteration(1), [event("b")])
        repository.save_step(iteration(2), [event("c")])
        assert stored(repository) == ([1, 2], ["a", "c"])


def test_steps_that_wait_outlive_a_transaction_that_failed(gathering):
    gathering.save_step(iteration(1), [event("a")])
    with pytest.raises(DatabaseError), gathering.transaction() as step:
        step.save_event(event("b", experiment_id="none"))
    assert stored(gathering) == ([], [])
    gathering.save_event(event("c"))
    assert stored(gathering) == ([1], ["a", "c"])


def test_the_log_of_a_database_that_was_taken_away_is_not_played_into_a_new_one(tmp_path):
    (tmp_path / "runs.db.wal").write_bytes(b"somebody's")
    with pytest.raises(DatabaseError, match=r"runs\.db\.wal: is the log of a database that is not there; move it away"):
        ExperimentRepository(tmp_path / "runs.db")
    assert not (tmp_path / "runs.db").exists()
