"""`python -m llenergymeasure.parallel.worker FD DIRECTORY`: one process of a run that `parallel.launcher` started.

It reports on the descriptor FD what it does, and leaves its part in DIRECTORY. It ends when its stdin does, as after
SIGTERM: a worker does not outlive the process that the user started.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import TextIO

from labledger.ending import end_on_signals
from labledger.notices import show_notices
from labledger.printed import clean_logs
from llenergymeasure.config.ranks import this_rank
from llenergymeasure.errors import LabledgerError
from llenergymeasure.parallel.meeting import PeerEndedError
from llenergymeasure.parallel.member import measure_share
from llenergymeasure.parallel.messages import Message, Task
from llenergymeasure.results.persistence import UnsavedResultError

UPDATE_EVERY_S = 0.2
PIECE_BYTES = 1 << 16
STOP_GRACE_S = 15.0
"""Seconds that it may take to keep what it has."""


class PipeProgress:
    """Progress that is sent to the launcher."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._sent_s = 0.0

    def send(self, message: Message) -> None:
        """Write one line; the launcher may be gone."""
        with contextlib.suppress(BrokenPipeError):
            self._out.write(message.model_dump_json(exclude_defaults=True) + "\n")
            self._out.flush()

    def phase(self, name: str) -> None:
        """Send that a new part of the job begins."""
        self.send(Message(phase=name))

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Send how much of the part is done, five times per second at most, and at its end."""
        now_s = time.monotonic()
        if now_s - self._sent_s >= UPDATE_EVERY_S or done == total:
            self._sent_s = now_s
            self.send(Message(done=done, total=total))

    def finish(self) -> None:
        """Do nothing: the job's end has a message of its own."""


def main() -> int:
    """Do the task on stdin, send how it ended, and return the exit code."""
    end_on_signals(_stop)
    clean_logs()
    show_notices()
    warnings.simplefilter("ignore")
    progress = PipeProgress(os.fdopen(int(sys.argv[1]), "w", encoding="utf-8"))
    task, output_dir = Task.model_validate_json(sys.stdin.buffer.readline()), Path(sys.argv[2])
    end_with_stdin()
    rank = this_rank()
    if rank is None:
        raise SystemExit("this is started by llem, with the environment variables of torchrun")
    try:
        measured = measure_share(task.config, task.user, output_dir, progress, rank, task.experiment_id)
    except BaseException as error:
        progress.send(_failure(error))
        return 1
    progress.send(Message(saved=str(measured.path.relative_to(output_dir)) if measured.path else None))
    return 0


def _failure(error: BaseException) -> Message:
    if isinstance(error, UnsavedResultError):
        document = error.result.to_json() if error.kept_at is None else None
        return Message(error=str(error), kept_at=error.kept_at, document=document)
    if isinstance(error, KeyboardInterrupt):
        text = "stopped"
    elif isinstance(error, LabledgerError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = f"unexpected {type(error).__name__}: {error}"
    text = "\n".join([text, *getattr(error, "__notes__", [])]).encode("utf-8", "backslashreplace").decode()
    return Message(
        error=text,
        is_of_a_peer=isinstance(error, PeerEndedError),
        exit_code=error.exit_code if isinstance(error, LabledgerError) else 1,
    )


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def end_with_stdin() -> None:
    """Watch stdin from now on, and end this process when it is closed."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()


class TasksOnStdin:
    """The lines of stdin as they come. When it is closed they end, and so does this process if one is not done."""

    def __init__(self) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> bytes | None:
        """Return the next line once it is there; None at the end."""
        return self._lines.get()

    def done(self) -> None:
        """Say that the line is done with: whoever sent it may close stdin."""
        self._lines.task_done()

    def _read(self) -> None:
        unread = b""
        while piece := os.read(0, PIECE_BYTES):
            *lines, unread = (unread + piece).split(b"\n")
            for line in lines:
                self._lines.put(line)
        if self._lines.unfinished_tasks:
            _end_this_process()
        self._lines.put(None)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    _end_this_process()


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)  # it waits where no handler runs


if __name__ == "__main__":
    sys.exit(main())
