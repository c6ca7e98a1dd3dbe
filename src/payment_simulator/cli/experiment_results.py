"""`payment-sim experiment results`."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import (
    LAST,
    AsJson,
    Db,
    ShowAll,
    cents,
    gap_words,
    moment,
    one_day_of,
    open_database,
    stored_gap_columns,
    truth,
)

if TYPE_CHECKING:
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.persistence import ExperimentRecord

WHOLE = ("id", "name", "status")
ENDING = ("final_cost", "converged", "convergence_reason")
MAX_DAYS = 5
"""Runs whose one day is told below the table."""
LISTED = ("experiment_id", "experiment_name", "status", "num_iterations", *ENDING, "started_at")


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
    show_all: ShowAll = False,
    json: AsJson = False,
) -> None:
    """List the last runs in a database, the latest first; costs in cents, moments in UTC.

    With --json, or --all, every one.
    """
    from labledger.console import print_answer, print_table
    from labledger.errors import ConfigError

    if database is not None and db is not None:
        raise ConfigError(f"--db: {database} is named, too; name one")
    known = ("running", "completed", "failed", "interrupted")
    if status is not None and status not in known:
        raise ConfigError(f"--status: {status!r} is none of {', '.join(known)}")
    with open_database(database or db) as repository:
        found = repository.each_experiment(status=status, name=name)
        if json:
            _print_list(islice(found, limit))
            return
        shown = limit or (None if show_all else LAST)
        rows, lines = [], []  # and not the records, which are large
        for record in islice(found, shown):
            day = _day(record)
            rows.append(_row(record, day))
            lines += [] if day is None else [f"{record.experiment_id}: {day.words}"]
        are_more = limit is None and next(found, None) is not None
    print_table((*WHOLE, "iterations", "final cost", "Nash gap", "converged", "started"), rows, whole=WHOLE)
    for line in lines[:MAX_DAYS]:
        print_answer(line)
    if len(lines) > MAX_DAYS:
        print_answer(f"{len(lines) - MAX_DAYS:,} more runs are of one day each: --json has them, and `show` has each")
    if are_more:
        print_answer(f"These are the last {LAST} runs: --all shows every one, --json too")


def _print_list(records: "Iterable[ExperimentRecord]") -> None:
    """Print a JSON list, one run after another: all of them together can be more than memory holds."""
    from labledger.console import print_answer, print_json

    before = "["
    for record in records:
        print_json(before + "\n" + indent(dump_json(_listed(record)), "  "), end="")
        before = ","
    print_answer("[]" if before == "[" else "\n]")


def _listed(record: "ExperimentRecord") -> dict[str, Any]:
    columns = {**{key: getattr(record, key) for key in LISTED}, **stored_gap_columns(record, "final_")}
    day = _day(record)
    return {**columns, "of_one_day": day is not None, "one_day": None if day is None else day.to_dict()}


def _day(record: "ExperimentRecord") -> "OneDay | None":
    from payment_simulator.experiments.stored_run import StoredRun

    return one_day_of(StoredRun(record, [], []))


def _row(record: "ExperimentRecord", day: "OneDay | None") -> tuple[str, ...]:
    gap = gap_words(record, record.config, "final_")
    return (
        record.experiment_id,
        record.experiment_name,
        record.status,
        cents(record.num_iterations),
        cents(record.final_cost),
        f"{gap}, of one day" if gap and day is not None else gap,
        truth(record.converged),
        moment(record),
    )
