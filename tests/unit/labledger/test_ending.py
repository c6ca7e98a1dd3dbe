"""The signals that end a program, and those that wait."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from labledger.files import uninterrupted
from labledger.starting import start

PROGRAM = """
import os, signal, typer
from labledger.commands import reporting_errors, run_program

app = typer.Typer()

@app.command()
@reporting_errors
def work(ctx: typer.Context) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    print("goes on")

run_program(app)
"""


def ended(**options):
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, encoding="utf-8", **options)


def test_a_hangup_ends_a_program_as_sigterm_does():
    done = ended()
    assert (done.returncode, done.stdout, done.stderr) == (129, "", "error: terminated\n")


def test_a_program_under_nohup_goes_on_after_a_hangup():
    done = ended(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert (done.returncode, done.stdout) == (0, "goes on\n")


def test_a_hangup_waits_until_what_has_to_be_whole_is_whole():
    heard = []
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append("hangup"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert heard == []
        assert heard == ["hangup"]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_that_is_metered_under_nohup_goes_on_after_a_hangup():
    program = [sys.executable, "-c", "from llenergymeasure.cli.main import main; main()", "meter", "--"]
    done = subprocess.run(
        [*program, "sh", "-c", "kill -HUP $$; kill -HUP $PPID; echo goes on"],
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert done.returncode == 0
    assert "goes on" in done.stdout


def test_ctrl_c_before_a_programs_commands_are_at_work_ends_it_without_a_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "quick", SimpleNamespace(main=interrupted))
    with pytest.raises(SystemExit) as ended:
        start("quick")
    assert ended.value.code == 130
    assert ended.value.__suppress_context__


def test_ctrl_c_while_a_program_is_imported_ends_it_without_a_traceback(tmp_path):
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-c", "from labledger.starting import start; start('slow')"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.fspath(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
