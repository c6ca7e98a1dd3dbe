"""`payment-sim experiment chart`."""

from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.experiment_report import Runs, SweepName
from payment_simulator.cli.stored_runs import Db, open_database

SUFFIXES = (".png", ".svg", ".html")
SUFFIXES_OF_MANY = (".png", ".svg")


@reporting_errors
def chart(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write: .png, .svg or .html.", show_default=False)
    ],
    runs: Runs = None,
    sweep: SweepName = None,
    db: Db = None,
) -> None:
    """Draw a run: each bank's cost and parameters over the iterations, every proposal, and the Nash gap by its kind.

    Of several runs: final costs, parameters, and the equilibria reached, against the settings that differ.
    """
    from labledger.console import print_answer
    from payment_simulator.cli.outputs import check_apart, check_picture, check_place

    is_one = sweep is None and len(runs or []) == 1
    check_picture("--output", output, SUFFIXES if is_one else SUFFIXES_OF_MANY)
    check_place("--output", output)
    from payment_simulator.cli.experiment_report import chosen_runs
    from payment_simulator.experiments.stored_run import StoredRun
    from payment_simulator.plotting.experiment import draw
    from payment_simulator.plotting.experiments import draw_many

    with open_database(db) as repository:
        check_apart("--output", output, [repository.path])
        if runs is not None and is_one:
            stored = StoredRun.load(repository, runs[0])
            name = stored.record.experiment_id
        else:
            found = chosen_runs(repository, runs or [], sweep)
            name = f"{len(found.runs):,} runs"
    if is_one:
        draw(stored, output)
    else:
        draw_many(found, output)
    print_answer(f"{name}: drawn in {output}")
