"""The rows of one file of payments as numbers: times, banks, cents, priorities; what cannot be read is noted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labledger.counts import counted
from labledger.untrusted_text import clean
from payment_simulator.scenario.numbers import DEFAULT_PRIORITY
from payment_simulator.scenario.payment_files.amounts import Money, cents_of
from payment_simulator.scenario.payment_files.banks import banks_of
from payment_simulator.scenario.payment_files.columns import is_of_settlement
from payment_simulator.scenario.payment_files.currencies import DEFAULT_DECIMALS, decimals_of
from payment_simulator.scenario.payment_files.priorities import priorities_of
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError, Problems, reading, some_of
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.source import Source
from payment_simulator.scenario.payment_files.times import DAY_US, Times, beside, times_of

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
YES = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False, "": False}
UNWRITTEN = np.iinfo(np.int64).min
"""The time of a payment in a column where it has none."""
MORE_ROWS = 3
"""Further rows of a column of names that are shown where names stand twice."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one source, a value each: `time` and `instants` as `Times` has them; `deadline` and `settled` as
    `time`, None or `UNWRITTEN` where there is none. Banks are places in `banks`. `decimal` is the sign before decimals
    in a text."""

    source: Source
    kind: str
    time: Ints
    instants: Ints | None
    sender: NDArray[np.int32]
    receiver: NDArray[np.int32]
    banks: list[str]
    amount: Ints
    priority: NDArray[np.int8]
    divisible: Mask
    deadline: Ints | None
    settled: Ints | None
    ids: "pyarrow.ChunkedArray | None"
    times: Times
    decimal: str | None


def rows_of(source: Source, section: Payments, run: Run, problems: Problems) -> Rows:
    """Return the rows of a source; those that have no number for a cell are noted, and have some number.

    Raises:
        PaymentsKeyError: a whole column cannot be read as the section says.
    """
    with reading(source, "time"):
        times = _times(source, section, problems)
    with reading(source, "sender"):
        sender, senders = _banks(source, "sender", section, run, problems)
    with reading(source, "receiver"):
        receiver, receivers = _banks(source, "receiver", section, run, problems)
    banks = list(dict.fromkeys([*senders, *receivers]))
    place = {name: number for number, name in enumerate(banks)}
    of_receivers = np.array([place[name] for name in receivers], dtype=np.int32)
    amount = source.column("amount")
    assert amount is not None  # noqa: S101 - chosen_columns refuses a file without it
    money = _money(source, section)
    with reading(source, "amount"):
        cents = cents_of(amount, money, _reporter(source, "amount", problems))
    with reading(source, "priority"):
        priority = _priorities(source, section, problems)
    with reading(source, "divisible"):
        divisible = _divisible(source, problems)
    with reading(source, "deadline"):
        deadline = _beside(source, "deadline", times, section, problems)
    with reading(source, "settled"):
        settled = _beside(source, "settled", times, section, problems)
    with reading(source, "id"):
        ids = _ids(source, problems)
    return Rows(
        source,
        times.kind,
        times.values,
        times.instants,
        sender,
        of_receivers[receiver] if len(of_receivers) else receiver,
        banks,
        cents,
        priority,
        divisible,
        deadline,
        settled,
        ids,
        times,
        next(iter(money.signs), None),
    )


def only(part: Rows, kept: Mask) -> Rows:
    """Return some of the rows."""
    columns = ("time", "instants", "sender", "receiver", "amount", "priority", "divisible", "deadline", "settled")
    chosen = {name: getattr(part, name)[kept] for name in columns if getattr(part, name) is not None}
    import pyarrow as pa

    ids = None if part.ids is None else part.ids.filter(pa.array(kept))
    return replace(part, **chosen, ids=ids)


def _reporter(source: Source, ours: str, problems: Problems, remedy: str = "") -> Callable[..., None]:
    def report(bad: Mask, text: Callable[[str], str] | str) -> None:
        problems.add(source, bad, ours, text, remedy)

    return report


def _times(source: Source, section: Payments, problems: Problems) -> Times:
    column = source.column("time")
    assert column is not None  # noqa: S101 - as above
    zone = None if section.clock is None else section.clock.timezone
    report = _reporter(source, "time", problems)
    times = times_of(column, zone, _pattern(section), report)
    empty = ~times.usable & _empty(column)
    report(empty, "no time")
    if section.columns.time is None and is_of_settlement(source.columns["time"]):
        queues = "taken as the time of submission, so that what waited in reality has waited already"
        source.remarks.append(f"only a time of settlement is there ({source.shown_column('time')}): {queues}")
    if times.kind == "of_day" and times.offsets:
        raise PaymentsKeyError("columns.time", "a time of day with an offset from UTC: write it with its date, as one")
    if times.kind != "of_day" or "date" not in source.columns:
        if times.kind == "dated" and section.columns.date:
            raise PaymentsKeyError("columns.date", "the time has a date of its own; leave it out")
        if times.kind == "dated" and "date" in source.columns:
            _refuse_other_dates(source, times)
        return times
    return _with_dates(source, times, section, problems)


def _refuse_other_dates(source: Source, times: Times) -> None:
    """Refuse a file whose column of dates has other days than its times: one of the two is another day's."""
    column = source.column("date")
    assert column is not None  # noqa: S101 - it is among the columns
    with reading(source, "date"):
        dates = times_of(column, None, None, lambda bad, text: None)
    both = dates.usable & times.usable
    other = both & (dates.values // DAY_US != times.values // DAY_US)
    if dates.kind == "dated" and other.any():
        name = source.shown_column("date")
        where = source.places([int(np.flatnonzero(other)[0])])[0]
        problem = f"{where}: {name} is another day than the time's, in {int(other.sum()):,} rows"
        raise PaymentsKeyError("columns.date", f'{problem}; say columns: {{date: ""}} if the times are right')


def _with_dates(source: Source, times: Times, section: Payments, problems: Problems) -> Times:
    import pyarrow as pa

    column = source.column("date")
    assert column is not None  # noqa: S101 - it is among the columns
    if pa.types.is_integer(column.type):  # as 20260302
        column = column.cast(pa.string())
    report = _reporter(source, "date", problems)
    pattern = section.time_format if section.time_format and not _has_time(section.time_format) else None
    with reading(source, "date"):
        dates = times_of(column, None, pattern, report)
    if dates.kind != "dated":
        report(np.ones(len(column), dtype=np.bool_), "no date")
        return times
    report(~dates.usable & _empty(column), "no date")
    midnight = dates.values // DAY_US * DAY_US
    return replace(times, kind="dated", values=midnight + times.values)


def _pattern(section: Payments) -> str | None:
    return section.time_format if section.time_format and _has_time(section.time_format) else None


def _has_time(pattern: str) -> bool:
    return any(each in pattern for each in ("%H", "%I", "%T", "%R")) or "%d" not in pattern + "".join(("%F",))


def _empty(column: "pyarrow.ChunkedArray") -> Mask:
    """Return the cells that hold no time, whatever their words for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from payment_simulator.scenario.payment_files.times import NO_TIME

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        found: Mask = (pc.is_null(column, nan_is_null=True)).to_numpy()
        return found
    text = pc.utf8_trim_whitespace(column.cast(pa.string())).fill_null("")
    return np.asarray(pc.match_substring_regex(text, NO_TIME).to_numpy(), dtype=np.bool_)


def _beside(source: Source, ours: str, times: Times, section: Payments, problems: Problems) -> Ints | None:
    """Return another column of times, with the date of the row's time where it has none."""
    column = source.column(ours)
    if column is None:
        return None
    zone = None if section.clock is None else section.clock.timezone
    report = _reporter(source, ours, problems)
    found = times_of(column, zone, _pattern(section), report)
    if not found.usable.any():
        return None
    _refuse_other_offsets(source, ours, found, times, zone)
    values = beside(found, times, zone)
    if ours == "deadline" and found.kind == "dated" and _are_dates(column, found):
        values = values + DAY_US  # the end of that day
    if found.kind == "of_day" and times.kind == "dated":
        values = values + times.values // DAY_US * DAY_US
    elif found.kind != times.kind:
        words = {"dated": "a date and a time", "of_day": "a time of day", "number": "a whole number"}
        report(found.usable, f"is {words[found.kind]}, and the time is {words[times.kind]}")
    return np.where(found.usable, values, UNWRITTEN)


def _are_dates(column: "pyarrow.ChunkedArray", found: Times) -> bool:
    """Return True of a column of dates without a time of day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return bool(pa.types.is_date(column.type))
    return not (found.values % DAY_US).any() and not pc.any(pc.match_substring(column, ":")).as_py()


def _refuse_other_offsets(source: Source, ours: str, found: Times, times: Times, zone: str | None) -> None:
    """Refuse times of another offset from UTC than those of submission, where no zone says what the clock shows."""
    column = f"columns.{ours}"
    if found.kind == "of_day" and found.offsets:
        raise PaymentsKeyError(column, "a time of day with an offset from UTC: write it with its date, as one")
    if zone is not None or found.kind != "dated":
        return
    own, other = ({*each.offsets, *filter(None, [each.named])} for each in (times, found))
    if own != other or (own and bool(times.naive) != bool(found.naive)):
        name = source.shown_column(ours)
        raise PaymentsKeyError(column, f"{name} has other offsets from UTC than the time; say payments.clock.timezone")


def _banks(
    source: Source, ours: str, section: Payments, run: Run, problems: Problems
) -> tuple[NDArray[np.int32], list[str]]:
    column = source.column(ours)
    assert column is not None  # noqa: S101 - as above
    return banks_of(column, section.bic, _reporter(source, ours, problems), run.named)


def _money(source: Source, section: Payments) -> Money:
    currency = currency_of(source, section)
    if section.amounts == "cents" or _says_cents(source, section):
        return Money(0, "amounts: cents", source.decimal or section.decimal, source.separator)
    decimals = DEFAULT_DECIMALS if currency is None else decimals_of(currency)
    if decimals is None:
        raise PaymentsKeyError(
            "currency", f"the file has {clean(str(currency), 60)!r}, no code of ISO 4217; say one, or amounts: cents"
        )
    return Money(decimals, currency or "the currency", source.decimal or section.decimal, source.separator)


def _says_cents(source: Source, section: Payments) -> bool:
    """Return True where the amount's column is called cents, and the section does not say what it holds; it is told."""
    name = source.columns["amount"].strip(" )").lower()
    if "amounts" in section.model_fields_set or not name.endswith(("cents", "cent")):
        return False
    source.remarks.append(f"{source.shown_column('amount')} is read as cents (payments.amounts: currency says another)")
    return True


def currency_of(source: Source, section: Payments) -> str | None:
    """Return the currency, which is one: amounts of several cannot be added.

    Raises:
        PaymentsKeyError: there are several, or another than the section's.
    """
    column = source.column("currency")
    if column is None:
        return section.currency
    import pyarrow as pa

    with reading(source, "currency"):
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        unique = {"" if each is None else str(each).strip() for each in column.unique().to_pylist()}
    found = sorted(unique - {""})
    if len(found) > 1:
        wanted = section.currency if section.currency in found else found[0]
        name = source.columns["currency"]
        expression = f"{name} = '{wanted}'" if name.isidentifier() else f"\"{name}\" = '{wanted}'"
        filtered = f"say payments.filter, as: {expression}"
        raise PaymentsKeyError("currency", f"{source.name} has payments in {some_of(found)}; {filtered}")
    if found and "" in unique and section.currency is None:
        with reading(source, "currency"):
            unsaid = _unsaid(column)
        rows = "this row, and" if len(unsaid) == 1 else f"{len(unsaid):,} rows, and"
        where = source.places(unsaid[:1])[0]
        problem = f"{where}: {source.shown_column('currency')} says none in {rows} {found[0]} in others"
        raise PaymentsKeyError("currency", f"{problem}; say payments.currency: {found[0]} if all are in it")
    if found and section.currency is not None and found[0] != section.currency:
        raise PaymentsKeyError("currency", f"{section.currency}, and {source.name} has payments in {found[0]}")
    return section.currency or (found[0] if found else None)


def _unsaid(column: "pyarrow.ChunkedArray") -> list[int]:
    """Return the rows in which a column of text has nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column.cast(pa.string())).fill_null("")
    return [int(row) for row in np.flatnonzero(pc.equal(text, "").to_numpy())]


def _priorities(source: Source, section: Payments, problems: Problems) -> NDArray[np.int8]:
    column = source.column("priority")
    if column is None:
        return np.full(len(source), DEFAULT_PRIORITY, dtype=np.int8)
    words = source.words if section.priorities is None and source.words else section.priorities
    return priorities_of(
        column,
        words,
        lambda bad, text: problems.add(source, bad, "priority", lambda _: text, is_one=True),
    )


def _divisible(source: Source, problems: Problems) -> Mask:
    column = source.column("divisible")
    if column is None:
        return np.zeros(len(source), dtype=np.bool_)
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks().fill_null(""))
    found = [YES.get(str(word).strip().lower()) for word in encoded.dictionary.to_pylist()]
    index = encoded.indices.to_numpy()
    unknown = np.array([each is None for each in found], dtype=np.bool_)
    values = np.array([bool(each) for each in found], dtype=np.bool_)
    problems.add(source, unknown[index], "divisible", "is neither true nor false")
    found_values: Mask = values[index]
    return found_values


def _ids(source: Source, problems: Problems) -> "pyarrow.ChunkedArray | None":
    """Return the payments' names; one that stands twice is noted."""
    column = source.column("id")
    if column is None or column.null_count == len(column):
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    names = column.cast(pa.string())
    encoded = pc.dictionary_encode(names).combine_chunks()
    chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    size = len(chunks[0].dictionary)
    empty = pc.index(chunks[0].dictionary, "").as_py()
    index = np.concatenate([chunk.indices.fill_null(size).to_numpy() for chunk in chunks])
    counts = np.bincount(index, minlength=size + 1)
    counts[[size, *([empty] if empty >= 0 else [])]] = 0
    if (counts > 1).any():
        repeated = (counts > 1)[index]
        repeated[np.unique(index, return_index=True)[1]] = False  # the first of each
        none = 'names that stand twice: {n}; if they are no names of payments, say columns: {id: ""}'
        problems.add(source, repeated, "id", _twice(source, np.flatnonzero(repeated)), none, is_one=True)
    return names


def _twice(source: Source, rows: Ints) -> Callable[[str], str]:
    """Return what to say of the first of the rows that repeat a name, for all of them."""
    more = rows[1 : 1 + MORE_ROWS].tolist()
    shown = zip(source.cells(more, "id"), source.places(more), strict=True)
    listed = ", ".join(f"{cell} ({place})" for cell, place in shown)
    listed += ", ..." if len(rows) > 1 + len(more) else ""
    further = f"; so it is in {counted(len(rows) - 1, 'more row')}: {listed}" if more else ""
    return lambda cell: f"{cell}: another payment has this name{further}"
