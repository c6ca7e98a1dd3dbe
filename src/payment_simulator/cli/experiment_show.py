"""`payment-sim experiment show`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from labledger.json_text import dump_json
from payment_simulator.cli.result_printing import (
    converged_words,
    draws_facts,
    load_result,
    print_bound_advice,
    print_day,
    print_resting_points,
    print_result,
    refusal_facts,
    result_as_json,
    result_path,
)
from payment_simulator.cli.stored_runs import (
    AsJson,
    Db,
    ShowAll,
    cents,
    gap_words,
    last_of,
    load_run,
    moment,
    one_day_of,
    print_left_out,
)

if TYPE_CHECKING:
    from payment_simulator.experiments.stored_run import StoredRun


Shown = Annotated[
    str, typer.Argument(help="A run's id, the start of it, or latest; or a result.json.", show_default=False)
]


@reporting_errors
def show(ctx: typer.Context, run: Shown, db: Db = None, show_all: ShowAll = False, json: AsJson = False) -> None:
    """Show a run: its configuration in short, its last iterations and decisions, and its ending. Costs in cents.

    Each Nash gap says how it is known; a run whose costs are of one day says how that day compares with the scenario.

    For a result.json, or its folder, the ending only; no database is needed.
    """
    from labledger.console import print_answer, print_facts, print_json

    if (path := result_path(run)) is not None:
        result = load_result(path)
        if json:
            print_json(result_as_json(result))
        else:
            print_result(result, None)
        return
    stored = load_run(run, db)
    if json:
        print_json(dump_json(_shown(stored)))
        return
    print_answer(f"{stored.record.experiment_id}: {stored.record.status}")
    print_facts("", _facts(stored))
    if stored.iterations:
        _print_iterations(stored, show_all)
    if stored.decisions:
        _print_decisions(stored, show_all)
    _print_ending(stored)


def _print_iterations(stored: "StoredRun", show_all: bool) -> None:
    from labledger.console import print_table

    record, banks = stored.record, stored.agent_ids
    has_starts = any(each.start > 1 for each in stored.iterations)
    has_gap = any(each.nash_gap is not None for each in stored.iterations)
    rows = [
        (
            str(each.iteration_number),
            *([str(each.start)] if has_starts else []),
            cents(each.total_cost),
            *(cents(each.per_agent_costs.get(bank)) for bank in banks),
            *([gap_words(each, record.config)] if has_gap else []),
        )
        for each in last_of(stored.iterations, show_all)
    ]
    header = ("iteration", *(["start"] if has_starts else []), "total cost", *banks, *(["Nash gap"] if has_gap else []))
    print_table(header, rows)
    print_left_out(len(rows), len(stored.iterations), "iterations")


def _print_decisions(stored: "StoredRun", show_all: bool) -> None:
    from labledger.console import print_table

    shown = last_of(stored.decisions, show_all)
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
            for each in shown
        ],
    )
    print_left_out(len(shown), len(stored.decisions), "decisions")


def _print_ending(run: "StoredRun") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.experiments.nash_gap import stored_gap
    from payment_simulator.experiments.stored_run import policy_text

    record = run.record
    if record.final_policies is None:
        _print_no_ending(run)
        return
    costs = record.final_costs_by_agent or {}
    rows = [(bank, cents(costs.get(bank)), policy_text(policy)) for bank, policy in record.final_policies.items()]
    print_table(("bank", "final cost", "final policy"), [*rows, ("all", cents(record.final_cost), "")])
    print_resting_points(record.resting_points or [], record.experiment_id)
    gap = stored_gap(record, "final_", record.config)
    if gap is not None:
        print_answer(f"Final policies: {gap.phrase}: {gap.meaning}")
    if (day := one_day_of(run)) is not None:
        print_day(day)
    print_bound_advice(gap, record.config)


def _print_no_ending(run: "StoredRun") -> None:
    """Print why a run has no final policies, and how to go on with one that does not run."""
    from labledger.console import print_answer

    for event in run.events:
        if event.event_type == "experiment_failed":
            print_answer(f"failed: {event.event_data.get('message')}")
    if run.record.status == "running":
        print_answer("It has no final policies yet")
        return
    when = f"after {_count(run.iterations)}" if run.iterations else "before its first iteration was complete"
    print_answer(
        f"It has no final policies: it ended {when}\n"
        f"go on: payment-sim experiment run CONFIG --resume {run.record.experiment_id}"
    )


def _count(iterations: Sequence[object]) -> str:
    return f"{counted(len(iterations), 'iteration')}"


def _facts(run: "StoredRun") -> Iterator[tuple[str, str]]:
    """The configuration in short, as far as it is there: not every stored experiment is a runner's."""
    from payment_simulator.experiments.nash_gap import stored_gap

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
    if (day := one_day_of(run)) is not None:
        yield "one day", day.words
    yield "started", f"{moment(record)} UTC"
    if record.total_duration_seconds is not None:
        yield "took", f"{record.total_duration_seconds:,.1f} s"
    yield "iterations", f"{record.num_iterations}{_most(convergence)}"
    if record.converged is not None:
        yield "converged", converged_words(record, stored_gap(record, "final_", record.config))
    yield from refusal_facts(record)
    yield from draws_facts(run)
    yield from _token_facts(run)


def _token_facts(run: "StoredRun") -> Iterator[tuple[str, str]]:
    """Yield the rows that tell a model's tokens, their price where one is stated, and the budgets that they had."""
    from pydantic import ValidationError

    from payment_simulator.experiments.llm_config import Llm
    from payment_simulator.experiments.runner.state import BYTES_COUNT

    try:
        llm = Llm.model_validate(run.record.config.get("llm"))
    except ValidationError:  # none, or somebody else's
        llm = None
    price = "" if llm is None or llm.price is None else f", {llm.price.words(*run.token_counts)}"
    unknown = f", and {counted(run.uncounted, 'answer')} whose tokens are not all known" if run.uncounted else ""
    if run.tokens or unknown:
        yield "tokens", f"{run.tokens:,}{price}{unknown}"
    if llm is not None and (llm.max_total_tokens is not None or run.budgets):
        before = [f"{_budget(most)} until iteration {iteration}" for iteration, most in run.budgets]
        yield (
            "token budget",
            _budget(llm.max_total_tokens)
            + (f", {BYTES_COUNT} of those" if unknown else "")
            + (f" ({', '.join(before)})" if before else ""),
        )


def _budget(most: int | None) -> str:
    return "no limit" if most is None else f"{most:,}"


def _most(convergence: Mapping[str, Any]) -> str:
    """Return the most iterations that there may be, as the end of a line; empty where it is not known."""
    starts = convergence.get("starts", 1)
    each = f" in each of {starts:,} starts" if starts > 1 else ""
    return f" of at most {convergence['max_iterations']:,}{each}" if convergence else ""


def _shown(run: "StoredRun") -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(run.record).items() if key != "scenario"},
        "tokens": run.tokens,
        "uncounted_answers": run.uncounted,
        "unlike_draws": run.unlike_draws,
        "one_day": None if (day := one_day_of(run)) is None else day.to_dict(),
        "iterations": [asdict(each) for each in run.iterations],
        "decisions": [asdict(each) for each in run.decisions],
    }
