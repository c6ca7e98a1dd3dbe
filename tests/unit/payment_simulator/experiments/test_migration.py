"""A database of an older version: read as it is, and brought to the present version by the first write."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.nash_gap import NashGap, stored_gap
from payment_simulator.experiments.persistence import (
    DatabaseError,
    ExperimentRepository,
    UnusableDatabaseError,
    schema,
)
from payment_simulator.experiments.runner import GenericExperimentRunner
from small_experiment import OLD_CONFIG, event, experiment, iteration, old_database

TESTS = Path(__file__).parents[3]
ENDS_AFTER = """
import os, sys
sys.path.append(sys.argv[2])
from payment_simulator.experiments.persistence import ExperimentRepository, schema
from small_experiment import event

left = int(sys.argv[3])

class Ends:
    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, statement):
        self.end_soon()
        return self.connection.execute(statement)

    def commit(self):
        self.end_soon()
        self.connection.commit()

    def end_soon(self):
        global left
        if left == 0:
            os._exit(9)
        left -= 1

migrate = schema.migrate
schema.migrate = lambda connection, version: migrate(Ends(connection) if version else connection, version)
ExperimentRepository(sys.argv[1]).save_event(event(experiment_id="old-interrupted", iteration=9))
os._exit(7)
"""
WRITE_TOGETHER = """
import sys
sys.path.append(sys.argv[2])
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import event
repository = ExperimentRepository(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
repository.save_event(event(experiment_id="old-interrupted", iteration=9))
"""


@pytest.fixture
def path(tmp_path):
    return old_database(tmp_path / "old.db")


def version(path):
    with duckdb.connect(str(path), read_only=True) as shell:
        return schema.version_of(shell)


def everything(path):
    with ExperimentRepository(path, must_exist=True) as repository:
        runs = repository.list_experiments()
        of_each = [
            (repository.get_iterations(run.experiment_id), repository.get_events(run.experiment_id)) for run in runs
        ]
    return runs, of_each


def test_an_old_database_is_read_as_it_is_and_not_a_byte_of_it_changes(path):
    before = path.read_bytes()
    runs, [(_, _), (iterations, events)] = everything(path)
    assert {run.experiment_id: run.status for run in runs} == {
        "old-completed": "completed",
        "old-interrupted": "interrupted",
    }
    completed = next(run for run in runs if run.status == "completed")
    assert stored_gap(completed, "final_") == NashGap(0, None)
    assert (completed.final_nash_gap_kind, completed.resting_points, iterations[0].start) == (None, None, 1)
    assert [stored_gap(each).cents for each in iterations] == [5_000, 0, 0, 0]
    assert events[0].event_type == "experiment_started"
    assert (version(path), path.read_bytes() == before) == (1, True)


def test_the_gaps_of_an_old_run_of_drawn_payments_are_not_called_the_least_that_a_bank_could_save(path):
    with duckdb.connect(str(path)) as shell:
        (config,) = shell.execute("SELECT config FROM experiments WHERE experiment_id = 'old-completed'").fetchone()
        config = json.loads(config) | {"evaluation": {"mode": "monte_carlo", "num_samples": 4}}
        values = [json.dumps(config)]
        shell.execute(
            "UPDATE experiments SET config = ?, final_nash_gap = 4995 WHERE experiment_id = 'old-completed'", values
        )
    for command in ("results", "show old-completed", "compare old-completed old-completed"):
        output = CliRunner().invoke(app, ["experiment", *command.split(), "--db", str(path)]).output
        assert "4,995 on draws" in " ".join(output.split()), command
        assert ">=" not in output, command


def test_an_old_database_that_may_not_be_written_is_read(path):
    path.chmod(0o444)
    assert len(everything(path)[0]) == 2
    assert version(path) == 1


def test_the_first_write_brings_an_old_database_to_the_present_version_with_all_that_is_in_it(path):
    before = everything(path)
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment("new"))
        repository.save_iteration(iteration(1, "new", nash_gap=3, nash_gap_kind="exact", nash_gap_values=7, start=2))
    assert version(path) == len(schema.MIGRATIONS)
    runs, of_each = everything(path)
    places = [place for place, run in enumerate(runs) if run.experiment_id != "new"]
    assert ([runs[place] for place in places], [of_each[place] for place in places]) == before
    [found] = next(each for run, (each, _) in zip(runs, of_each, strict=True) if run.experiment_id == "new")
    assert (stored_gap(found), found.start) == (NashGap(3, "exact", 0, 7), 2)


@pytest.mark.parametrize("statements", [pytest.param(1, marks=pytest.mark.slow), 3, 4])
def test_a_process_killed_while_it_migrates_leaves_the_old_version_or_the_new_one_whole(path, statements):
    before = everything(path)
    ended = subprocess.run([sys.executable, "-c", ENDS_AFTER, path, TESTS, str(statements)], timeout=60)
    migrated = statements == 4
    assert ended.returncode == (7 if migrated else 9)
    assert version(path) == (2 if migrated else 1)
    runs, _ = everything(path)
    assert runs == before[0]
    with ExperimentRepository(path) as repository:
        repository.save_event(event(experiment_id="old-interrupted", iteration=9))
        assert len(repository.get_events("old-interrupted", iteration=9)) == 1 + migrated
    assert version(path) == 2


def test_of_two_processes_that_write_first_at_once_both_store_and_one_migrates(path):
    command = [sys.executable, "-c", WRITE_TOGETHER, path, TESTS]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [each.stdout.readline() for each in both] == ["ready\n"] * 2
    assert version(path) == 1
    for each in both:
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [each.communicate(timeout=60)[1] for each in both] == ["", ""]
    with ExperimentRepository(path) as repository:
        assert len(repository.get_events("old-interrupted", iteration=9)) == 2
    with duckdb.connect(str(path)) as shell:
        assert shell.execute("SELECT version FROM schema_versions ORDER BY 1").fetchall() == [(1,), (2,)]


def test_an_old_program_refuses_a_migrated_database_as_newer_and_reads_one_that_is_not(path, monkeypatch):
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old_program = ExperimentRepository(path)
        assert len(old_program.list_experiments()) == 2
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment("new"))
    before = path.read_bytes()
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    told = r"written by a newer labledger \(schema 2; this one knows 1\); upgrade it"
    for use in (lambda: ExperimentRepository(path), old_program.list_experiments):
        with pytest.raises(UnusableDatabaseError, match=told):
            use()
    assert path.read_bytes() == before


def test_an_old_run_resumes_and_ends_with_a_gap_of_the_present_kind(path):
    config = ExperimentConfig.model_validate(
        OLD_CONFIG | {"output": {"directory": str(path.parent), "database": path.name}}
    )
    examples = TESTS.parent / "examples" / "payments"
    result = asyncio.run(GenericExperimentRunner(config, run_id="old-interrupted", config_dir=examples).resume())
    assert (result.converged, result.final_costs_by_agent) == (True, {"BANK_A": 0, "BANK_B": 2_000})
    assert result.final_nash_gap_kind is not None
    with ExperimentRepository(path) as repository:
        kinds = [each.nash_gap_kind for each in repository.get_iterations("old-interrupted")]
        assert kinds[:2] == [None, None]
        assert None not in kinds[2:]
        assert repository.load_experiment("old-interrupted").status == "completed"


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs the right to mount one")
def test_a_disk_without_room_for_the_migration_leaves_the_old_version(tmp_path):
    sys.path.append(str(TESTS / "system"))
    from disks import leave_free, mounted

    with mounted(tmp_path / "disk", "size=8m") as disk:
        path = old_database(disk / "old.db")
        repository = ExperimentRepository(path)
        leave_free(disk, 0)
        with pytest.raises(DatabaseError, match="No space left on device; make room"):
            repository.save_experiment(experiment("new"))
        repository.close()
        assert (len(everything(path)[0]), version(path)) == (2, 1)
        (disk / "filling").unlink()
        repository.save_experiment(experiment("new"))
        repository.close()
        assert (len(everything(path)[0]), version(path)) == (3, 2)
