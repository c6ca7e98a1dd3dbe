"""`llem run`: measure an experiment and save its result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors

if TYPE_CHECKING:
    from llenergymeasure.backends.kept import Kept
    from llenergymeasure.config.loading import LoadedConfig
    from llenergymeasure.config.models import ExperimentConfig, UserConfig
    from llenergymeasure.domain.experiment import ExperimentResult


@reporting_errors
def run(
    ctx: typer.Context,
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CONFIG",
            help="YAML file of the experiment; several are run in rounds and compared.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Hub id, local folder, or random:llama.", show_default=False)
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", help="One of those that `llem doctor` lists.", show_default=False)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="builtin, or a .jsonl file.", show_default=False)
    ] = None,
    num_prompts: Annotated[
        int | None,
        typer.Option(
            "--num-prompts", "-n", help="How many prompts; all of the dataset, up to 100.", show_default=False
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Prompts generated together.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", "-p", help="fp32, fp16 or bf16.", show_default=False)
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            min=1,
            help="Rounds: one run of every CONFIG, or cell of a study, in each, in alternating order; six are advised.",
            show_default=False,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="FIELD=VALUE,VALUE,...",
            help="An axis of a study: every value of a field, by its dotted path; may be repeated.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Override any field, by its dotted path, a study's own as study.repeats too; may be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a study that has not ended, or that has more runs now.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End a study with its first run that fails.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for results; each gets a folder of its own.")
    ] = Path("results"),
    export_csv: Annotated[
        Path | None,
        typer.Option("--export-csv", help="Also add the result's flat row to this CSV file.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved configuration, check it, and run nothing.")
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the result as JSON; of several runs a list; of a study a line of JSON for each run, and last "
            "its result.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the path of the saved result.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the logs of the libraries.")] = False,
) -> None:
    """Measure a deployment of a model and keep the result. Flags override the YAML."""
    from llenergymeasure.cli.study_flags import read_flags, refuse_without_study, study_wanted
    from llenergymeasure.cli.study_run import StudyOptions, run_study_command
    from llenergymeasure.config.loading import load_config
    from llenergymeasure.config.ranks import is_first_process
    from llenergymeasure.run.preflight import require_paths

    flags: dict[str, Any] = {
        "model": model,
        "backend": backend,
        "dataset": dataset,
        "num_prompts": num_prompts,
        "batch_size": batch_size,
        "precision": precision,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings, axes = read_flags(set_ or [], sweep or [], given, repeat)
    debug = bool(ctx.find_root().params.get("debug"))
    if study_wanted(configs or [], sweep or [], settings):
        how = StudyOptions(output, export_csv, json, quiet, verbose, debug, resume=resume, fail_fast=fail_fast)
        run_study_command(configs or [], given, axes, repeat, how, settings=settings, dry_run=dry_run)
        return
    refuse_without_study(settings, resume=resume, fail_fast=fail_fast)
    if (repeat or 1) > 1 or len(configs or ()) > 1:
        from llenergymeasure.cli.repeats import Options, run_repeats

        options = Options(repeat or 1, output, export_csv, json, quiet, verbose, debug)
        run_repeats(configs or [None], given, options, settings=settings, dry_run=dry_run)
        return
    loaded = load_config(next(iter(configs or ()), None), given, settings=settings)
    set_verbosity(verbose)
    if dry_run:
        if is_first_process():
            _check(loaded, output, json)
        return
    if verbose:
        print_not_used(loaded)
    require_paths(loaded, output)
    if export_csv is not None:
        from llenergymeasure.results.exporters import check_csv

        check_csv(export_csv)
    result, path = measure(loaded.experiment, loaded.user, output, quiet)
    if is_first_process():
        with naming(path):
            _print(result, path, json, quiet)
        add_to_csv(result, path, export_csv)


def print_not_used(loaded: "LoadedConfig") -> None:
    """Print a line on stderr for each default of the user configuration that has no effect on the experiment."""
    from labledger.console import print_line

    for line in loaded.not_used:
        print_line(f"not used: {line}", to_stderr=True)


def _check(loaded: "LoadedConfig", output: Path, as_json: bool) -> None:
    """Print the configuration, with the number of prompts if it can run; raise if it cannot."""
    from dataclasses import replace

    from labledger.console import print_line
    from llenergymeasure.cli.config import print_config
    from llenergymeasure.energy.sources import find_sources
    from llenergymeasure.run.preflight import check, remarks

    try:
        checked = check(loaded.experiment, find_sources(), output, loaded.absent)
        loaded = replace(loaded, experiment=checked.config)
    finally:
        print_config(loaded, as_json=as_json)
    for remark in remarks(checked.config, checked.prompts):
        print_line(f"warning: {remark}", to_stderr=True)
    typer.echo("checked: it can run; nothing was run", err=True)


def measure(
    experiment: "ExperimentConfig",
    user: "UserConfig",
    output: Path,
    quiet: bool,
    kept: "Kept | None" = None,
    prompt_mark: int | None = None,
) -> "tuple[ExperimentResult, Path | None]":
    """Run the experiment with progress on stderr, save the result, and return it with its path.

    `kept` and `prompt_mark`: see `run.harness.run`. Raises what `measure_and_save` raises; a result that could be saved
    nowhere is printed on stdout.
    """
    from labledger.console import Silent, StderrProgress, print_json
    from llenergymeasure.api import measure_and_save
    from llenergymeasure.config.ranks import is_first_process
    from llenergymeasure.process_tree import adopting_orphans
    from llenergymeasure.results.persistence import UnsavedResultError

    prints = is_first_process()  # of those that torchrun has started
    progress = StderrProgress() if prints and not quiet else Silent()
    try:
        with adopting_orphans():
            return measure_and_save(experiment, user, output, progress, kept=kept, prompt_mark=prompt_mark)
    except UnsavedResultError as error:
        if error.kept_at is None:
            print_json(error.result.to_json())  # the last place that is left
        raise


def _print(result: "ExperimentResult", path: Path | None, as_json: bool, quiet: bool) -> None:
    from labledger.console import print_answer, print_json
    from llenergymeasure.cli.presentation import print_result

    if as_json:
        print_json(result.to_json())
    elif quiet:
        print_answer(str(path))
    else:
        print_result(result, path)


def add_to_csv(result: "ExperimentResult", path: Path | None, export_csv: Path | None) -> None:
    """Add the flat row of a saved result to a CSV file, if one is named."""
    from llenergymeasure.results.exporters import append_csv
    from llenergymeasure.results.flat import flat_row

    if export_csv is not None:
        with naming(path):
            append_csv(flat_row(result, path.parent if path else None), export_csv)


@contextlib.contextmanager
def naming(path: Path | None) -> Iterator[None]:
    """Note on an error in the block that the result is saved: a full standard output, say, does not lose it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the result is saved in {path}")
        raise


def set_verbosity(verbose: bool) -> None:
    """Let libraries log to stderr with --verbose; else silence them: their warnings are not about the measurement."""
    import logging
    import os
    import warnings

    if verbose:
        logging.basicConfig(level=logging.INFO)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
