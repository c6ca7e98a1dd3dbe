"""A run in a process of its own: memory, caches and CUDA context are as if no other run had been before it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.parallel.messages import RunTask

PROGRAM = "llenergymeasure.cli.separate_run"
MAX_PATH_BYTES = 1 << 16


class Separate(NamedTuple):
    """A run that has ended: the path of its result.json, or None with the reason; its own words are on stderr."""

    path: Path | None
    problem: str = ""


def run_separately(
    config: ExperimentConfig,
    user: UserConfig,
    output_dir: Path,
    command: Sequence[str],
    *,
    quiet: bool = False,
    verbose: bool = False,
    debug: bool = False,
) -> Separate:
    """Measure in a process of its own, which shows its progress and errors on stderr, and saves the result.

    `command` is what the user wrote after `llem`; without a result the process has said why on stderr. `quiet`: it
    shows no progress; `verbose`: it shows the logs of libraries; `debug`: the traceback of an error.

    Raises:
        OSError: the process cannot be started.
        KeyboardInterrupt: the run was stopped as well, and has kept what it had.
    """
    given = [f"--{name}" for name, is_given in (("quiet", quiet), ("verbose", verbose)) if is_given]
    before = ["--debug"] if debug else []
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb", buffering=0) as report:
        try:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-P", "-m", PROGRAM, *before, "run", *given, "--", str(writes), output_dir, *command],
                stdin=subprocess.PIPE,  # it ends when this is closed: it does not outlive the process that waits for it
                stdout=2,  # what libraries print is not the answer
                pass_fds=(writes,),
                start_new_session=True,  # Ctrl-C at a terminal reaches this process alone, which stops it
            )
        finally:
            os.close(writes)
        with process:
            code = _watch(process, RunTask(config=config, user=user).line())
        os.set_blocking(reads, False)
        saved = report.read(MAX_PATH_BYTES)  # a process that it has left behind may hold the other end
    if code or not saved:
        return Separate(None, _problem(code, output_dir))
    return Separate(Path(os.fsdecode(saved)))


def _watch(process: "subprocess.Popen[bytes]", task: str) -> int:
    """Give the process its task and return its exit code; stop it if this process is stopped."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended: its exit code is the reason
            process.stdin.write(task.encode())
            process.stdin.flush()
        return process.wait()
    except BaseException as error:
        process.send_signal(signal.SIGINT if type(error) is KeyboardInterrupt else signal.SIGTERM)
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C does not wait
            process.wait()
        process.kill()
        raise


def _problem(code: int, output_dir: Path) -> str:
    if code < 0:
        left = f"llem results recover {output_dir} shows what it has left"
        return f"was ended by {signal.Signals(-code).name}; {left}"
    return f"failed with exit code {code}"
