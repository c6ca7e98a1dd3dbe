"""`payment-sim experiment policy-evolution`."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import (
    AsJson,
    Db,
    Run,
    ShowAll,
    gap_words,
    last_of,
    load_run,
    one_day_of,
    print_left_out,
    stored_gap_columns,
)

if TYPE_CHECKING:
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.persistence import IterationRecord
    from payment_simulator.experiments.stored_run import Decision, StoredRun


@reporting_errors
def policy_evolution(
    ctx: typer.Context,
    run: Run,
    db: Db = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this bank.", show_default=False)] = None,
    show_all: ShowAll = False,
    json: AsJson = False,
) -> None:
    """Each bank's parameters over the last iterations, and each proposal with its verdict and reason."""
    from labledger.console import print_answer, print_json, print_table

    stored = load_run(run, db)
    day, iterations = one_day_of(stored), last_of(stored.iterations, show_all or json)
    evolution = {bank: list(_evolution(stored, bank, iterations, day)) for bank in _chosen(stored, agent)}
    if json:
        print_json(dump_json(evolution))
        return
    if not evolution:
        print_answer(f"{stored.record.experiment_id}: it is {stored.record.status}, and no iteration of it is stored")
    elif day is not None:
        print_answer(f"{day.words}\n")
    for bank, steps in evolution.items():
        print_answer(f"{bank}\n")
        name = _only_parameter(steps)
        rows = [row for step in steps for row in _step_rows(step, stored.record.config, name)]
        has_gap = any(step["nash_gap"] is not None for step in steps)
        header = ("iteration", name or "policy", "Nash gap", "proposed", "verdict", "reason")
        print_table(header if has_gap else _without_gap(header), rows if has_gap else map(_without_gap, rows))
        print_left_out(len(iterations), len(stored.iterations), "iterations")


def _chosen(run: "StoredRun", agent: str | None) -> list[str]:
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean

    if agent is not None and agent not in run.banks:
        raise ConfigError(f"--agent: unknown bank {agent!r}{did_you_mean(agent, run.banks)}")
    return run.banks if agent is None else [agent]


def _evolution(
    run: "StoredRun", bank: str, iterations: "Iterable[IterationRecord]", day: "OneDay | None"
) -> Iterator[dict[str, Any]]:
    """Yield the bank's policy in `iterations` and in the end, with the Nash gap and the proposals made meanwhile.

    `one_day` has the bank's payments on the one day that all costs are of; None where they are of many.
    """
    one_day = {"one_day": None if day is None else asdict(day.banks[bank])}
    for iteration in iterations:
        proposals = [_proposal(run, each) for each in run.decisions_of(iteration.iteration_number, bank)]
        held = _held(run, bank, iteration.iteration_number, iteration.policies[bank])
        yield held | {"proposals": proposals, **stored_gap_columns(iteration)} | one_day
    if run.record.final_policies is not None:
        held = _held(run, bank, "final", run.record.final_policies[bank])
        final = stored_gap_columns(run.record, "final_")
        gap = {key.removeprefix("final_"): value for key, value in final.items()}
        yield held | {"proposals": [], **gap} | one_day


def _held(run: "StoredRun", bank: str, iteration: int | str, policy: dict[str, Any]) -> dict[str, Any]:
    return {"iteration": iteration, "parameters": run.parameters(bank, policy), "policy": policy}


def _proposal(run: "StoredRun", decision: "Decision") -> dict[str, Any]:
    parameters = None if decision.policy is None else run.parameters(decision.agent_id, decision.policy)
    names = ("policy", "accepted", "reason", "old_cost", "new_cost")
    return {"parameters": parameters, **{name: getattr(decision, name) for name in names}}


def _only_parameter(steps: Iterable[dict[str, Any]]) -> str | None:
    """Return the name of the parameter, where all policies and proposals have the same one alone."""
    held = [each["parameters"] for step in steps for each in (step, *step["proposals"])]
    names = {tuple(parameters) for parameters in held if parameters is not None}
    return next(iter(names))[0] if len(names) == 1 and {*map(len, names)} == {1} else None


def _step_rows(step: dict[str, Any], config: dict[str, Any], only: str | None) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a step; where policies have one parameter `only`, their cells are its values."""
    head = (str(step["iteration"]), _parameters_text(step["parameters"], only), gap_words(step, config))
    for proposal in step["proposals"] or [None]:
        if proposal is None:
            yield (*head, "", "", "")
        else:
            word = "accepted" if proposal["accepted"] else "rejected"
            yield (*head, _parameters_text(proposal["parameters"], only), word, proposal["reason"])
        head = ("", "", "")


def _without_gap(row: tuple[str, ...]) -> tuple[str, ...]:
    return row[:2] + row[3:]


def _parameters_text(parameters: dict[str, float] | None, only: str | None) -> str:
    named = (f"{value:g}" if name == only else f"{name} {value:g}" for name, value in (parameters or {}).items())
    return ", ".join(named)
