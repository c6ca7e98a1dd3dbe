"""The sampler: a process of its own that reads sensors at their own pace and passes the reads on.

`python -m llenergymeasure.energy.sampler SPEC`, SPEC being JSON: `{"nvml": {"uuids", "counter", "sampling_hz"}}` or
`{"rapl": {"domains": [[name, path], …]}}`. It writes lines of JSON to standard output: `{"ready": true}` or
`{"error": text}` first, then `{"reads": [...], "states": [...]}` every second and at once for each byte on
standard input, with `"flush": n` once it has seen n of them. It ignores SIGINT and SIGHUP, and ends when standard input
closes or its parent is gone: a run that is interrupted still gets its last reads, and a run that is killed leaves
nothing behind.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.energy.sensors.base import Sensor, Task

PASS_ON_EVERY_S = 1.0


def main(arguments: list[str]) -> None:
    """Sample until standard input closes."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    try:
        tasks = list(_sensor(json.loads(arguments[0])).tasks())
    except Exception as error:  # whatever it is, the parent has to know
        _write({"error": f"{type(error).__name__}: {error}"})
        return
    _write({"ready": True})
    try:
        sample(tasks, parent)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sample(tasks: list[Task], parent: int) -> None:
    """Run each task when it is due, and pass on what it reads, while `parent` lives."""
    outbox, asked = Outbox(), 0
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
    """What has been read and not yet passed on.

    Of the reads that give one value of a counter, the first and the last say all: the tick came before the first,
    and the next one after the last. Only these are passed on.
    """

    def __init__(self) -> None:
        self._reads: list[SensorSample] = []
        self._states: list[State] = []
        self._values: dict[str, float] = {}
        self._repeats: dict[str, SensorSample] = {}

    def put(self, rows: Iterable[SensorSample | State]) -> None:
        """Take what a task has read."""
        for row in rows:
            if isinstance(row, State):
                self._states.append(row)
            elif row.joules is None:
                self._reads.append(row)
            elif row.joules == self._values.get(row.device):
                self._repeats[row.device] = row
            else:
                self._values[row.device] = row.joules
                self._reads += [*self._repeats_of(row.device), row]

    def take(self) -> dict[str, list[Any]]:
        """Everything up to now."""
        for device in list(self._repeats):
            self._reads += self._repeats_of(device)
        taken: dict[str, list[Any]] = {"reads": self._reads, "states": self._states}
        self._reads, self._states = [], []
        return taken

    def _repeats_of(self, device: str) -> list[SensorSample]:
        repeat = self._repeats.pop(device, None)
        return [] if repeat is None else [repeat]


def _sensor(spec: dict[str, Any]) -> Sensor:
    if "nvml" in spec:
        import pynvml

        from llenergymeasure.energy.sensors.nvml import NvmlSensor

        own = spec["nvml"]
        return NvmlSensor(pynvml, own["uuids"], counter=own["counter"], sampling_hz=own["sampling_hz"])
    from llenergymeasure.energy.sensors.rapl import RaplSensor

    return RaplSensor([(name, Path(path)) for name, path in spec["rapl"]["domains"]])


def _command(until_s: float) -> bytes | None:
    """What came on standard input by then: nothing is None, and b"" that it was closed."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], max(until_s - time.monotonic(), 0))
    return os.read(sys.stdin.fileno(), 64) if ready else None


def _write(message: dict[str, Any]) -> None:
    data = (json.dumps(message, separators=(",", ":")) + "\n").encode()
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


if __name__ == "__main__":
    main(sys.argv[1:])
