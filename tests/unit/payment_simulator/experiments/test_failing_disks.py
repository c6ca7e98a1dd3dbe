"""A database on a disk that fails: the error is a `DatabaseError`, and what was stored before stays."""

import asyncio
import errno

import pytest
from disks import files_up_to, leave_free, mounted
from scripted import EXAMPLES, config_of

from payment_simulator.experiments.persistence import Database, DatabaseError, ExperimentRepository
from payment_simulator.experiments.runner import GenericExperimentRunner
from small_experiment import experiment, iteration

LARGE = {"A": {"text": "x" * 20_000}, "B": {}}


def store(repository, stored):
    """Store a run of four hundred large iterations; the number of each that is stored is added to `stored`."""
    repository.save_experiment(experiment())
    for number in range(1, 400):
        repository.save_iteration(iteration(number, policies=LARGE))
        stored.append(number)


@pytest.mark.parametrize("size", [0, 5_000, 12_000])
def test_a_database_that_the_disk_has_no_room_for_is_an_error_that_names_it_and_is_made_later(tmp_path, size):
    path = tmp_path / "runs.db"
    with (
        files_up_to(size),
        pytest.raises(DatabaseError, match=r"runs\.db: a database cannot be made there: .*too larg"),
    ):
        Database(path)
    assert not path.exists()
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment())


@pytest.mark.parametrize("size", [12_288, 60_000])
def test_a_step_that_the_disk_has_no_room_for_is_an_error_and_those_before_it_stay(tmp_path, size):
    repository, stored = ExperimentRepository(tmp_path / "runs.db"), []
    with files_up_to(size), pytest.raises(DatabaseError, match=r"runs\.db: .*File too large"):
        store(repository, stored)
    if stored:
        assert [each.iteration_number for each in repository.get_iterations("run-1")] == stored
    repository.close()


def test_a_full_disk_is_named_and_a_run_goes_on_there_when_it_has_room(tmp_path):
    with mounted(tmp_path / "disk", "size=4m") as disk:
        leave_free(disk, 2)
        with pytest.raises(DatabaseError, match=r"runs\.db: a database cannot be made there: No space left"):
            Database(disk / "runs.db")
        (disk / "filling").unlink()
        with ExperimentRepository(disk / "runs.db") as repository:
            leave_free(disk, 50)
            stored = []
            with pytest.raises(DatabaseError, match=r"No space left on device; make room, and try that step again"):
                store(repository, stored)
            (disk / "filling").unlink()
            repository.save_iteration(iteration(len(stored) + 1))
            assert len(repository.get_iterations("run-1")) == len(stored) + 1


def test_a_disk_that_cannot_be_read_is_an_error_that_names_the_database(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    repository = ExperimentRepository(path)

    def gone(*_):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("payment_simulator.experiments.persistence.database.kind_of", gone)
    with pytest.raises(DatabaseError, match=r"runs\.db: Input/output error"):
        repository.list_experiments()


def test_a_run_whose_disk_fills_ends_at_that_step_and_those_before_it_are_stored(tmp_path):
    runner = GenericExperimentRunner(config_of(tmp_path), config_dir=EXAMPLES)
    with files_up_to(13_500), pytest.raises(DatabaseError, match=r"runs\.db: .*File too large") as refused:
        asyncio.run(runner.run())
    assert any("could not be stored" in note for note in refused.value.__notes__)
    with ExperimentRepository(runner.database) as repository:
        assert 0 < len(repository.get_iterations(runner.run_id)) < 5
