"""One database of experiments: many processes at once, some of them killed, and disks without room."""

import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from disks import leave_free, mounted, remount
from interrupts import ctrl_c_when_the_timer_rings
from saving import moments_of
from storing import Writers

from payment_simulator.experiments.persistence import DatabaseError, ExperimentRepository
from small_experiment import complete, event, experiment, iteration

LONGEST_WAIT_S = 10  # on a machine that is busy with much else

MAKE = """
import duckdb, sys
from payment_simulator.experiments.persistence import Database
print("begins", flush=True)
Database(sys.argv[1])
"""
TAKE_OVER = """
import sys
from payment_simulator.experiments.persistence import ExperimentRepository, RecordError
repository = ExperimentRepository(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    repository.take_over("run-1")
    print("won", flush=True)
    sys.stdin.readline()
except RecordError as error:
    print(error, flush=True)
"""

BEGIN_AND_STORE = """
import os, sys
sys.path.append(sys.argv[2])
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import experiment, iteration
name, repository = f"run-{os.getpid()}", ExperimentRepository(sys.argv[1])
repository.save_experiment(experiment(name))
for number in range(1, 6):
    repository.save_iteration(iteration(number, name))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "exp1.db"


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "size=6m") as folder:
        yield folder


def ended_owner():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {"host": os.uname().nodename, "pid": process.pid, "pid_started_at": "2026-02-26T14:00:00+00:00"}


def iterations_in(repository):
    """Every iteration that is there; each must have its two events, or the database holds half a step."""
    found = []
    for record in repository.list_experiments():
        name = record.experiment_id
        numbers = [each.iteration_number for each in repository.get_iterations(name)]
        events = repository.get_events(name)
        assert [each.event_id for each in events] == list(range(1, len(events) + 1))
        assert sorted(each.iteration for each in events) == sorted(numbers * 2)
        found += [(name, number) for number in numbers]
    return found


def test_two_experiments_write_at_once_while_their_results_are_read_and_nothing_is_lost(path):
    writers, reads_s, seen = Writers(path, writers=2, iterations=40), [], []
    reader = ExperimentRepository(path)
    while writers.running():
        began_s = time.monotonic()
        seen.append(sum(each.num_iterations for each in reader.list_experiments()))
        reads_s.append(time.monotonic() - began_s)
    stored = writers.end()
    assert (stored.failed, len(stored.iterations)) == ([], 80)
    assert sorted(iterations_in(reader)) == sorted(stored.iterations)
    assert seen == sorted(seen)
    assert max(reads_s + stored.waits_s) < LONGEST_WAIT_S
    assert {each.status for each in reader.list_experiments()} == {"completed"}


@pytest.mark.parametrize(
    ("writers", "iterations", "close_every"),
    [
        (8, 20, 5),
        pytest.param(8, 50, 1, marks=pytest.mark.slow),
        pytest.param(16, 50, 50, marks=pytest.mark.slow),
    ],
)
def test_of_many_processes_that_take_turns_no_acknowledged_row_is_missing(path, writers, iterations, close_every):
    stored = Writers(path, writers, iterations, close_every=close_every).end()
    with ExperimentRepository(path, must_exist=True) as repository:
        assert (stored.failed, len(stored.iterations)) == ([], iterations * writers)
        assert sorted(iterations_in(repository)) == sorted(stored.iterations)
    assert max(stored.waits_s) < LONGEST_WAIT_S


@pytest.mark.parametrize("processes", [5, pytest.param(32, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_on_a_new_database_all_store_while_it_is_read(path, processes):
    command = [sys.executable, "-c", BEGIN_AND_STORE, path, Path(__file__).parents[1]]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(processes)]
    seen, reader = [], ExperimentRepository(path)
    while any(each.poll() is None for each in writers):
        seen.append(sum(each.num_iterations for each in reader.list_experiments()))
    assert [each.communicate()[1] for each in writers] == [""] * processes
    assert seen == sorted(seen)
    numbers = [each.num_iterations for each in reader.list_experiments()]
    assert numbers == [5] * processes


@pytest.mark.parametrize("kills", [4, pytest.param(120, marks=pytest.mark.slow)])
def test_a_writer_that_is_killed_at_any_moment_leaves_whole_transactions_and_all_that_it_acknowledged(tmp_path, kills):
    moments, stored = moments_of(kills), set()
    for number in range(kills):
        if number % 8 == 0:  # a database sees several kills, and none becomes so large that to look at it takes long
            path, known = tmp_path / f"exp{number}.db", set()
        killed = Writers(path, writers=1, iterations=0).kill_after(moments.randrange(12), moments.uniform(0, 0.1))
        known |= set(killed.iterations)
        with ExperimentRepository(path, must_exist=True) as repository:
            found = set(iterations_in(repository))
            assert {each.status for each in repository.list_experiments()} <= {"interrupted"}
        assert known <= found
        assert len(found - known) <= 1  # it was killed between the commit and its word
        known = found
        stored |= {(number, each) for each in killed.iterations}
    assert len(stored) > kills


def test_a_writer_that_is_killed_while_it_makes_the_database_leaves_none_or_an_empty_one(tmp_path):
    moments = moments_of(3)
    for number in range(4):
        path = tmp_path / str(number) / "exp1.db"
        process = subprocess.Popen([sys.executable, "-c", MAKE, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        with ExperimentRepository(path) as repository:
            assert repository.list_experiments() == []
            repository.save_experiment(experiment())


def test_of_many_processes_that_resume_a_run_at_once_one_takes_it_over(path):
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment(owner=ended_owner()))
    command = [sys.executable, "-c", TAKE_OVER, path]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for each in processes:
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        each.stdin.write("go\n")
        each.stdin.flush()
    said = {each.pid: each.stdout.readline() for each in processes}
    [winner] = [pid for pid, words in said.items() if words == "won\n"]
    assert {f"run-1 is run by process {winner} on" in words for words in said.values()} == {True, False}
    assert ExperimentRepository(path).load_experiment("run-1").owner["pid"] == winner
    for each in processes:
        each.communicate()
    assert ExperimentRepository(path).load_experiment("run-1").status == "interrupted"


def test_a_disk_that_fills_at_any_page_refuses_the_step_keeps_the_rest_and_stores_again_once_there_is_room(disk):
    repository, numbers, stored, refused = ExperimentRepository(disk / "exp1.db"), count(1), [], []
    repository.save_experiment(experiment())
    for pages in range(0, 16, 2):
        leave_free(disk, pages)
        for number in [next(numbers) for _ in range(3)]:
            try:
                with repository.transaction() as step:
                    step.save_iteration(iteration(number, policies={"A": "x" * 12000}))
                    step.save_events([event(iteration=number), event("converged", iteration=number)])
                stored.append(("run-1", number))
            except DatabaseError as error:
                refused.append(str(error))
        assert iterations_in(repository) == stored
        (disk / "filling").unlink()
        assert iterations_in(ExperimentRepository(disk / "exp1.db")) == stored
    assert len(stored) > 2
    assert refused
    assert all("exp1.db" in each and "No space left on device; make room" in each for each in refused)
    complete(repository)


def test_a_disk_that_has_no_room_for_a_database_gets_none(disk):
    leave_free(disk, 20)
    with pytest.raises(DatabaseError, match=r"exp1\.db: a database cannot be made there: No space left on device"):
        ExperimentRepository(disk / "exp1.db")
    assert [each.name for each in disk.iterdir() if not each.name.startswith(".")] == ["filling"]
    (disk / "filling").unlink()
    ExperimentRepository(disk / "exp1.db").save_experiment(experiment())


@pytest.mark.parametrize("lock_files", ["kept", "removed"])
def test_a_database_on_a_read_only_disk_is_read_and_not_written(disk, lock_files):
    with ExperimentRepository(disk / "exp1.db") as repository:
        repository.save_experiment(experiment())
    if lock_files == "removed":
        for each in disk.glob(".exp1.db.*"):
            each.unlink()
    remount(disk, "ro")
    repository = ExperimentRepository(disk / "exp1.db", must_exist=True)
    assert len(repository.list_experiments()) == 1
    with pytest.raises(DatabaseError, match="Read-only file system"):
        repository.save_iteration(iteration())
    remount(disk, "rw")
    repository.save_iteration(iteration())


def test_ctrl_c_at_any_moment_of_a_step_stores_it_in_full_or_not_at_all(path):
    repository, moments, interrupted = ExperimentRepository(path), moments_of(8), 0
    repository.save_experiment(experiment())
    acknowledged = []
    with ctrl_c_when_the_timer_rings():
        for number in range(1, 101):
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-4, 0.04))
                with repository.transaction() as step:
                    step.save_iteration(iteration(number))
                    step.save_events([event(iteration=number), event("converged", iteration=number)])
                acknowledged.append(("run-1", number))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted > 5
    assert set(acknowledged) <= set(iterations_in(repository))
