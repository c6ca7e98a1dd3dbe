"""Command lines: their options, and one message on stderr and an exit code for an error; a traceback with `--debug`."""

import contextlib
import functools
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from labledger.console import print_answer, print_error
from labledger.errors import LabledgerError, is_out_of_memory, is_panic
from labledger.extras import explained
from labledger.redaction import environment_keys, redactor
from labledger.untrusted_text import clean, clean_lines

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def make_app(name: str, about: str) -> typer.Typer:
    """Return the command line `name`, to which commands are added; `about` is the first line of its help.

    It has the options `--version` and `--debug`; without a command it prints its help.
    """
    app = typer.Typer(name=name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    def show_version(value: bool) -> None:
        if value:
            typer.echo(f"{name} {version('labledger')}")
            raise typer.Exit

    @app.callback(help=about)
    def options(
        version: Annotated[
            bool, typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True)
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        pass

    return app


class Terminated(KeyboardInterrupt):
    """SIGTERM: it ends a run as Ctrl-C does, keeping what was measured."""


def terminate(number: int, frame: FrameType | None) -> None:
    """End the program as Ctrl-C does; the handler of SIGTERM."""
    raise Terminated


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command`, whose first parameter is the context, so that an error ends it with a message and a code."""

    @functools.wraps(command)
    def reported(ctx: typer.Context, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGTERM, terminate)
        try:
            command(ctx, *args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt as error:
            terminated = isinstance(error, Terminated)
            _report("terminated" if terminated else "interrupted", error)
            raise typer.Exit(EXIT_TERMINATED if terminated else EXIT_INTERRUPTED) from error
        except BaseException as error:
            if ctx.find_root().params.get("debug") or not (isinstance(error, Exception) or is_panic(error)):
                raise
            known = explained(error)
            _report(_message(known), error)
            raise typer.Exit(known.exit_code if isinstance(known, LabledgerError) else EXIT_FAILED) from error

    return reported


def _message(error: BaseException) -> str:
    if isinstance(error, LabledgerError):
        lines = str(error).splitlines()
        problems = sum(not line.startswith("  ") for line in lines)  # others quote what belongs to the one above
        head = [] if problems <= 1 else [f"{problems} problems"]
        return "\n".join([*head, *lines])
    if is_out_of_memory(error):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    program = Path(sys.argv[0]).name
    again = f"{program} --debug {' '.join(sys.argv[1:])}"
    return f"unexpected {type(error).__name__}: {error}\nThis is a defect of {program}. Its traceback: {again}"


def _report(message: str, error: BaseException) -> None:
    print_error("\n".join([message, *getattr(error, "__notes__", [])]))


_printed: set[str] = set()


@contextlib.contextmanager
def printing_warnings(name: str) -> Iterator[None]:
    """Print warnings to standard error, with the file's `name`; one of another schema version once for all files."""
    from labledger.schema_versions import SchemaVersionWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        of_all = issubclass(warning.category, SchemaVersionWarning)
        text = str(warning.message) if of_all else clean(f"warning: {name}: {warning.message}")
        if text not in _printed:
            print_answer(text, to_stderr=True)
            _printed.add(text)


def run_program(program: Callable[[], object]) -> None:
    """Run a command line to its exit: 0 done, 1 failed, 2 usage or configuration, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its encoding has no sign for is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _printable_warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableLines())
    try:
        program()
    except OSError as error:  # standard output cannot be written to
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left in the buffer cannot be written either
        print_error(f"standard output: {error.strerror}")
        sys.exit(EXIT_FAILED)
    except Exception:  # with --debug
        print_answer(traceback.format_exc().rstrip(), to_stderr=True)
        sys.exit(EXIT_FAILED)


class PrintableLines(logging.Formatter):
    """Log lines as `clean_lines` leaves them, without the environment's keys: libraries log what they are given."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        return clean_lines(redactor(*environment_keys().values()).hide(super().format(record)))


_format_warning = warnings.formatwarning


def _printable_warning(*warning: Any, **more: Any) -> str:
    return clean_lines(_format_warning(*warning, **more))
