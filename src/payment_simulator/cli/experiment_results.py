"""`payment-sim experiment results`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import AsJson, Db, cents, moment, open_database, truth

if TYPE_CHECKING:
    from payment_simulator.experiments.persistence import ExperimentRecord

WHOLE = ("id", "name", "status")
LISTED = ("experiment_id", "experiment_name", "status", "num_iterations", "final_cost", "converged", "started_at")


@reporting_errors
def results(
    ctx: typer.Context,
    database: Annotated[Path | None, typer.Argument(help="As --db.", show_default=False)] = None,
    db: Db = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only running, completed, failed or interrupted.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only of this name.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the latest.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """List the runs in a database, the latest first; costs in cents, moments in UTC."""
    from labledger.console import print_json, print_table
    from labledger.errors import ConfigError

    if database is not None and db is not None:
        raise ConfigError(f"--db: {database} is named, too; name one")
    known = ("running", "completed", "failed", "interrupted")
    if status is not None and status not in known:
        raise ConfigError(f"--status: {status!r} is none of {', '.join(known)}")
    with open_database(database or db) as repository:
        found = repository.list_experiments(status=status, name=name, limit=limit)
    if json:
        print_json(dump_json([{key: getattr(record, key) for key in LISTED} for record in found]))
        return
    header = (*WHOLE, "iterations", "final cost", "converged", "started")
    print_table(header, [_row(record) for record in found], whole=WHOLE)


def _row(record: "ExperimentRecord") -> tuple[str, ...]:
    return (
        record.experiment_id,
        record.experiment_name,
        record.status,
        cents(record.num_iterations),
        cents(record.final_cost),
        truth(record.converged),
        moment(record),
    )
