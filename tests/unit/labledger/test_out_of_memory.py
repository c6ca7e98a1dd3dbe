"""Memory that is out is said in those words, however a library shows it."""

import errno

import pytest
import typer
from typer.testing import CliRunner

from labledger.commands import reporting_errors

UNMAPPED = "/lib/_ufuncs.so: failed to map segment from shared object"
PanicException = type("PanicException", (BaseException,), {})


def ended_by(error):
    """A command that raises `error`, run to its end."""
    app = typer.Typer()

    @app.callback()
    def program(debug: bool = False) -> None:
        pass

    @app.command("go")
    @reporting_errors
    def go(ctx: typer.Context) -> None:
        raise error

    return CliRunner().invoke(app, ["go"])


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (MemoryError(), ""),
        (MemoryError("Out of memory interning an attribute name"), ": Out of memory interning an attribute name"),
        (ImportError(UNMAPPED), f": {UNMAPPED}"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ": [Errno 12] Cannot allocate memory"),
        (PanicException("PyObject pointer is null"), ": PyObject pointer is null"),
    ],
    ids=["python", "with a detail", "a library's import", "the system", "a panic"],
)
def test_memory_that_is_out_is_said_and_is_no_defect(error, detail):
    ended = ended_by(error)
    assert (ended.exit_code, ended.stderr) == (1, f"error: not enough memory{detail}\n")


def test_a_panic_of_another_kind_is_a_defect_without_a_traceback():
    ended = ended_by(PanicException("index out of bounds"))
    assert ended.exit_code == 1
    assert ended.stderr.startswith("error: unexpected PanicException: index out of bounds\nThis is a defect of")


def test_an_import_that_fails_for_another_reason_is_no_lack_of_memory():
    assert "not enough memory" not in ended_by(ImportError("cannot import name 'x'")).stderr
