"""A function that runs in a child process, which has limits of memory and time, and can be ended.

What a stranger's files describe may take any memory and any time, and no signal is heard while a library computes it.
The child is a fork, so that it needs nothing sent but the questions. It is there while a `LimitedProcess` is open.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from labledger.files import uninterrupted
from labledger.json_text import dump_json, load_json

NO_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
"""torch's and the system's words for it, which torch raises as a RuntimeError."""


class _Here:
    """This process."""

    is_a_child = False


class LimitError(Exception):
    """A question takes more than the limits; its message is the reason, a clause about `it`."""


def can_fork() -> bool:
    """Return True where there are child processes of this kind, which Windows lacks."""
    return hasattr(os, "fork")


def raise_if_exhausted(error: BaseException) -> None:
    """Raise MemoryError for an error that says that memory could not be had; return for every other."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        raise MemoryError from error


class LimitedProcess:
    """A child process that answers questions; a context, at whose end it ends.

    `answer` is called in the child; questions and answers are what JSON holds. `memory_bytes` is what the child may
    take beyond what this process has. Where there is no such child, the answer is given here, without limits.
    """

    def __init__(self, answer: Callable[[Any], Any], *, memory_bytes: int) -> None:
        self._answer = answer
        self._memory_bytes = memory_bytes
        self._child: tuple[int, Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_child()

    def ask(self, question: Any, *, time_s: float, wall_s: float | None = None) -> Any:
        """Return the answer, for which the child may take `time_s` of processor and `wall_s` in all (None: as much).

        Raises:
            LimitError: it takes more, or more memory, and the child has ended.
            Exception: what `answer` raises here, if it has raised in the child.
        """
        if not can_fork():
            return self._answer(question)
        wall_s = time_s if wall_s is None else wall_s
        if self._child is None:
            with uninterrupted():  # or a child would be left that nobody ends
                self._child = self._forked()
        _, connection = self._child
        try:
            connection.send_bytes(dump_json([question, time_s]).encode())
            if not connection.poll(wall_s):
                self._end_child()
                raise LimitError(f"it is not done after {wall_s:g} s")
            reply = load_json(connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise LimitError(self._why_gone(*self._child, time_s)) from error
        if "limit" in reply:
            self._end_child()
            raise LimitError(reply["limit"])
        return reply["answer"] if "answer" in reply else self._answer(question)

    def _why_gone(self, pid: int, connection: Connection, time_s: float) -> str:
        """Return why a child is no longer there."""
        self._child = None
        connection.close()
        _, status = os.waitpid(pid, 0)
        _end_group(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            return f"it takes more than {time_s:g} s of processor time"
        return f"its process was ended, as one that takes more than {_in_words(self._memory_bytes)} of memory is"

    def _forked(self) -> tuple[int, Connection]:
        ours, childs = Pipe()
        with warnings.catch_warnings():  # other threads may hold locks: the child takes none of theirs
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            childs.close()
            return pid, ours
        try:
            ours.close()
            _serve(childs, self._answer, self._memory_bytes)
        finally:
            os._exit(0)

    def _end_child(self) -> None:
        if self._child is None:
            return
        (pid, connection), self._child = self._child, None
        connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _end_group(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _end_group(pid: int) -> None:
    """End what a child has started; of one that is in its parent's group there is nothing."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _in_words(count: int) -> str:
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _serve(connection: Connection, answer: Callable[[Any], Any], memory_bytes: int) -> None:
    """Answer questions until the other end is closed. Runs in the child."""
    if not _Here.is_a_child:  # a child's own children stay in its group, and end with it
        os.setpgid(0, 0)
    _Here.is_a_child = True
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _silence()
    _limit_memory(memory_bytes)
    while True:
        try:
            question, time_s = load_json(connection.recv_bytes())
        except EOFError:
            return
        _limit_processor_time(time_s)
        connection.send_bytes(dump_json(_reply(answer, question, memory_bytes)).encode())


def _reply(answer: Callable[[Any], Any], question: Any, memory_bytes: int) -> dict[str, Any]:
    try:
        return {"answer": answer(question)}
    except MemoryError:
        return {"limit": f"it takes more than {_in_words(memory_bytes)} of memory"}
    except Exception:  # it is raised where it can be told, by asking once more
        return {}


def _silence() -> None:
    """Let nothing be seen of a library that ends the process, nor of threads that the parent has and this has not."""
    faulthandler.disable()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def _limit_memory(memory_bytes: int) -> None:
    import resource

    import psutil

    _set_limit(resource.RLIMIT_AS, psutil.Process().memory_info().vms + memory_bytes)
    _set_limit(resource.RLIMIT_CORE, 0)


def _limit_processor_time(time_s: float) -> None:
    """Let the system end this process, if its parent is no longer there to do so."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + time_s) + 1)


def _set_limit(kind: int, soft: int) -> None:
    import resource

    with contextlib.suppress(ValueError, OSError):  # not on every system
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
