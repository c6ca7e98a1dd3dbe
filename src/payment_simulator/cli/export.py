"""`payment-sim export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted

if TYPE_CHECKING:
    import datetime

    from payment_simulator.scenario.payment_files.clock import Day
    from payment_simulator.scenario.payment_files.writing import ExportCalendar, ExportMoney
    from payment_simulator.scenario.schema import Scenario

FORMATS = {".csv": "csv", ".parquet": "parquet", ".xml": "pacs009"}


@reporting_errors
def export(
    ctx: typer.Context,
    scenario: Annotated[
        Path, typer.Argument(help="YAML file of the scenario, or the folder of a kept day.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv, .parquet or .xml.", show_default=False)
    ],
    kind: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet or pacs009; default: by the file's name.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="In place of the scenario's rng_seed.", show_default=False)
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            "--date", help="Date of the first day; default: its payments', else 2026-01-05.", show_default=False
        ),
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option("--currency", help="ISO 4217 code; default: its payments'; in XML else EUR.", show_default=False),
    ] = None,
    hours: Annotated[
        str | None,
        typer.Option("--hours", help="HH:MM-HH:MM, where the scenario has no payments.clock.", show_default=False),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario.", show_default=False)
    ] = None,
) -> None:
    """Write the payments of a scenario, drawn and given, to a file that `payments` reads."""
    from labledger.console import print_answer
    from labledger.errors import ConfigError
    from labledger.files import write_durably
    from labledger.parquet_files import parquet_bytes
    from payment_simulator.cli.outputs import check_apart, check_place
    from payment_simulator.cli.run_days import read_source
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.engine.tables import payment_ids
    from payment_simulator.scenario.payment_files.pacs009 import pacs009_bytes, remarks_of_pacs009
    from payment_simulator.scenario.payment_files.writing import csv_bytes, table_of

    wanted = _format(kind, output)
    check_place("--output", output)
    source = read_source(scenario, changes or [], is_kept=False)
    check_apart("--output", output, source.loaded.inputs)
    loaded = source.loaded.scenario
    calendar, money = _calendar(loaded, _date(date), hours), _money(loaded, currency)
    if wanted == "pacs009" and calendar is None:
        raise ConfigError("--format pacs009: there is no payments.clock; say --hours, as in 07:00-18:00")
    with shown_progress() as progress:
        progress.phase("drawing payments")
        arrivals = source.arrivals(seed)
        ids, remarks = payment_ids(loaded, arrivals), []
        progress.phase(f"writing {counted(len(arrivals), 'payment')}")
        if wanted == "pacs009" and calendar is not None:
            content = pacs009_bytes(arrivals, ids, loaded, calendar, money)
            remarks = remarks_of_pacs009(arrivals, ids)
        else:
            table = table_of(arrivals, ids, loaded, calendar, money)
            content = csv_bytes(table) if wanted == "csv" else parquet_bytes(table)
        write_durably(output, content)
    for line in (*remarks, f"written: {output}, {counted(len(arrivals), 'payment')}"):
        print_answer(line)


def _format(kind: str | None, output: Path) -> str:
    """Return the format that the user names, else that of the file's name."""
    from labledger.errors import ConfigError
    from payment_simulator.cli.outputs import check_suffix

    if kind is None:
        check_suffix("--output", output, tuple(FORMATS))
        return FORMATS[output.suffix.lower()]
    if kind not in FORMATS.values():
        raise ConfigError(f"--format: {kind} is none of {', '.join(FORMATS.values())}")
    return kind


def _date(text: str | None) -> "datetime.date | None":
    import datetime

    from labledger.errors import ConfigError

    try:
        return None if text is None else datetime.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--date: {text!r} is no date; write YYYY-MM-DD") from None


def _money(scenario: "Scenario", currency: str | None) -> "ExportMoney":
    """Return how amounts are written: in the currency of the user, else of the scenario's payments."""
    from labledger.errors import ConfigError
    from labledger.untrusted_text import SHOWN, clean
    from payment_simulator.scenario.money import decimals_of
    from payment_simulator.scenario.payment_files import currencies
    from payment_simulator.scenario.payment_files.writing import ExportMoney

    if currency is None:
        section = scenario.payments_section
        return ExportMoney(None if section is None else section.currency, decimals_of(scenario))
    decimals = currencies.decimals_of(currency)
    if decimals is None:
        raise ConfigError(f"--currency: {clean(currency, SHOWN)!r} is no code of ISO 4217, as EUR")
    return ExportMoney(currency.strip().upper(), decimals)


def _calendar(scenario: "Scenario", first: "datetime.date | None", hours: str | None) -> "ExportCalendar | None":
    """Return the times of the scenario's ticks; None where neither it nor the user says any."""
    from payment_simulator.scenario.payment_files.clock import day_of
    from payment_simulator.scenario.payment_files.writing import FIRST_DAY, ExportCalendar

    section, given = scenario.payments_section, scenario.given_payments
    clock = None if section is None else section.clock
    if hours is not None:
        day = _day(hours, scenario.simulation.ticks_per_day, has_clock=clock is not None)
    elif clock is not None:
        day = day_of(clock)
    else:
        return None
    if first is not None or given is None or given.dates is None:
        return ExportCalendar(day, first or FIRST_DAY)
    return ExportCalendar(day, dates=tuple(given.dates.astype("datetime64[D]").tolist()))


def _day(hours: str, ticks: int, *, has_clock: bool) -> "Day":
    from labledger.errors import ConfigError
    from payment_simulator.scenario.payment_files.clock import day_of
    from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
    from payment_simulator.scenario.payment_files.sections import Clock

    opens, dash, closes = hours.partition("-")
    if not dash or has_clock:
        problem = "the scenario has a payments.clock" if has_clock else f"{hours!r} is not HH:MM-HH:MM"
        raise ConfigError(f"--hours: {problem}")
    try:
        return day_of(Clock(open=opens, close=closes, ticks=ticks))
    except PaymentsKeyError as error:
        raise error.placed(lambda _: "--hours") from None
