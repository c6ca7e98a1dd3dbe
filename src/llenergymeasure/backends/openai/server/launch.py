"""A server that we start, and that ends with us: with the run, at Ctrl-C, and when we are killed; and its log.

Its parent is a process of its own, the supervisor, which holds a pipe from here: when that closes, for whatever
reason, it ends the server and all that the server has started.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from llenergymeasure.backends.openai.client.probe import HealthCheck
from llenergymeasure.backends.openai.server.presets import find_program, missing_program
from llenergymeasure.backends.openai.server.server_log import ServerLog
from llenergymeasure.errors import BackendError
from llenergymeasure.process_tree import CpuSpent, FollowedTree, live_descendants

GRACE_S = 10.0
KILL_PATIENCE_S = 20.0
LOOK_EVERY_S = 0.25
ANSWER_PATIENCE_S = 10.0
MARK = "LLEM_SERVER"
"""An environment variable that marks the server's processes."""


class LaunchedServer:
    """A running server; a context manager. It may take a while until it answers: see `wait_until_ready`.

    `command` runs without a shell, with this process's environment; what it prints is added to the file `log`, which
    is never removed and which every error names and quotes, without `keys`. To stop it, each of its processes gets
    SIGTERM, and SIGKILL where it is still there `grace_s` later.

    Raises:
        BackendError: it cannot be started, the log cannot be written, or something listens at `base_url` already.
    """

    def __init__(
        self, command: Sequence[str], *, base_url: str, log: Path, keys: Sequence[str] = (), grace_s: float = GRACE_S
    ) -> None:
        self._check = HealthCheck(base_url)
        self._check.refuse_others()
        command = [_executable(command[0]), *command[1:]]
        self._log = ServerLog(log, keys)
        self._grace_s = grace_s
        self._mark = secrets.token_hex(16)
        self._unread = b""
        self._code: int | None = None
        self._is_closed = False
        self._cpu = CpuSpent(0.0, 0)
        self.pid = -1  # until it is known: no session has this number
        with self._log.open() as file:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "llenergymeasure.backends.openai.server.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                bufsize=0,
                env={**os.environ, MARK: self._mark},
                start_new_session=True,
            )
        try:
            self.pid = self._start(command)
        except BaseException:
            self._let_go()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_until_ready(self, timeout_s: float, waited: Callable[[float], None] | None = None) -> None:
        """Return when the server answers `GET base_url/models`; meanwhile `waited` is called with the seconds so far.

        Raises:
            BackendError: it has ended, or does not answer within `timeout_s`.
        """
        start_s = time.monotonic()
        while True:
            self._refuse_its_end()
            left_s = start_s + timeout_s - time.monotonic()
            found = self._check.problem(min(max(left_s, LOOK_EVERY_S), ANSWER_PATIENCE_S), self._reports)
            self._refuse_its_end()  # it may be another that has answered
            if found is None:
                return
            waited_s = time.monotonic() - start_s
            if waited_s >= timeout_s:
                missed = f"did not answer at {self._check.url} within {timeout_s:g} s ({found})"
                raise BackendError(f"the server {missed}; {self._log.quoted()}")
            if waited is not None:
                waited(waited_s)
            self._listen(min(LOOK_EVERY_S, timeout_s - waited_s))

    def problem(self) -> str | None:
        """Return how the server has ended, with the last lines of its log; None, after microseconds, while it runs."""
        end = self._end()
        return None if end is None else f"{end}; {self._log.quoted()}"

    def pids(self) -> list[int]:
        """Return the numbers of all of its processes that run."""
        try:
            return [process.pid for process in live_descendants(self._tree)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all of its processes so far, ended ones included; it never falls."""
        return self.cpu_spent().seconds

    def cpu_spent(self) -> CpuSpent:
        """Return those seconds, and how many processes they were read of."""
        with contextlib.suppress(psutil.NoSuchProcess):
            now = self._followed.look()
            self._cpu = now._replace(seconds=max(self._cpu.seconds, now.seconds))
        return self._cpu

    def close(self) -> None:
        """Stop it; return when none of its processes is left. Closing twice does nothing.

        A further Ctrl-C does not wait for them to end by themselves.

        Raises:
            BackendError: a process cannot be killed.
        """
        if self._is_closed:
            return
        try:
            self.cpu_spent()
            self._let_go()
        except KeyboardInterrupt:
            _stream(self._supervisor.stdin).close()
            self._supervisor.terminate()
            self._let_go()
            raise

    def _start(self, command: list[str]) -> int:
        self._tree = psutil.Process(self._supervisor.pid)
        self._followed = FollowedTree(self._tree)
        os.set_blocking(self._reports, False)
        with contextlib.suppress(BrokenPipeError):  # it has ended; see below
            task = {"command": command, "grace_s": self._grace_s, "log": self._log.arguments}
            _stream(self._supervisor.stdin).write(json.dumps(task).encode() + b"\n")
        first: dict[str, Any] = {}
        while not first and self._supervisor.returncode is None:  # which is known once it has nothing more to say
            first = next(iter(self._listen(None)), {})
        if "pid" not in first:
            why = first.get("error", "its supervisor has ended")
            raise BackendError(f"{command[0]} cannot be started: {why}; {self._log.quoted()}")
        return int(first["pid"])

    def _refuse_its_end(self) -> None:
        if (end := self._end()) is not None:
            raise BackendError(f"{end} before it was ready; {self._log.quoted()}")

    @property
    def _reports(self) -> int:
        return int(_stream(self._supervisor.stdout).fileno())

    def _end(self) -> str | None:
        """Return how the server has ended; None while it runs."""
        if self._is_closed:
            return "the server has been stopped"
        supervisor_has_ended = self._supervisor.poll() is not None
        self._listen(0)
        if self._code is not None:
            return f"the server {_ending(self._code)}"
        if supervisor_has_ended or self._supervisor.returncode is not None:
            self._end_what_is_left()
            return f"the server was killed: its supervisor {_ending(self._supervisor.returncode)}"
        return None

    def _listen(self, wait_s: float | None) -> list[dict[str, Any]]:
        """Return what the supervisor has reported since the last call; wait up to `wait_s` for it, None without end."""
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        if not poll.poll(None if wait_s is None else wait_s * 1000):
            return []
        if not (piece := os.read(self._reports, 4096)):
            self._supervisor.wait()  # it is about to end
        *lines, self._unread = (self._unread + piece).split(b"\n")
        reports = [json.loads(line) for line in lines]
        for report in reports:
            self._code = report.get("code", self._code)
        return reports

    def _let_go(self) -> None:
        """Close the pipe, and wait until the supervisor has ended everything."""
        _stream(self._supervisor.stdin).close()
        try:
            self._supervisor.wait(self._grace_s + KILL_PATIENCE_S)
        except subprocess.TimeoutExpired:
            if left := ", ".join(map(str, self.pids())):
                raise BackendError(
                    f"the server's processes {left} do not end, though killed; {self._log.quoted()}"
                ) from None
            self._supervisor.wait()  # it overwrites the keys in a long log
        if self._supervisor.returncode != 0:
            self._end_what_is_left()
            self._log.overwrite_keys()
        _stream(self._supervisor.stdout).close()
        self._is_closed = True

    def _end_what_is_left(self) -> None:
        """Kill what the supervisor, killed itself, could not."""
        until_s = time.monotonic() + KILL_PATIENCE_S
        while left := [process for process in psutil.process_iter() if self._is_of_server(process)]:
            if time.monotonic() >= until_s:
                raise BackendError(f"the server's processes {[each.pid for each in left]} do not end, though killed")
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=LOOK_EVERY_S)

    def _is_of_server(self, process: psutil.Process) -> bool:
        """Return True if it is in the server's session or has its mark; a process may lose either."""
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != self._supervisor.pid and process.status() != psutil.STATUS_ZOMBIE:
                return os.getsid(process.pid) == self.pid or process.environ().get(MARK) == self._mark
        return False


def _executable(name: str) -> str:
    """Return the path of a program; raise BackendError where there is none."""
    found = find_program(name)
    if found is None:
        raise BackendError(missing_program(name) or name)
    return found


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"


def _stream(pipe: Any) -> Any:
    assert pipe is not None  # noqa: S101 - it is a pipe
    return pipe
