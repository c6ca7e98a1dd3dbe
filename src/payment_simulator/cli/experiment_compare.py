"""`payment-sim experiment compare`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.stored_runs import AsJson, Db, Run, cents, load_run, one_day_of, stored_gap_columns

if TYPE_CHECKING:
    from payment_simulator.experiments.comparison import CostDifference
    from payment_simulator.experiments.stored_run import StoredRun

MAX_SHOWN = 60
"""Characters of a value that differs."""
SHOWN_BEFORE = 20
"""Characters before the first in which two long values differ."""


@reporting_errors
def compare(
    ctx: typer.Context,
    first: Run,
    second: Run,
    db: Db = None,
    db_2: Annotated[
        Path | None, typer.Option("--db-2", help="Where the second run is; default as the first.", show_default=False)
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, help="Percent of the first's cost that count as the same.")
    ] = 1.0,
    json: AsJson = False,
) -> None:
    """Compare two runs: configuration, each bank's final cost and policy, and whether the costs differ. Cents.

    Of the Nash gaps it says how each is known: those of two kinds are not compared by their numbers.
    """
    from labledger.comparison import diff
    from labledger.console import print_answer, print_json
    from payment_simulator.experiments.comparison import final_differences

    one, other = load_run(first, db), load_run(second, db if db_2 is None else db_2)
    configs = diff(_without_output(one), _without_output(other))
    scenarios = diff(one.record.scenario or {}, other.record.scenario or {})
    found = final_differences(one, other, margin / 100)
    if json:
        print_json(dump_json(_compared(one, other, configs | scenarios, found)))
        return
    print_answer(f"first:  {one.record.experiment_id}\nsecond: {other.record.experiment_id}\n")
    if one.record == other.record:
        print_answer("These are one run; name two to see how they differ\n")
    _print_differences(configs | scenarios)
    _print_costs(one, other, found)
    _print_gaps(one, other)
    _print_policies(one, other)


def _without_output(run: "StoredRun") -> dict[str, Any]:
    """Return the configuration without `output`: another place of results is not another experiment."""
    from payment_simulator.experiments.config import with_defaults

    return {key: value for key, value in with_defaults(run.record.config).items() if key != "output"}


def _print_differences(found: Mapping[str, tuple[Any, Any]]) -> None:
    from labledger.console import print_answer, print_table

    if not found:
        print_answer("Configuration and scenario are the same\n")
        return
    print_table(("key", "first", "second"), [(key, *short_both(*pair)) for key, pair in found.items()])


def short(value: Any) -> str:
    """Return a value as YAML has it in a line; of a long list or section, its size."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else dump_json(value, indent=None)
    if len(text) <= MAX_SHOWN:
        return text
    if isinstance(value, list | dict):
        return f"{len(value):,} {'values' if isinstance(value, list) else 'keys'}: --json shows them"
    return f"{text[:MAX_SHOWN]} …"


def short_both(first: Any, second: Any) -> tuple[str, str]:
    """Return two values as `short` does; of unequal ones that would look equal, the part where they begin to differ."""
    texts = short(first), short(second)
    if texts[0] != texts[1] or first == second:
        return texts
    one, other = (dump_json(each, indent=None) for each in (first, second))
    alike = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
    begin = max(min(alike, len(other)) - SHOWN_BEFORE, 0)
    before = "… " if begin else ""
    one, other = (before + short(text[begin:]) for text in (one, other))
    return one, other


def _print_costs(first: "StoredRun", second: "StoredRun", found: "Mapping[str | None, CostDifference] | None") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.experiments.comparison import is_same_game

    banks: list[str | None] = [*dict.fromkeys([*first.agent_ids, *second.agent_ids]), None]
    rows = []
    for bank in banks:
        a, b = _final_cost(first, bank), _final_cost(second, bank)
        difference = "" if a is None or b is None else f"{b - a:+,}"
        rows.append(("all" if bank is None else bank, cents(a), cents(b), difference, *_verdict(found, bank)))
    header = ("bank", "first", "second", "difference", *(() if found is None else ("interval", "final costs are")))
    is_other_game = is_same_game(first, second) is False
    columns = 3 if is_other_game else len(header)  # the fourth is the difference
    print_table(header[:columns], [row[:columns] for row in rows])
    if is_other_game:
        print_answer("These are different games, as the keys above show: their costs have no difference\n")


def _print_gaps(first: "StoredRun", second: "StoredRun") -> None:
    from labledger.console import print_answer
    from payment_simulator.experiments.nash_gap import stored_gap

    gaps = [stored_gap(run.record, "final_", run.record.config) for run in (first, second)]
    if gaps == [None, None]:
        return
    for name, gap in zip(("first", "second"), gaps, strict=True):
        print_answer(f"{name}: " + ("its Nash gap is unknown" if gap is None else f"{gap.phrase}: {gap.meaning}"))
    for name, run in (("first", first), ("second", second)):
        if (day := one_day_of(run)) is not None:
            print_answer(f"{name}: {day.words}")
    if len({gap.kind for gap in gaps if gap is not None}) > 1:
        print_answer("The two gaps are known in different ways: which of them is less, these numbers do not show")
    print_answer("")


def _final_cost(run: "StoredRun", bank: str | None) -> int | None:
    return run.record.final_cost if bank is None else (run.record.final_costs_by_agent or {}).get(bank)


def _verdict(found: "Mapping[str | None, CostDifference] | None", bank: str | None) -> tuple[str, ...]:
    from payment_simulator.experiments.nash_gap import ALIKE

    if found is None:
        return ()
    each = found[bank]
    ends = ALIKE if each.low is None or each.high is None else f"{each.low:+,.0f} to {each.high:+,.0f}"
    return (ends, each.word)


def _print_policies(first: "StoredRun", second: "StoredRun") -> None:
    from labledger.console import print_table
    from payment_simulator.experiments.stored_run import policy_text

    one, other = first.record.final_policies or {}, second.record.final_policies or {}
    rows = [
        (bank, *(policy_text(policies[bank]) if bank in policies else "" for policies in (one, other)))
        for bank in {**one, **other}
    ]
    print_table(("bank", "first's final policy", "second's final policy"), rows)


def _compared(
    first: "StoredRun",
    second: "StoredRun",
    differing: Mapping[str, tuple[Any, Any]],
    found: "Mapping[str | None, CostDifference] | None",
) -> dict[str, Any]:
    from payment_simulator.experiments.comparison import is_same_game

    names = ("experiment_id", "status", "final_cost", "final_costs_by_agent", "final_policies")
    runs = [
        {name: getattr(run.record, name) for name in names}
        | stored_gap_columns(run.record, "final_")
        | {"one_day": None if (day := one_day_of(run)) is None else day.to_dict()}
        for run in (first, second)
    ]
    final = None
    if found is not None:
        by_agent = {bank: asdict(each) for bank, each in found.items() if bank is not None}
        final = {"all": asdict(found[None]), "by_agent": by_agent}
    return {
        "first": runs[0],
        "second": runs[1],
        "configuration": {key: {"first": a, "second": b} for key, (a, b) in differing.items()},
        "same_game": is_same_game(first, second),
        "final_cost_difference": final,
    }
