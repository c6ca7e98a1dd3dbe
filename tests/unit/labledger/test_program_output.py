"""Output of a program besides its answers: warnings, and tracebacks with --debug."""

import logging
import os
import subprocess
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
    assert not set("\x1b\x07\u202e") & set(out + err)
    assert arguments not in ([], ["--debug"]) or "and (the key)" in err


def test_no_warning_of_a_file_has_what_has_the_shape_of_a_key(capsys):
    with printing_warnings("folder"):
        warnings.warn(f"nobody knows hf_{'a1B2' * 9} here", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: folder: nobody knows (the key) here\n"


def test_a_warning_is_printed_as_a_warning_and_not_as_an_error(capsys):
    versions = "Warning: A file is of a version that nobody knows."
    with printing_warnings("folder"):
        warnings.warn(versions, SchemaVersionWarning, stacklevel=1)
        warnings.warn("a digest differs in this test alone", stacklevel=1)
    assert capsys.readouterr().err == f"{versions}\nwarning: folder: a digest differs in this test alone\n"


HIDDEN_KEYS = ["hf_abcDEF123ghiJKL456mnoPQR789stuVWX", "http://u:pw8Xk2mQ@host", "sk-4b1d0c77aa93f4e2"]


@pytest.mark.parametrize("argument", HIDDEN_KEYS)
def test_a_usage_error_repeats_no_key_of_the_arguments(program, capsys, argument):
    assert program(argument) == 2
    err = capsys.readouterr().err
    assert argument not in err
    assert "(the key)" in err


def test_a_usage_error_names_the_unknown_option_without_its_value(program, capsys):
    assert program(f"--api-key={HIDDEN_KEYS[0]}") == 2
    err = capsys.readouterr().err
    assert "--api-key" in err
    assert HIDDEN_KEYS[0] not in err


def test_a_handler_that_a_library_makes_for_itself_prints_no_key(program, capsys):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[a library] %(message)s"))
    logging.getLogger("a library").addHandler(handler)
    try:
        program()
    finally:
        logging.getLogger("a library").removeHandler(handler)
    err = capsys.readouterr().err
    assert "[a library] said" in err
    assert KEY not in err
    assert "\u202e" not in err


OF_OPENAI = """
import logging, os, openai, httpx
from labledger.printed import clean_logs

logging.getLogger("httpx").setLevel(logging.INFO)
if os.environ["IS_CLEANED"] == "yes":
    clean_logs()
transport = httpx.MockTransport(lambda request: httpx.Response(200))
httpx.Client(transport=transport).get("http://127.0.0.1/?token=" + os.environ["OPENAI_API_KEY"])
"""


@pytest.mark.parametrize(("is_cleaned", "shown"), [("no", KEY), ("yes", "(the key)")])
def test_the_log_handler_that_openai_log_makes_prints_no_key(is_cleaned, shown):
    pytest.importorskip("openai")
    environment = {**os.environ, "OPENAI_LOG": "debug", "OPENAI_API_KEY": KEY, "IS_CLEANED": is_cleaned}
    done = subprocess.run([sys.executable, "-c", OF_OPENAI], capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0
    assert f"/?token={shown}" in done.stderr
