"""Processes on a device: foreign, or of the same run."""

import os

import pytest
from run_processes import SECOND_OF_THREE, started

JUDGE = """
import os, subprocess, sys
from llenergymeasure.energy.foreign_processes import ProcessWatch

child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
pids = {"self": os.getpid(), "child": child.pid}
for printed in sys.argv[1:]:
    name, _, pid = printed.partition("=")
    pids[name] = int(pid)
watch = ProcessWatch()
watch.see("GPU-0", tuple(pids.values()))
print(*(name for name, pid in pids.items() if watch.foreign((pid,))))
child.communicate()
"""
WAIT_WITH_A_CHILD = """
import subprocess, sys

child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


@pytest.mark.parametrize(
    ("environment", "foreign"),
    [
        (SECOND_OF_THREE, {"launcher"}),
        (SECOND_OF_THREE | {"WORLD_SIZE": "1"}, {"launcher"}),
        ({}, {"sibling", "nephew", "launcher"}),
    ],
    ids=["one of several", "the only one of torchrun", "alone"],
)
def test_siblings_and_their_children_are_foreign_unless_they_are_of_the_same_run(monkeypatch, environment, foreign):
    for name in SECOND_OF_THREE:
        monkeypatch.delenv(name, raising=False)
    with started(WAIT_WITH_A_CHILD) as sibling:
        nephew = sibling.stdout.readline().strip()
        pids = {"sibling": sibling.pid, "nephew": nephew, "launcher": os.getpid()}
        with started(JUDGE, *(f"{name}={pid}" for name, pid in pids.items()), **environment) as judge:
            printed, _ = judge.communicate(timeout=60)
        sibling.communicate()
    assert set(printed.split()) == foreign
