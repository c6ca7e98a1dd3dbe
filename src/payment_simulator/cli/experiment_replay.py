"""`payment-sim experiment replay`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from labledger.commands import EXIT_FAILED, reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import AsJson, Db, Run, ShowAll, last_of, load_run, print_left_out

if TYPE_CHECKING:
    from payment_simulator.experiments.replay import Check
    from payment_simulator.experiments.stored_run import StoredRun

PARTS = ("costs", "policies", "Nash gap", "decisions", "course")


@reporting_errors
def replay(ctx: typer.Context, run: Run, db: Db = None, show_all: ShowAll = False, json: AsJson = False) -> None:
    """Simulate a run again from the database alone: is each cost, gap and policy as it is stored? Exit 1 if not.

    Nash gaps of an older version, which were searched by another rule, are not computed again.
    """
    from labledger.console import print_answer, print_json, print_table

    stored = load_run(run, db)
    checks = _replayed(stored)
    if json:
        print_json(dump_json([asdict(each) | {"same": each.is_same} for each in checks]))
    else:
        iterations = last_of(stored.iterations, show_all)
        by_number: dict[int | None, list[Check]] = {each.iteration_number: [] for each in iterations} | {None: []}
        for each in checks:
            if each.iteration in by_number:
                by_number[each.iteration].append(each)
        print_table(("iteration", *PARTS), [_row(*found) for found in by_number.items()])
        print_left_out(len(iterations), len(stored.iterations), "iterations")
        for each in checks:
            if each.is_same is False:
                print_answer(f"{_name(each.iteration)}: {each.name}: {_difference(each)}")
        print_answer(f"{stored.record.experiment_id}: {_summary(checks)}")
    if any(each.is_same is False for each in checks):
        raise typer.Exit(EXIT_FAILED)


def _replayed(run: "StoredRun") -> list["Check"]:
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.experiments.replay import replay as replay_run

    checks = []
    with shown_progress() as progress:
        progress.phase("replaying")
        for check in replay_run(run):
            checks.append(check)
            progress.update(check.iteration or 0, len(run.iterations))
    return checks


def _summary(checks: Sequence["Check"]) -> str:
    left = Counter(each.not_computed for each in checks if each.not_computed)
    count = len(checks) - left.total()
    wrong = sum(each.is_same is False for each in checks)
    text = f"{wrong} of {count} stored values are not" if wrong else f"all {count} stored values are"
    parts = [f"{number} not computed again ({reason})" for reason, number in left.items()]
    return "; ".join([f"{text} as the simulator gives them", *parts])


def _name(iteration: int | None) -> str:
    return "the run" if iteration is None else f"iteration {iteration}"


def _row(number: int | None, checks: list["Check"]) -> list[str]:
    cells = ["the run" if number is None else str(number)]
    for part in PARTS:
        found = {each.is_same for each in checks if each.part == part}
        word = "NOT THE SAME" if False in found else "same" if True in found else "not computed" if found else ""
        cells.append(f"{word}, in part" if word == "same" and None in found else word)
    return cells


def _difference(check: "Check") -> str:
    from labledger.comparison import diff

    found = diff(check.stored, check.found)
    parts = [(f"{path}: " if path else "", _text(one), _text(other)) for path, (one, other) in found.items()]
    return "; ".join(f"{where}stored {one}, found {other}" for where, one, other in parts)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
