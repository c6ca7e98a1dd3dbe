"""Runs of several processes, started as a user starts them, and what is seen of each process."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from terminals import read_terminal

import warm
from labledger.schema_versions import parse_record
from llenergymeasure.domain.experiment import RawProcessResult

LLEM = Path(sys.executable).with_name("llem")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", LLEM)
PATIENCE_S = 60.0
SOON_S = 6.0

TWO = {"pytorch": {"data_parallel": 2}}
SAMPLED = {"num_prompts": 7, "batch_size": 2, "max_output_tokens": 60, "decoder": {"do_sample": True}}
SHARES = ([0, 1, 4, 5], [2, 3, 6])  # of seven prompts in batches of two, every second batch
TINY = {"num_prompts": 4, "batch_size": 2, **TWO}
SYNTHETIC = {
    "dataset": {"synthetic": {"input_len": 16, "output_len": 200}},
    "max_input_tokens": None,
    "max_output_tokens": None,
    "decoder": None,
    "batch_size": 2,
    **TWO,
}
SECONDS = {**SYNTHETIC, "num_prompts": 40}
MINUTES = {**SYNTHETIC, "num_prompts": 1000}


class Ended(NamedTuple):
    """The exit code and the streams of a command."""

    code: int
    stdout: str
    stderr: str


class Running:
    """A command at a terminal of its own, where its stderr is shown; and the processes of the run that it has started.

    `members` are the processes of the run by their number, those that have ended too, and `started` all there were.
    """

    def __init__(self, process, terminal, stdout, temporary):
        self.process = process
        self.temporary = temporary
        self.shown = ""
        self.members = {}
        self.started = set()
        self._terminal = terminal
        self._stdout = stdout

    def wait_for(self, pattern):
        """Return when it has been shown."""
        end_s = time.monotonic() + PATIENCE_S
        while re.search(pattern, self.shown) is None:
            if not self._read(end_s):
                raise EOFError(f"it ended and never showed {pattern!r}, but:\n{self.shown}")

    def wait_for_members(self, count=2):
        """Return when so many processes of the run are there."""
        until(lambda: self._look() >= count, f"{count} processes have started")
        return self.members

    def wait_for_requests(self, count):
        """Return when so many requests have finished."""
        self.wait_for_members()
        pattern, end_s = r"measuring: (\d+)/", time.monotonic() + PATIENCE_S
        self.wait_for(pattern)
        while int(re.findall(pattern, self.shown)[-1]) < count:
            assert self._read(end_s), f"it ended before so many had:\n{self.shown}"

    def wait_for_requests_of_each(self, user):
        """Return when twenty requests have finished, and some of each process: they are in its journal."""
        self.wait_for_requests(20)
        until(lambda: all(finished_so_far(user, index) for index in self.members), "each process has finished some")

    def press_ctrl_c(self):
        """As a person at the terminal does."""
        os.write(self._terminal, b"\x03")

    def end(self, patience_s=PATIENCE_S):
        """Read it to its end."""
        end_s = time.monotonic() + patience_s
        while self._read(end_s):
            pass
        code = self.process.wait(patience_s)
        self._stdout.seek(0)
        return Ended(code, self._stdout.read().decode(), self.shown.replace("\r\n", "\n"))

    def wait_until_nobody_is_left(self):
        """Return when every process that was seen has ended."""
        until(lambda: not any(map(lives, self.started)), "every process has ended")

    def kill_all(self):
        """End what a failed test has left."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._look()
        self.process.kill()
        self.process.wait()
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _look(self):
        command = psutil.Process(self.process.pid)
        self.started.update(command.children(recursive=True))
        for child in command.children():
            with contextlib.suppress(psutil.Error, KeyError):  # it has ended, or has not begun
                self.members[int(child.environ()["RANK"])] = child
        return len(self.members)

    def _read(self, end_s):
        found = read_terminal(self._terminal, end_s - time.monotonic(), self.shown)
        self.shown += found
        return bool(found)


@contextlib.contextmanager
def running(user, *command, workers=True, **environment):
    """A command of the user's, at a terminal; nothing of it outlives the block. Its workers start warm, or not."""
    terminal, its_side = pty.openpty()
    temporary = user.folder.with_name("tmp")
    temporary.mkdir(exist_ok=True)

    with tempfile.TemporaryFile() as stdout:
        process = warm.Popen(
            command,
            cwd=user.folder,
            env=user.environment(TMPDIR=str(temporary), **environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=its_side,
            terminal=True,
            workers=workers,
        )
        os.close(its_side)
        command = Running(process, terminal, stdout, temporary)
        try:
            yield command
        finally:
            command.kill_all()
            os.close(terminal)


def until(condition, what):
    """Return when `condition` holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def lives(process):
    """Return True if a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def has_come(command, index):
    """Return True if a process has come to the meeting that all have before they measure."""
    return any(command.temporary.glob(f"llem-*/0_{index}"))


def load(path):
    """One process's raw result."""
    return parse_record(RawProcessResult, path.read_bytes(), str(path))[0]


def kept(user):
    """The raw results of the one unfinished run in the user's results, by the number of their process."""
    raws = [load(path) for path in user.folder.glob("results/.state/*/process_[0-9].json")]
    return {raw.process_index: raw for raw in raws}


def finished_so_far(user, index):
    """Return True if a process has written requests into its journal."""
    return any(
        b'"requests":' in path.read_bytes() for path in user.folder.glob(f"results/.state/*/process_{index}.jsonl")
    )


def journalled(user, index):
    """The number of requests that `llem results recover` found in the journals of killed processes, and of journals."""
    raws = [load(path) for path in user.folder.glob(f"results/.state/*/process_{index}.recovered.json")]
    for raw in raws:
        assert raw.is_partial
        assert set(raw.requests.output_tokens) == {200}
    return sum(len(raw.requests.output_tokens) for raw in raws), len(raws)
