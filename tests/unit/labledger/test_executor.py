"""Many calls over all cores: what comes back, and what remains when it ends early."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import executed
import pytest

from labledger.errors import ConfigError, LabledgerError
from labledger.executor import WorkerError, run_all

HERE = Path(__file__).parent
DRIVER = """
import sys, pathlib
sys.path.insert(0, {here!r})
import executed
from labledger.ending import end_on_signals
from labledger.executor import run_all
end_on_signals()
list(run_all(executed.goes_on, [pathlib.Path({folder!r})] * 3, max_workers=2))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_each_item_comes_back_once_with_its_value_or_its_error(workers, caplog):
    done = {each.index: each for each in run_all(executed.third_is_refused, range(5), max_workers=workers)}

    assert [done[index].value for index in range(3)] == [0, 1, 4]
    assert str(done[3].error) == "no 3"
    assert isinstance(done[3].error, ConfigError)
    with pytest.raises(Exception, match="four 4"):
        done[4].result()
    notices = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert notices == ["told by every worker"] * (5 if workers == 1 else 1)


def test_a_worker_that_is_killed_is_replaced_and_one_that_is_killed_twice_is_an_error_of_its_item(tmp_path):
    (once,) = list(run_all(executed.killed_once, iter([tmp_path]), max_workers=2))
    done = {each.index: each for each in run_all(executed.killed_each_time, range(4), max_workers=2)}

    assert once.result() == 2
    assert [done[index].value for index in (0, 1, 3)] == [0, 1, 3]
    assert isinstance(done[2].error, WorkerError)
    assert str(done[2].error) == "item 2 (2): its worker process was ended by SIGKILL, tried 2 times; was memory out?"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_leaves_no_worker_behind_and_lets_it_end_its_work(tmp_path, number):
    script = DRIVER.format(here=str(HERE), folder=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    workers = [int(Path(each).stem) for each in _awaited(tmp_path, "*.began", 2)]

    driver.send_signal(number)
    driver.wait(30)
    _awaited(tmp_path, "*.ended", 2)

    for pid in workers:
        _await(lambda pid=pid: not _is_alive(pid))
    assert "executor_worker" not in driver.stderr.read()


def test_what_workers_could_not_run_is_refused_before_any_is_started():
    with pytest.raises(ConfigError, match="on: no such place: 'ray'; there is local, the cores of this machine"):
        run_all(executed.killed_each_time, range(4), on="ray")
    with pytest.raises(ValueError, match="max_workers: 0: at least one"):
        run_all(executed.killed_each_time, range(4), max_workers=0)
    with pytest.raises(ValueError, match="cannot be sent to a worker"):
        list(run_all(lambda number: number, range(4), max_workers=2))
    assert issubclass(WorkerError, LabledgerError)


def _awaited(folder, pattern, count):
    _await(lambda: len(list(folder.glob(pattern))) == count)
    return list(folder.glob(pattern))


def _await(is_so, seconds=60.0):
    until_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def _is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False
