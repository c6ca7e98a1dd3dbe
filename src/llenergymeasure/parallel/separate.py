"""A run in a process of its own: memory, caches and CUDA context are as if no other run had been before it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.parallel.messages import RunTask
from llenergymeasure.parallel.run_process import RunProcess, Separate

__all__ = ["Separate", "run_separately"]


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
    with contextlib.closing(RunProcess(output_dir, command, quiet=quiet, verbose=verbose, debug=debug)) as process:
        return process.run(RunTask(config=config, user=user))
