"""`payment-sim experiment chart`."""

from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.stored_runs import Db, Run, open_database

SUFFIXES = (".png", ".svg", ".html")


@reporting_errors
def chart(
    ctx: typer.Context,
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write: .png, .svg or .html.", show_default=False)
    ],
    db: Db = None,
) -> None:
    """Draw a run: each bank's cost and parameters over the iterations, every proposal, and the Nash gap by its kind."""
    from labledger.console import print_answer
    from payment_simulator.cli.outputs import check_apart, check_picture, check_place

    check_picture("--output", output, SUFFIXES)
    check_place("--output", output)
    from payment_simulator.experiments.stored_run import StoredRun
    from payment_simulator.plotting.experiment import draw

    with open_database(db) as repository:
        check_apart("--output", output, [repository.path])
        stored = StoredRun.load(repository, run)
    draw(stored, output)
    print_answer(f"{stored.record.experiment_id}: drawn in {output}")
