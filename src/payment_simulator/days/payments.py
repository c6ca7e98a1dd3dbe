"""Payments of two days, matched by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.days.loading import Day
from payment_simulator.days.matching import ABSENT, matched, shared_codes
from payment_simulator.days.stored_tables import StoredTable
from payment_simulator.scenario.given_payments import NEVER

Ints = NDArray[Any]
FACTS = ("amount", "arrived", "deadline", "priority")
NAMES = ("sender", "receiver")
WAYS = ("dropped", "overdue")


@dataclass(frozen=True)
class PaymentGroup:
    """Payments that differ in one way: their number and value in cents, and the first of them in sequence."""

    count: int
    value: int
    listed: list[dict[str, Any]]


@dataclass(frozen=True)
class PaymentDifferences:
    """Payments that are not alike in two days; `matched` is the number of those that both have, by name.

    `facts`: sender, receiver, amount, tick, deadline or priority differ. Settled in one day alone, or in both and
    earlier or later in the second; `otherwise` in another way, or another part of a split one. None where times are
    not compared.
    """

    matched: int
    only_in_first: PaymentGroup
    only_in_second: PaymentGroup
    facts: PaymentGroup
    settled_only_in_first: PaymentGroup
    settled_only_in_second: PaymentGroup
    settled_earlier: PaymentGroup | None
    settled_later: PaymentGroup | None
    settled_otherwise: PaymentGroup

    @property
    def equal(self) -> bool:
        """True if both days have the same payments, and each settled in the same way."""
        return all(group is None or group.count == 0 for group in self.groups().values())

    def groups(self) -> dict[str, PaymentGroup | None]:
        """Return the groups by their name."""
        return {name: getattr(self, name) for name in GROUPS}


GROUPS = {
    "only_in_first": "only in the first",
    "only_in_second": "only in the second",
    "facts": "another sender, receiver, amount, time, deadline or priority, or given otherwise",
    "settled_only_in_first": "settled only in the first",
    "settled_only_in_second": "settled only in the second",
    "settled_earlier": "settled earlier in the second",
    "settled_later": "settled later in the second",
    "settled_otherwise": "settled in another way",
}
"""The names of groups for people."""


def payment_differences(first: Day, second: Day, listed: int | None, *, with_ticks: bool) -> PaymentDifferences:
    """Return the payments of two days that differ; `listed` of each group are named, None for all.

    Raises:
        UnreadableFileError: a table has not the columns of payments.
    """
    tables = first.stored("payments"), second.stored("payments")
    row = matched(*(table.texts("id") for table in tables))
    here = np.flatnonzero(row != ABSENT)
    there = row[here]
    alone = np.ones(len(tables[1].table), dtype=bool)
    alone[there] = False
    pairs = _Pairs(*tables, here, there)
    one, other = pairs.settled
    settled_in = (one != NEVER) & (other != NEVER)
    earlier, later = settled_in & (other < one), settled_in & (other > one)
    same = (one == other) if with_ticks else (one != NEVER) == (other != NEVER)
    return PaymentDifferences(
        matched=len(here),
        only_in_first=_alone(tables[0], np.flatnonzero(row == ABSENT), listed),
        only_in_second=_alone(tables[1], np.flatnonzero(alone), listed),
        facts=pairs.group(pairs.facts_differ(with_ticks), listed),
        settled_only_in_first=pairs.group((one != NEVER) & (other == NEVER), listed),
        settled_only_in_second=pairs.group((one == NEVER) & (other != NEVER), listed),
        settled_earlier=pairs.group(earlier, listed) if with_ticks else None,
        settled_later=pairs.group(later, listed) if with_ticks else None,
        settled_otherwise=pairs.group(same & pairs.ways_differ(with_ticks), listed),
    )


class _Pairs:
    """The payments that both days have: row `here[i]` of the first is row `there[i]` of the second."""

    def __init__(self, first: StoredTable, second: StoredTable, here: Ints, there: Ints) -> None:
        self.tables, self.rows = (first, second), (here, there)
        self.settled = self.both("settled", NEVER)

    def both(self, name: str, missing: int) -> tuple[Ints, Ints]:
        one, other = (
            table.values(name, missing=missing)[rows] for table, rows in zip(self.tables, self.rows, strict=True)
        )
        return one, other

    def facts_differ(self, with_ticks: bool) -> Ints:
        found = np.zeros(len(self.rows[0]), dtype=bool)
        for name in FACTS if with_ticks else ("amount", "priority"):
            one, other = self.both(name, NEVER)
            found |= one != other
        for name in NAMES:
            found |= self._texts_differ(name)
        for name in ("divisible", *(("settled_in_file",) if with_ticks else ())):
            found |= self._values_differ(name)
        return found

    def ways_differ(self, with_ticks: bool) -> Ints:
        left = (
            amount - settled
            for amount, settled in zip(self.both("amount", 0), self.both("settled_value", 0), strict=True)
        )
        one, other = left  # another amount is no other way
        found: Ints = one != other
        for name in (*WAYS, *(("released",) if with_ticks else ())):
            found |= self._values_differ(name)
        return found | self._texts_differ("route")

    def _values_differ(self, name: str) -> Ints:
        """Return where a column of any type has other values; two that are missing are the same."""
        import pyarrow as pa
        import pyarrow.compute as pc

        one, other = (
            table.column(name).take(pa.array(rows)) for table, rows in zip(self.tables, self.rows, strict=True)
        )
        if one.type != other.type:
            raise self.tables[1].unreadable(f"{name}: is of {other.type}, and of {one.type} in the other day")
        differ = pc.not_equal(one, other).fill_null(False)
        found: Ints = pc.or_(differ, pc.not_equal(one.is_null(), other.is_null())).to_numpy()
        return found

    def _texts_differ(self, name: str) -> Ints:
        codes = shared_codes(*(table.texts(name) for table in self.tables))
        found: Ints = codes[0][self.rows[0]] != codes[1][self.rows[1]]
        return found

    def group(self, chosen: Ints, listed: int | None) -> PaymentGroup:
        places = np.flatnonzero(chosen)
        amount = self.both("amount", 0)[0][places]
        shown = places[:listed]
        rows = [_rows(table, each[shown], (*KEPT, *BESIDE)) for table, each in zip(self.tables, self.rows, strict=True)]
        both = [_paired(*pair) for pair in zip(*rows, strict=True)]
        return PaymentGroup(len(places), int(amount.sum()), both)


BESIDE = ("deadline", "priority", "divisible", "settled_in_file")
"""Columns that are told where they differ."""
KEPT = ("id", "sender", "receiver", "amount", "arrived", "settled", "route")


def _rows(table: StoredTable, rows: Ints, names: Sequence[str] = KEPT) -> list[dict[str, Any]]:
    import pyarrow as pa

    columns = {name: table.column(name).take(pa.array(rows)) for name in names}
    lists = (column.to_pylist() for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _paired(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return a payment's values, those that differ as a pair; those of `BESIDE` only then."""
    both = {name: value if value == second[name] else [value, second[name]] for name, value in first.items()}
    return {name: value for name, value in both.items() if name not in BESIDE or isinstance(value, list)}


def _alone(table: StoredTable, rows: Ints, listed: int | None) -> PaymentGroup:
    amount = table.values("amount")[rows]
    return PaymentGroup(len(rows), int(amount.sum()), _rows(table, rows[:listed]))
