"""Command lines: their options, and one message on stderr and an exit code for an error; a traceback with `--debug`."""

import contextlib
import functools
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from labledger.console import print_answer, print_error
from labledger.ending import Terminated, end_on_signals, hear_of_children
from labledger.errors import LabledgerError, is_out_of_memory, is_panic
from labledger.extras import explained
from labledger.notices import show_notices
from labledger.output_streams import outlive_readers
from labledger.printed import clean_logs, clean_usage_errors, without_keys
from labledger.untrusted_text import clean

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_SIGNAL = 128
MAX_PROBLEMS = 200
"""Problems of a configuration that are printed, before the number of the others."""
UNSHOWN = re.compile(r"^  and ([0-9,]+) more$", re.MULTILINE)
"""The line of an error that stands for so many problems."""


class _Group(TyperGroup):
    """A command of commands that, named alone, answers with its help: that is no wrong usage.

    The error of an unknown command names the nearest, or all.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            message = getattr(error, "message", "")  # of click's, or of typer's own copy of click
            if message.startswith("No such command") and "Did you mean" not in message:
                error.message = f"{message} Commands: {', '.join(self.list_commands(ctx))}."  # type: ignore[attr-defined]
            raise


def make_group(about: str) -> typer.Typer:
    """Return a command to which commands are added; `about` is its help, which it prints without a command."""
    return typer.Typer(help=about, cls=_Group, no_args_is_help=True)


def make_app(name: str, about: str) -> typer.Typer:
    """Return the command line `name`, to which commands are added; `about` is the first line of its help.

    It has the options `--version`, `--debug`, and those that install the completion of a shell; without a command it
    prints its help.
    """
    app = typer.Typer(name=name, cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)

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


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command`, whose first parameter is the context, so that an error ends it with a message and a code."""

    @functools.wraps(command)
    def reported(ctx: typer.Context, *args: Any, **kwargs: Any) -> None:
        end_on_signals()
        show_notices()
        try:
            with _one_warning_per_version():
                command(ctx, *args, **kwargs)
        except typer.Exit:
            raise
        except BaseException as error:
            if (ending := _ending_in(error)) is not None:
                with contextlib.suppress(OSError):  # the terminal may have gone
                    print_error(error_text(error))
                code = EXIT_SIGNAL + ending.number if isinstance(ending, Terminated) else EXIT_INTERRUPTED
                raise typer.Exit(code) from error
            if ctx.find_root().params.get("debug") or not (isinstance(error, Exception) or is_panic(error)):
                raise
            known = explained(error)
            print_error(error_text(error))
            raise typer.Exit(known.exit_code if isinstance(known, LabledgerError) else EXIT_FAILED) from error

    return reported


def error_text(error: BaseException) -> str:
    """Return what a command prints of an error that ends it, without keys: a line or more, and its notes."""
    ending = _ending_in(error)
    words = "terminated" if isinstance(ending, Terminated) else "interrupted"
    message = _message(explained(error)) if ending is None else words
    return without_keys("\n".join([message, *getattr(error, "__notes__", [])]))


def _ending_in(error: BaseException) -> KeyboardInterrupt | None:
    """Return the signal that ended a command, also where a library, as DuckDB, has made another error of it."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        if isinstance(found, KeyboardInterrupt):
            return found
        seen.append(found)
        found = found.__cause__
    return None


def _message(error: BaseException) -> str:
    if isinstance(error, LabledgerError):
        lines = str(error).splitlines()
        problems = [place for place, line in enumerate(lines) if not line.startswith("  ")]  # others belong to the last
        number = len(problems) + sum(int(each.replace(",", "")) for each in UNSHOWN.findall(str(error)))
        head = [] if number <= 1 else [f"{number:,} problems"]
        if len(problems) > MAX_PROBLEMS:
            more = f"... and {len(problems) - MAX_PROBLEMS:,} more"
            lines = [*lines[: problems[MAX_PROBLEMS]], more]
        return "\n".join([*head, *lines])
    if is_out_of_memory(error):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    program = Path(sys.argv[0]).name
    again = f"{program} --debug {' '.join(sys.argv[1:])}"
    return f"unexpected {type(error).__name__}: {error}\nThis is a defect of {program}. Its traceback: {again}"


_printed: set[str] = set()
_of_other_versions: list[Warning] | None = None
"""The warnings of other schema versions that the running command has met; None outside of a command."""


@contextlib.contextmanager
def _one_warning_per_version() -> Iterator[None]:
    """Print, at the end, what `printing_warnings` has met of other schema versions: of many files a line a version."""
    global _of_other_versions
    _of_other_versions = []
    try:
        yield
    finally:
        met, _of_other_versions = _of_other_versions, None
        for warning in met:
            _print_once(str(warning))


@contextlib.contextmanager
def printing_warnings(name: str) -> Iterator[None]:
    """Print warnings to standard error, with the file's `name`; those of other schema versions as the command ends."""
    global _of_other_versions
    from labledger.schema_versions import SchemaVersionWarning, one_per_version

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not isinstance(warning.message, SchemaVersionWarning):
            _print_once(clean(f"warning: {name}: {warning.message}"))
        elif _of_other_versions is None:
            _print_once(str(warning.message))
        else:
            _of_other_versions = one_per_version([*_of_other_versions, warning.message])


def _print_once(text: str) -> None:
    text = without_keys(text)
    if text not in _printed:
        print_answer(text, to_stderr=True)
        _printed.add(text)


def run_program(app: typer.Typer) -> None:
    """Run a command line to its exit: 0 done, 1 failed, 2 usage or configuration, 130 interrupted."""
    outlive_readers()
    hear_of_children()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its encoding has no sign for is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _printable_warning
    clean_logs()
    program = typer.main.get_command(app)
    clean_usage_errors(program)
    try:
        program()
    except OSError as error:  # standard output cannot be written to
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left in the buffer cannot be written either
        print_error(f"{error.filename or 'standard output'}: {error.strerror}")
        sys.exit(EXIT_FAILED)
    except Exception:  # with --debug
        print_answer(without_keys(traceback.format_exc().rstrip()), to_stderr=True)
        sys.exit(EXIT_FAILED)


_format_warning = warnings.formatwarning


def _printable_warning(*warning: Any, **more: Any) -> str:
    return without_keys(_format_warning(*warning, **more))
