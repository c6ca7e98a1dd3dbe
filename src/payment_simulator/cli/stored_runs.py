"""The database and the run that a command reads, and the formats of its tables."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.persistence import ExperimentRecord, ExperimentRepository
    from payment_simulator.experiments.stored_run import StoredRun

Row = TypeVar("Row")
Run = Annotated[str, typer.Argument(help="A run's id, the start of it, or latest.", show_default=False)]
Db = Annotated[
    Path | None,
    typer.Option("--db", help="Database; default PAYMENT_SIM_DB, else the only .db in results.", show_default=False),
]
LAST = 20
"""Rows that a table of a long run has, unless all are asked for."""
ShowAll = Annotated[bool, typer.Option("--all", help=f"Every row of a table, not only the last {LAST}.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VARIABLE = "PAYMENT_SIM_DB"
FOLDER = Path("results")


def open_database(given: Path | None) -> "ExperimentRepository":
    """Open the database that is given, else that of the environment, else the only one in `results`.

    Raises:
        ConfigError: none is given, and there is none or more than one.
        DatabaseError: it is not there, or cannot be read.
    """
    from payment_simulator.experiments.persistence import ExperimentRepository

    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    return ExperimentRepository(named or _only_database(), must_exist=True)


def load_run(target: str, db: Path | None) -> "StoredRun":
    """Return the run that `target` names.

    Raises:
        ConfigError, DatabaseError: as `open_database`; there is no such run, or more than one.
    """
    from payment_simulator.experiments.stored_run import StoredRun

    with open_database(db) as repository:
        return StoredRun.load(repository, target)


def _only_database() -> Path:
    from labledger.errors import ConfigError

    # A folder that came from somebody else may have links in it, which lead anywhere; one of one's own can be named.
    found = sorted(path for path in FOLDER.glob("*.db") if path.is_file() and not path.is_symlink())
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(str, found))
    what = f"there are {len(found)} databases in {FOLDER} ({names})" if found else f"there is no database in {FOLDER}"
    raise ConfigError(f"{what}; name one with --db or {VARIABLE}")


def last_of(rows: Sequence[Row], show_all: bool) -> Sequence[Row]:
    """Return the last `LAST` rows, or all of them."""
    return rows if show_all else rows[-LAST:]


def print_left_out(shown: int, of: int, what: str) -> None:
    """Print that only the last of some rows are shown, and how to see all; nothing where all are."""
    from labledger.console import print_answer

    if shown < of:
        print_answer(f"These are the last {shown:,} of {of:,} {what}: --all shows every one, --json too\n")


def cents(value: int | None) -> str:
    """Return an amount as a table shows it; empty for None."""
    return "" if value is None else f"{value:,}"


def gap_words(holder: object, config: Mapping[str, Any], prefix: str = "") -> str:
    """Return a run's Nash gap, of a record or a result, as a table shows it; empty where it is not known."""
    from payment_simulator.experiments.nash_gap import stored_gap

    gap = stored_gap(holder, prefix, config)
    return "" if gap is None else gap.words


def stored_gap_columns(holder: object, prefix: str = "") -> dict[str, Any]:
    """Return the columns of the Nash gap of a record, by name, for JSON and CSV."""
    from payment_simulator.experiments.nash_gap import GAP_COLUMNS

    return {f"{prefix}{name}": getattr(holder, f"{prefix}{name}") for name in GAP_COLUMNS}


def one_day_of(run: "StoredRun") -> "OneDay | None":
    """Return the one day that a run's costs are of; None also where what is stored does not tell it."""
    from labledger.errors import ConfigError, UnreadableFileError

    try:
        return run.day
    except (ConfigError, UnreadableFileError):
        return None


def moment(record: "ExperimentRecord") -> str:
    """Return the start of a run, to the minute."""
    return str(record.started_at)[:16].replace("T", " ")


def truth(value: bool | None) -> str:
    """Return yes or no; empty where it is not known yet."""
    return {True: "yes", False: "no", None: ""}[value]
