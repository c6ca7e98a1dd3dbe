"""`payment-sim experiment policy-evolution`."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import AsJson, Db, Run, gap_words, load_run, one_day_of, stored_gap_columns

if TYPE_CHECKING:
    from payment_simulator.experiments.stored_run import Decision, StoredRun


@reporting_errors
def policy_evolution(
    ctx: typer.Context,
    run: Run,
    db: Db = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this bank.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Each bank's parameters over the iterations, and each proposal with its verdict and reason."""
    from labledger.console import print_answer, print_json, print_table

    stored = load_run(run, db)
    evolution = {bank: list(_evolution(stored, bank)) for bank in _chosen(stored, agent)}
    if json:
        print_json(dump_json(evolution))
        return
    if (day := one_day_of(stored)) is not None:
        print_answer(f"{day.words}\n")
    for bank, steps in evolution.items():
        print_answer(f"{bank}\n")
        rows = [row for step in steps for row in _step_rows(step, stored.record.config)]
        has_gap = any(step["nash_gap"] is not None for step in steps)
        header = ("iteration", "policy", "Nash gap", "proposed", "", "reason")
        print_table(header if has_gap else _without_gap(header), rows if has_gap else map(_without_gap, rows))


def _chosen(run: "StoredRun", agent: str | None) -> list[str]:
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean

    if agent is not None and agent not in run.agent_ids:
        raise ConfigError(f"--agent: unknown bank {agent!r}{did_you_mean(agent, run.agent_ids)}")
    return run.agent_ids if agent is None else [agent]


def _evolution(run: "StoredRun", bank: str) -> Iterator[dict[str, Any]]:
    """Yield the bank's policy in each iteration and in the end, with the Nash gap and the proposals made meanwhile.

    `one_day` has the bank's payments on the one day that all costs are of; None where they are of many.
    """
    day = one_day_of(run)
    one_day = {"one_day": None if day is None else asdict(day.banks[bank])}
    for iteration in run.iterations:
        made = [each for each in run.decisions_of(iteration.iteration_number) if each.agent_id == bank]
        proposals = [_proposal(run, each) for each in made]
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


def _step_rows(step: dict[str, Any], config: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    head = (str(step["iteration"]), _parameters_text(step["parameters"]), gap_words(step, config))
    for proposal in step["proposals"] or [None]:
        if proposal is None:
            yield (*head, "", "", "")
        else:
            word = "accepted" if proposal["accepted"] else "rejected"
            yield (*head, _parameters_text(proposal["parameters"]), word, proposal["reason"])
        head = ("", "", "")


def _without_gap(row: tuple[str, ...]) -> tuple[str, ...]:
    return row[:2] + row[3:]


def _parameters_text(parameters: dict[str, float] | None) -> str:
    return "" if parameters is None else ", ".join(f"{name} {value:g}" for name, value in parameters.items())
