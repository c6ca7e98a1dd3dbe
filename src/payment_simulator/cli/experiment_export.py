"""`payment-sim experiment export`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import Db, Run, load_run, one_day_of, stored_gap_columns

if TYPE_CHECKING:
    from payment_simulator.experiments.observed_day import OneDay
    from payment_simulator.experiments.stored_run import StoredRun

ITERATION = ("iteration_number", "start", "timestamp", "total_cost")


@reporting_errors
def export(
    ctx: typer.Context,
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A new directory; DIR_1 where there is one.", show_default=False)
    ],
    db: Db = None,
) -> None:
    """Export a run as files: experiment.json, iterations.csv, events.jsonl, and each bank's policy in policies.

    A run whose costs are of one day has that day beside them, by bank, in one_day.csv.
    """
    from labledger.console import print_answer
    from labledger.files import claimed_directory, write_durably

    stored = load_run(run, db)
    files = _files(stored)
    with claimed_directory(output) as directory:
        for name, text in files.items():
            write_durably(directory / name, text.encode())
    print_answer(f"{stored.record.experiment_id}: {counted(len(files), 'file')} in {directory}")


def _files(run: "StoredRun") -> dict[str, str]:
    day = one_day_of(run)
    one_day = None if day is None else day.to_dict()
    files = {
        "experiment.json": dump_json({"kind": "payments.run", **asdict(run.record), "one_day": one_day}) + "\n",
        "iterations.csv": _csv(run),
        "events.jsonl": "".join(_line({"kind": "payments.event", **asdict(event)}) for event in run.events),
    }
    files |= {} if day is None else {"one_day.csv": _day_csv(day)}
    last = run.iterations[-1].policies if run.iterations else {}
    policies = run.record.final_policies or last
    for bank in run.banks:
        files[f"policies/{_file_name(bank)}.json"] = dump_json(policies[bank]) + "\n"
    return files


def _line(data: dict[str, Any]) -> str:
    return dump_json(data, indent=None) + "\n"


def _file_name(bank: str) -> str:
    """Return a bank's id with the characters quoted that a file name cannot have."""
    return bank.replace("%", "%25").replace("/", "%2F")


def _day_csv(day: "OneDay") -> str:
    """Return CSV text, a row per bank: its payments on the day and what is expected of them, values in cents."""
    from labledger.csv_files import to_csv

    rows = [
        {
            "bank": name,
            "number": bank.number,
            "value": bank.value,
            **{f"expected_{key}": value for key, value in asdict(bank.expected).items()},
        }
        for name, bank in day.banks.items()
    ]
    return to_csv(list(rows[0]), rows, line_end="\n")


def _csv(run: "StoredRun") -> str:
    """Return CSV text, a row per iteration: of every bank its cost and the parameters of its policy."""
    from labledger.csv_files import to_csv

    banks = run.banks
    rows = [
        {
            **{name: getattr(each, name) for name in ITERATION},
            **stored_gap_columns(each),
            **{f"cost {bank}": each.per_agent_costs[bank] for bank in banks},
            **{
                f"{name} {bank}": value
                for bank in banks
                for name, value in run.parameters(bank, each.policies[bank]).items()
            },
        }
        for each in run.iterations
    ]
    names = dict.fromkeys([*ITERATION, *(name for row in rows for name in row)])
    return to_csv(list(names), rows, line_end="\n")
