"""The CPU time of what a process has started."""

import subprocess
import sys
import time

import psutil
import pytest
from launched import wait_until

from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.process_tree import live_descendants, started_cpu_s
from warm import without_interpreter

BURN = """
import os, sys, time
def burn():
    while time.process_time() < 0.4:
        pass
"""


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


def test_a_grandchild_that_has_ended_counts_while_its_parent_runs_and_after(start):
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
