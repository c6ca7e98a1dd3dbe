"""The lock of a database file: one holder after the other, though one that waits is stopped, killed, or gives up."""

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from foreign_locks import locked, noted
from payment_simulator.experiments.persistence import DatabaseBusyError, ExperimentRepository
from payment_simulator.experiments.persistence.file_lock import FileLock
from small_experiment import experiment

WAIT = """
import sys
from pathlib import Path
from payment_simulator.experiments.persistence.file_lock import FileLock
file_lock = FileLock(Path(sys.argv[1]), patience_s=60)
with file_lock.acquired(file_lock.wait()) as held_lock:
    held_lock.call_next()
    print("has it", flush=True)
    sys.stdin.read()
"""
PATIENCE_S = 60


@pytest.fixture
def path(tmp_path):
    return tmp_path / "exp1.db"


@pytest.fixture
def stopped(path):
    """A process that is next, and was stopped when another had the file; the file is left to it."""
    with taken(FileLock(path, PATIENCE_S)) as held_lock:
        command, pipe = [sys.executable, "-c", WAIT, path], subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        held_lock.call_next()
        wait_until(FileLock(path, PATIENCE_S).is_awaited)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    with process:
        yield process
        process.kill()


@contextlib.contextmanager
def taken(file_lock):
    with file_lock.acquired(file_lock.wait()) as held_lock:
        yield held_lock


def wait_until(condition):
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_stopped_process_that_is_next_keeps_nobody_out_and_gets_the_lock_when_it_goes_on(path, stopped):
    others = FileLock(path, patience_s=0.5)
    for _ in range(3):
        with taken(others) as held_lock:
            held_lock.call_next()
    assert others.is_awaited()
    stopped.send_signal(signal.SIGCONT)
    assert stopped.stdout.readline() == "has it\n"
    wait_until(lambda: not others.is_awaited())


def test_a_wait_behind_a_stopped_process_names_the_holder_of_the_file(path, stopped):
    impatient = FileLock(path, patience_s=0.1)
    with taken(FileLock(path, PATIENCE_S)) as held_lock:
        held_lock.publish_other("another (PID 5)")
        with pytest.raises(DatabaseBusyError, match=r"now by another \(PID 5\)"), taken(impatient):
            pass
        held_lock.publish()
        with pytest.raises(DatabaseBusyError, match=f"now by process {os.getpid()} on"), taken(impatient):
            pass
    with taken(impatient):
        pass


def test_a_released_lock_is_published_as_nobodys(path):
    file_lock = FileLock(path, patience_s=0.1)
    with taken(file_lock):
        assert file_lock.holder().startswith(f"process {os.getpid()} on ")
    assert re.fullmatch(r"nobody since 20\d\d-\S+", file_lock.holder())
    assert "now by someone unknown; try" in str(file_lock.busy())


def test_many_who_pass_over_a_stopped_one_have_the_file_one_at_a_time(path, stopped):
    has, most, served = [], [], []

    def take(number):
        file_lock = FileLock(path, patience_s=5)
        for _ in range(3):
            with taken(file_lock) as held_lock:
                held_lock.call_next()
                has.append(number)
                time.sleep(0.001)
                most.append(len(has))
                has.remove(number)
                served.append(number)
        if number == 0:
            stopped.send_signal(signal.SIGCONT)
            stopped.stdin.close()

    threads = [threading.Thread(target=take, args=[number]) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(served) == sorted([*range(6)] * 3)
    assert set(most) == {1}


def test_to_wait_behind_a_stopped_one_often_costs_one_thread_and_no_files(path, stopped):
    file_lock, counted = FileLock(path, patience_s=0.2), set()
    for _ in range(4):
        with taken(file_lock) as held_lock:
            held_lock.call_next()
        counted.add((threading.active_count(), len(os.listdir("/dev/fd"))))
    assert len(counted) == 1


def test_to_give_up_often_costs_one_thread_and_no_files(path):
    file_lock, counted = FileLock(path, patience_s=0.05), set()
    with taken(FileLock(path, PATIENCE_S)) as held_lock:
        held_lock.call_next()
        for _ in range(4):
            with pytest.raises(DatabaseBusyError), taken(file_lock):
                pass
            counted.add((threading.active_count(), len(os.listdir("/dev/fd"))))
    assert len(counted) == 1
    with taken(file_lock):
        pass


def test_a_child_that_was_forked_while_one_waited_keeps_no_place_in_the_line(path, stopped):
    file_lock = FileLock(path, patience_s=0.5)
    with taken(file_lock):
        pass
    go_on, say_so = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        with contextlib.suppress(BaseException):
            stopped.stdin.close()
            with taken(file_lock):  # with a place of its own
                pass
            os.close(say_so)
            os.read(go_on, 1)
            code = 0
        os._exit(code)
    stopped.send_signal(signal.SIGCONT)
    assert stopped.stdout.readline() == "has it\n"
    stopped.stdin.close()
    wait_until(lambda: not file_lock.is_awaited())  # though the child lives
    os.close(say_so)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(go_on)


def test_a_program_that_is_none_of_ours_and_keeps_the_lock_is_told_of_waited_for_once_and_passed_over(path):
    repository = ExperimentRepository(path, patience_s=0.2)
    repository.close()
    with locked(path.with_name(".exp1.db.lock")), noted() as texts:
        for number in (1, 2):
            repository.save_experiment(experiment(f"run-{number}"))
            repository.close()
        with ExperimentRepository(path, patience_s=0.2) as other:
            assert len(other.list_experiments()) == 2
    who = rf"process {os.getpid()} \(.+\)"
    told = [
        rf".*exp1\.db: in use by {who}; waiting for it up to 0\.2 s",
        rf".*lock: locked for 0\.2 s by {who}, which .*",
    ]
    assert all(map(re.fullmatch, told * 2, texts))
    assert len(texts) == 4


def test_a_wait_for_one_of_ours_is_told_too(path):
    impatient = FileLock(path, patience_s=0.2)
    with taken(FileLock(path, PATIENCE_S)) as held_lock, noted() as texts:
        held_lock.call_next()
        with pytest.raises(DatabaseBusyError), taken(impatient):
            pass
    assert [re.sub(r"since \S+", "since", text) for text in texts] == [
        f"{path}: in use by process {os.getpid()} on {platform.node()} since waiting for it up to 0.2 s"
    ]
