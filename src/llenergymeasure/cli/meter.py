"""`llem meter`: the power of this machine, live, or the energy of a command."""

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
    """Show the power of every device until Ctrl-C; or run a command, and show its energy.

    With a command the figures go to standard error, and llem exits as the command does: with its exit code, 128 plus
    the signal that ended it, 127 if there is no such command, 126 if it cannot be run. Signals are passed on to it.
    """
    from pydantic import ValidationError

    from llenergymeasure.api import energy_window
    from llenergymeasure.errors import ConfigError

    try:
        window = energy_window(source, of_all_processes=not command)
    except ValidationError as error:
        raise ConfigError("\n".join(f"--source: {each['msg']}" for each in error.errors())) from error
    if command:
        raise typer.Exit(_measure(command, window, as_json=json))
    _show_live(window, as_json=json)


def _measure(command: list[str], window: "EnergyWindow", *, as_json: bool) -> int:
    from labledger.console import print_facts, print_json, print_line

    running = Command(command, output_to_stderr=as_json)
    with window, running:
        code = running.wait()
    if as_json:
        print_json(dump_json({"command": command, "exit_code": code, **window.found.to_dict()}, indent=None))
    else:
        print_facts("", _facts(command, code, window.found), to_stderr=True)
        for warning in window.found.warnings:
            print_line(f"  ! {warning}", to_stderr=True)
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
    """Print a line per second until Ctrl-C, which ends it with exit code 0. An estimate is of all of the CPU's work."""
    from labledger.console import print_answer, print_json

    with window:
        try:
            for powers in window.powers(EVERY_S):
                if as_json:
                    print_json(
                        dump_json(
                            [{"seconds": s, **device.model_dump(mode="json")} for device, s in powers], indent=None
                        )
                    )
                else:
                    print_answer("   ".join(f"{_name(device)} {_watts(device, s)}" for device, s in powers))
        except KeyboardInterrupt as error:
            if type(error) is not KeyboardInterrupt:  # SIGTERM
                raise


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
        """Return its exit code as a shell gives it: 128 plus the number of the signal that ended it."""
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
