"""Rows of all files together, as the payments of a scenario."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.untrusted_text import clean
from payment_simulator.scenario.given_payments import COLUMNS, NEVER, GivenPayments
from payment_simulator.scenario.payment_files.clock import Calendar, Day, about_dates
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
from payment_simulator.scenario.payment_files.rows import UNWRITTEN, Rows, only
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.times import DAY_US
from payment_simulator.scenario.payment_files.zones import instants_of

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[Any]
MOST_TICKS = 2**31 - 1


def assembled(parts: Sequence[Rows], day: Day | None, run: Run, section: Payments) -> GivenPayments:
    """Return the payments of all parts: by tick, then time, then as they stand. `day` is None where times are ticks."""
    remarks = [remark for part in parts for remark in (*part.source.remarks, *part.times.remarks)]
    calendar = None
    if day is not None:
        calendar, parts = _calendar(parts, day, run, section)
        remarks += [] if calendar.dates is None else about_dates(calendar.dates)
    time = np.concatenate([part.time for part in parts])
    banks, sender, receiver = _numbered(parts)
    columns: dict[str, Ints] = {
        "tick": time if calendar is None else calendar.ticks_of(time),
        "sender": sender,
        "receiver": receiver,
        "deadline": _joined(parts, "deadline", time),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("amount", "priority", "divisible")
        },
    }
    ids = _ids(parts)
    if ids is None and (alike := _alike(time, columns)):
        remarks.append(
            f"rows like an earlier one in every column that is read: {alike:,}, kept as payments of their own"
        )
    columns["deadline"] = _deadlines(columns["deadline"], columns["tick"], calendar, run)
    settled = _settled(parts, time, columns["tick"], calendar, remarks)
    order = _order(parts, time, columns["tick"], section)

    def in_order(column: Ints) -> Ints:
        return column if order is None else column[order]

    return GivenPayments(
        banks=banks,
        **{name: in_order(columns[name]).astype(kind, copy=False) for name, kind in COLUMNS.items()},
        ticks_per_day=None if calendar is None else calendar.day.ticks,
        num_days=1 if calendar is None else calendar.days,
        settled=None if settled is None else in_order(settled),
        ids=ids if ids is None or order is None else ids.take(order),
        skipped=skipped_rows(parts),
        remarks=tuple(dict.fromkeys(remarks)),
        dates=None if calendar is None else calendar.dates,
        section=section,
    )


def _order(parts: Sequence[Rows], time: Ints, tick: Ints, section: Payments) -> Ints | None:
    """Return the places of rows in the order in which they come, None where they stand in it.

    A clock that goes back shows an hour twice: in each of its ticks, what came while it did so first stands before.
    """
    if all(part.instants is None for part in parts):
        return None if (np.diff(time) >= 0).all() else np.argsort(time, kind="stable")
    said = None if section.clock is None else section.clock.timezone
    instants = [
        instants_of(part.time, said or part.times.named or "") if part.instants is None else part.instants
        for part in parts
    ]
    return np.lexsort((np.concatenate(instants), tick))


def skipped_rows(parts: Sequence[Rows]) -> dict[str, int]:
    """Return how many rows were left out, by reason."""
    found: dict[str, int] = {}
    for part in parts:
        for reason, count in part.source.skipped.items():
            found[reason] = found.get(reason, 0) + count
    return found


def _calendar(parts: Sequence[Rows], day: Day, run: Run, section: Payments) -> tuple[Calendar, Sequence[Rows]]:
    """Return the days of the run, and the rows on them: where the scenario has fewer days, the first ones count."""
    if all(part.kind == "of_day" for part in parts if len(part.time)):
        return Calendar(day, None), parts
    dates = np.unique(np.concatenate([np.unique(part.time // DAY_US) for part in parts]))
    if run.num_days is None or len(dates) <= run.num_days:
        return Calendar(day, dates), parts
    if "outside_day" not in section.skip:
        found = f"payments are of {len(dates):,} dates, and simulation.num_days is {run.num_days:,}"
        raise PaymentsKeyError(
            "", f"{found}; say a payments.filter, or payments.skip: [outside_day] for the first of them"
        )
    dates = dates[: run.num_days]
    kept = []
    for part in parts:
        inside = part.time // DAY_US <= dates[-1]
        if not inside.all():
            skipped = part.source.skipped
            skipped["outside_day"] = skipped.get("outside_day", 0) + int((~inside).sum())
        kept.append(only(part, inside))
    return Calendar(day, dates), kept


def _numbered(parts: Sequence[Rows]) -> tuple[tuple[str, ...], Ints, Ints]:
    """Return the banks that pay or are paid, sorted, and senders and receivers as places among them."""
    used: set[str] = set()
    for part in parts:
        places = np.union1d(np.unique(part.sender), np.unique(part.receiver)) if len(part.time) else ()
        used |= {part.banks[place] for place in places}
    banks = tuple(sorted(used))
    number = {name: place for place, name in enumerate(banks)}
    sides: list[list[Ints]] = [[], []]
    for part in parts:
        of_part = np.array([*(number.get(name, 0) for name in part.banks), 0], dtype=np.int32)
        sides[0].append(of_part[part.sender])
        sides[1].append(of_part[part.receiver])
    return banks, np.concatenate(sides[0]), np.concatenate(sides[1])


def _joined(parts: Sequence[Rows], name: str, time: Ints) -> Ints:
    """Return a column of times of all parts, `UNWRITTEN` where one has it not."""
    columns = [getattr(part, name) for part in parts]
    if all(column is None for column in columns):
        return np.broadcast_to(np.int64(UNWRITTEN), time.shape)
    lengths = [len(part.time) for part in parts]
    none = (np.full(length, UNWRITTEN) for length in lengths)
    return np.concatenate([blank if column is None else column for column, blank in zip(columns, none, strict=True)])


def _deadlines(until: Ints, tick: Ints, calendar: Calendar | None, run: Run) -> Ints:
    """Return the last tick in which each payment is not overdue: that of its day where it says none."""
    per_day = run.ticks_per_day if calendar is None else calendar.day.ticks
    if per_day is None:
        per_day = int(tick.max(initial=0)) + 1
    last = tick // per_day * per_day + per_day - 1
    is_said = until != UNWRITTEN
    if not is_said.any():
        return last
    said = np.where(is_said, until, 0)
    found = said if calendar is None else calendar.last_ticks_of(said)
    return np.where(is_said, np.clip(found, tick, MOST_TICKS), last)


def _settled(
    parts: Sequence[Rows], time: Ints, tick: Ints, calendar: Calendar | None, remarks: list[str]
) -> Ints | None:
    """Return the ticks in which payments settled in reality, `NEVER` where they did not; None where no file says."""
    if all(part.settled is None for part in parts):
        return None
    at = _joined(parts, "settled", time)
    is_said = at != UNWRITTEN
    said = np.where(is_said, at, 0)
    found, in_run = (said, said >= 0) if calendar is None else calendar.at_or_near(said)
    if outside := int((is_said & ~in_run).sum()):
        remarks.append(f"settled on no day of the run, in reality: {outside:,}, taken as not settled")
    is_said &= in_run
    if early := int((is_said & (at < time)).sum()):
        remarks.append(f"settled before they were submitted, as the file has it: {early:,}")
    return np.where(is_said, np.minimum(found, MOST_TICKS), NEVER).astype(np.int32)


def _ids(parts: Sequence[Rows]) -> "pyarrow.Array | None":
    if all(part.ids is None for part in parts):
        return None
    import pyarrow as pa

    columns = [pa.nulls(len(part.time), pa.string()) if part.ids is None else part.ids for part in parts]
    chunks = [chunk for each in columns for chunk in (each.chunks if isinstance(each, pa.ChunkedArray) else [each])]
    found = pa.concat_arrays(chunks)
    if len(parts) > 1:
        _refuse_twice(found, parts)
    return found


def _refuse_twice(ids: "pyarrow.Array", parts: Sequence[Rows]) -> None:
    """Refuse a payment's name that stands in two files; within one it was told before.

    Raises:
        PaymentsKeyError: there is one.
    """
    import pyarrow.compute as pc

    encoded = ids.dictionary_encode()
    index = encoded.indices.fill_null(-1).to_numpy()
    of_nothing = pc.index(encoded.dictionary, "").as_py()
    counts = np.bincount(index[(index >= 0) & (index != of_nothing)], minlength=1)
    if counts.max() < 2:
        return
    name = encoded.dictionary[int(counts.argmax())].as_py()
    ends = np.cumsum([len(part.time) for part in parts])
    places = np.flatnonzero(index == counts.argmax())[:2]
    files = [parts[int(np.searchsorted(ends, place, side="right"))].source.name for place in places]
    twice = (
        f"{int((counts - 1)[counts > 1].sum()):,} names stand twice, as {clean(name, 60)!r} in {' and in '.join(files)}"
    )
    raise PaymentsKeyError("columns.id", f'{twice}; read each payment once, or say columns: {{id: ""}}')


def _alike(time: Ints, columns: dict[str, Ints]) -> int:
    """Return the number of rows that are like one before them."""
    mixed = time.astype(np.uint64)
    for name in ("sender", "receiver", "amount", "priority", "deadline", "divisible"):
        mixed = (mixed ^ columns[name].astype(np.int64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    ordered = np.sort(mixed)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return 0
    (rows,) = np.nonzero(np.isin(mixed, twice))  # some may only have the same number
    each = np.stack([time[rows], *(columns[name][rows].astype(np.int64) for name in columns if name != "tick")])
    return len(rows) - int(np.unique(each, axis=1).shape[1])
