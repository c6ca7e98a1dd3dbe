"""`llem study`: list studies, show one, find its best cells, go on with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import make_group, reporting_errors

if TYPE_CHECKING:
    from llenergymeasure.results.study.listing import ListedStudy

HEADS = ("study", "cells", "runs done", "state", "began", "folder")

study_app = make_group("List studies, show one, find the best of its cells, go on with one.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The study's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@study_app.command("list")
@reporting_errors
def list_studies(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where results were saved.")] = Path("results"),
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into folders further down as well.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the studies in a directory, and how far each is; broken ones are named on standard error."""
    from labledger.console import print_answer, print_json, print_line, print_table
    from labledger.json_text import dump_json
    from llenergymeasure.results.study.listing import UnreadableStudy, listed_studies

    rows = []
    for each in listed_studies(directory, recursive=recursive):
        if isinstance(each, UnreadableStudy):
            print_line(f"warning: {each.reason}; left out", to_stderr=True)
        else:
            rows.append(each)
    if json:
        print_json(dump_json([_json_row(each) for each in rows]))
        return
    if rows:
        print_table(HEADS, [_row(each) for each in rows])
    else:
        print_answer(f"no studies in {directory}")


def _json_row(study: "ListedStudy") -> dict[str, Any]:
    began = None if study.began is None else study.began.isoformat()
    return {**study._asdict(), "began": began, "folder": str(study.folder)}


def _row(study: "ListedStudy") -> list[str]:
    began = "never" if study.began is None else f"{study.began.astimezone():%Y-%m-%d %H:%M}"
    runs = f"{study.done} of {study.runs}"
    lost = [f"{count} {what}" for count, what in ((study.failed, "failed"), (study.given_up, "given up")) if count]
    state = ", ".join([f"running by {study.runner}" if study.runner else study.state, *lost])
    return [study.name, str(study.cells), runs, state, began, str(study.folder)]


@study_app.command()
@reporting_errors
def show(ctx: typer.Context, folder: Folder, json: AsJson = False) -> None:
    """Show a study: the figures of each cell, and what can be told apart; of one that still runs what there is."""
    from labledger.console import print_json
    from labledger.documents import dump_document
    from llenergymeasure.cli.study_output import print_study
    from llenergymeasure.results.study.runs import read_study
    from llenergymeasure.results.study.summary import summarise_study

    found = summarise_study(read_study(folder))
    if json:
        print_json(dump_document(found))
    else:
        print_study(found)


@study_app.command()
@reporting_errors
def best(
    ctx: typer.Context,
    folder: Folder,
    minimize: Annotated[
        str | None, typer.Option("--minimize", metavar="METRIC", help="The metric of which the least is best.")
    ] = None,
    maximize: Annotated[
        str | None, typer.Option("--maximize", metavar="METRIC", help="The metric of which the greatest is best.")
    ] = None,
    pareto: Annotated[
        str | None, typer.Option("--pareto", metavar="METRIC,METRIC", help="The front of two metrics instead.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITIONS",
            help="Limits that a cell must meet: 'ttft_ms_p99 <= 300 and tpot_ms_p95 <= 50'.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Find the best cell of a study within limits, and those that cannot be told from it.

    Without a metric it is the load that all cells search under one goal, else the least joules a token or, where no
    energy is a valid measurement, the most tokens/s.
    """
    from labledger.console import print_json
    from labledger.json_text import dump_json
    from llenergymeasure.cli.study_output import print_best, print_front
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.study.best import best_cells
    from llenergymeasure.results.study.front import pareto_front
    from llenergymeasure.results.study.runs import read_study

    limits = " and ".join(where or [])
    if pareto is not None and (minimize is not None or maximize is not None):
        raise ConfigError("--pareto takes two metrics and no other: leave out --minimize and --maximize")
    runs = read_study(folder)
    if pareto is not None:
        front = pareto_front(runs, [each.strip() for each in pareto.split(",")], where=limits)
        print_json(dump_json(front.model_dump(mode="json"))) if json else print_front(front)
    else:
        found = best_cells(runs, minimize=minimize, maximize=maximize, where=limits)
        print_json(dump_json(found.model_dump(mode="json"))) if json else print_best(found)


@study_app.command()
@reporting_errors
def resume(
    ctx: typer.Context,
    folder: Folder,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End it with the first run that fails.")] = False,
    export_csv: Annotated[
        Path | None,
        typer.Option("--export-csv", help="Also add each result's flat row to this CSV file.", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each run, and last the study's result.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the logs of the libraries.")] = False,
) -> None:
    """Go on with a study: make the runs that have no result, as it was planned. It needs no YAML."""
    from llenergymeasure.cli.study_run import StudyOptions, resume_study_command

    debug = bool(ctx.find_root().params.get("debug"))
    options = StudyOptions(folder, export_csv, json, quiet, verbose, debug, resume=True, fail_fast=fail_fast)
    resume_study_command(folder, options)
