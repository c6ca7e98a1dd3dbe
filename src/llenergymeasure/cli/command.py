"""A user's command, run as if it had been run by itself."""

import os
import signal
import subprocess
import sys
from types import FrameType, TracebackType
from typing import Any, Self

from labledger.ending import is_ignored
from labledger.errors import LabledgerError

PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
FROM_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_SIGNAL = 127, 126, 128


class CommandError(LabledgerError):
    """A command that cannot be run; `exit_code` is what a shell would give."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Command:
    """Runs while the context is entered; signals that reach this process meanwhile are passed on to it.

    Ctrl-C at a terminal reaches the command without our help, so it is not passed on a second time.
    """

    def __init__(self, arguments: list[str], *, output_to_stderr: bool) -> None:
        self._arguments = arguments
        self._output_to_stderr = output_to_stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._handlers: dict[signal.Signals, Any] = {}
        self._exit_code = EXIT_NOT_FOUND

    def __enter__(self) -> Self:
        self._handlers = {
            number: signal.signal(number, self._pass_on) for number in PASSED_ON if not is_ignored(number)
        }  # what is ignored, as under `nohup`, the command ignores too
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running it is what the user asks for
                self._arguments, stdout=sys.stderr if self._output_to_stderr else None
            )
        except OSError as error:
            self._exit_code = EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE
            self.__exit__(None, None, None)
            raise CommandError(f"{self._arguments[0]}: {error.strerror}", self._exit_code) from error
        for number in self._early:
            self._process.send_signal(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self) -> int:
        """Its exit code as a shell gives it: 128 plus the number of the signal that ended it."""
        code = self._process.wait() if self._process else self._exit_code
        return code if code >= 0 else EXIT_SIGNAL - code

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if number in FROM_THE_TERMINAL and _in_the_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _in_the_foreground() -> bool:
    """Whether a terminal sends its signals to this process's group, and so to the command as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
