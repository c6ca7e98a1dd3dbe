"""`llem meter`: the power of this machine, live, or the energy of a command."""

import contextlib
import os
import signal
import subprocess
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from labledger.commands import reporting_errors
from labledger.ending import is_ignored
from labledger.errors import LabledgerError
from labledger.json_text import dump_json
from labledger.output_streams import has_reader
from llenergymeasure.config.energy_sources import ENERGY_SOURCES

if TYPE_CHECKING:
    from llenergymeasure.domain.figures import DeviceEnergy
    from llenergymeasure.energy.window import EnergyWindow, MeteredEnergy

EVERY_S = 1.0
SHOWN_COMMAND = 80
SETTINGS = {"allow_interspersed_args": False}
PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
FROM_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_SIGNAL = 127, 126, 128


@reporting_errors
def meter(
    ctx: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND ...]", help="The command to run.", show_default=False)
    ] = None,
    source: Annotated[str, typer.Option("--source", help=f"auto, or one of {', '.join(ENERGY_SOURCES)}.")] = "auto",
    json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON on standard output; the command's own output goes to standard error."),
    ] = False,
) -> None:
    """Show the power of every device until Ctrl-C, and then its energy; or run a command, and show its energy.

    With a command the figures go to standard error, and llem exits as the command does: with its exit code, 128 plus
    the signal that ended it, 127 if there is no such command, 126 if it cannot be run. Signals are passed on to it.
    """
    from llenergymeasure.api import energy_window

    try:
        window = energy_window(source, of_all_processes=not command)
    except KeyboardInterrupt as error:
        if command or type(error) is not KeyboardInterrupt:  # SIGTERM
            raise
        _print_nothing()  # live
        return
    if command:
        raise typer.Exit(_measure(command, window, as_json=json))
    _show_live(window, as_json=json)


def _measure(command: list[str], window: "EnergyWindow", *, as_json: bool) -> int:
    from labledger.console import print_facts, print_json, print_warnings
    from llenergymeasure.process_tree import adopting_orphans

    running = Command(command, output_to_stderr=as_json)
    with adopting_orphans(), window, running:
        code = running.wait()
    if as_json:
        print_json(dump_json({"command": command, "exit_code": code, **window.found.to_dict()}, indent=None))
    else:
        print_facts("", _facts(command, code, window.found), to_stderr=True)
        print_warnings(window.found.warnings, to_stderr=True)
    return code


def _facts(command: list[str], code: int, found: "MeteredEnergy") -> list[tuple[str, str]]:
    import shlex
    import textwrap

    from llenergymeasure.cli.presentation import number, sensor_rows

    facts = [
        ("command", f"{textwrap.shorten(shlex.join(command), SHOWN_COMMAND, placeholder=' …')} (exit {code})"),
        ("duration", f"{number(found.duration_s)} s"),
        ("energy", _energy(found)),
    ]
    if found.mean_power_w is not None:
        facts.append(("mean, peak power", f"{number(found.mean_power_w)} W, {number(found.peak_power_w)} W"))
    if parts := _parts(found):
        facts.append(("bound", parts))
    facts += sensor_rows(found.sensor, found.calibration)
    if len(found.devices) > 1:
        facts += [(_name(device), _joules(device)) for device in found.devices]
    return [*facts, ("verdict", f"{found.verdict}: {'; '.join(found.verdict_reasons)}".rstrip(": "))]


def _energy(found: "MeteredEnergy") -> str:
    from llenergymeasure.cli.presentation import number

    if found.energy_j is None:
        return f"unknown ({found.energy_source})"
    return (
        f"{number(found.energy_j)} ± {number(found.energy_uncertainty_j)} J ({found.energy_source}, "
        f"{found.energy_scope})"
    )


def _parts(found: "MeteredEnergy") -> str:
    """Return the parts of the bound that apply, as `edge 4.1 J, gain 53 J`."""
    from llenergymeasure.cli.presentation import number

    parts = found.energy_uncertainty
    if parts is None:
        return ""
    named = ((name.removesuffix("_j"), getattr(parts, name)) for name in type(parts).model_fields)
    return ", ".join(f"{name} {number(value)} J" for name, value in named if value is not None)


def _show_live(window: "EnergyWindow", *, as_json: bool) -> None:
    """Print a line per second until Ctrl-C, and then the energy of all of it; the exit code is then 0.

    An estimate is of all of the CPU's work.
    """
    try:
        with window:
            try:
                _print_powers(window, as_json=as_json)
            except KeyboardInterrupt:
                if window.live is not None:
                    window.live.step()  # the part of a second since the last line
                raise
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError):  # the terminal may have gone
            _print_total(window)
        if type(error) is not KeyboardInterrupt:  # SIGTERM
            raise


def _print_powers(window: "EnergyWindow", *, as_json: bool) -> None:
    """Print a line per second, as long as somebody reads them."""
    from labledger.console import print_answer, print_json

    for powers in window.powers(EVERY_S):
        if as_json:
            rows = [{"seconds": seconds, **device.model_dump(mode="json")} for device, seconds in powers]
            print_json(dump_json(rows, indent=None))
        else:
            print_answer("   ".join(f"{_name(device)} {_watts(device, seconds)}" for device, seconds in powers))
        if not has_reader():
            return


def _print_total(window: "EnergyWindow") -> None:
    """Print the joules and the mean power of each device since the start on stderr, or that there are none yet."""
    from labledger.console import print_facts
    from llenergymeasure.cli.presentation import number

    live = window.live
    if live is None or not live.devices:
        _print_nothing()
        return
    facts = [("duration", f"{number(live.duration_s)} s")]
    for device in live.devices:
        mean = "" if device.energy_j is None else f", {number(device.energy_j / live.duration_s)} W mean"
        facts.append((_name(device), f"{_joules(device)}{mean}"))
    print_facts("", facts, to_stderr=True)


def _print_nothing() -> None:
    from labledger.console import print_line

    print_line("ended before anything was measured", to_stderr=True)


def _name(device: "DeviceEnergy") -> str:
    return str(device.device)


def _joules(device: "DeviceEnergy") -> str:
    from llenergymeasure.cli.presentation import number

    if device.energy_j is None:
        return f"unknown ({device.source})"
    return f"{number(device.energy_j)} ± {number(device.bound_j)} J ({device.source})"


def _watts(device: "DeviceEnergy", seconds: float) -> str:
    from llenergymeasure.cli.presentation import number

    if device.energy_j is None:
        return f"unknown ({device.source})"
    return f"{number(device.energy_j / seconds)} ± {number(device.bound_j / seconds)} W ({device.source})"


class CommandError(LabledgerError):
    """A command that cannot be run; `exit_code` is the one that a shell would give."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Command:
    """Runs while the context is entered; signals that reach this process meanwhile are passed on to it.

    What it has started and has left without a parent is waited for, where this process is given it.
    Ctrl-C at a terminal reaches the command without our help, so it is not passed on a second time.
    """

    def __init__(self, arguments: list[str], *, output_to_stderr: bool) -> None:
        self._arguments = arguments
        self._output_to_stderr = output_to_stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._others: frozenset[int] = frozenset()
        self._handlers: dict[signal.Signals, Any] = {}
        self._exit_code = EXIT_NOT_FOUND

    def __enter__(self) -> Self:
        import psutil

        self._others = frozenset(each.pid for each in psutil.Process().children())
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
            self._send(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self) -> int:
        """Return its exit code as a shell gives it: 128 plus the number of the signal that ended it."""
        self._wait_for_orphans()
        code = self._process.wait() if self._process else self._exit_code
        return code if code >= 0 else EXIT_SIGNAL - code

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if number in FROM_THE_TERMINAL and _in_the_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        """Send it a signal. `Popen.send_signal` may wait for it, and `wait` would then miss its end."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _wait_for_orphans(self) -> None:
        """Return when the command has ended, and wait meanwhile for the orphans: they are told in the CPU time then."""
        if self._process is None or sys.platform != "linux":
            return
        own = (self._process.pid, *self._others)
        while (ended := _ended_child()) is not None and ended not in own:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(ended, 0)


def _ended_child() -> int | None:
    """Return the number of a child that has ended, once there is one, and leave it to be waited for; None without any
    child."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid


def _in_the_foreground() -> bool:
    """Return True if a terminal sends its signals to this process's group, and so to the command as well."""
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
