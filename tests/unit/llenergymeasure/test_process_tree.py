"""The CPU time of what a process has started."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from launched import wait_until

from llenergymeasure import process_tree
from llenergymeasure.energy.cpu_time import CpuTime, ThisProcess
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.process_tree import FollowedTree, live_descendants
from llenergymeasure.run.measurement_window import MeasurementWindow
from warm import without_interpreter

BURN = """
import os, sys, time
def burn():
    while time.process_time() < 0.4:
        pass
"""


def started_cpu_s(process):
    return FollowedTree(process).look().seconds


@pytest.fixture
def start():
    """Start a process that runs this code; it ends with the test."""
    processes = []

    def started(code):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", BURN + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdout.readline() == b"burnt\n"
        return process

    yield started
    for process in processes:
        process.communicate()


WAITS = "print('burnt', flush=True); sys.stdin.read()"
CHILD_BURNS = f"""
if os.fork() == 0:
    burn()
    os._exit(0)
os.wait()
{WAITS}
"""


@pytest.mark.parametrize("lists_children", [process_tree.LISTS_CHILDREN, False], ids=["listed", "looked for"])
def test_a_grandchild_that_has_ended_counts_while_its_parent_runs_and_after(start, lists_children, monkeypatch):
    monkeypatch.setattr(process_tree, "LISTS_CHILDREN", lists_children)
    before_s = started_cpu_s(psutil.Process())
    child = start(CHILD_BURNS)
    assert 0.35 <= started_cpu_s(psutil.Process()) - before_s < 1.5
    assert [process.pid for process in without_interpreter(live_descendants(psutil.Process()))] == [child.pid]
    child.communicate()
    assert 0.35 <= started_cpu_s(psutil.Process()) - before_s < 1.5


def test_a_process_that_is_gone_is_told(start):
    child = start(WAITS)
    process = psutil.Process(child.pid)
    child.communicate()
    for look in (started_cpu_s, live_descendants):
        with pytest.raises(psutil.NoSuchProcess):
            look(process)


def test_an_estimate_does_not_count_a_child_twice_that_ends_just_after_it_was_seen(start):
    with CpuTimeEstimate(10.0) as meter:
        start_s = time.monotonic()

        def estimate_j():
            end_s = time.monotonic()
            meter.mark()
            return meter.energy(start_s, end_s)[0].energy_j

        child = start(f"burn(); {WAITS}")
        wait_until(lambda: estimate_j() > 3.5)
        running_j = estimate_j()
        child.communicate()
        assert running_j <= estimate_j() < running_j + 2.0


# Processes of which nobody is told


ROUNDING_S = 1e-9
TICKS_S = 2 * process_tree.CLOCK_TICK_S  # what the kernel's ticks may lack of a process that has ended: the shell
BURNT_THEN_WAITS = [sys.executable, "-S", "-c", BURN + f"burn(); {WAITS}"]


@pytest.fixture
def nobody_is_told():
    """Children of this process end without their time being told, as where it ignores SIGCHLD."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_cpu_time_below_a_process_that_ignores_sigchld_is_unknown_with_the_reason(nobody_is_told):
    cpu = CpuTime(ThisProcess())
    cpu.mark(is_edge=True)
    assert cpu.lost.startswith(f"process {os.getpid()} (")
    assert "ignores SIGCHLD, so nobody is told the CPU time" in cpu.lost
    assert MeasurementWindow(cpu=cpu).cpu_use(0.0, 1.0).unknown == cpu.lost
    with CpuTimeEstimate(10.0) as meter:
        assert [device.energy_j for device in meter.energy(0.0, 1.0)] == [None]


def test_a_process_that_was_seen_counts_where_it_ends_and_nobody_is_told(nobody_is_told, monkeypatch):
    monkeypatch.setattr(process_tree, "_ignores_children", lambda pid: False)  # as with SA_NOCLDWAIT, which is not seen
    tree = FollowedTree(psutil.Process())
    start = tree.look()
    child = subprocess.Popen(BURNT_THEN_WAITS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"burnt\n"
    seen = tree.look()
    child.communicate()
    ended = tree.look()
    assert 0.35 < seen.seconds - start.seconds < ended.seconds - start.seconds + ROUNDING_S < 1.5
    assert (start.untold_s, seen.untold_s) == (0.0, 0.0)
    assert ended.untold_s > 0


def test_a_process_that_was_seen_is_followed_once_its_parent_has_ended(tmp_path):
    tree = FollowedTree(psutil.Process())
    start_s = tree.look().seconds
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    helper = subprocess.Popen(
        ["sh", "-c", f'"$@" < {fifo} & read -r end', "sh", *BURNT_THEN_WAITS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with open(fifo, "w"):
        assert helper.stdout.readline() == b"burnt\n"
        (worker,) = psutil.Process(helper.pid).children()
        running_s = tree.look().seconds
        helper.stdin.close()
        helper.wait()
        assert worker.is_running()
        assert worker.ppid() != os.getpid()
        assert tree.look().seconds + TICKS_S >= running_s >= start_s + 0.35
    psutil.wait_procs([worker])
    ended = tree.look()
    assert ended.seconds + TICKS_S >= running_s
    assert ended.untold_s > 0
    helper.stdout.close()
