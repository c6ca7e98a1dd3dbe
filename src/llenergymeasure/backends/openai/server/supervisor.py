"""The supervisor: a process of its own that starts a server, and ends it with all that it has started.

`python -m llenergymeasure.backends.openai.server.supervisor`: standard input has a line of JSON,
`{"command", "grace_s", "log"}`, and stays open while the server is to run. Standard output gets lines of JSON:
`{"pid": n}` or `{"error": text}`, then `{"code": n}` when the server has ended (-n: by signal n). Standard error is the
server's log.

When standard input closes, its parent is gone or it gets SIGTERM, every process gets SIGTERM; what is left `grace_s`
later, or at once with a further SIGTERM, gets SIGKILL. On Linux it becomes the parent of every process that loses its
own, so that none gets away, in whatever session it is. When none is left it overwrites the keys in the log, also where
its parent was killed, and ends: its exit code 0 says so.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from llenergymeasure.backends.openai.server.server_log import ServerLog
from llenergymeasure.process_tree import adopt_orphans

LOOK_EVERY_S = 1.0  # whether the parent lives: a copy of it, made by a fork, may still hold the pipe
KILL_EVERY_S = 0.05  # what is killed may just have started others
STOPS_TO_KILL = 2  # a pipe that closes and a SIGTERM, or two of these
PR_SET_PDEATHSIG = 1
STDIN, STDOUT, STDERR = 0, 1, 2


def main() -> None:
    """Start the server, wait for its end, end all of its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:  # the parent has gone
        return
    task = json.loads(line)
    supervisor = Supervisor(task["grace_s"])
    if supervisor.start(task["command"]):
        supervisor.wait_for_the_end()
        supervisor.stop()
    log = task["log"]
    ServerLog(Path(log["path"]), log["keys"], log["began"]).overwrite_keys()


class Supervisor:
    """Starts one server and ends it with all of its processes; a process has at most one."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._parent = os.getppid()
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        self._stops_heard = 0
        self._woken, wakes = os.pipe()
        for end in (self._woken, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._hear)

    def start(self, command: Sequence[str]) -> bool:
        """Start the server; return False where it cannot be started, which is reported."""
        adopt_orphans()
        try:
            self._server = subprocess.Popen(  # noqa: S603 - the user's own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=STDERR,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _report({"error": getattr(error, "strerror", None) or str(error)})
            return False
        _report({"pid": self._server.pid})
        return True

    def wait_for_the_end(self) -> None:
        """Return when the server is to be stopped; it may have ended long before."""
        while not self._stops_heard and os.getppid() == self._parent:
            self._reap()
            self._stops_heard += STDIN in self._wait(LOOK_EVERY_S, STDIN)

    def stop(self) -> None:
        """End every process; return when none is left."""
        self._signal_all(signal.SIGTERM)
        until_s = time.monotonic() + self._grace_s
        while self._reap() and self._stops_heard < STOPS_TO_KILL and (left_s := until_s - time.monotonic()) > 0:
            self._wait(left_s)
        while self._reap():
            self._signal_all(signal.SIGKILL)
            self._wait(KILL_EVERY_S)

    def _prepare(self) -> None:
        """Run in the server's process before its program: reset SIGINT, and have it killed when the supervisor ends."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self._prctl is not None:
            self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def _reap(self) -> bool:
        """Wait for the processes that have ended, without blocking; return True if others are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._server.pid:
                self._server.returncode = os.waitstatus_to_exitcode(status)
                _report({"code": self._server.returncode})

    def _signal_all(self, number: signal.Signals) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        if sys.platform != "linux":  # those that have lost their parents are no descendants there
            with contextlib.suppress(OSError):
                os.killpg(self._server.pid, number)

    def _wait(self, for_s: float, *descriptors: int) -> list[int]:
        """Return those of `descriptors` that have something to read within `for_s` seconds; a signal ends the wait."""
        ready, _, _ = select.select([self._woken, *descriptors], [], [], for_s)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._woken, 1024):
                pass
        return [each for each in ready if each != self._woken]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._stops_heard += number != signal.SIGCHLD


def _report(message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        os.write(STDOUT, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    main()
