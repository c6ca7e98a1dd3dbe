"""`python -m llenergymeasure.cli.separate_run run FD DIRECTORY`: runs of several, that `parallel.run_process` started.

Its tasks are on stdin, a line each, one after another; it ends when stdin does, and when a run has no result. On the
descriptor FD it reports the path of each saved result, or the error.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import error_text, make_app, reporting_errors, run_program

app = make_app("llem", "Runs of several.")


@app.command()
@reporting_errors
def run(
    ctx: typer.Context,
    report: Annotated[int, typer.Argument(help="Descriptor on which the end of each run is reported.")],
    output: Annotated[Path, typer.Argument(help="Directory for the results.")],
    command: Annotated[list[str] | None, typer.Argument(help="What the user wrote after `llem`.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also show the logs of the libraries.")] = False,
) -> None:
    """Measure the tasks on stdin and save their results."""
    from llenergymeasure.backends.kept import Kept
    from llenergymeasure.cli.run import measure, set_verbosity
    from llenergymeasure.parallel.messages import RunEnded, RunTask
    from llenergymeasure.parallel.worker import TasksOnStdin

    sys.argv = ["llem", *(command or [])]  # what a message on a defect names
    os.set_inheritable(report, False)
    set_verbosity(verbose)
    tasks = TasksOnStdin()
    with Kept() as kept:
        while (line := tasks.next()) is not None:
            try:
                task = RunTask.model_validate_json(line)
                _, path = measure(task.config, task.user, output, quiet, kept if task.keeps else None, task.prompt_mark)
            except BaseException as error:
                os.write(report, RunEnded(error=error_text(error)).line())
                raise
            tasks.done()
            os.write(report, RunEnded(saved=str(path)).line())


if __name__ == "__main__":
    run_program(app)
