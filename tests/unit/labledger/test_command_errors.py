"""A command line's own options, and the message that an error ends a command with: no traceback unless asked for."""

import errno
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from labledger.commands import Terminated, make_app, reporting_errors
from labledger.errors import ConfigError

UNMAPPED = "/lib/_ufuncs.so: failed to map segment from shared object"
PanicException = type("PanicException", (BaseException,), {})


def ended_by(error, *options):
    """Run a command that raises `error` to its end, the program's `options` before its name."""
    app = make_app("program", "Do what it does.")

    @app.command("go")
    @reporting_errors
    def go(ctx: typer.Context) -> None:
        raise error

    return CliRunner().invoke(app, [*options, "go"])


def test_an_error_of_ours_is_its_message_and_its_exit_code():
    ended = ended_by(ConfigError("a.yaml:1: unknown key"))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", "error: a.yaml:1: unknown key\n")


def test_debug_lets_the_exception_through_for_its_traceback():
    error = ConfigError("a.yaml:1: unknown key")
    assert ended_by(error, "--debug").exception is error


def test_version_is_the_programs_name_and_the_distributions_version():
    ended = ended_by(AssertionError("not reached"), "--version")
    assert (ended.exit_code, ended.stdout) == (0, f"program {version('labledger')}\n")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), Terminated()], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupt_ends_with_its_shells_exit_code(interrupt):
    word, code = ("terminated", 143) if isinstance(interrupt, Terminated) else ("interrupted", 130)
    ended = ended_by(interrupt)
    assert (ended.exit_code, ended.stderr) == (code, f"error: {word}\n")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("torch", "pip install -e '.[pytorch]' in the clone"),
        ("huggingface_hub.errors", "pip install -e '.[pytorch]' in the clone"),
        ("duckdb", "pip install -e '.[sql]' in the clone"),
        ("somebodys_package.part", "pip install somebodys_package"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(name, command):
    ended = ended_by(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert (ended.exit_code, ended.stderr) == (2, f"error: {name.partition('.')[0]} is not installed; run {command}\n")


def test_a_module_of_ours_that_is_missing_is_a_defect():
    name = "llenergymeasure.no_such_module"
    ended = ended_by(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert ended.exit_code == 1
    assert "This is a defect of" in ended.stderr


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
def test_memory_that_is_out_is_named_so_and_is_no_defect(error, detail):
    ended = ended_by(error)
    assert (ended.exit_code, ended.stderr) == (1, f"error: not enough memory{detail}\n")


def test_a_panic_of_another_kind_is_a_defect_without_a_traceback():
    ended = ended_by(PanicException("index out of bounds"))
    assert ended.exit_code == 1
    assert ended.stderr.startswith("error: unexpected PanicException: index out of bounds\nThis is a defect of")


def test_an_import_that_fails_for_another_reason_is_no_lack_of_memory():
    assert "not enough memory" not in ended_by(ImportError("cannot import name 'x'")).stderr


def test_an_interrupt_of_which_a_library_makes_another_error_ends_the_command_as_one():
    error = RuntimeError("Query interrupted")
    error.__cause__ = Terminated()
    ended = ended_by(error)
    assert (ended.exit_code, ended.stderr) == (143, "error: terminated\n")


@pytest.mark.parametrize(("word", "hint"), [("resluts", "Did you mean 'results'?"), ("list", "Commands: go, results.")])
def test_an_unknown_command_is_answered_with_the_nearest_or_all(word, hint):
    app = make_app("tool", "A tool.")
    app.command("go")(lambda: None)
    app.command("results")(lambda: None)
    ended = CliRunner().invoke(app, [word])
    assert ended.exit_code == 2
    assert hint in " ".join(ended.output.replace("│", "").split())
