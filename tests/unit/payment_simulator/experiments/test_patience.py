"""A database that somebody keeps: who writes waits, says so, goes on, and ends at Ctrl-C."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from foreign_locks import locked, noted
from payment_simulator.experiments.persistence import DatabaseBusyError, ExperimentRepository, lock_wait
from payment_simulator.experiments.persistence import file_lock as file_lock_module
from payment_simulator.experiments.persistence.file_lock import FileLock
from small_experiment import experiment

SHELL = """
import duckdb, sys
shell = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
HOUR_S = 3600


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """The holder is looked at more often, so that no test waits long to be told."""
    monkeypatch.setattr(lock_wait, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(lock_wait, "TOLD_AGAIN_S", 0.1)


@pytest.fixture
def kept(tmp_path):
    """A repository with patience, and a shell that has its file."""
    with ExperimentRepository(tmp_path / "runs.db", patience_s=HOUR_S) as repository:
        repository.close()
        command = [sys.executable, "-c", SHELL, repository.path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
            assert shell.stdout.readline() == b"held\n"
            yield repository, shell
            with contextlib.suppress(OSError):
                shell.stdin.close()


def once_told(texts, then, times=1):
    """Do `then` in a thread when so many notices have come."""

    def wait():
        while len(texts) < times:
            time.sleep(0.005)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_shell_that_keeps_the_database_makes_a_writer_wait_say_so_again_and_go_on(kept):
    repository, shell = kept
    with noted() as texts:
        thread = once_told(texts, shell.stdin.close, times=3)
        repository.save_experiment(experiment())
        thread.join()
    assert [each.experiment_id for each in repository.list_experiments()] == ["run-1"]
    first, *more, last = texts
    assert re.search(rf"runs\.db: in use by .*\(PID {shell.pid}\).*; waiting for it up to 1 h$", first)
    assert all(re.search(r"waiting for it up to 1 h, for \S+ s so far$", each) for each in more)
    assert re.search(r"runs\.db: free after \S+ s; going on$", last)


def test_ctrl_c_ends_a_wait_also_within_a_run_of_which_asyncio_only_cancels_the_task(kept):
    repository, _ = kept

    async def save():
        repository.save_experiment(experiment())

    with noted() as texts:
        thread = once_told(texts, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(save())
        thread.join()
    assert not any("free after" in text for text in texts)


def test_who_is_in_a_hurry_waits_no_longer_than_a_moment(kept, monkeypatch):
    repository, _ = kept
    monkeypatch.setattr(file_lock_module, "AT_ONCE_S", 0.2)
    repository.hurry()
    with pytest.raises(DatabaseBusyError, match=r"in use for the last 0\.2 s, now by"):
        repository.save_experiment(experiment())
    with pytest.raises(DatabaseBusyError, match=r"in use for the last 0\.2 s, now by"):
        ExperimentRepository(repository.path, patience_s=0)


def test_for_a_program_that_locks_our_lock_file_nobody_has_the_whole_patience(tmp_path, monkeypatch):
    monkeypatch.setattr(file_lock_module, "FOREIGN_PATIENCE_S", 0.2)
    path = tmp_path / "runs.db"
    ExperimentRepository(path).close()
    with locked(path.with_name(".runs.db.lock")), noted() as texts:
        file_lock = FileLock(path, patience_s=HOUR_S)
        with file_lock.acquired(file_lock.wait()):
            pass
    assert re.search(r"waiting for it up to 0\.2 s", texts[0])
    assert re.search(r"locked for 0\.2 s by .*, which is no labledger; going on without it", texts[-1])
