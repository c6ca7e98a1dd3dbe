"""The sampler as its parent sees it: started, heard, asked for everything up to now, stopped."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.errors import MeterError

START_PATIENCE_S = 20.0
FLUSH_PATIENCE_S = 1.0
STOP_PATIENCE_S = 2.0
PIPE_BYTES = 1 << 20

Heard = Callable[[list[SensorSample], list[State]], None]


class SamplerProcess:
    """A child that reads what `spec` names (see `sampler`) and passes it to `heard`, in a thread that mostly sleeps."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._news = threading.Condition()
        self._first: dict[str, Any] | None = None
        self._asked = self._flushed = 0
        self._ended = False

    def start(self, heard: Heard) -> None:
        """Start it, and return when it reads.

        Raises:
            MeterError: it does not start, or its sensor is gone.
        """
        command = [sys.executable, "-P", "-m", "llenergymeasure.energy.sampler", json.dumps(self._spec)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C at a terminal goes to the group of the run, and not to the sampler
            )
        except OSError as error:
            raise MeterError(f"the energy sampler cannot be started: {error}") from error
        _widen(self._process)
        self._thread = threading.Thread(target=self._listen, args=(self._process, heard), daemon=True)
        self._thread.start()
        with self._news:
            self._news.wait_for(lambda: self._first is not None or self._ended, START_PATIENCE_S)
            first = self._first or {"error": "it ended without a word" if self._ended else "it gives no sign"}
        if "error" in first:
            self.stop()
            raise MeterError(f"the energy sampler did not start: {first['error']}")

    @property
    def pid(self) -> int | None:
        """Its process id; None before it starts."""
        return self._process.pid if self._process else None

    def flush(self) -> bool:
        """Wait until everything that it has read by now is heard, or a second; False where it is gone."""
        if self._process is None or self._process.stdin is None or self._ended:
            return False
        self._asked += 1
        wanted = self._asked
        try:
            self._process.stdin.write(b"f")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        with self._news:
            self._news.wait_for(lambda: self._flushed >= wanted or self._ended, FLUSH_PATIENCE_S)
            return self._flushed >= wanted or not self._ended  # one that is only held up will go on

    def stop(self) -> None:
        """End it. Stopping twice does nothing."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(OSError):  # it has died, and what was still to be sent cannot be
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._thread.join()

    def _listen(self, process: subprocess.Popen[bytes], heard: Heard) -> None:
        if process.stdout is None:  # for the type checker: it is a pipe
            return
        try:
            with process.stdout as lines:
                for line in lines:
                    if line.endswith(b"\n"):  # else it was killed while it wrote
                        self._hear(json.loads(line), heard)
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _hear(self, message: dict[str, Any], heard: Heard) -> None:
        if "reads" in message:
            heard([SensorSample(*row) for row in message["reads"]], [_state(*row) for row in message["states"]])
        with self._news:
            self._first = self._first or message
            self._flushed = message.get("flush", self._flushed)
            self._news.notify_all()


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Room for minutes of reads, should this process be too busy to listen: a full pipe stops the reading."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        if process.stdout is not None:
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _state(device: str, at_s: float, throttle: list[str], pids: list[int] | None) -> State:
    return State(device, at_s, tuple(throttle), None if pids is None else tuple(pids))
