"""The result of an experiment as commands print it: at its end, and later from its file."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import cents, truth

if TYPE_CHECKING:
    from payment_simulator.experiments.nash_gap import NashGap
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.persistence import ExperimentRecord
    from payment_simulator.experiments.result import ExperimentResult
    from payment_simulator.experiments.stored_run import StoredRun

FILE = "result.json"


def result_path(target: str) -> Path | None:
    """Return the result.json that `target` names, itself or its folder; None where it names neither.

    Something else under that name is returned too: reading it raises the error.
    """
    path = Path(target)
    if os.path.lexists(path / FILE):
        return path / FILE
    return path if os.path.lexists(path) and not path.is_dir() else None


def load_result(path: Path) -> "ExperimentResult":
    """Return the result at `path`; warnings of the file go to standard error.

    Raises:
        OSError, UnreadableFileError: as `ExperimentResult.from_json`.
    """
    from labledger.commands import printing_warnings
    from payment_simulator.experiments.result import ExperimentResult

    with printing_warnings(path.parent.name):
        return ExperimentResult.from_json(path)


def result_as_json(result: "ExperimentResult") -> str:
    """Return the result's document as JSON text, with its path."""
    from labledger.documents import document_dict

    file = None if result.result_file is None else str(result.result_file)
    return dump_json({**document_dict(result), "result_file": file})


def print_result(result: "ExperimentResult", database: Path | None) -> None:
    """Print what each bank ended with, and how the run ended; `database` is the one that has the run."""
    from labledger.console import print_facts, print_table
    from payment_simulator.experiments.nash_gap import stored_gap
    from payment_simulator.experiments.stored_run import policy_text

    policies = result.final_policies
    rows = [
        (name, cents(cost), policy_text(policies[name]) if name in policies else "")
        for name, cost in result.final_costs_by_agent.items()
    ]
    print_table(("bank", "final cost", "policy"), rows)
    print_resting_points(result.resting_points or [], str(result.result_file))
    gap = stored_gap(result, "final_", result.config)
    seconds = result.total_duration_seconds
    facts = [
        ("final cost", "" if result.final_costs is None else f"{cents(result.final_costs)} cents"),
        ("Nash gap", "not worked out" if gap is None else f"{gap.words}: {gap.meaning}"),
        *_day_facts(result),
        ("converged", converged_words(result, gap)),
        ("iterations", f"{result.num_iterations}" + ("" if seconds is None else f" in {seconds:.1f} s")),
        *refusal_facts(result),
        *draws_facts(result),
    ]
    facts += [("result", str(result.result_file))] if result.result_file else []
    facts += [("database", f"{database}, run {result.experiment_id}")] if database else []
    print_facts("", facts)
    print_bound_advice(gap, result.config)


def converged_words(ended: "ExperimentResult | ExperimentRecord", gap: "NashGap | None") -> str:
    """Return if a run has converged and why it ended; and that its gap, if it is only a bound, shows no equilibrium."""
    bounded = "; the gap is only bounded" if ended.converged and gap is not None and gap.kind == "bounded" else ""
    return f"{truth(ended.converged)} ({ended.convergence_reason}{bounded})"


def print_bound_advice(gap: "NashGap | None", config: Mapping[str, Any]) -> None:
    """Print how a gap that is only bounded is brought closer; nothing for another."""
    from labledger.console import print_answer

    if gap is not None and gap.kind == "bounded":
        spent = (config.get("evaluation") or {}).get("nash_gap_budget")
        most = "" if spent is None else f" ({spent:,} was spent for each bank)"
        print_answer(f"For a closer bound, or an exact gap: raise evaluation.nash_gap_budget{most}")


def _day_facts(result: "ExperimentResult") -> Iterator[tuple[str, str]]:
    """Yield the row of the one day that the costs are of; of a bootstrap's older file, which has no figures, too."""
    from payment_simulator.experiments.observed_day import OneDay

    evaluation = result.config.get("evaluation")
    if result.one_day is not None:
        yield "one day", result.one_day.words
    elif isinstance(evaluation, dict) and evaluation.get("mode") == "bootstrap":
        yield "one day", OneDay(is_resampled=True, banks={}).words


def refusal_facts(ended: "ExperimentResult | ExperimentRecord") -> Iterator[tuple[str, str]]:
    """Yield the row that tells how many proposals were refused and why the first was; none without any."""
    if ended.refused_proposals:
        yield "refused answers", f"{ended.refused_proposals:,}; {ended.first_refusal}"


def draws_facts(ended: "ExperimentResult | StoredRun") -> Iterator[tuple[str, str]]:
    """Yield the row that tells that the final draws and those of the evaluation are unlike; none where they are not."""
    if ended.unlike_draws:
        yield "draws", ended.unlike_draws


def print_resting_points(points: Sequence[dict[str, Any]], where: str) -> None:
    """Print the outcomes of several starts, as `Ending.resting_points` has them; nothing without any.

    Raises:
        UnreadableFileError: a value has a wrong type; `where` they are stored is in the message.
    """
    from labledger.console import print_table
    from labledger.schema_versions import record_of
    from payment_simulator.experiments.nash_gap import stored_gap
    from payment_simulator.experiments.result import RestingPoint
    from payment_simulator.experiments.stored_run import policy_text

    rows = []
    for number, data in enumerate(points, start=1):
        point = record_of(RestingPoint, data, f"{where}: resting_points[{number - 1}]")
        gap = stored_gap(point)
        head = [str(number), cents(point.reached), "" if gap is None else gap.words, point.reason or ""]
        for bank, cost in point.costs_by_agent.items():
            policy = policy_text(point.policies[bank]) if bank in point.policies else ""
            rows.append((*head[:2], bank, cents(cost), policy, *head[2:]))
            head = [""] * len(head)
    if rows:
        print_table(("outcome", "starts", "bank", "cost", "policy", "Nash gap", "ended in"), rows)


def print_day(day: "OneDay") -> None:
    """Print, by bank, the one day that the costs of a run are of beside what its scenario expects."""
    from labledger.console import print_answer, print_table

    claim = day.claim
    print_answer(f"\n{claim[0].upper()}{claim[1:]}; mean ± standard deviation of the scenario's draws beside it:")
    rows = [
        (
            name,
            f"{bank.number:,}",
            f"{bank.expected.number:,.1f} ± {bank.expected.number_std:,.1f}",
            cents(bank.value),
            f"{bank.expected.value:,.0f} ± {bank.expected.value_std:,.0f}",
        )
        for name, bank in day.banks.items()
    ]
    print_table(("bank", "payments", "expected", "their value", "expected value"), rows)
