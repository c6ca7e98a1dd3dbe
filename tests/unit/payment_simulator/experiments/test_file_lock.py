"""Turns with a file: one after the other, though one who waits is stopped, killed, or has given up."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from payment_simulator.experiments.persistence import DatabaseBusyError
from payment_simulator.experiments.persistence.file_lock import Turns

WAIT = """
import sys
from pathlib import Path
from payment_simulator.experiments.persistence.file_lock import Turns
turns = Turns(Path(sys.argv[1]), patience_s=60)
with turns.turn(turns.wait()) as turn:
    turn.call_next()
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
    with taken(Turns(path, PATIENCE_S)) as turn:
        command, pipe = [sys.executable, "-c", WAIT, path], subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        turn.call_next()
        wait_until(Turns(path, PATIENCE_S).is_awaited)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    with process:
        yield process
        process.kill()


@contextlib.contextmanager
def taken(turns):
    with turns.turn(turns.wait()) as turn:
        yield turn


def wait_until(condition):
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_who_is_next_and_stopped_keeps_nobody_out_and_has_its_turn_when_it_goes_on(path, stopped):
    others = Turns(path, patience_s=0.5)
    for _ in range(3):
        with taken(others) as turn:
            turn.call_next()
    assert others.is_awaited()
    stopped.send_signal(signal.SIGCONT)
    assert stopped.stdout.readline() == "has it\n"
    wait_until(lambda: not others.is_awaited())


def test_who_waits_behind_a_stopped_one_is_told_who_has_the_file_now(path, stopped):
    impatient = Turns(path, patience_s=0.1)
    with taken(Turns(path, PATIENCE_S)) as turn:
        turn.tell_of("another (PID 5)")
        with pytest.raises(DatabaseBusyError, match=r"now by another \(PID 5\)"), taken(impatient):
            pass
        turn.tell()
        with pytest.raises(DatabaseBusyError, match=f"now by process {os.getpid()} on"), taken(impatient):
            pass
    with taken(impatient):
        pass


def test_an_ended_turn_is_told_of_as_nobodys(path):
    turns = Turns(path, patience_s=0.1)
    with taken(turns):
        assert turns.holder().startswith(f"process {os.getpid()} on ")
    assert re.fullmatch(r"nobody since 20\d\d-\S+", turns.holder())
    assert "now by someone unknown; try" in str(turns.busy())


def test_many_who_pass_over_a_stopped_one_have_the_file_one_at_a_time(path, stopped):
    has, most, served = [], [], []

    def take(number):
        turns = Turns(path, patience_s=5)
        for _ in range(3):
            with taken(turns) as turn:
                turn.call_next()
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
    turns, counted = Turns(path, patience_s=0.2), set()
    for _ in range(4):
        with taken(turns) as turn:
            turn.call_next()
        counted.add((threading.active_count(), len(os.listdir("/dev/fd"))))
    assert len(counted) == 1


def test_to_give_up_often_costs_one_thread_and_no_files(path):
    turns, counted = Turns(path, patience_s=0.05), set()
    with taken(Turns(path, PATIENCE_S)) as turn:
        turn.call_next()
        for _ in range(4):
            with pytest.raises(DatabaseBusyError), taken(turns):
                pass
            counted.add((threading.active_count(), len(os.listdir("/dev/fd"))))
    assert len(counted) == 1
    with taken(turns):
        pass


def test_a_child_that_was_forked_while_one_waited_keeps_no_place_in_the_line(path, stopped):
    turns = Turns(path, patience_s=0.5)
    with taken(turns):
        pass
    go_on, say_so = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        with contextlib.suppress(BaseException):
            stopped.stdin.close()
            with taken(turns):  # with a place of its own
                pass
            os.close(say_so)
            os.read(go_on, 1)
            code = 0
        os._exit(code)
    stopped.send_signal(signal.SIGCONT)
    assert stopped.stdout.readline() == "has it\n"
    stopped.stdin.close()
    wait_until(lambda: not turns.is_awaited())  # though the child lives
    os.close(say_so)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(go_on)
