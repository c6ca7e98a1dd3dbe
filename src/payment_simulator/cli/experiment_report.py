"""`payment-sim experiment report`: several runs in two tables."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from labledger.untrusted_text import clean
from payment_simulator.cli.stored_runs import AsJson, Db, cents, open_database

if TYPE_CHECKING:
    from labledger.intervals import Interval
    from payment_simulator.experiments.many_runs import Equilibrium, Group, ManyRuns
    from payment_simulator.experiments.persistence import ExperimentRepository

MAX_BANKS = 8
"""Banks that have a column of their own."""
MAX_VALUE = 40
MAX_EQUILIBRIA = 5
"""Those of each setting that are shown, most frequent first."""
Runs = Annotated[list[str] | None, typer.Argument(help="Runs: ids, the starts of them, or latest.", show_default=False)]
SweepName = Annotated[
    str | None, typer.Option("--sweep", metavar="NAME", help="All runs of this name instead.", show_default=False)
]


@reporting_errors
def report(ctx: typer.Context, runs: Runs = None, sweep: SweepName = None, db: Db = None, json: AsJson = False) -> None:
    """Several runs in one table: final costs by setting, with intervals over seeds, and the equilibria reached. Cents.

    Names no setting that all runs have alike.
    """
    from labledger.console import print_answer, print_json

    with open_database(db) as repository:
        found = chosen_runs(repository, runs or [], sweep)
    if json:
        print_json(dump_json(report_dict(found)))
        return
    print_report(found)
    if found.not_completed:
        print_answer(f"{found.not_completed:,} more runs are not completed, and are in neither table")


def chosen_runs(repository: "ExperimentRepository", runs: Sequence[str], sweep: str | None) -> "ManyRuns":
    """Return the runs that are named, or those of a sweep.

    Raises:
        ConfigError: both are named, or neither, or no run has that name.
        LabledgerError: as `ManyRuns.load`.
    """
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean
    from payment_simulator.experiments.many_runs import ManyRuns

    if bool(runs) == (sweep is not None):
        raise ConfigError("name the runs, or the name that all of them have with --sweep NAME")
    if sweep is None:
        return ManyRuns.load(repository, runs)
    if records := repository.list_experiments(name=sweep):
        return ManyRuns.of(records)
    names = sorted({each.experiment_name for each in repository.list_experiments()})
    raise ConfigError(f"--sweep: no run in {repository.path} has the name {sweep!r}{did_you_mean(sweep, names)}")


def print_report(found: "ManyRuns") -> None:
    """Print final costs by setting, and below them the equilibria that were reached, and how often."""
    from labledger.console import print_answer, print_table

    banks = found.banks
    shown = banks if len(banks) <= MAX_BANKS else []
    heads = (*found.axes, "runs", "converged", "equilibria", "final cost", *shown)
    rows = [
        (
            *_settings(group),
            f"{len(group.runs):,}",
            f"{group.converged:,}",
            f"{len(group.equilibria):,}",
            *(_mean(group, bank) for bank in (None, *shown)),
        )
        for group in found.groups
    ]
    print_table(heads, rows)
    if any("±" in cell for row in rows for cell in row):
        print_answer("Costs are means over the runs of a setting ± half of their 95 % interval (Student's t)\n")
    rows = [row for group in found.groups for row in _equilibria(group)]
    if rows:
        print_table((*found.axes, "reached", "of", "cost", "bank", "policy"), rows)
    hidden = sum(max(len(group.equilibria) - MAX_EQUILIBRIA, 0) for group in found.groups)
    if hidden:
        print_answer(f"{hidden:,} more equilibria were reached less often: --json has every one\n")


def _settings(group: "Group") -> list[str]:
    from payment_simulator.experiments.sweep import value_text

    return [clean(value_text(value), MAX_VALUE) for value in group.settings.values()]


def _mean(group: "Group", bank: str | None) -> str:
    mean, interval = group.mean_cost(bank)
    if interval is None:
        return cents(round(mean))
    return f"{mean:,.0f} ± {(interval.high - interval.low) / 2:,.0f}"


def _equilibria(group: "Group") -> Iterator[tuple[str, ...]]:
    from payment_simulator.experiments.stored_run import policy_text

    settings = _settings(group)
    for each in group.equilibria[:MAX_EQUILIBRIA]:
        total = cents(sum(each.costs.values()))
        head = [*settings, f"{each.reached:,}", f"{group.starts:,}", total]
        for bank in sorted(each.policies):
            yield (*head, bank, policy_text(each.policies[bank]))
            head = [""] * len(head)


def report_dict(found: "ManyRuns") -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "settings": found.keys,
        "not_completed": found.not_completed,
        "groups": [_group_dict(group, found.banks) for group in found.groups],
        "runs": [
            {
                "experiment_id": run.record.experiment_id,
                "settings": run.settings,
                "converged": run.record.converged,
                "final_cost": run.total,
                "final_costs_by_agent": run.costs,
                "parameters": run.parameters,
            }
            for run in found.runs
        ],
    }


def _group_dict(group: "Group", banks: Sequence[str]) -> dict[str, Any]:
    return {
        "settings": group.settings,
        "runs": len(group.runs),
        "converged": group.converged,
        "starts": group.starts,
        "final_cost": _mean_dict(*group.mean_cost(None)),
        "final_costs_by_agent": {bank: _mean_dict(*group.mean_cost(bank)) for bank in banks},
        "equilibria": [_equilibrium_dict(each) for each in group.equilibria],
    }


def _equilibrium_dict(each: "Equilibrium") -> dict[str, Any]:
    return {"reached": each.reached, "costs_by_agent": each.costs, "policies": each.policies}


def _mean_dict(mean: float, interval: "Interval | None") -> dict[str, Any]:
    ends = None if interval is None else [interval.low, interval.high]
    return {"mean": mean, "interval": ends}
