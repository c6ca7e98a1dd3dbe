"""`llem results`: list, show, compare, export, query, verify and recover saved results."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from labledger.commands import EXIT_FAILED, printing_warnings, reporting_errors
from labledger.json_text import dump_json
from llenergymeasure.cli.compare import compare
from llenergymeasure.cli.loading import load, load_all, load_rows

if TYPE_CHECKING:
    from llenergymeasure.results.recovery import Leftover
    from llenergymeasure.results.verification import Verified

results_app = typer.Typer(no_args_is_help=True, help="Find, compare and check saved results.")

Directory = Annotated[Path, typer.Argument(help="Where results were saved.")]
In = Annotated[Path, typer.Option("--dir", "-d", help="Where results were saved.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LISTED = (
    "experiment_id",
    "model",
    "backend",
    "batch_size",
    "energy_per_output_token_j",
    "output_tokens_per_second",
    "verdict",
    "start_time",
)
SHOWN_CELL = 300
"""The most characters in a cell of a table: other people's texts can be of any length. JSON has them whole."""

HEADS = ("id", "model", "backend", "batch or load", "J/token", "tokens/s", "verdict", "when")


@results_app.command("list")
@reporting_errors
def list_results(
    ctx: typer.Context,
    directory: Directory = Path("results"),
    sort: Annotated[str, typer.Option("--sort", help="A column; with - before it, largest first.")] = "start_time",
    where: Annotated[
        list[str] | None, typer.Option("--where", help="COLUMN=VALUE; may be repeated.", show_default=False)
    ] = None,
    json: AsJson = False,
) -> None:
    """List the results in a directory, one per line; broken files are named on standard error."""
    from labledger.console import print_json, print_table

    rows = _sorted([row for row in load_rows(directory) if _fits(row, where or [])], sort)
    if json:
        print_json(dump_json(rows))
        return
    print_table(HEADS, [[_cell(name, row[name]) for name in LISTED] for row in map(_with_load, rows)])


@results_app.command()
@reporting_errors
def show(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A result's path or folder, or its id or the start of it.")],
    directory: In = Path("results"),
    json: AsJson = False,
) -> None:
    """Show one result as `llem run` does."""
    from labledger.console import print_json
    from llenergymeasure.cli.presentation import print_result
    from llenergymeasure.results.catalog import find_result

    path = find_result(target, directory)
    result = load(path)
    if json:
        print_json(result.to_json())
    else:
        print_result(result, path)


results_app.command()(compare)


@results_app.command()
@reporting_errors
def export(
    ctx: typer.Context,
    directory: Directory = Path("results"),
    format: Annotated[str, typer.Option("--format", "-f", help="csv, parquet or json.")] = "csv",  # noqa: A002
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default results.FORMAT.", show_default=False)
    ] = None,
) -> None:
    """Export all results as one flat table, a row per result."""
    from labledger.console import print_answer
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.exporters import export as export_rows

    if format not in ("csv", "parquet", "json"):
        raise ConfigError(f"--format: unknown format {format!r}; one of csv, parquet, json")
    rows = load_rows(directory)
    with printing_warnings("export"):
        path = export_rows(rows, format, output or Path(f"results.{format}"))  # type: ignore[arg-type]
    print_answer(f"{len(rows)} results in {path}")


@results_app.command()
@reporting_errors
def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="A query of the tables results and timeseries.")],
    directory: In = Path("results"),
    json: AsJson = False,
) -> None:
    """Query results with SQL (DuckDB, in memory): a row per result in results, a row per sample in timeseries."""
    from labledger.console import print_json, print_table
    from llenergymeasure.results.flat import flat_row
    from llenergymeasure.results.query import query_results

    found = [(path.parent, flat_row(result, path.parent)) for path, result in load_all(directory)]
    with printing_warnings("sql"):
        names, rows = query_results(query, [folder for folder, _ in found], [row for _, row in found])
    if json:
        print_json(dump_json([dict(zip(names, map(_plain, row), strict=True)) for row in rows]))
    else:
        print_table(names, [[_cell(name, value) for name, value in zip(names, row, strict=True)] for row in rows])


@results_app.command()
@reporting_errors
def verify(
    ctx: typer.Context,
    directory: Directory = Path("results"),
    require_valid: Annotated[
        bool, typer.Option("--require-valid", help="Fail also where a result's verdict is not valid.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check that every result parses, that its digests and checksums match, and that its sidecar is there."""
    from labledger.console import print_answer, print_json, print_line
    from llenergymeasure.results.catalog import result_files
    from llenergymeasure.results.verification import verify as verify_result

    found = [each for path in result_files(directory) if (each := verify_result(path)) is not None]
    problems = {each.path: _problems(each, require_valid) for each in found}
    if json:
        rows = [
            {"path": str(e.path), "status": e.status, "verdict": e.verdict, "problems": problems[e.path]} for e in found
        ]
        print_json(dump_json(rows))
    else:
        for each in found:
            for problem in problems[each.path]:
                print_line(f"{each.path}: {each.status}: {problem}")
        good = sum(not problem for problem in problems.values())
        print_answer(f"{good} of {len(found)} results are as they were saved" + (" and valid" if require_valid else ""))
    if any(problems.values()):
        raise typer.Exit(EXIT_FAILED)


@results_app.command()
@reporting_errors
def recover(
    ctx: typer.Context,
    directory: Directory = Path("results"),
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete leftovers that cannot be aggregated and hold only files of llem.")
    ] = False,
) -> None:
    """List the leftovers of killed runs; runs of which every process finished are aggregated and saved."""
    from labledger.console import print_answer
    from llenergymeasure.results import recovery

    with printing_warnings(directory.name):
        leftovers = recovery.find_leftovers(directory)
        outcomes = [_recover(leftover, directory, remove) for leftover in leftovers]
    if not leftovers:
        print_answer(f"nothing to recover in {directory}")
    elif "removable" in outcomes:
        print_answer("llem results recover --remove deletes these")
    if "failed" in outcomes:
        raise typer.Exit(EXIT_FAILED)


def _recover(leftover: "Leftover", directory: Path, remove: bool) -> Literal["done", "removable", "failed"]:
    """Save or remove a leftover, and print a line about it."""
    from labledger.console import print_line
    from labledger.errors import UnreadableFileError
    from llenergymeasure.errors import ExperimentError
    from llenergymeasure.results import recovery

    what, kept = leftover.what, leftover.kept
    if leftover.complete:
        try:
            saved = recovery.aggregate(leftover, directory)
        except OSError as error:  # the run is whole: it stays, also where others are removed
            print_line(f"{leftover.path}: {what}, and could not be read or saved: {error.filename}: {error.strerror}")
            return "failed"
        except (ExperimentError, UnreadableFileError) as error:
            what = f"{what}, and cannot be aggregated: {error}"
        else:
            where = f"saved in {saved.parent}" if saved else "another process has saved it, or works on it"
            print_line(f"{leftover.path}: complete; {where}{_left_alone(kept)}")
            return "done"
    if not remove:
        print_line(f"{leftover.path}: {what}{_left_alone(kept)}")
        return "done" if kept else "removable"
    try:
        kept = recovery.remove(leftover)
    except OSError as error:
        print_line(f"{leftover.path}: {what}; could not be removed: {error.strerror}")
        return "failed"
    print_line(f"{leftover.path}: {what}{_left_alone(kept) or '; removed'}")
    return "done"


def _left_alone(kept: str | None) -> str:
    return f"; left alone: {kept}" if kept else ""


def _sorted(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    name = sort.removeprefix("-")
    _check_column(name, "--sort")
    known = [row for row in rows if row[name] is not None]
    ordered = sorted(known, key=lambda row: row[name], reverse=sort.startswith("-"))
    return ordered + [row for row in rows if row[name] is None]


def _fits(row: dict[str, Any], conditions: list[str]) -> bool:
    from llenergymeasure.errors import ConfigError

    for condition in conditions:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise ConfigError(f"--where: {condition!r} is not COLUMN=VALUE")
        _check_column(name, "--where")
        if str(row[name]) != wanted:
            return False
    return True


def _check_column(name: str, option: str) -> None:
    from labledger.yaml_files import did_you_mean
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.flat import columns

    if name not in columns():
        raise ConfigError(f"{option}: unknown column {name!r}{did_you_mean(name, list(columns()))}")


def _with_load(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with a server's load in place of the batch."""
    if row["request_rate"] is not None:
        return {**row, "batch_size": f"{row['request_rate']:g} requests/s"}
    return row if row["concurrency"] is None else {**row, "batch_size": f"{row['concurrency']} in flight"}


def _cell(name: str, value: Any) -> str:
    from labledger.untrusted_text import clean
    from llenergymeasure.cli.presentation import number

    if value is None:
        return "unknown" if name in ("energy_per_output_token_j", "verdict") else ""
    if name == "start_time":
        return str(value)[:16]
    return number(value) if isinstance(value, float) else clean(str(value), SHOWN_CELL)


def _plain(value: Any) -> Any:
    """Return a cell of a query's answer as JSON has it: NaN and infinity as None, dates and the like as text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _problems(verified: "Verified", require_valid: bool) -> list[str]:
    problems = list(verified.problems)
    if require_valid and verified.verdict != "valid":
        problems.append(f"its verdict is {verified.verdict}")
    return problems
