"""`payment-sim experiment run`, `validate` and `template`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.result_printing import print_result, result_as_json
from payment_simulator.cli.scenario_options import Dialect, Policies, with_options

if TYPE_CHECKING:
    from payment_simulator.experiments.config import ExperimentConfig

ConfigFile = Annotated[Path, typer.Argument(help="YAML file of the experiment.", show_default=False)]

PATIENCE = "1h"
Patience = Annotated[
    str,
    typer.Option(
        "--patience", metavar="TIME", help="How long to wait for who keeps the database: 30s, 5m, 1h; 0: not at all."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; scenario.KEY: of the scenario's."),
]
BUDGET = "llm.max_total_tokens"

TEMPLATE = """\
# An experiment: banks look for the policy that costs them least. `payment-sim experiment run FILE` runs it.
name: my-experiment                    # of its runs, and of the folder of its result
description: ""
scenario: scenario.yaml                # relative to this file

evaluation:
  mode: monte_carlo                    # deterministic: one draw; bootstrap: one day, redrawn
  num_samples: 100                     # draws that a cost is the mean over
  # ticks: 100                         # only the first so many, whole days
  # observed: day.parquet              # bootstrap: the day, of `payment-sim run --events`
  acceptance: {confidence: 0.95}       # how sure it must be that a policy saves
  # The Nash gap is the most that one bank could still save alone: `exact` where every value was covered, `bounded` (it
  # is at most so much) where the budget ended first, `estimated` where payments are drawn, else `searched` (values that
  # were not tried may save more).
  # nash_gap: every                    # in every iteration, final (at the end) or off
  # nash_gap_budget: 20000000          # of each bank: payments x ticks that are simulated for it at most, not seconds

convergence:
  # starts: 5                          # profiles that it begins from, the scenario's own first: other equilibria?
  max_iterations: 25                   # of each start
  stability_window: 5                  # so many iterations in which nothing moves end it
  stability_threshold: 0               # what is a move: a saving of more than this share of a bank's cost
  improvement_threshold: 0             # what is accepted: a saving of more than this share

proposer: search                       # llm: a language model proposes
# llm:
#   model: openai:gpt-5                # or anthropic:..., google:...; the key comes from the environment
#   # base_url: http://localhost:8000/v1   # any server that speaks OpenAI's protocol
#   temperature: 0.7
#   max_retries: 3
#   timeout_seconds: 120
#   max_total_tokens: 500000           # the budget; may be raised: run FILE --resume RUN --set llm.max_total_tokens=...
#   price: {input_per_million: 1.25, output_per_million: 10, currency: USD}   # is told beside the tokens
#   # system_prompt_file: prompt.txt

policy_constraints:
  allowed_parameters:
    - {name: initial_liquidity_fraction, param_type: float, min_value: 0, max_value: 1}
  # allowed_fields: [balance, amount, ticks_to_deadline]
  # allowed_actions: {payment_tree: [Release, Hold]}
# prompt_customization: {all: "", BANK_A: ""}
# optimized_agents: [BANK_A]           # default: all

output: {directory: results, database: experiments.db, verbose: false}
master_seed: 42
# scenario_settings: {cost_rates.overdraft_bps_per_tick: 0.5}   # in place of what the scenario's file has
"""


@reporting_errors
def run(
    ctx: typer.Context,
    config: ConfigFile,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="RUN", help="Go on with a run: its id, the start of it, or latest.", show_default=False
        ),
    ] = None,
    settings: Settings = None,
    dialect: Dialect = None,
    policies: Policies = None,
    patience: Patience = PATIENCE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an experiment: every step is in its database before the next one starts.

    With --resume, --set may change llm.max_total_tokens and llm.price alone. A Nash gap is printed with how it is
    known: exact, bounded, estimated from draws, or searched among so many values.
    """
    import asyncio

    from labledger.console import print_answer, print_json
    from labledger.errors import ConfigError
    from payment_simulator.cli.waiting import MODEL_ALIVE_S, shown_progress
    from payment_simulator.experiments.config import ExperimentConfig
    from payment_simulator.experiments.reading import read_experiment
    from payment_simulator.experiments.runner import GenericExperimentRunner, VerboseConfig
    from payment_simulator.experiments.runner.optimization import TokensSpentError
    from payment_simulator.experiments.settings import SCENARIO, single_settings

    patience_s = patience_of(patience)
    settings = with_options(settings, dialect, policies, SCENARIO)
    given = single_settings(settings)
    read = read_experiment(config, given)[0] if resume is None else ExperimentConfig.from_yaml(config, given)
    require_packages(read)
    run_id = None if resume is None else _to_resume(read, resume, patience_s)
    progress = shown_progress(alive_s=MODEL_ALIVE_S if read.proposer == "llm" else None)
    decisions = read.output is not None and read.output.verbose
    verbose = VerboseConfig(iterations=True, decisions=decisions, progress=progress)
    runner = GenericExperimentRunner(read, verbose, run_id=run_id, patience_s=patience_s)
    database = _from_here(runner.database)
    print_answer(f"run {runner.run_id}{_kept_in(database)}", to_stderr=True)
    try:
        with progress:
            progress.phase(f"running {read.name}")
            result = asyncio.run(runner.resume() if resume else runner.run())
    except BaseException as error:
        # What is stored would raise the same error of a scenario or of a policy again.
        if runner.is_resumable and not isinstance(error, ConfigError):
            options = [f"--set {each}" for each in settings if not each.startswith(BUDGET)]
            options += [f"--set {BUDGET}=NUMBER"] if isinstance(error, TokensSpentError) else []
            command = " ".join(["payment-sim experiment run", str(config), "--resume", runner.run_id, *options])
            error.add_note(f"what was done is kept; go on: {command}")
        raise
    if json:
        print_json(result_as_json(result))
    else:
        print_result(result, database)


@reporting_errors
def validate(ctx: typer.Context, config: ConfigFile, dialect: Dialect = None, policies: Policies = None) -> None:
    """Report every problem of an experiment and of the files that it names."""
    from labledger.console import print_answer
    from payment_simulator.experiments.reading import read_experiment
    from payment_simulator.experiments.settings import SCENARIO, single_settings

    read, setup = read_experiment(config, single_settings(with_options([], dialect, policies, SCENARIO)))
    require_packages(read)
    banks = ", ".join(setup.optimized(read))
    print_answer(f"{config}: fine: {read.proposer} over {banks} in {read.scenario}, {read.evaluation.mode}")
    rules = read.convergence
    if rules.max_iterations < rules.stability_window:
        where = read.place("convergence", "max_iterations")
        print_answer(
            f"{where}{rules.max_iterations} iterations are fewer than the stability_window of "
            f"{rules.stability_window}: the run ends before it could converge"
        )


@reporting_errors
def template(ctx: typer.Context) -> None:
    """Print an experiment to begin with, every key explained."""
    from labledger.console import print_answer

    print_answer(TEMPLATE.rstrip("\n"))


def require_packages(read: "ExperimentConfig") -> None:
    """Raise ConfigError, with the extra, if what proposes policies is not installed: before anything is stored."""
    from labledger.extras import require

    if read.proposer == "llm":
        require("proposer: llm", "pydantic_ai")


def patience_of(text: str) -> float:
    """Return the seconds of `--patience`.

    Raises:
        ConfigError: it is no length of time.
    """
    from labledger.durations import seconds_in
    from labledger.errors import ConfigError

    try:
        return seconds_in(text)
    except ValueError as error:
        raise ConfigError(f"--patience: {error}") from None


def _to_resume(read: "ExperimentConfig", resume: str, patience_s: float) -> str:
    """Return the id of the run that is to be resumed.

    Raises:
        ConfigError: there is none to go on with, whose folder and database are not made then. Or the configuration is
            not the one that it began with.
        RecordError: it is completed, or still runs.
    """
    from labledger.errors import ConfigError
    from payment_simulator.experiments.config import check_same
    from payment_simulator.experiments.output_checks import check_output
    from payment_simulator.experiments.persistence import ExperimentRepository
    from payment_simulator.experiments.persistence.writes import check_resumable
    from payment_simulator.experiments.stored_run import named_run

    check_output(read)
    place, database = read.place("output", "database"), None if read.output is None else read.output.database_path
    if database is None:
        raise ConfigError(f"{place}nothing was stored, and so there is no run {resume} to go on with")
    if not database.exists():
        raise ConfigError(f"{place}{database}: no such file, and so no run {resume} to go on with")
    with ExperimentRepository(database, must_exist=True, patience_s=patience_s) as repository:
        record = named_run(repository, resume)
    check_same(record.config, read)
    check_resumable(record, database)
    return record.experiment_id


def _from_here(path: Path | None) -> Path | None:
    """Return a path relative to the working directory where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path is not None and path.is_relative_to(here) else path


def _kept_in(database: Path | None) -> str:
    return "; nothing is kept, for there is no output.database" if database is None else f", kept in {database}"
