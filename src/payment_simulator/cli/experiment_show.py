"""`payment-sim experiment results`, `show` and `policy-evolution`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.stored_runs import (
    AsJson,
    Db,
    Run,
    as_json,
    cents,
    gap,
    load_run,
    moment,
    open_database,
    truth,
)

if TYPE_CHECKING:
    from payment_simulator.experiments.persistence import ExperimentRecord
    from payment_simulator.experiments.stored import Decision, StoredRun

WHOLE = ("id", "name", "status")
LISTED = ("experiment_id", "experiment_name", "status", "num_iterations", "final_cost", "converged", "started_at")


@reporting_errors
def results(
    ctx: typer.Context,
    database: Annotated[Path | None, typer.Argument(help="As --db.", show_default=False)] = None,
    db: Db = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only running, completed, failed or interrupted.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only of this name.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the latest.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Every run in a database, the latest first; costs in cents, moments in UTC."""
    from labledger.console import print_answer, print_table
    from labledger.errors import ConfigError

    if database is not None and db is not None:
        raise ConfigError(f"--db: {database} is named, too; name one")
    known = ("running", "completed", "failed", "interrupted")
    if status is not None and status not in known:
        raise ConfigError(f"--status: {status!r} is none of {', '.join(known)}")
    with open_database(database or db) as repository:
        found = repository.list_experiments(status=status, name=name, limit=limit)
    if json:
        print_answer(as_json([{key: getattr(record, key) for key in LISTED} for record in found]))
        return
    header = (*WHOLE, "iterations", "final cost", "converged", "started")
    print_table(header, [_row(record) for record in found], whole=WHOLE)


def _row(record: "ExperimentRecord") -> tuple[str, ...]:
    return (
        record.experiment_id,
        record.experiment_name,
        record.status,
        cents(record.num_iterations),
        cents(record.final_cost),
        truth(record.converged),
        moment(record),
    )


@reporting_errors
def show(ctx: typer.Context, run: Run, db: Db = None, json: AsJson = False) -> None:
    """One run: its configuration in short, its iterations, its decisions, what it ended with. Costs in cents."""
    from labledger.console import print_answer, print_facts, print_table

    stored = load_run(run, db)
    if json:
        print_answer(as_json(_shown(stored)))
        return
    record, banks = stored.record, stored.agent_ids
    print_answer(f"{record.experiment_id}: {record.status}")
    print_facts("", _facts(stored))
    has_gap = any(each.nash_gap is not None for each in stored.iterations)
    rows = [
        (
            str(each.iteration_number),
            cents(each.total_cost),
            *(cents(each.per_agent_costs.get(bank)) for bank in banks),
            *([gap(each.nash_gap, each.nash_gap_half_width)] if has_gap else []),
        )
        for each in stored.iterations
    ]
    print_table(("iteration", "total cost", *banks, *(["Nash gap"] if has_gap else [])), rows)
    print_table(
        ("iteration", "bank", "proposal", "old cost", "new cost", "reason"),
        [
            (
                str(each.iteration),
                each.agent_id,
                "accepted" if each.accepted else "rejected",
                cents(each.old_cost),
                cents(each.new_cost),
                each.reason,
            )
            for each in stored.decisions
        ],
    )
    _print_ending(stored)


def _print_ending(run: "StoredRun") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.experiments.stored import policy_text

    record = run.record
    if record.final_policies is None:
        for event in run.events:
            if event.event_type in ("experiment_failed", "experiment_interrupted"):
                print_answer(f"{event.event_type.removeprefix('experiment_')}: {event.event_data.get('message')}")
        print_answer("It has no final policies" + (" yet" if record.status == "running" else ""))
        return
    costs = record.final_costs_by_agent or {}
    rows = [(bank, cents(costs.get(bank)), policy_text(policy)) for bank, policy in record.final_policies.items()]
    print_table(("bank", "final cost", "final policy"), [*rows, ("all", cents(record.final_cost), "")])
    if record.final_nash_gap is not None:
        found = gap(record.final_nash_gap, record.final_nash_gap_half_width)
        print_answer(f"Nash gap of the final policies: {found}; so much could a bank still save by itself, at most")


def _facts(run: "StoredRun") -> Iterator[tuple[str, str]]:
    """The configuration in short, as far as it is there: not every stored experiment is a runner's."""
    record = run.record
    config: dict[str, Any] = record.config
    evaluation, convergence = config.get("evaluation") or {}, config.get("convergence") or {}
    yield "experiment", record.experiment_name
    for name in ("description", "scenario"):
        if config.get(name):
            yield name, str(config[name])
    if evaluation:
        samples = f", {evaluation['num_samples']:,} samples" if evaluation["mode"] != "deterministic" else ""
        yield "evaluation", f"{evaluation['mode']}{samples}"
    if config.get("proposer"):
        model = (config.get("llm") or {}).get("model")
        yield "proposer", f"{config['proposer']}{f' ({model})' if model else ''}"
    yield "optimised banks", ", ".join(config.get("optimized_agents") or run.agent_ids)
    yield "master seed", str(config.get("master_seed", ""))
    yield "started", f"{moment(record)} UTC"
    if record.total_duration_seconds is not None:
        yield "took", f"{record.total_duration_seconds:,.1f} s"
    yield (
        "iterations",
        f"{record.num_iterations}" + (f" of at most {convergence['max_iterations']}" if convergence else ""),
    )
    if record.converged is not None:
        yield "converged", f"{truth(record.converged)} ({record.convergence_reason})"
    if run.tokens:
        yield "tokens", f"{run.tokens:,}"


def _shown(run: "StoredRun") -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(run.record).items() if key != "scenario"},
        "tokens": run.tokens,
        "iterations": [asdict(each) for each in run.iterations],
        "decisions": [asdict(each) for each in run.decisions],
    }


@reporting_errors
def policy_evolution(
    ctx: typer.Context,
    run: Run,
    db: Db = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this bank.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Each bank's parameters over the iterations, and what was proposed, accepted, and rejected why."""
    from labledger.console import print_answer, print_table

    stored = load_run(run, db)
    evolution = {bank: list(_evolution(stored, bank)) for bank in _chosen(stored, agent)}
    if json:
        print_answer(as_json(evolution))
        return
    for bank, steps in evolution.items():
        print_answer(f"{bank}\n")
        rows = [row for step in steps for row in _step_rows(step)]
        print_table(("iteration", "policy", "proposed", "", "reason"), rows)


def _chosen(run: "StoredRun", agent: str | None) -> list[str]:
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean

    if agent is not None and agent not in run.agent_ids:
        raise ConfigError(f"--agent: there is no bank {agent!r}{did_you_mean(agent, run.agent_ids)}")
    return run.agent_ids if agent is None else [agent]


def _evolution(run: "StoredRun", bank: str) -> Iterator[dict[str, Any]]:
    """What the bank's policy was in each iteration and in the end, and what was proposed meanwhile."""
    for iteration in run.iterations:
        made = [
            each for each in run.decisions if each.agent_id == bank and each.iteration == iteration.iteration_number
        ]
        proposals = [_proposal(run, each) for each in made]
        yield _held(run, bank, iteration.iteration_number, iteration.policies[bank]) | {"proposals": proposals}
    if run.record.final_policies is not None:
        yield _held(run, bank, "final", run.record.final_policies[bank]) | {"proposals": []}


def _held(run: "StoredRun", bank: str, iteration: int | str, policy: dict[str, Any]) -> dict[str, Any]:
    return {"iteration": iteration, "parameters": run.parameters(bank, policy), "policy": policy}


def _proposal(run: "StoredRun", decision: "Decision") -> dict[str, Any]:
    parameters = None if decision.policy is None else run.parameters(decision.agent_id, decision.policy)
    names = ("policy", "accepted", "reason", "old_cost", "new_cost")
    return {"parameters": parameters, **{name: getattr(decision, name) for name in names}}


def _step_rows(step: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    head = (str(step["iteration"]), _parameters_text(step["parameters"]))
    for proposal in step["proposals"] or [None]:
        if proposal is None:
            yield (*head, "", "", "")
        else:
            word = "accepted" if proposal["accepted"] else "rejected"
            yield (*head, _parameters_text(proposal["parameters"]), word, proposal["reason"])
        head = ("", "")


def _parameters_text(parameters: dict[str, float] | None) -> str:
    return "" if parameters is None else ", ".join(f"{name} {value:g}" for name, value in parameters.items())
