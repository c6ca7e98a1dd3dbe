"""`payment-sim experiment results`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from labledger.untrusted_text import clean
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
    from payment_simulator.experiments.differences import Differences
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.persistence import ExperimentRecord

WHOLE = ("id", "name", "status")
ENDING = ("final_cost", "converged", "convergence_reason")
MAX_VALUE = 40
MAX_KEYS = 4
"""Settings in which runs differ that have a column each."""
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
    csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: every run, with its settings, costs and parameters by bank.")
    ] = False,
) -> None:
    """List the last runs in a database, the latest first; costs in cents, moments in UTC.

    With --json, --csv or --all, every one. Runs that differ in few settings, as those of a sweep, have a column for
    each of these; --json and --csv have all.
    """
    from labledger.errors import ConfigError
    from payment_simulator.cli.experiment_csv import print_csv
    from payment_simulator.experiments.differences import Differences, settings_of

    if database is not None and db is not None:
        raise ConfigError(f"--db: {database} is named, too; name one")
    known = ("running", "completed", "failed", "interrupted")
    if status is not None and status not in known:
        raise ConfigError(f"--status: {status!r} is none of {', '.join(known)}")
    if json and csv:
        raise ConfigError("--csv: and --json cannot both be printed")
    with open_database(database or db) as repository:
        shown = limit or (None if show_all or json or csv else LAST)
        differences = Differences()
        for record in islice(repository.each_experiment(status=status, name=name), shown):
            differences.see(settings_of(record.config))
        found = repository.each_experiment(status=status, name=name)
        if json:
            _print_list(islice(found, limit), differences)
        elif csv:
            print_csv(islice(found, limit), differences)
        else:
            _print_table(found, shown, differences)


def _print_table(found: "Iterator[ExperimentRecord]", shown: int | None, differences: "Differences") -> None:
    """Print the first `shown` of the runs, and below them what costs and gaps of one day are of."""
    from labledger.console import print_answer, print_table

    keys = differences.keys if len(differences.keys) <= MAX_KEYS else []
    rows, lines = [], []  # and not the records, which are large
    for record in islice(found, shown):
        day = _day(record)
        rows.append(_row(record, day, keys))
        lines += [] if day is None else [f"{record.experiment_id}: {day.words}"]
    are_more = shown == LAST and next(found, None) is not None
    print_table((*WHOLE, *keys, "iterations", "final cost", "Nash gap", "converged", "started"), rows, whole=WHOLE)
    if len(differences.keys) > MAX_KEYS:
        print_answer(f"These runs differ in {len(differences.keys):,} settings: --json and --csv have them")
    for line in lines[:MAX_DAYS]:
        print_answer(line)
    if len(lines) > MAX_DAYS:
        print_answer(f"{len(lines) - MAX_DAYS:,} more runs are of one day each: --json has them, and `show` has each")
    if are_more:
        print_answer(f"These are the last {LAST} runs: --all shows every one, --json too")


def _print_list(records: "Iterable[ExperimentRecord]", differences: "Differences") -> None:
    """Print a JSON list, one run after another: all of them together can be more than memory holds."""
    from labledger.console import print_answer, print_json

    before = "["
    for record in records:
        print_json(before + "\n" + indent(dump_json(_listed(record, differences)), "  "), end="")
        before = ","
    print_answer("[]" if before == "[" else "\n]")


def _listed(record: "ExperimentRecord", differences: "Differences") -> dict[str, Any]:
    from payment_simulator.experiments.differences import SEED, settings_of

    settings = settings_of(record.config)
    columns = {**{key: getattr(record, key) for key in LISTED}, **stored_gap_columns(record, "final_")}
    day = _day(record)
    of_day = {"of_one_day": day is not None, "one_day": None if day is None else day.to_dict()}
    return {**columns, **of_day, SEED: settings.get(SEED), "settings": differences.of_run(settings)}


def _day(record: "ExperimentRecord") -> "OneDay | None":
    from payment_simulator.experiments.stored_run import StoredRun

    return one_day_of(StoredRun(record, [], []))


def _row(record: "ExperimentRecord", day: "OneDay | None", keys: Iterable[str]) -> tuple[str, ...]:
    from payment_simulator.experiments.differences import settings_of
    from payment_simulator.experiments.sweep import value_text

    settings = settings_of(record.config)
    gap = gap_words(record, record.config, "final_")
    return (
        record.experiment_id,
        record.experiment_name,
        record.status,
        *(clean(value_text(settings.get(key)), MAX_VALUE) for key in keys),
        cents(record.num_iterations),
        cents(record.final_cost),
        f"{gap}, of one day" if gap and day is not None else gap,
        truth(record.converged),
        moment(record),
    )
