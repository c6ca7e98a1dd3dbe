"""Many calls of one function, over the cores of this machine.

Each worker is a fresh process that imports what the function needs and calls it for one item after another; nothing is
forked, for a parent may have threads. Workers share no signals with the terminal: the parent ends them, and one whose
parent has gone, however it went, ends itself.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from labledger.console import Progress
from labledger.durations import rough_duration
from labledger.errors import ConfigError, LabledgerError
from labledger.notices import notify
from labledger.untrusted_text import clean

Item = TypeVar("Item")
Value = TypeVar("Value")

LOCAL = "local"
GRACE_S = 5.0
"""The time that a worker has to end what it is at, once it is told to."""
START_S = 1.5
"""The time that workers take to start: what takes less is done in this process."""
SHOWN_ITEM = 100
TRIES = 2
START = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from labledger.executor_worker import main; main()"


class WorkerError(LabledgerError):
    """A worker process died in the midst of an item, or could not begin; the message names the item."""


class RemoteError(Exception):
    """An error that a worker process met, with its traceback as text: the cause of that error here."""


@dataclass(frozen=True)
class Done(Generic[Value]):
    """An item that is done: its place among the items, and the function's value, or the error that it raised."""

    index: int
    value: Value | None = None
    error: Exception | None = None

    def result(self) -> Value:
        """Return the value.

        Raises:
            Exception: the error, where the function raised one.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(work_s: float, workers: int | None = None) -> int:
    """Return the workers for so many seconds of work: those asked for, else one a core; one where it is little."""
    return (available_cores() if workers is None else workers) if work_s > START_S else 1


def check_place_to_run(on: str) -> None:
    """Refuse a place to run that there is not.

    Raises:
        ConfigError: `on` is not "local".
    """
    if on != LOCAL:
        raise ConfigError(f"on: no such place: {clean(on, SHOWN_ITEM)!r}; there is {LOCAL}, the cores of this machine")


def run_all(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    on: str = LOCAL,
    max_workers: int | None = None,
    progress: Progress | None = None,
) -> Generator[Done[Value], None, None]:
    """Yield `function(item)` of each item as they finish, an error that it raises as a value.

    `function` is pickled once for each worker, so it may hold what all items need: paths of files that it reads or
    maps at its first call, and keeps. It has to be importable: of a module other than `__main__`. Items and values are
    pickled too, one at a time; what is large goes through files. The function should give the same wherever and however
    often it runs: an item whose worker is killed (signal, lack of memory) is tried once more in a new one, and if that
    is killed as well, its error is a `WorkerError` that names it.

    Ctrl-C, SIGTERM and SIGHUP in this process, and closing of the iterator, end all workers: in a worker's
    function `labledger.ending.Terminated` is raised, and it has `GRACE_S` seconds to
    end. Notices of workers appear here, once.

    `on` is "local", the cores of this machine. `max_workers` None are as many as the cores that this process may use;
    with 1, or one item, the function runs in this process, in order. `progress` is told how many are done, and about
    what time is left.

    Raises:
        ConfigError: there is no such `on`.
        ValueError: `max_workers` is under 1, or `function` cannot be imported by a worker.
        WorkerError: workers cannot be started, or cannot import the function.
    """
    check_place_to_run(on)
    if max_workers is not None and max_workers < 1:
        raise ValueError(f"max_workers: {max_workers}: at least one is needed")
    total = len(items) if isinstance(items, Sized) else None
    workers = available_cores() if max_workers is None else max_workers
    workers = workers if total is None else min(workers, total)
    found = _in_this_process(function, items) if workers <= 1 else _Pool(function, items, workers).run()
    return _watched(found, progress, total)


def _watched(
    found: Generator[Done[Value], None, None], progress: Progress | None, total: int | None
) -> Generator[Done[Value], None, None]:
    began_s, done = time.monotonic(), 0
    with contextlib.closing(found):
        for each in found:
            done += 1
            if progress is not None and total is not None:
                left_s = (time.monotonic() - began_s) / done * (total - done)
                progress.update(done, total, f"about {rough_duration(left_s)} left" if done < total else "")
            yield each


def _in_this_process(function: Callable[[Item], Value], items: Iterable[Item]) -> Generator[Done[Value], None, None]:
    for index, item in enumerate(items):
        try:
            done = Done(index, function(item))
        except Exception as error:
            done = Done(index, error=error)
        yield done


@dataclass(eq=False)
class _Worker:
    """A worker's process, the connection to it, the item that it is at, and if it has the function."""

    process: "subprocess.Popen[bytes]"
    connection: Connection
    index: int | None = None
    is_ready: bool = False


@dataclass(eq=False)
class _Task:
    """An item, and how often it was begun."""

    item: Any
    tries: int = 0


@dataclass(eq=False)
class _Pool:
    """Worker processes that call one function; each has one item at a time, so that one that dies names its item."""

    function: Callable[..., Any]
    items: Iterable[Any]
    size: int
    _workers: list[_Worker] = field(default_factory=list)
    _again: deque[int] = field(default_factory=deque)
    _tasks: dict[int, _Task] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def run(self) -> Generator[Done[Any], None, None]:
        """Yield what becomes of each item."""
        pickled = self._pickled()
        waiting = enumerate(self.items)
        try:
            while True:
                self._hand_out(waiting, pickled)
                if not self._workers:
                    return
                at_work = {worker.connection: worker for worker in self._workers}
                for ready in wait([*at_work]):
                    yield from self._heard(at_work[ready])  # type: ignore[index]
        finally:
            self._end()

    def _pickled(self) -> bytes:
        if getattr(self.function, "__module__", None) == "__main__":
            raise ValueError("run_all: the function is of __main__, which workers cannot import; put it into a module")
        try:
            return pickle.dumps(self.function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"run_all: the function cannot be sent to a worker: {error}") from error

    def _hand_out(self, waiting: Iterator[tuple[int, Any]], pickled: bytes) -> None:
        """Give an item to each worker that has none; start one where there is room, end one that has no more to do."""
        idle = [worker for worker in self._workers if worker.index is None]
        while len(idle) < self.size - sum(worker.index is not None for worker in self._workers):
            idle.append(_Worker(*_started(pickled)))
            self._workers.append(idle[-1])
        for worker in idle:
            index = self._again.popleft() if self._again else next(self._fresh(waiting), None)
            if index is None:
                self.size -= 1
                self._dismiss(worker)
                continue
            task = self._tasks[index]
            task.tries += 1
            worker.index = index
            with contextlib.suppress(OSError):  # it has died: what is heard of it next says so
                worker.connection.send(task.item)

    def _fresh(self, waiting: Iterator[tuple[int, Any]]) -> Iterator[int]:
        for index, item in waiting:
            self._tasks[index] = _Task(item)
            yield index

    def _heard(self, worker: _Worker) -> Iterator[Done[Any]]:
        """Yield what a worker has to say, if that is of an item."""
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._died(worker)
            return
        if kind == "notice":
            if content[0] not in self._told:
                self._told.add(content[0])
                notify(content[0])
            return
        if kind == "ready":
            worker.is_ready = True
            return
        if kind == "unusable":
            raise WorkerError(f"workers cannot import the function: {content[0]}")
        index, worker.index = worker.index, None
        assert index is not None  # noqa: S101 - only a worker with an item answers
        del self._tasks[index]
        if kind == "value":
            yield Done(index, content[0])
        else:
            error, trace = content
            error.__cause__ = RemoteError(trace)
            yield Done(index, error=error)

    def _died(self, worker: _Worker) -> Iterator[Done[Any]]:
        index, how = worker.index, self._dismiss(worker)
        if index is None:
            return
        task = self._tasks[index]
        if task.tries < TRIES:
            self._again.append(index)
            return
        if not worker.is_ready:
            raise WorkerError(f"worker processes cannot begin: one {how} before it had anything to do")
        del self._tasks[index]
        what = f"item {index} ({clean(str(task.item), SHOWN_ITEM)})"
        yield Done(index, error=WorkerError(f"{what}: its worker process {how}, tried {TRIES} times; was memory out?"))

    def _dismiss(self, worker: _Worker) -> str:
        """Let a worker end, or take note that it has; return how, in words."""
        worker.connection.close()
        self._workers.remove(worker)
        try:
            code = worker.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def _end(self) -> None:
        """End all workers; those that take long, or all at a second Ctrl-C, are killed."""
        try:
            for worker in self._workers:
                worker.connection.close()  # which it hears
            until_s = time.monotonic() + GRACE_S
            for worker in self._workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(until_s - time.monotonic(), 0))
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
            self._workers.clear()


def _started(pickled: bytes) -> "tuple[subprocess.Popen[bytes], Connection]":
    """Start a worker and give it the function."""
    ours, theirs = Pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and this package's own code
            [sys.executable, "-P", "-c", START, str(theirs.fileno()), json.dumps(sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError as error:
        ours.close()
        raise WorkerError(f"a worker process cannot be started: {error}") from error
    finally:
        theirs.close()
    with contextlib.suppress(OSError):  # it has died: what is heard of it next says so
        ours.send_bytes(pickled)
    return process, ours
