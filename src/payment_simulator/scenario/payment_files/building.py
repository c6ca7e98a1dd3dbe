"""Files of payments as the payments of a scenario: ticks, cents and banks, in sequence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labledger.errors import ConfigError
from labledger.untrusted_text import clean
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.payment_files.assembling import assembled, skipped_rows
from payment_simulator.scenario.payment_files.clock import Day, day_of, shown_offset, shown_times, suggested_clock
from payment_simulator.scenario.payment_files.currencies import DEFAULT_DECIMALS, decimals_of
from payment_simulator.scenario.payment_files.files import files_of
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError, Problems
from payment_simulator.scenario.payment_files.reading import read_source, source_of
from payment_simulator.scenario.payment_files.remarks import about_reading
from payment_simulator.scenario.payment_files.rows import Rows, currency_of, rows_of
from payment_simulator.scenario.payment_files.run import NOTHING_KNOWN, Run
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.sorting_out import sorted_out
from payment_simulator.scenario.payment_files.source import Source

if TYPE_CHECKING:
    import pyarrow


def read_payments(section: Payments, folder: Path, run: Run = NOTHING_KNOWN) -> GivenPayments:
    """Return the payments in the files that a section names, relative to `folder`, for such a run.

    Raises:
        ConfigError: one cannot be read or used: `file:line: column: cell: problem`, a line each.
        PaymentsKeyError: the section is wrong for these files.
    """
    return _payments([read_source(path, section) for path in files_of(section.file, folder)], section, run)


def payments_of(table: "pyarrow.Table", section: Payments, name: str, run: Run = NOTHING_KNOWN) -> GivenPayments:
    """Return the payments in a table, called `name` in messages. Raises as `read_payments`."""
    return _payments([source_of(table, section, name)], section, run)


def _payments(sources: Sequence[Source], section: Payments, run: Run) -> GivenPayments:
    problems = Problems()
    _refuse_nothing(sources, section)
    section = _with_currency(sources, section)
    parts = [rows_of(source, section, run, problems) for source in sources]
    try:
        day = _checked_kind(parts, section, run)
    except PaymentsKeyError:
        problems.refuse()  # from which it may follow
        raise
    remarks = about_reading(parts, section)
    parts = [sorted_out(part, section, run, day, problems) for part in parts]
    problems.refuse()
    _refuse_all_skipped(parts)
    found = assembled(parts, day, run, section)
    return replace(found, remarks=tuple(dict.fromkeys([*found.remarks, *remarks])))


def _with_currency(sources: Sequence[Source], section: Payments) -> Payments:
    """Return the section with the currency of the files, where it names none: that of the first is that of all.

    Raises:
        PaymentsKeyError: files have several, or some have one and others say none.
    """
    found = section
    for source in sources:
        currency = currency_of(source, found)
        if currency is None or found.currency is not None:
            continue
        found = found.model_copy(update={"currency": currency})
        if section.amounts != "cents" and (decimals := decimals_of(currency)) not in (None, DEFAULT_DECIMALS):
            source.remarks.append(f"amounts are in {currency}, which has {decimals} decimals")
    if found is not section and (silent := [each for each in sources if len(each) and not currency_of(each, section)]):
        problem = f"{clean(silent[0].name, 300)} says none, and other files {found.currency}"
        raise PaymentsKeyError("currency", f"{problem}; say payments.currency: {found.currency} if all are in it")
    return section if section.amounts == "cents" else found


def _refuse_nothing(sources: Sequence[Source], section: Payments) -> None:
    if any(len(source) for source in sources):
        return
    filtered = sum(source.skipped.get("filter", 0) for source in sources)
    if filtered:
        raise PaymentsKeyError("filter", f"it keeps none of {filtered:,} rows: {clean(section.filter or '', 200)}")
    names = ", ".join(clean(source.name, 300) for source in sources[:5])
    raise ConfigError(f"{names}: has a header and no payments")


def _refuse_all_skipped(parts: Sequence[Rows]) -> None:
    if any(len(part.amount) for part in parts):
        return
    counts = ", ".join(f"{count:,} {reason}" for reason, count in skipped_rows(parts).items())
    raise PaymentsKeyError("skip", f"no payment is left; left out were {counts}")


def _checked_kind(parts: Sequence[Rows], section: Payments, run: Run) -> Day | None:
    """Return the day of the clock, None where times are ticks.

    Raises:
        PaymentsKeyError: times and clock do not fit together, or with those of other files.
    """
    parts = [part for part in parts if len(part.time)]
    kinds = {part.kind for part in parts}
    if len(kinds) > 1:
        odd = next(part for part in parts if part.kind != parts[0].kind)
        files = f"{clean(parts[0].source.name, 300)} and {clean(odd.source.name, 300)}"
        raise PaymentsKeyError("file", f"{files} have times of different kinds: dates, times of day or whole numbers")
    time = np.concatenate([part.time for part in parts])
    if kinds == {"of_day"} and len(parts) > 1:
        parts[0].source.remarks.append(f"{len(parts):,} files have times without a date: all are of one day")
    if kinds == {"number"}:
        if section.clock is not None:
            raise PaymentsKeyError(
                "clock", "the times are whole numbers: leave it out if they are ticks, or say time_format"
            )
        return None
    dated = kinds == {"dated"}
    if section.clock is None:
        found = f"the times are from {shown_times(time, dated=dated)}"
        raise PaymentsKeyError("", f"{found}, and no clock makes them ticks; say {suggested_clock(time)}")
    day = day_of(section.clock)
    if run.ticks_per_day not in (None, day.ticks):
        raise PaymentsKeyError("clock", f"it has {day.ticks:,} ticks, simulation.ticks_per_day is {run.ticks_per_day}")
    _check_offsets(parts, section.clock.timezone)
    return day


def _check_offsets(parts: Sequence[Rows], zone: str | None) -> None:
    """Refuse times of several offsets from UTC, or of some and of none, where no zone says what the clock shows."""
    if zone is not None:
        return
    offsets = sorted({each for part in parts for each in part.times.offsets})
    named = sorted({part.times.named for part in parts if part.times.named})
    shown = [*(shown_offset(each) for each in offsets), *named]
    if len(shown) > 1 or (shown and any(part.times.naive for part in parts)):
        rest = " and without one" if any(part.times.naive for part in parts) else ""
        say = 'say which the clock is of, as timezone: "Europe/Berlin"'
        raise PaymentsKeyError("clock", f"the file has times of {', '.join(shown)}{rest}; {say}")
    if shown:
        parts[0].source.remarks.append(
            f"times have the offset or zone {shown[0]}, and clock.timezone says none: read as they stand"
        )
