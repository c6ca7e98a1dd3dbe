"""`payment-sim experiment sweep`."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import EXIT_FAILED, reporting_errors
from labledger.counts import counted
from labledger.json_text import dump_json
from payment_simulator.cli.experiment_run import PATIENCE, ConfigFile, Patience, patience_of
from payment_simulator.cli.scenario_options import Dialect, Policies, with_options
from payment_simulator.cli.stored_runs import cents

if TYPE_CHECKING:
    from labledger.console import StderrProgress
    from labledger.executor import Done
    from payment_simulator.experiments.sweep import Planned, Ran, Sweep

ALIVE_S = 4.0


@reporting_errors
def sweep(
    ctx: typer.Context,
    config: ConfigFile,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Values of a key, as master_seed=1..20 or scenario.cost_rates.KEY=0.1,0.2; of several: the product.",
            show_default=False,
        ),
    ],
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, help="Runs at a time; default: one for each core.", show_default=False),
    ] = None,
    on: Annotated[str, typer.Option("--on", help="Where to run: local, the cores of this machine.")] = "local",
    dialect: Dialect = None,
    policies: Policies = None,
    patience: Patience = PATIENCE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an experiment with each of some settings, all in its one database. Begun again, it goes on with what is left.

    Each is an ordinary run: results, show, replay and compare read it; chart and report read all of them together.
    """
    from labledger.console import print_answer, print_json
    from labledger.errors import LabledgerError
    from labledger.executor import check_place_to_run
    from payment_simulator.cli.experiment_run import require_packages
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.experiments.config import ExperimentConfig
    from payment_simulator.experiments.settings import SCENARIO, product_of_settings
    from payment_simulator.experiments.sweep import Sweep

    patience_s = patience_of(patience)
    settings = with_options(settings, dialect, policies, SCENARIO)
    check_place_to_run(on)
    require_packages(ExperimentConfig.from_yaml(config))
    whole = Sweep(config, product_of_settings(settings))
    planned = whole.plan(patience_s)
    print_answer(_begun(whole, planned), to_stderr=True)
    try:
        with shown_progress(alive_s=ALIVE_S) as progress:
            progress.phase(f"sweeping {whole.name}")
            ended = _run(whole, planned, patience_s, on, workers, progress)
    except (KeyboardInterrupt, LabledgerError) as error:
        error.add_note(f"what was done is kept; go on: {_command(config, settings, workers)}")
        raise
    failed = [(each, done) for each, done in ended if done.error is not None]
    after = whole.plan(patience_s)
    if json:
        print_json(dump_json([_as_dict(each, failed) for each in after]))
    else:
        _print_ended(whole, after, failed)
    if failed:
        print_answer(f"go on: {_command(config, settings, workers)}", to_stderr=True)
        raise typer.Exit(EXIT_FAILED)


def _run(
    whole: "Sweep",
    planned: "Sequence[Planned]",
    patience_s: float,
    on: str,
    workers: int | None,
    progress: "StderrProgress",
) -> "list[tuple[Planned, Done[Ran]]]":
    from contextlib import closing

    from payment_simulator.experiments.persistence import DatabaseError, RecordError

    ended, left = [], sum(each.is_to_run for each in planned)
    with closing(whole.run(planned, patience_s, on=on, workers=workers)) as runs:
        for each, done in runs:
            if isinstance(done.error, DatabaseError) and not isinstance(done.error, RecordError):
                raise done.error  # the disk is full, or somebody keeps the database: the others would fail, too
            ended.append((each, done))
            progress.message(_line(each, done))
            progress.update(len(ended), left, "experiments")
    return ended


def _begun(whole: "Sweep", planned: "Sequence[Planned]") -> str:
    counts = {part: sum(each.part == part for each in planned) for part in ("completed", "resumed", "elsewhere")}
    words = {"completed": "there already", "resumed": "to be gone on with", "elsewhere": "run by another process"}
    told = [f"{counts[part]:,} {words[part]}" for part in counts if counts[part]]
    kept = f"{counted(len(planned), 'experiment')}, kept in {whole.database}"
    return f"{whole.name}: {kept}" + (f": {', '.join(told)}" if told else "")


def _line(each: "Planned", done: "Done[Ran]") -> str:
    from labledger.untrusted_text import clean

    if done.error is not None or done.value is None:
        return f"{each.words}: failed: {clean(str(done.error), 300)}"
    ran = done.value
    if ran.is_elsewhere:
        return f"{each.words}: another sweep has begun it meanwhile: {ran.run_id}"
    rest = "converged" if ran.converged else "not converged"
    seconds = "" if ran.seconds is None else f", {ran.seconds:.1f} s"
    took = "" if ran.num_iterations is None else f", {counted(ran.num_iterations, 'iteration')}"
    return f"{each.words}: cost {cents(ran.final_cost)}, {rest}{took}{seconds}: {ran.run_id}"


def _command(config: Any, settings: Sequence[str], workers: int | None) -> str:
    options = [part for each in settings for part in ("--set", shlex.quote(each))]
    options += [] if workers is None else ["-j", str(workers)]
    return " ".join(["payment-sim experiment sweep", shlex.quote(str(config)), *options])


def _as_dict(each: "Planned", failed: "list[tuple[Planned, Done[Ran]]]") -> dict[str, Any]:
    errors = {words.words: str(done.error) for words, done in failed}
    return {
        "settings": each.settings,
        "state": each.part,
        "experiment_id": None if each.part == "new" else each.run_id,
        "error": errors.get(each.words),
    }


def _print_ended(whole: "Sweep", after: "Sequence[Planned]", failed: "list[tuple[Planned, Done[Ran]]]") -> None:
    from labledger.console import print_answer
    from payment_simulator.cli.experiment_report import print_report
    from payment_simulator.experiments.many_runs import ManyRuns
    from payment_simulator.experiments.persistence import ExperimentRepository

    ids = [each.run_id for each in after if each.part == "completed"]
    if ids:
        with ExperimentRepository(whole.database, must_exist=True) as repository:
            print_report(ManyRuns.load(repository, ids))
    names = f"--sweep {shlex.quote(whole.name)} --db {shlex.quote(str(whole.database))}"
    elsewhere = sum(each.part == "elsewhere" for each in after)
    lost = (f", {len(failed):,} failed" if failed else "") + (
        f", {elsewhere:,} run by another process" if elsewhere else ""
    )
    print_answer(f"{len(ids):,} of {len(after):,} experiments are completed{lost}")
    if ids:
        print_answer(f"The picture: payment-sim experiment chart {names} -o {shlex.quote(whole.name)}.png")
