"""Starts the processes of a run, shows how far they are, and reports how they ended.

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
from typing import TextIO

from labledger.console import Progress, Silent
from labledger.documents import read_document
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import ExperimentError
from llenergymeasure.parallel.meeting import remove_meetings
from llenergymeasure.parallel.member import Measured
from llenergymeasure.parallel.messages import Message, Task
from llenergymeasure.results.persistence import STATE_FOLDER, UnsavedResultError, load_result, state_folder
from llenergymeasure.results.raw_results import processes
from llenergymeasure.results.state import discard_run
from llenergymeasure.run import preflight
from llenergymeasure.run.boards.left import restore_left_boards
from llenergymeasure.run.boards.settings import set_boards
from llenergymeasure.run.harness import CHECKING, MEASURING, new_experiment_id

STOP_GRACE_S = 15.0
"""Seconds that a worker may take to keep what it has once it is stopped."""


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
        return Measured(measured.result.model_copy(update={"timeseries": None}), None)
    progress.phase(CHECKING)
    restore_left_boards()
    sources = find_sources()
    config = preflight.check(config, sources, output_dir).config
    task = Task(experiment_id=new_experiment_id(datetime.now(UTC)), config=config, user=user)
    folder, was_there = state_folder(output_dir, task.experiment_id), output_dir.exists()
    progress.phase(f"starting {config.pytorch.data_parallel} processes")
    with set_boards(config, sources), _started(task, output_dir) as run:
        try:
            run.follow(progress)
        except BaseException as error:  # a terminal that is gone, too
            run.stop()
            for text in run.last_words():
                error.add_note(text)
            raise
        finally:
            if not run.has_measured():
                discard_run(folder)
                if not was_there:
                    with contextlib.suppress(OSError):  # another run has come
                        output_dir.rmdir()
        return run.outcome(folder)


class _Worker:
    """One process, and its last message."""

    def __init__(self, index: int, process: "subprocess.Popen[str]", reports: TextIO) -> None:
        self.index = index
        self.process = process
        self.reports = reports
        self.measures = False
        self.was_stopped = False
        self.done = 0
        self.last = Message()

    def problem(self) -> str | None:
        """The reason why it has no result; None where it has one, or the end of another is the reason."""
        code = self.process.wait()
        if self.was_stopped:
            return None
        if self.last.error is not None:
            return None if self.last.is_of_a_peer else f"failed: {self.last.error}"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"has ended with exit code {code}" if code else None


class _Run:
    """All workers; a thread for each puts its messages into one queue, None at its end."""

    def __init__(self, workers: Sequence[_Worker], prompts: int, output_dir: Path) -> None:
        self._workers = workers
        self._prompts = prompts
        self._output_dir = output_dir
        self._received: queue.SimpleQueue[tuple[_Worker, Message | None]] = queue.SimpleQueue()
        self._running = set(workers)
        for worker in workers:
            threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def follow(self, progress: Progress, until_s: float = math.inf) -> None:
        """Show their progress until all have ended; one that fails before it measures ends the others."""
        while self._running and (left_s := until_s - time.monotonic()) > 0:
            try:
                worker, message = self._received.get(timeout=min(left_s, threading.TIMEOUT_MAX))
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
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C does not wait
            self.follow(Silent(), time.monotonic() + STOP_GRACE_S)
        for worker in self._running:
            worker.process.kill()

    def has_measured(self) -> bool:
        """Return True if any has begun to measure."""
        return any(worker.measures for worker in self._workers)

    def last_words(self) -> list[str]:
        """The last error of each: it names where it has kept what it had."""
        return [f"process {each.index}: {each.last.error}" for each in self._workers if each.last.error is not None]

    def outcome(self, folder: Path) -> Measured:
        """The result; `folder` is where the processes leave their parts."""
        first = self._workers[0].last
        if first.saved is not None:
            path = self._output_dir / first.saved
            return Measured(load_result(path), path)
        if first.document is not None or first.kept_at is not None:
            raise UnsavedResultError(str(first.error), _finished(first), first.kept_at)
        text = self._problems()
        if folder.exists() and str(folder) not in text:
            text += f"; what was measured is kept in {folder}: llem results recover shows it"
        failure = ExperimentError(text)
        failure.exit_code = max(worker.last.exit_code for worker in self._workers)
        raise failure

    def _problems(self) -> str:
        """All errors in one text, that of the first process last, since it names the others; equal ones once."""
        first, *others = self._workers
        found: dict[str, list[int]] = {}
        for worker in (*others, first):
            if (text := worker.problem()) is not None:
                found.setdefault(text, []).append(worker.index)
        if not found:  # each has only seen another end
            return next((w.last.error for w in self._workers if w.last.error), "no process has come to a result")
        return "; ".join(f"{processes(sorted(indices))} {text}" for text, indices in found.items())

    def _listen(self, worker: _Worker) -> None:
        try:
            with worker.reports:
                for line in worker.reports:
                    self._received.put((worker, Message.model_validate_json(line)))
        finally:
            self._received.put((worker, None))

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
        """Stop all; one that does not measure yet has nothing to keep."""
        for worker in self._running:
            worker.was_stopped = True
            if worker.measures:
                worker.process.terminate()
            else:
                worker.process.kill()


@contextlib.contextmanager
def _started(task: Task, output_dir: Path) -> Iterator[_Run]:
    """The processes of a run; none is left behind."""
    size, port = task.config.pytorch.data_parallel, _free_port()
    workers: list[_Worker] = []
    with contextlib.ExitStack() as ended:
        ended.callback(remove_meetings, port)
        for index in range(size):
            reads, writes = os.pipe()
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-P", "-m", "llenergymeasure.parallel.worker", str(writes), output_dir],
                stdin=subprocess.PIPE,
                stdout=2,  # what libraries print is not the answer
                encoding="utf-8",
                pass_fds=(writes,),
                env=_environment(index, size, port),
                start_new_session=True,  # Ctrl-C at a terminal reaches this process alone, which stops them
            )
            os.close(writes)
            ended.enter_context(process)
            ended.callback(process.kill)
            workers.append(_Worker(index, process, os.fdopen(reads, encoding="utf-8")))
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code is read later
                process.stdin.write(task.line())
                process.stdin.flush()
        yield _Run(workers, task.config.num_prompts, output_dir)


def _environment(index: int, size: int, port: int) -> dict[str, str]:
    """The variables of this process and of torchrun for a worker; the cores are shared out unless the user did."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "OMP_NUM_THREADS": str(max(cores // size, 1)),
        **{name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")},
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
    return read_document(ExperimentResult, str(message.document).encode(), "the finished result")[0]
