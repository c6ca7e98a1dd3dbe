"""`llem meter`: all that a command has started counts, and its exit code is its own; live, Ctrl-C ends it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from hostile_folders import llem

import llenergymeasure
from llenergymeasure import api
from llenergymeasure.process_tree import adopting_orphans

ESTIMATE = ("meter", "--source", "estimate")


@pytest.fixture
def sigchld_is_ignored():
    """Nobody is told how children end, as in a program that was started so."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(("line", "code"), [("exit 7", 7), ("kill -KILL $$", 128 + 9)])
@pytest.mark.usefixtures("sigchld_is_ignored")
def test_a_commands_exit_code_is_known_where_llem_was_started_with_sigchld_ignored(line, code):
    assert llem(*ESTIMATE, "--", "sh", "-c", line)[0] == code


@pytest.mark.usefixtures("sigchld_is_ignored")
def test_in_python_an_estimate_that_nobody_can_make_is_unknown_with_the_reason():
    with llenergymeasure.measure_energy(source="estimate") as window:
        pass
    assert window.energy_j is None
    assert any("ignores SIGCHLD, so nobody is told" in warning for warning in window.warnings)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN


def orphan():
    """A process whose parent has ended."""
    started = subprocess.run(["sh", "-c", "sleep 60 > /dev/null & echo $!"], stdout=-1, check=True)
    return psutil.Process(int(started.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a process that asks for them")
def test_orphans_are_adopted_for_a_block_alone():
    with adopting_orphans():
        adopted = orphan()
        assert adopted.ppid() == os.getpid()
    left = orphan()
    assert left.ppid() != os.getpid()
    left.kill()
    adopted.kill()
    adopted.wait()


def test_live_ctrl_c_before_the_first_line_says_that_nothing_was_measured(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "energy_window", interrupted)
    assert llem("meter") == (0, "ended before anything was measured\n")
