"""The sampler: a process of its own that reads a sensor at its own pace, and the run's end of the pipe to it.

`python -m llenergymeasure.energy.sampler SPEC`, SPEC being JSON: `{"sensor": NAME, "options": {...}}`, where NAME is a
module of `sensors/` whose `open_sensor` takes the options; `repeat_s` may stand beside them, for the `Outbox`. It
writes lines of JSON to standard output: `{"ready": true}` or `{"error": text}` first, then `{"samples": [...],
"states": [...]}` every second and at once for each byte on standard input, with `"flush": n` once n of them have come.
It ignores SIGINT and SIGHUP, and ends when standard input closes or its parent is gone: a run that is interrupted still
gets its last samples, and a run that is killed leaves nothing behind.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, cast

from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.energy.sensors.base import Sensor, Task
from llenergymeasure.errors import MeterError

PASS_ON_EVERY_S = 1.0
START_TIMEOUT_S = 20.0
FLUSH_TIMEOUT_S = 1.0
STOP_TIMEOUT_S = 2.0
PIPE_BYTES = 1 << 20

_Column = tuple[str, str]

Receiver = Callable[[list[SensorSample], list[State]], None]


class SamplerProcess:
    """A child that reads what `spec` names and passes it to a receiver, in a thread that mostly sleeps."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._news = threading.Condition()
        self._first: dict[str, Any] | None = None
        self._asked = self._flushed = 0
        self._ended = False

    def start(self, receiver: Receiver) -> None:
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
        self._thread = threading.Thread(target=self._listen, args=(self._process, receiver), daemon=True)
        self._thread.start()
        with self._news:
            self._news.wait_for(lambda: self._first is not None or self._ended, START_TIMEOUT_S)
            first = self._first or {"error": "it ended at once" if self._ended else f"no line in {START_TIMEOUT_S:g} s"}
        if "error" in first:
            self.stop()
            raise MeterError(f"the energy sampler did not start: {first['error']}")

    @property
    def pid(self) -> int | None:
        """Its process id; None before it starts."""
        return self._process.pid if self._process else None

    def flush(self) -> bool:
        """Wait until all that it has read by now is received, a second at the most; return False where it is gone."""
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
            self._news.wait_for(lambda: self._flushed >= wanted or self._ended, FLUSH_TIMEOUT_S)
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
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._thread.join()

    def _listen(self, process: subprocess.Popen[bytes], receiver: Receiver) -> None:
        if process.stdout is None:  # for the type checker: it is a pipe
            return
        try:
            with process.stdout as lines:
                for line in lines:
                    if line.endswith(b"\n"):  # else it was killed while it wrote
                        self._receive(json.loads(line), receiver)
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _receive(self, message: dict[str, Any], receiver: Receiver) -> None:
        if "samples" in message:
            receiver([SensorSample(*row) for row in message["samples"]], [_state(*row) for row in message["states"]])
        with self._news:
            self._first = self._first or message
            self._flushed = message.get("flush", self._flushed)
            self._news.notify_all()


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Make room for minutes of samples, should this process be too busy to listen: a full pipe stops the sampler."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        if process.stdout is not None:
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _state(device: str, at_s: float, throttle: list[str], pids: list[int] | None) -> State:
    return State(device, at_s, tuple(throttle), None if pids is None else tuple(pids))


def main(arguments: list[str]) -> None:
    """Sample until standard input closes."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    try:
        spec = json.loads(arguments[0])
        tasks = list(_sensor(spec).tasks())
    except Exception as error:  # whatever it is, the parent has to know
        _write({"error": f"{type(error).__name__}: {error}"})
        return
    _write({"ready": True})
    try:
        sample(tasks, parent, Outbox(spec.get("repeat_s", 0.0)))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sample(tasks: list[Task], parent: int, outbox: "Outbox") -> None:
    """Run each task when it is due, and pass on what it reads, while `parent` lives."""
    asked = 0
    due_s = [time.monotonic()] * len(tasks)
    pass_on_s = time.monotonic()
    while True:
        for index, task in enumerate(tasks):
            if due_s[index] <= time.monotonic():
                outbox.put(task.read())
                due_s[index] = max(due_s[index] + task.every_s(), time.monotonic())
        command = _command(min(due_s))
        if command == b"" or os.getppid() != parent:
            return
        asked += len(command or b"")
        if command or time.monotonic() >= pass_on_s:
            pass_on_s = time.monotonic() + PASS_ON_EVERY_S
            _write({**outbox.take(), "flush": asked})


class Outbox:
    """Samples and states that are not passed on yet.

    Of the samples that give one value of a counter, only the first and the last are passed on, and no tick is lost by
    it: the tick came before the first, and the next one after the last. Samples of power alone are thinned alike, but
    one each `repeat_s` stays, so that a time without any is one in which power was not read.
    """

    def __init__(self, repeat_s: float = 0.0) -> None:
        self._repeat_s = repeat_s
        self._samples: list[SensorSample] = []
        self._states: list[State] = []
        self._passed: dict[_Column, SensorSample] = {}
        self._repeats: dict[_Column, SensorSample] = {}

    def put(self, rows: Iterable[SensorSample | State]) -> None:
        """Take what a task has read."""
        for row in rows:
            if isinstance(row, State):
                self._states.append(row)
            elif row.joules is None and (row.power_w is None or row.temperature_c is not None):
                self._samples.append(row)
            else:
                self._put_value(row)

    def _put_value(self, row: SensorSample) -> None:
        column = (row.device, "power_w" if row.joules is None else "joules")
        passed = self._passed.get(column)
        if passed is None or (passed.joules, passed.power_w) != (row.joules, row.power_w):
            self._samples += self._repeats_of(column)
        elif row.joules is not None or row.before_s < passed.before_s + self._repeat_s:
            self._repeats[column] = row
            return
        self._repeats.pop(column, None)
        self._passed[column] = row
        self._samples.append(row)

    def take(self) -> dict[str, list[Any]]:
        """Return everything up to now."""
        for column in list(self._repeats):
            self._samples += self._repeats_of(column)
        taken: dict[str, list[Any]] = {"samples": self._samples, "states": self._states}
        self._samples, self._states = [], []
        return taken

    def _repeats_of(self, column: _Column) -> list[SensorSample]:
        repeat = self._repeats.pop(column, None)
        return [] if repeat is None else [repeat]


def _sensor(spec: dict[str, Any]) -> Sensor:
    """Open the sensor; found by its module's name, since the table of sources would import what this process lacks."""
    module = import_module(f"llenergymeasure.energy.sensors.{spec['sensor']}")
    return cast(Sensor, module.open_sensor(**spec["options"]))


def _command(until_s: float) -> bytes | None:
    """Return what came on standard input by then: None is nothing, and b"" that it was closed."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], max(until_s - time.monotonic(), 0))
    return os.read(sys.stdin.fileno(), 64) if ready else None


def _write(message: dict[str, Any]) -> None:
    data = (json.dumps(message, separators=(",", ":")) + "\n").encode()
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


if __name__ == "__main__":
    main(sys.argv[1:])
