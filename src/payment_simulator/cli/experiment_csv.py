"""`payment-sim experiment results --csv`: a row a run, with what differs between them, its costs and parameters."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from payment_simulator.cli.stored_runs import stored_gap_columns

if TYPE_CHECKING:
    from payment_simulator.experiments.differences import Differences
    from payment_simulator.experiments.persistence import ExperimentRecord

RUN = ("experiment_id", "experiment_name", "status")
ENDED = ("num_iterations", "converged", "convergence_reason", "started_at", "total_duration_seconds", "final_cost")


def print_csv(records: "Iterable[ExperimentRecord]", differences: "Differences") -> None:
    """Print a header and a row a run; costs in cents, an empty cell where there is nothing."""
    from labledger.console import print_answer
    from labledger.csv_files import to_csv

    rows = [_row(record, differences) for record in records]
    names = dict.fromkeys([*RUN, *differences.keys, *ENDED, *(name for row in rows for name in row)])
    print_answer(to_csv(list(names), rows, line_end="\n"), end="")


def _row(record: "ExperimentRecord", differences: "Differences") -> dict[str, Any]:
    from payment_simulator.experiments.differences import SEED, settings_of
    from payment_simulator.experiments.settings import is_plain
    from payment_simulator.experiments.sweep import value_text

    settings = settings_of(record.config)
    values = differences.of_run(settings)
    different = {key: value if is_plain(value) else value_text(value) for key, value in values.items()}
    return {
        **{name: getattr(record, name) for name in RUN},
        SEED: settings.get(SEED),
        **different,
        **{name: getattr(record, name) for name in ENDED},
        **stored_gap_columns(record, "final_"),
        **{f"cost {bank}": cost for bank, cost in (record.final_costs_by_agent or {}).items()},
        **_parameters(record),
    }


def _parameters(record: "ExperimentRecord") -> dict[str, float]:
    """Return the numbers of the final policies, by name and bank; none where they cannot be read."""
    from labledger.errors import LabledgerError
    from payment_simulator.experiments.stored_run import StoredRun

    run = StoredRun(record, [], [])
    try:
        return {
            f"{name} {bank}": value
            for bank, policy in (record.final_policies or {}).items()
            for name, value in run.parameters(bank, policy).items()
        }
    except (LabledgerError, KeyError):
        return {}
