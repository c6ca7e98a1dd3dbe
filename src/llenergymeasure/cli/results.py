"""`llem results`: list, show, compare, export, query, verify and recover saved results."""

import itertools
import math
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from labledger.commands import EXIT_FAILED, make_group, printing_warnings, reporting_errors
from labledger.json_text import dump_json
from llenergymeasure.cli.compare import compare
from llenergymeasure.cli.loading import directory_of, files_in, load_all, load_any, load_rows

if TYPE_CHECKING:
    from llenergymeasure.results.exporters import Format
    from llenergymeasure.results.flat import Row
    from llenergymeasure.results.recovery import Leftover
    from llenergymeasure.results.verification import Verified

results_app = make_group("Find, compare and check saved results.")

Directory = Annotated[
    Path | None, typer.Argument(help="Where results were saved; --dir names it as well.", show_default="results")
]
Dir = Annotated[Path | None, typer.Option("--dir", "-d", help="Where results were saved.", show_default="results")]
In = Annotated[Path, typer.Option("--dir", "-d", help="Where results were saved.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Take the results in folders further down as well.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help='Conditions, as "batch_size >= 8 and verdict = valid"; may be repeated.', show_default=False
    ),
]
LISTED = (
    "experiment_id",
    "model",
    "backend",
    "batch_size",
    "energy_per_output_token_j",
    "cpu_seconds_per_output_token",
    "output_tokens_per_second",
    "verdict",
    "start_time",
)
SHOWN_CELL = 300
"""The most characters in a cell of a table: other people's texts can be of any length. JSON has them whole."""

HEADS = ("id", "model", "backend", "batch or load", "J/token", "CPU s/token", "tokens/s", "verdict", "when")


@results_app.command("list")
@reporting_errors
def list_results(
    ctx: typer.Context,
    directory: Directory = None,
    directory_option: Dir = None,
    recursive: Recursive = False,
    sort: Annotated[str, typer.Option("--sort", help="A column; with - before it, largest first.")] = "start_time",
    where: Where = None,
    json: AsJson = False,
) -> None:
    """List the results in a directory, one per line, with the fields of their configurations that differ.

    Broken files are named on standard error.
    """
    from labledger.console import print_json, print_line, print_table
    from llenergymeasure.cli.config_rows import differing
    from llenergymeasure.results.conditions import check_column
    from llenergymeasure.results.flat import LOAD_COLUMNS, columns, whole_rows

    by = sort.removeprefix("-")
    check_column(by, "--sort")
    names = columns() if json else {*LISTED, *LOAD_COLUMNS, by}
    rows = _sorted(_that_meet(where, directory_of(directory, directory_option), names, recursive=recursive), sort)
    if json:
        with printing_warnings("list"):
            whole = whole_rows(rows)
        print_json(dump_json(whole))
        return
    differ, left_out = differing(rows)
    heads = [*HEADS, *(name.removeprefix("config.") for name in differ)]
    cells = [[_cell(name, row[name]) for name in (*LISTED, *differ)] for row in map(_with_load, rows)]
    print_table(heads, cells)
    if left_out:
        print_line(f"they differ also in {left_out}; --json has every column", to_stderr=True)


def _that_meet(
    where: list[str] | None, directory: Path, names: Iterable[str] | None, *, recursive: bool
) -> "Iterator[Row]":
    """Yield the rows in a directory that meet all conditions; a row has the columns of these names, and of those.

    Raises:
        ConfigError: a condition is none, before anything is read.
    """
    from llenergymeasure.results.conditions import parse_conditions

    conditions = [each for text in where or [] for each in parse_conditions(text)]
    asked = None if names is None else dict.fromkeys([*names, *(each.column for each in conditions)])
    rows = load_rows(directory, asked, recursive=recursive)
    return (row for row in rows if all(each.holds(row) for each in conditions))


@results_app.command()
@reporting_errors
def show(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A result's path or folder, or its id or the start of it.")],
    directory: In = Path("results"),
    json: AsJson = False,
) -> None:
    """Show one result as `llem run` does, or what one process of a run has kept that did not end."""
    from labledger.console import print_json
    from labledger.documents import dump_document
    from llenergymeasure.cli.presentation import print_result
    from llenergymeasure.cli.recovered import print_raw_result
    from llenergymeasure.domain.experiment import RawProcessResult
    from llenergymeasure.results.catalog import find_result

    path = find_result(target, directory)
    found = load_any(path)
    if json:
        print_json(dump_document(found))
    elif isinstance(found, RawProcessResult):
        print_raw_result(found, path)
    else:
        print_result(found, path, with_settings=True)


results_app.command()(compare)


@results_app.command()
@reporting_errors
def export(
    ctx: typer.Context,
    directory: Directory = None,
    directory_option: Dir = None,
    recursive: Recursive = False,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option("--format", "-f", help="csv, parquet or json; default what --output ends in, else csv."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default results.FORMAT.", show_default=False)
    ] = None,
    where: Where = None,
) -> None:
    """Export all results, or those that meet conditions, as one flat table, a row per result."""
    from labledger.console import print_answer
    from llenergymeasure.results.exporters import export as export_rows
    from llenergymeasure.results.outputs import refuse_output

    kind = _format(format, output)
    place, exported = directory_of(directory, directory_option), 0
    path = output or Path(f"results.{kind}")
    refuse_output("--output", path, place)
    rows = _that_meet(where, place, None, recursive=recursive)

    def counted() -> "Iterator[Row]":
        nonlocal exported
        for row in rows:
            exported += 1
            yield row

    with printing_warnings("export"):
        path = export_rows(counted(), kind, path)
    print_answer(f"{exported} results in {path}")


@results_app.command()
@reporting_errors
def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="A query of the tables results and timeseries.")],
    directory: In = Path("results"),
    recursive: Recursive = False,
    json: AsJson = False,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Let the query write files (COPY ... TO), and read any.")
    ] = False,
) -> None:
    """Query results with SQL (DuckDB, in memory): a row per result in results, a row per sample in timeseries.

    A query reads these two tables alone.
    """
    from labledger.console import print_json, print_table
    from llenergymeasure.results.flat import flat_row
    from llenergymeasure.results.query import query_results

    found = ((path.parent, flat_row(result, path.parent)) for path, result in load_all(directory, recursive))
    with printing_warnings("sql"):
        names, rows = query_results(query, found, allow_write=allow_write, source=directory)
    if json:
        keys = _apart(names)
        print_json(dump_json([dict(zip(keys, map(_plain, row), strict=True)) for row in rows]))
    else:
        print_table(names, [[_cell(name, value) for name, value in zip(names, row, strict=True)] for row in rows])


@results_app.command()
@reporting_errors
def verify(
    ctx: typer.Context,
    directory: Directory = None,
    directory_option: Dir = None,
    recursive: Recursive = False,
    require_valid: Annotated[
        bool, typer.Option("--require-valid", help="Fail also where a result's verdict is not valid.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check that every result parses, that its digests and checksums match, and that its sidecar is there."""
    from labledger.console import print_answer, print_json, print_line
    from llenergymeasure.results.verification import verify as verify_result

    paths = files_in(directory_of(directory, directory_option), recursive)
    found = [each for path in paths if (each := verify_result(path)) is not None]
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
    directory: Directory = None,
    directory_option: Dir = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete leftovers that cannot be aggregated and hold only files of llem.")
    ] = False,
) -> None:
    """List the leftovers of killed runs with their figures; runs of which every process finished become results."""
    from labledger.console import print_answer
    from llenergymeasure.results import recovery

    place = directory_of(directory, directory_option)
    with printing_warnings(place.name):
        leftovers = recovery.find_leftovers(place)
        outcomes = [_recover(leftover, place, remove) for leftover in leftovers]
    if not leftovers:
        below = ", ".join(f"llem results recover {shlex.quote(str(each))}" for each in recovery.folders_of_runs(place))
        print_answer(f"nothing to recover in {place}{below and '; runs are one level down: '}{below}")
    elif "removable" in outcomes:
        where = "" if place == Path("results") else f" {shlex.quote(str(place))}"
        print_answer(f"llem results recover{where} --remove deletes these")
    if "failed" in outcomes:
        raise typer.Exit(EXIT_FAILED)


def _recover(leftover: "Leftover", directory: Path, remove: bool) -> Literal["done", "removable", "failed"]:
    """Save or remove a leftover, and print a line about it."""
    from labledger.console import print_line
    from labledger.errors import UnreadableFileError
    from llenergymeasure.cli.recovered import print_processes, print_saved
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
            if saved:
                print_saved(saved)
            return "done"
    if not remove:
        print_line(f"{leftover.path}: {what}{_left_alone(kept)}")
        print_processes(leftover.processes)
        return "done" if kept else "removable"
    try:
        kept = recovery.remove(leftover)
    except OSError as error:
        print_line(f"{leftover.path}: {what}; could not be removed: {error.strerror}")
        return "failed"
    print_line(f"{leftover.path}: {what}{_left_alone(kept) or '; removed'}")
    print_processes(leftover.processes, are_gone=not kept)
    return "done"


def _format(named: str | None, output: Path | None) -> "Format":
    """Return the format that --format names, else the one that --output ends in, else CSV.

    Raises:
        ConfigError: it is none, or the two differ.
    """
    from typing import get_args

    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.exporters import Format

    formats: tuple[Format, ...] = get_args(Format)
    ending = output.suffix.removeprefix(".").lower() if output is not None else ""
    wanted = named or (ending if ending in formats else "csv")
    if named is not None and ending in formats and ending != named:
        raise ConfigError(f"--output {output}: ends in .{ending}, and --format is {named}; name one of them")
    found = next((each for each in formats if each == wanted), None)
    if found is None:
        raise ConfigError(f"--format: unknown format {named!r}; one of {', '.join(formats)}")
    return found


def _left_alone(kept: str | None) -> str:
    return f"; left alone: {kept}" if kept else ""


def _sorted(rows: "Iterable[Row]", sort: str) -> "list[Row]":
    """Return the rows in the order of a column, texts after numbers, those that have nothing there last."""
    name, listed = sort.removeprefix("-"), list(rows)
    known = [row for row in listed if row[name] is not None]
    ordered = sorted(known, key=lambda row: (isinstance(row[name], str), row[name]), reverse=sort.startswith("-"))
    return ordered + [row for row in listed if row[name] is None]


def _with_load(row: "Row") -> "Row":
    """Return the row with a server's load in place of the batch."""
    if row["request_rate"] is not None:
        row["batch_size"] = f"{row['request_rate']:g} requests/s"
    elif row["concurrency"] is not None:
        row["batch_size"] = f"{row['concurrency']} in flight"
    return row


def _cell(name: str, value: Any) -> str:
    from labledger.untrusted_text import clean
    from llenergymeasure.cli.presentation import number
    from llenergymeasure.results.config_columns import as_text

    if value is None:
        return "unknown" if name in ("energy_per_output_token_j", "verdict") else ""
    if name == "start_time":
        return str(value)[:16]
    return number(value) if isinstance(value, float) else clean(as_text(value), SHOWN_CELL)


def _apart(names: Iterable[str]) -> list[str]:
    """Return the names of columns with `_1`, `_2`, ... behind those that another has already, as DuckDB does itself."""
    apart: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        apart.append(next(each for each in itertools.chain([name], numbered) if each not in apart))
    return apart


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
