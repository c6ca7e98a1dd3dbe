"""Indicators, which `payment-sim run` prints and writes beside its costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow

    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.engine.vocabulary import Record
    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

MAX_RECORDED = 15_000_000
"""Payments of a run whose settlements are recorded unasked, for its indicators: they take about a gigabyte."""


def recorded_unasked(arrivals: "Arrivals") -> "Record":
    """Return which events are recorded in any case: what indicators need, if that takes little memory."""
    return "settlements" if len(arrivals) <= MAX_RECORDED else False


def figures_of(outcome: "Outcome", scenario: "Scenario") -> dict[str, Any]:
    """Return what a run's report has further, as JSON values: its dates and clock, and why something is unknown."""
    from payment_simulator.scenario.money import decimals_of

    found: dict[str, Any] = {"decimals": decimals_of(scenario)}
    if scenario.cost_rates == type(scenario.cost_rates)():
        found["no_cost_rates"] = True
    if outcome.rows is None:
        found |= {
            "indicators": None,
            "indicators_unknown": "too many payments to record unasked; ask with --indicators",
        }
    if (given := scenario.given_payments) is not None and (dates := given.day_names) is not None:
        found["dates"] = dates
    return found | ({} if (clock := _clock(scenario)) is None else {"clock": clock})


def _clock(scenario: "Scenario") -> dict[str, int] | None:
    from payment_simulator.scenario.payment_files.clock import day_of

    section = scenario.payments_section
    if section is None or section.clock is None:
        return None
    day = day_of(section.clock)
    is_theirs = day.ticks == scenario.simulation.ticks_per_day
    return {"open_s": day.open_s, "close_s": day.close_s, "ticks": day.ticks} if is_theirs else None


def write_indicators(outcome: "Outcome", path: Path) -> None:
    """Write all indicators durably to a .json, .csv or .parquet file; the last two have a row per day and bank.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    indicators = outcome.indicators
    write_by_suffix(path, indicators.to_dict, indicators.table)


def write_by_suffix(path: Path, document: "Callable[[], dict[str, Any]]", table: "Callable[[], pyarrow.Table]") -> None:
    """Write a document durably to a .json file, or its table to one of .csv or .parquet.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    from labledger.csv_files import to_csv
    from labledger.files import write_durably
    from labledger.json_text import dump_json
    from labledger.parquet_files import parquet_bytes

    suffix = path.suffix.lower()
    if suffix == ".json":
        write_durably(path, f"{dump_json(document())}\n".encode())
    elif suffix == ".csv":
        rows = table()
        write_durably(path, to_csv(rows.column_names, rows.to_pylist()).encode())
    else:
        write_durably(path, parquet_bytes(table()))
