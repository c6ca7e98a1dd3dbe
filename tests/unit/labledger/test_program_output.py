"""Output of a program besides its answers: warnings, and tracebacks with --debug."""

import logging
import sys
import warnings

import pytest
import typer

from labledger.commands import printing_warnings, reporting_errors, run_program
from labledger.errors import ConfigError
from labledger.schema_versions import SchemaVersionWarning

KEY = "sk-4b1d0c77aa93f4e2"
EVIL = "\x1b]0;owned\x07\x1b[2J\u202eevil"


@pytest.fixture
def program(monkeypatch):
    """A command line that warns and fails; run with these arguments, it gives its exit code."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @reporting_errors
    def work(ctx: typer.Context, debug: bool = False) -> None:
        warnings.warn(EVIL, UserWarning, stacklevel=1)
        logging.getLogger("a library").error("said %s and %s", EVIL, KEY)
        raise ConfigError(EVIL)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        monkeypatch.setenv("SOME_API_KEY", KEY)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            monkeypatch.setattr(warnings, "showwarning", warnings._showwarning_orig)  # pytest's keeps them
            with pytest.raises(SystemExit) as ended:
                run_program(app)
        return ended.value.code

    return run


@pytest.mark.parametrize("arguments", [[], ["--debug"], [EVIL], [f"--x{EVIL}"]], ids=["", "debug", "word", "option"])
def test_warnings_errors_tracebacks_and_usage_have_no_command_for_a_terminal(program, capsys, arguments):
    code = program(*arguments)
    out, err = capsys.readouterr()
    assert code == (1 if arguments == ["--debug"] else 2)
    assert ("Traceback" in err) == (arguments == ["--debug"])
    assert "owned" in err
    assert KEY[:12] not in err
    assert not set("\x1b\x07") & set(out + err)
    assert arguments not in ([], ["--debug"]) or "and (the key)" in err


def test_a_warning_is_printed_as_a_warning_and_not_as_an_error(capsys):
    versions = "Warning: A file is of a version that nobody knows."
    with printing_warnings("folder"):
        warnings.warn(versions, SchemaVersionWarning, stacklevel=1)
        warnings.warn("a digest differs in this test alone", stacklevel=1)
    assert capsys.readouterr().err == f"{versions}\nwarning: folder: a digest differs in this test alone\n"
