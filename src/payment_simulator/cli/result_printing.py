"""The result of an experiment as commands print it: at its end, and later from its file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import cents, gap, truth

if TYPE_CHECKING:
    from payment_simulator.experiments.result import ExperimentResult

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
    from payment_simulator.experiments.stored_run import policy_text

    policies = result.final_policies
    rows = [
        (name, cents(cost), policy_text(policies[name]) if name in policies else "")
        for name, cost in result.final_costs_by_agent.items()
    ]
    print_table(("bank", "final cost", "policy"), rows)
    found = gap(result.final_nash_gap, result.final_nash_gap_half_width) or "not worked out"
    seconds = result.total_duration_seconds
    facts = [
        ("final cost", "" if result.final_costs is None else f"{cents(result.final_costs)} cents"),
        ("Nash gap", f"{found}: the most that one bank could still save alone"),
        ("converged", f"{truth(result.converged)} ({result.convergence_reason})"),
        ("iterations", f"{result.num_iterations}" + ("" if seconds is None else f" in {seconds:.1f} s")),
    ]
    facts += [("result", str(result.result_file))] if result.result_file else []
    facts += [("database", f"{database}, run {result.experiment_id}")] if database else []
    print_facts("", facts)
