"""A process that makes runs for this one, which waits for it and never for ever.

A task goes to its standard input, a line each; a line comes back on a pipe when a run has ended, and the result itself
lies in its folder. Nothing here waits for the end of a pipe: what the process has started may hold it.
"""

import contextlib
import os
import secrets
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from labledger.printed import without_keys
from labledger.untrusted_text import CUT, clean, clean_lines
from llenergymeasure.parallel.messages import RunEnded, RunTask
from llenergymeasure.process_tree import end_marked
from llenergymeasure.results.persistence import STATE_FOLDER

PROGRAM = "llenergymeasure.cli.separate_run"
MARK = "LLEM_RUN"
"""An environment variable that marks the process and all that it starts."""

GRACE_S = 45.0
"""Seconds that a process may take to keep what it has and to end its server, which has 10 to end by itself."""
STRAYS_GRACE_S = 15.0
"""Seconds that what it leaves behind may take: a supervisor ends a server in 10, or kills it."""
LOOK_EVERY_S = 1.0
SOON_S = 0.02

MAX_REPORT_BYTES = 1 << 16
LAST_WORDS_BYTES = 1 << 14
LAST_WORDS_LINES = 5
MAX_PROBLEM = 2000
"""Characters of a problem that are repeated."""


class Separate(NamedTuple):
    """A run that has ended: the path of its result.json, or None with the problem, in the process's own words where it
    had any; `ending` is how the process ended."""

    path: Path | None
    problem: str = ""
    ending: str = ""


class RunProcess:
    """The process; it ends when this one closes its input or ends. `keeps_words`: its stderr is quoted and not shown.

    `command` is what the user wrote after `llem`. `quiet`: it shows no progress; `verbose`: the logs of libraries;
    `debug`: the traceback of an error.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        output_dir: Path,
        command: Sequence[str],
        *,
        quiet: bool = False,
        verbose: bool = False,
        debug: bool = False,
        keeps_words: bool = False,
    ) -> None:
        self._output_dir = output_dir
        self._mark = secrets.token_hex(16)
        self._unsent = b""
        given = [f"--{name}" for name, is_given in (("quiet", quiet), ("verbose", verbose)) if is_given]
        before = ["--debug"] if debug else []
        reads, writes = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-P", "-m", PROGRAM, *before, "run", *given, "--", str(writes), output_dir, *command],
                stdin=subprocess.PIPE,  # it ends when this is closed: it does not outlive the process that waits for it
                stdout=2,  # what libraries print is not the answer
                stderr=subprocess.PIPE if keeps_words else None,
                bufsize=0,
                pass_fds=(writes,),
                env={**os.environ, MARK: self._mark},
                start_new_session=True,  # Ctrl-C at a terminal reaches this process alone, which stops it
            )
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        self._reports = _Heard(reads, MAX_REPORT_BYTES)
        self._words = _Heard(os.dup(self._process.stderr.fileno()), LAST_WORDS_BYTES) if self._process.stderr else None
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def is_alive(self) -> bool:
        """True while it can be given a run."""
        return self._process.poll() is None and not self._reports.is_over

    def run(self, task: RunTask, timeout_s: float | None = None) -> Separate:
        """Have one run made. Without a result the process has ended, or was ended, with all that it had started.

        Raises:
            KeyboardInterrupt: the run was stopped as well; notes say where it has kept what it had.
        """
        self._unsent = task.line().encode()
        before = self._states()
        try:
            ended = self._wait(None if timeout_s is None else time.monotonic() + timeout_s)
            if ended is not None and ended.saved is not None:
                return Separate(Path(ended.saved))
            is_late = ended is None and self._process.poll() is None
            self._end(signal.SIGINT if is_late else None)
        except BaseException as error:
            self._end(signal.SIGINT if type(error) is KeyboardInterrupt else signal.SIGTERM)
            if (last := self._reported()) is not None and self._words is not None:
                for line in _bounded(last.error or "").splitlines()[1:]:  # the first says that it was interrupted
                    error.add_note(line)
            raise
        if is_late:
            kept = f"; what it had: {self._recover()}" if self._states() - before else ""
            problem = f"took over {timeout_s:g} s (study.timeout_s) and was ended{kept}"
            return Separate(None, problem, problem)
        ending = self._ending(self._states() - before)
        return Separate(None, _bounded(ended.error) if ended and ended.error else self._quoted(ending), ending)

    def close(self) -> None:
        """Let it end what it keeps, and itself; closing twice does nothing."""
        if self._process.returncode is None:
            self._close_input()
            try:
                if not self._ends_by(time.monotonic() + GRACE_S):
                    self._end(signal.SIGTERM)
            except BaseException:
                self._end(signal.SIGTERM)
                raise
        self._close_input()
        self._reports.close()
        if self._words is not None:
            self._words.close()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _wait(self, until_s: float | None) -> RunEnded | None:
        """Return how the run has ended; None if the process did without a word, or it is `until_s`."""
        while (ended := self._reported()) is None:
            has_ended = self._process.poll() is not None
            left_s = LOOK_EVERY_S if until_s is None else min(LOOK_EVERY_S, until_s - time.monotonic())
            if has_ended or left_s <= 0:
                self._exchange(0)
                return self._reported()
            self._exchange(left_s)
        return ended

    def _reported(self) -> RunEnded | None:
        line = self._reports.line()
        return None if line is None else RunEnded.read(line)

    def _exchange(self, wait_s: float) -> None:
        """Write and read what can be, within `wait_s`."""
        poll, open_pipes = select.poll(), [each for each in (self._reports, self._words) if each and not each.is_over]
        for pipe in open_pipes:
            poll.register(pipe.descriptor, select.POLLIN)
        if self._unsent and self._process.stdin is not None and not self._process.stdin.closed:
            poll.register(self._process.stdin.fileno(), select.POLLOUT)
        is_soon = self._reports.is_over  # it ends now, and nothing tells when
        ready = dict(poll.poll((min(wait_s, SOON_S) if is_soon else wait_s) * 1000))
        for pipe in open_pipes:
            if pipe.descriptor in ready:
                pipe.read()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._send(self._process.stdin.fileno(), ready)

    def _send(self, descriptor: int, ready: dict[int, int]) -> None:
        if descriptor not in ready:
            return
        try:
            self._unsent = self._unsent[os.write(descriptor, self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it has ended: its exit code is the reason
            self._unsent = b""

    def _ends_by(self, until_s: float) -> bool:
        """Return True once the process has ended; False where it has not at `until_s`."""
        while self._process.poll() is None:
            if (left_s := until_s - time.monotonic()) <= 0:
                return False
            self._exchange(min(left_s, LOOK_EVERY_S))
        return True

    def _end(self, number: signal.Signals | None) -> None:
        """End the process, so that it keeps what it has if it can, and all that it has started.

        Without a `number` it is about to end by itself. A further Ctrl-C does not wait.
        """
        from llenergymeasure.backends.openai.server.launch import MARK as SUPERVISED

        try:
            if number is not None:
                self._process.send_signal(number)
            self._ends_by(time.monotonic() + GRACE_S)
        except KeyboardInterrupt:
            pass
        finally:
            self._process.kill()  # nothing where it has ended
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a device
                self._process.wait(STRAYS_GRACE_S)
            end_marked((MARK, self._mark), STRAYS_GRACE_S, supervised=SUPERVISED)
            self._exchange(0)

    def _close_input(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _states(self) -> set[str]:
        """Return the names of what runs that have not ended keep in the directory of the results."""
        try:
            return set(os.listdir(self._output_dir / STATE_FOLDER))
        except OSError:
            return set()

    def _recover(self) -> str:
        return shlex.join(["llem", "results", "recover", str(self._output_dir)])

    def _ending(self, kept: Collection[str]) -> str:
        code = self._process.returncode
        if code is None:
            return "does not end, though killed"
        if code < 0:
            left = f"; {self._recover()} shows what it has left" if kept else ""
            return f"was ended by {signal.Signals(-code).name}{left}"
        return f"failed with exit code {code}"

    def _quoted(self, ending: str) -> str:
        """Return the ending with the last lines of stderr, where that was kept."""
        text = self._words.text() if self._words is not None else ""
        lines = [clean(line.expandtabs().strip(), MAX_PROBLEM // LAST_WORDS_LINES) for line in text.splitlines()]
        last = [line for line in lines if line][-LAST_WORDS_LINES:]
        return _bounded("\n  ".join([f"{ending}; its last lines:", *last])) if last else ending


class _Heard:
    """The reading end of a pipe, of which the last bytes are kept; it never waits."""

    def __init__(self, descriptor: int, most_bytes: int) -> None:
        self.descriptor = descriptor
        self.is_over = False
        self._most_bytes = most_bytes
        self._bytes = b""
        os.set_blocking(descriptor, False)

    def read(self) -> None:
        """Read what is there."""
        try:
            while piece := os.read(self.descriptor, self._most_bytes):
                self._bytes = (self._bytes + piece)[-self._most_bytes :]
        except BlockingIOError:
            return
        self.is_over = True

    def line(self) -> bytes | None:
        """Return the first line that is not taken yet."""
        line, end, rest = self._bytes.partition(b"\n")
        if not end:
            return None
        self._bytes = rest
        return line

    def text(self) -> str:
        """Return what is kept."""
        return self._bytes.decode(errors="replace")

    def close(self) -> None:
        """Close it; closing twice does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor, self.is_over = -1, True


def _bounded(text: str) -> str:
    """Return a text that another process wrote: printable, without keys, and not long."""
    shown = clean_lines(without_keys(text.strip()))
    return shown if len(shown) <= MAX_PROBLEM else f"{shown[: MAX_PROBLEM - 1]}{CUT}"
