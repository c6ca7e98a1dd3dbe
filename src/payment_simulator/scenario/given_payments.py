"""Payments that a scenario is given, from a file or a table: columns in ticks and cents, in sequence."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.payment_files.sections import Payments

Ints = NDArray[Any]
NEVER = -1
COLUMNS = {
    "tick": np.int32,
    "sender": np.int32,
    "receiver": np.int32,
    "amount": np.int64,
    "priority": np.int8,
    "deadline": np.int32,
    "divisible": np.bool_,
}
"""The columns of payments, here and in `Arrivals`, and the types of their values."""


@dataclass(frozen=True, eq=False)
class GivenPayments:
    """Payments, a value per payment and column, by tick, then time, file and row.

    `sender` and `receiver` are places in `banks`, which is sorted. `tick` and `deadline`, the last tick in which a
    payment is not overdue, are of the whole run; `amount` is in cents. `settled` is the tick in which a payment
    settled in reality, `NEVER` where it did not; None where the file does not say. `ids` are the payments' names, None
    where they have none. `skipped` counts the rows that were left out, by reason; `remarks` are what a reader of the
    outcome has to know of how the file was read. `dates` are the days of the run, in days since 1970, None where times
    have no date. `section` says how they were read, None where that is not known.
    """

    banks: tuple[str, ...]
    tick: Ints
    sender: Ints
    receiver: Ints
    amount: Ints
    priority: Ints
    deadline: Ints
    divisible: Ints
    ticks_per_day: int | None
    num_days: int
    settled: Ints | None = None
    ids: "pyarrow.Array | None" = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    dates: Ints | None = None
    section: "Payments | None" = None

    def __len__(self) -> int:
        return len(self.tick)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 (hex) of the payments: the same for the same payments of the same banks, whatever other banks the
        scenario has, and whatever file they were read from."""
        used = np.union1d(self.sender, self.receiver)
        hashed = hashlib.sha256("\0".join(self.banks[place] for place in used).encode())
        for name, kind in COLUMNS.items():
            column = getattr(self, name)
            places = np.searchsorted(used, column) if name in ("sender", "receiver") else column
            hashed.update(places.astype(np.dtype(kind).newbyteorder("<")).tobytes())
        return hashed.hexdigest()

    @property
    def day_names(self) -> list[str] | None:
        """The dates of the run's days, as 2026-11-30; None where times have no date."""
        return None if self.dates is None else [str(date) for date in self.dates.astype("datetime64[D]")]

    def of_banks(self, banks: Sequence[str]) -> "GivenPayments":
        """Return the same payments with banks as places in `banks`, which has all that pay or are paid."""
        place = {name: number for number, name in enumerate(banks)}
        number = np.array([place[name] for name in self.banks], dtype=np.int32)
        return replace(self, banks=tuple(banks), sender=number[self.sender], receiver=number[self.receiver])

    def first_ticks(self, ticks: int) -> "GivenPayments":
        """Return the payments that come in the first `ticks` ticks."""
        kept = int(np.searchsorted(self.tick, ticks))
        columns = {name: getattr(self, name) for name in ("settled", "ids", *COLUMNS)}
        found = {name: each[:kept] for name, each in columns.items() if each is not None}
        if self.settled is not None:
            found["settled"] = np.where(found["settled"] < ticks, found["settled"], NEVER)
        days = self.num_days if self.ticks_per_day is None else min(self.num_days, -(-ticks // self.ticks_per_day))
        return replace(self, num_days=days, dates=None if self.dates is None else self.dates[:days], **found)

    def of_day(self, day: int) -> "GivenPayments":
        """Return the payments of one day of the run, as those of a run of that day alone, without names.

        Raises:
            ValueError: the length of a day is not known.
        """
        if self.ticks_per_day is None:
            raise ValueError("of_day: the ticks of a day are not known")
        begin = day * self.ticks_per_day
        first, last = np.searchsorted(self.tick, [begin, begin + self.ticks_per_day])
        columns = {name: getattr(self, name)[first:last] for name in COLUMNS}
        columns |= {name: columns[name] - begin for name in ("tick", "deadline")}
        dates = None if self.dates is None else self.dates[day : day + 1]
        return replace(self, **columns, num_days=1, dates=dates, settled=None, ids=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the payments as a dict of JSON values, without their names and what was skipped."""
        columns = {name: getattr(self, name).tolist() for name in COLUMNS}
        return {"banks": list(self.banks), "ticks_per_day": self.ticks_per_day, "num_days": self.num_days, **columns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GivenPayments":
        """Return the payments that `to_dict` wrote."""
        columns: dict[str, Any] = {name: np.asarray(data[name], dtype=kind) for name, kind in COLUMNS.items()}
        length = {"ticks_per_day": data["ticks_per_day"], "num_days": data["num_days"]}
        return cls(banks=tuple(data["banks"]), **length, **columns)
