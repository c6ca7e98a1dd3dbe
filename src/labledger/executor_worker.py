"""A worker process of `labledger.executor`: it calls a function for one item after another, until its parent ends."""

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from labledger.ending import ENDING, Terminated
from labledger.errors import LabledgerError
from labledger.executor import GRACE_S, WorkerError
from labledger.notices import NOTICES

GONE = object()
TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Serve the parent at the other end of the connection whose descriptor is the first argument."""
    worker = _Worker(Connection(int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and ends its workers
    for number in ENDING:
        signal.signal(number, worker.hear)
    code = TERMINATED
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.serve()
            code = 0
    except Terminated:
        pass
    finally:  # without the clean-up of libraries, which may wait for threads of theirs
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass(eq=False)
class _Worker:
    """The connection to the parent, and the state of the work."""

    connection: Connection
    is_at_work: bool = False
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Raise `Terminated` in the function that is at work, once: the handler of the signals that end a program."""
        if self.is_at_work:
            self.is_at_work = False
            raise Terminated(number)

    def serve(self) -> None:
        """Call the function that the parent sends first for each item that it sends then, until it has gone."""
        NOTICES.addHandler(_SentNotices(self))
        NOTICES.propagate = False
        try:
            function = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - of the parent
        except EOFError:
            return
        except Exception as error:
            self.send(pickle.dumps(("unusable", f"{type(error).__name__}: {error}")))
            return
        self.send(pickle.dumps(("ready",)))
        items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._receive, args=(items,), daemon=True).start()
        while (item := items.get()) is not GONE:
            self.send(self._answer(function, item))

    def send(self, message: bytes) -> None:
        """Send a pickled message to the parent."""
        with self._sending:
            self.connection.send_bytes(message)

    def _answer(self, function: Any, item: Any) -> bytes:
        try:
            try:
                self.is_at_work = True
                return pickle.dumps(("value", function(item)))
            finally:
                self.is_at_work = False
        except Exception as error:
            return _pickled_error(error)

    def _receive(self, items: "queue.SimpleQueue[Any]") -> None:
        """Pass items on. When the parent has gone, end this process; what it is at gets a moment to end itself."""
        try:
            while True:
                items.put(self.connection.recv())
        except (EOFError, OSError):
            items.put(GONE)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(GRACE_S)
            os._exit(TERMINATED)


def _pickled_error(error: Exception) -> bytes:
    trace = "".join(traceback.format_exception(error))
    try:
        pickled = pickle.dumps(("error", error, trace))
        pickle.loads(pickled)  # noqa: S301 - some errors can be written, and not read
    except Exception:
        plain = LabledgerError if isinstance(error, LabledgerError) else WorkerError
        return pickle.dumps(("error", plain(f"{type(error).__name__}: {error}"), trace))
    return pickled


class _SentNotices(logging.Handler):
    """Sends notices to the parent."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # it has gone
            self._worker.send(pickle.dumps(("notice", self.format(record))))
