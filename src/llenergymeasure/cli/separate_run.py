"""`python -m llenergymeasure.cli.separate_run run FD DIRECTORY`: one run of several, that `parallel.separate` started.

Its task is on stdin; it writes the path of the saved result to the descriptor FD.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import make_app, reporting_errors, run_program

app = make_app("llem", "One run of several.")


@app.command()
@reporting_errors
def run(
    ctx: typer.Context,
    report: Annotated[int, typer.Argument(help="Descriptor that the path of the result is written to.")],
    output: Annotated[Path, typer.Argument(help="Directory for the result.")],
    command: Annotated[list[str] | None, typer.Argument(help="What the user wrote after `llem`.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also show the logs of the libraries.")] = False,
) -> None:
    """Measure the task on stdin and save its result."""
    from llenergymeasure.cli.run import measure, set_verbosity
    from llenergymeasure.parallel.messages import RunTask
    from llenergymeasure.parallel.worker import end_with_stdin

    sys.argv = ["llem", *(command or [])]  # what a message on a defect names
    set_verbosity(verbose)
    task = RunTask.model_validate_json(sys.stdin.buffer.readline())
    end_with_stdin()
    _, path = measure(task.config, task.user, output, quiet)
    os.write(report, os.fsencode(str(path)))


if __name__ == "__main__":
    run_program(app)
