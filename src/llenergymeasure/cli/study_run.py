"""`llem run` of a study: progress on standard error, and in the end its table and what can be told apart."""

import contextlib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from labledger.console import print_answer, print_json, print_line
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from llenergymeasure.config.study.cells import LoadedStudy
    from llenergymeasure.domain.study import StudyManifest
    from llenergymeasure.domain.study_result import StudyResult


@dataclass(frozen=True)
class StudyOptions:
    """The options of `llem run` that a study heeds."""

    output: Path
    export_csv: Path | None
    json: bool
    quiet: bool
    verbose: bool
    debug: bool
    resume: bool = False
    fail_fast: bool = False


def run_study_command(
    configs: Sequence[Path],
    fields: Mapping[str, Any],
    sweep: Mapping[str, Sequence[JsonValue]],
    repeats: int | None,
    options: StudyOptions,
    *,
    settings: Mapping[str, JsonValue] | None = None,
    dry_run: bool = False,
) -> None:
    """Make the runs of a study, and print its table.

    Raises:
        ConfigError, PreFlightError: it cannot run, or another process runs it; nothing was run.
        ExperimentError: a run has no result.
        KeyboardInterrupt: the present run has kept what it had, and no other is begun.
    """
    from llenergymeasure.config.study.loading import load_study
    from llenergymeasure.study.checking import checked
    from llenergymeasure.study.claim import begun_study, latest_study

    study = load_study(next(iter(configs), None), fields, settings=settings, sweep=sweep, repeats=repeats)
    if dry_run:
        _print_checked_plan(study, options)
        return
    folder = latest_study(options.output, study.name) if options.resume else None
    study = checked(study, options.output)
    if folder is not None:
        _run(study, folder, options)
        return
    with begun_study(options.output, study.name) as new:
        _run(study, new, options)


def _print_checked_plan(study: "LoadedStudy", options: StudyOptions) -> None:
    """Print the plan, with the number of prompts if the study can run; raise if it cannot."""
    from llenergymeasure.cli.study_plan import print_plan
    from llenergymeasure.errors import LabledgerError
    from llenergymeasure.study.checking import check_columns, check_study
    from llenergymeasure.study.claim import latest_study
    from llenergymeasure.study.runner import what_is_left

    folder = latest_study(options.output, study.name) if options.resume else None
    check_columns(study)
    try:
        found = check_study(study, options.output, with_remarks=True)
    except LabledgerError:
        print_plan(study, options.output, as_json=options.json)
        raise
    study = found.study
    resumed = None if folder is None else (folder, what_is_left(study, folder))
    print_plan(study, options.output, as_json=options.json, resumed=resumed)
    for remark in found.remarks:
        print_line(f"warning: {remark}", to_stderr=True)
    cells = len(study.cells)
    what = "the cell" if cells == 1 else f"{cells:,} cells"
    if found.looked_at < cells:
        what = f"{found.looked_at:,} of {cells:,} cells, with each value of each axis,"
    print_line(f"checked: {what} can run; nothing was run", to_stderr=True)


def resume_study_command(folder: Path, options: StudyOptions) -> None:
    """Go on with the study in a folder as its manifest has it. Raises as `run_study_command`, and:

    Raises:
        UnreadableFileError: its manifest is none, or was damaged.
    """
    from llenergymeasure.config.loading import load_user_config
    from llenergymeasure.results.study.manifest import manifest_of
    from llenergymeasure.study.checking import checked
    from llenergymeasure.study.origin import directory_of
    from llenergymeasure.study.plan import study_of

    manifest = manifest_of(folder)
    with contextlib.ExitStack() as stack:
        if (directory := directory_of(manifest)) is not None:  # its relative paths begin there, ours do here
            csv = options.export_csv and options.export_csv.absolute()
            folder, options = folder.resolve(), replace(options, export_csv=csv)
            stack.enter_context(contextlib.chdir(directory))
        study = study_of(manifest, load_user_config())
        _run(study if is_whole(manifest) else checked(study, folder), folder, options)


def is_whole(manifest: "StudyManifest") -> bool:
    """Return True if every planned run has a result, and no rule adds further ones."""
    return manifest.settings.get("stop") is None and all(run.state == "done" for run in manifest.runs)


def _run(study: "LoadedStudy", folder: Path, options: StudyOptions) -> None:
    """Make the runs without a result, and print what all have found."""
    from llenergymeasure.cli.run import set_verbosity
    from llenergymeasure.cli.study_progress import RunLines
    from llenergymeasure.errors import ExperimentError
    from llenergymeasure.results.exporters import check_csv
    from llenergymeasure.results.study.runs import read_study
    from llenergymeasure.results.study.saved import save_study
    from llenergymeasure.results.study.summary import summarise_study
    from llenergymeasure.study.durations import earlier_durations
    from llenergymeasure.study.plan import plan
    from llenergymeasure.study.runner import make_runs
    from llenergymeasure.study.workers import RunOptions

    set_verbosity(options.verbose)
    if options.export_csv is not None:
        check_csv(options.export_csv)
    how = RunOptions(sys.argv[1:], True, options.verbose, options.debug, study.settings.timeout_s)
    earlier = earlier_durations(folder.parent, [cell.config_hash for cell in plan(study).cells])
    lines = RunLines(folder, earlier, quiet=options.quiet, as_json=options.json, export_csv=options.export_csv)
    try:
        manifest = make_runs(study, folder, lines, how, fail_fast=options.fail_fast)
    except (KeyboardInterrupt, OSError) as error:
        if note := _so_far(folder):
            error.add_note(note)
        raise
    finally:
        lines.close()
    found = summarise_study(read_study(folder))
    save_study(found, folder)
    if not lines.begun:
        print_line(f"{folder}: nothing to do: every run has its result", to_stderr=True)
    _print_found(found, folder, options)
    if missing := _missing(manifest, folder):
        raise ExperimentError(missing)


def _print_found(found: "StudyResult", folder: Path, options: StudyOptions) -> None:
    """Print the table of a study; with --json its result on one line, with --quiet the folder alone."""
    from labledger.documents import dump_document
    from llenergymeasure.cli.study_output import print_study

    if options.json:
        print_json(dump_json(json.loads(dump_document(found)), indent=None))
    elif options.quiet:
        print_answer(str(folder))
    else:
        print_study(found)
        print_line(f"saved in {folder}")


def _so_far(folder: Path) -> str:
    """Return how far a study is that was ended, and the command that goes on with it; nothing of one without a
    manifest."""
    from llenergymeasure.errors import LabledgerError
    from llenergymeasure.results.study.manifest import read_manifest

    try:
        runs = read_manifest(folder).runs
    except (LabledgerError, OSError):
        return ""
    done = sum(run.state == "done" for run in runs)
    return f"{done} of {len(runs)} runs are done, in {folder}; to go on with it: {_resume_command(folder)}"


def _missing(manifest: "StudyManifest", folder: Path) -> str:
    """Return a line on the runs without a result; empty where all have one."""
    counts = Counter(run.state for run in manifest.runs if run.state != "done")
    if not counts:
        return ""
    parts = ", ".join(f"{count} {'not begun' if state == 'waiting' else state}" for state, count in counts.items())
    again = f"to try again: {_resume_command(folder)}"
    return f"{counts.total()} of {len(manifest.runs)} runs have no result: {parts}; {again}"


def _resume_command(folder: Path) -> str:
    return shlex.join(["llem", "study", "resume", str(folder)])
