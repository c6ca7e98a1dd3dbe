"""Starts the processes of a run, shows how far they are, and tells how they ended.

The workers have torchrun's environment variables, but not its way of stopping all when one ends: once they measure, the
others finish.
"""

import contextlib
import math
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labledger.console import Progress, Silent
from labledger.schema_versions import parse_record
from llenergymeasure import preflight
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.energy.selection import find_sources
from llenergymeasure.errors import ExperimentError
from llenergymeasure.harness import CHECKING, MEASURING, new_experiment_id
from llenergymeasure.parallel.member import Measured
from llenergymeasure.parallel.messages import Message, Task
from llenergymeasure.results.parts import discard_run
from llenergymeasure.results.persistence import STATE_FOLDER, UnsavedResultError, load_result, state_folder

PATIENCE_S = 15.0
"""How long a worker that was told to stop may take to keep what it has."""


def launch(config: ExperimentConfig, user: UserConfig, output_dir: Path | None, progress: Progress) -> Measured:
    """Measure with `config.pytorch.data_parallel` processes. Without an `output_dir` only a failed run leaves anything.

    Raises:
        PreFlightError, ConfigError: it cannot start.
        ExperimentError: a process failed or was ended; the message names it, and where the others' results are.
        UnsavedResultError: the finished result could not be saved.
        KeyboardInterrupt: the processes have kept what they had; notes say where.
    """
    if output_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="llem-"))
        try:
            measured = launch(config, user, folder, progress)
        finally:
            if not (folder / STATE_FOLDER).exists():
                shutil.rmtree(folder, ignore_errors=True)
        return Measured(measured.result, None)
    progress.phase(CHECKING)
    preflight.check(config, find_sources(), output_dir)
    task = Task(experiment_id=new_experiment_id(datetime.now(UTC)), config=config, user=user, output_dir=output_dir)
    progress.phase(f"starting {config.pytorch.data_parallel} processes")
    folder = state_folder(output_dir, task.experiment_id)
    with _started(task) as run:
        try:
            run.follow(progress)
        except KeyboardInterrupt as error:
            run.stop()
            for text in run.last_words():
                error.add_note(text)
            raise
        finally:
            if not run.has_measured():
                discard_run(folder)
        return run.outcome(folder)


class _Worker:
    """One process, and what it has told."""

    def __init__(self, index: int, process: "subprocess.Popen[str]") -> None:
        self.index = index
        self.process = process
        self.measures = False
        self.done = 0
        self.last = Message()

    def problem(self) -> str | None:
        """Why it has no result; None where it has one, or the end of another is the reason."""
        code = self.process.wait()
        if self.last.error is not None:
            return None if self.last.is_of_a_peer else f"process {self.index}: {self.last.error}"
        if code < 0:
            return f"process {self.index} was ended by {signal.Signals(-code).name}"
        return f"process {self.index} ended with exit code {code}" if code else None


class _Run:
    """All workers; a thread for each puts what it tells into one queue, None at its end."""

    def __init__(self, workers: Sequence[_Worker], prompts: int) -> None:
        self._workers = workers
        self._prompts = prompts
        self._heard: queue.SimpleQueue[tuple[_Worker, Message | None]] = queue.SimpleQueue()
        self._running = set(workers)
        self._stopped = False
        for worker in workers:
            threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def follow(self, progress: Progress, until_s: float = math.inf) -> None:
        """Show what they tell until all have ended; one that fails before it measures ends the others."""
        while self._running and (left_s := until_s - time.monotonic()) > 0:
            try:
                worker, message = self._heard.get(timeout=min(left_s, threading.TIMEOUT_MAX))
            except queue.Empty:
                return
            if message is not None:
                self._show(worker, message, progress)
                continue
            self._running.discard(worker)
            if worker.process.wait() and not worker.measures:
                self._terminate()

    def stop(self) -> None:
        """End all, and give them the time to keep what they have."""
        self._terminate()
        self.follow(Silent(), time.monotonic() + PATIENCE_S)
        for worker in self._running:
            worker.process.kill()

    def has_measured(self) -> bool:
        """Whether any has begun to."""
        return any(worker.measures for worker in self._workers)

    def problems(self) -> list[str]:
        """What went wrong, a line a process, the first one last: it speaks of the others."""
        first, *others = self._workers
        blamed = [worker for worker in (*others, first) if not (self._stopped and worker.last.was_stopped)]
        return [text for worker in blamed if (text := worker.problem()) is not None]

    def last_words(self) -> list[str]:
        """What each has said of its end: where it has kept what it had."""
        return [f"process {each.index}: {each.last.error}" for each in self._workers if each.last.error is not None]

    def outcome(self, folder: Path) -> Measured:
        """The result; `folder` is where the processes leave their parts."""
        first = self._workers[0].last
        if first.saved is not None:
            return Measured(load_result(first.saved), first.saved)
        if first.document is not None or first.kept_at is not None:
            raise UnsavedResultError(str(first.error), _finished(first), first.kept_at)
        text = "\n".join(self.problems() or ["no process has come to a result"])
        if folder.exists() and str(folder) not in text:
            text += f"; what was measured is kept in {folder}: llem results recover shows it"
        raise ExperimentError(text)

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None  # noqa: S101 - it is a pipe
        for line in worker.process.stdout:
            self._heard.put((worker, Message.model_validate_json(line)))
        self._heard.put((worker, None))

    def _show(self, worker: _Worker, message: Message, progress: Progress) -> None:
        worker.last = message
        if message.phase is not None:
            worker.measures = worker.measures or message.phase == MEASURING
            if worker.index == 0 and message.phase != CHECKING:  # which was done before they were started
                progress.phase(message.phase)
        elif message.done is not None and worker.measures:
            worker.done = message.done
            progress.update(sum(each.done for each in self._workers), self._prompts)
        elif message.done is not None and worker.index == 0:
            progress.update(message.done, message.total)

    def _terminate(self) -> None:
        self._stopped = True
        for worker in self._running:
            worker.process.terminate()


@contextlib.contextmanager
def _started(task: Task) -> Iterator[_Run]:
    """The processes of a run; none is left behind."""
    size, port = task.config.pytorch.data_parallel, _free_port()
    workers: list[_Worker] = []
    with contextlib.ExitStack() as ended:
        for index in range(size):
            process = subprocess.Popen(
                [sys.executable, "-m", "llenergymeasure.parallel.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=_environment(index, size, port),
                start_new_session=True,  # Ctrl-C at a terminal reaches this process alone, which tells them
            )
            ended.enter_context(process)
            ended.callback(process.kill)
            workers.append(_Worker(index, process))
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code says so
                process.stdin.write(task.line())
                process.stdin.flush()
        yield _Run(workers, task.config.num_prompts)


def _environment(index: int, size: int, port: int) -> dict[str, str]:
    """This process's, with torchrun's variables; the cores are shared out, unless the user has done so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "OMP_NUM_THREADS": str(max(cores // size, 1)),
        **os.environ,
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _finished(message: Message) -> ExperimentResult:
    if message.kept_at is not None:
        return load_result(message.kept_at)
    return parse_record(ExperimentResult, str(message.document).encode(), "the finished result")[0]
