"""Payments written as tables that `payments` reads, CSV and Parquet, and the money and times of what is written."""

import datetime
import io
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.payment_files.clock import Day
from payment_simulator.scenario.payment_files.currencies import DEFAULT_DECIMALS
from payment_simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    import pyarrow

FIRST_DAY = datetime.date(2026, 1, 5)
US = 1_000_000


@dataclass(frozen=True)
class ExportMoney:
    """The form of amounts: in units of a currency, which is named unless it is None, with its decimals."""

    currency: str | None = None
    decimals: int = DEFAULT_DECIMALS

    def amount(self, cents: int) -> str:
        """Return an amount in units of the currency."""
        return str(Decimal(cents).scaleb(-self.decimals))


@dataclass(frozen=True)
class ExportCalendar:
    """Times of ticks: the days' hours, and their dates; where those are none, dates in a row from the first on."""

    day: Day
    first: datetime.date = FIRST_DAY
    dates: tuple[datetime.date, ...] = ()

    def time_us(self, tick: int) -> int:
        """Return the first moment of a tick of the run, in microseconds after midnight of its day."""
        span = (self.day.close_s - self.day.open_s) * US
        return self.day.open_s * US + -(-(tick % self.day.ticks) * span // self.day.ticks)

    def last_us(self, tick: int) -> int:
        """Return the last moment of a tick of the run, in microseconds after midnight of its day."""
        span = (self.day.close_s - self.day.open_s) * US
        return self.day.open_s * US + -(-(tick % self.day.ticks + 1) * span // self.day.ticks) - 1

    def date(self, tick: int) -> datetime.date:
        """Return the date of a tick of the run."""
        return self._date_of_day(tick // self.day.ticks)

    def _date_of_day(self, number: int) -> datetime.date:
        if number < len(self.dates):
            return self.dates[number]
        last, more = (self.dates[-1], number + 1 - len(self.dates)) if self.dates else (self.first, number)
        return last + datetime.timedelta(days=more)


def table_of(
    arrivals: Arrivals, ids: "pyarrow.Array", scenario: Scenario, calendar: ExportCalendar | None, money: ExportMoney
) -> "pyarrow.Table":
    """Return payments, called `ids`, as a table that `payments` reads; without a calendar its times are ticks.

    Columns: time, sender, receiver, amount (text, in units of the currency), priority, deadline, divisible, id, and
    currency where it is named.
    """
    import pyarrow as pa

    names = np.array(scenario.agent_ids)
    columns: dict[str, Any] = {
        "time": _times(arrivals.tick, calendar, is_last=False),
        "sender": pa.array(names[arrivals.sender]),
        "receiver": pa.array(names[arrivals.receiver]),
        "amount": pa.array([money.amount(cents) for cents in arrivals.amount.tolist()], pa.string()),
        "priority": pa.array(arrivals.priority),
        "deadline": _times(arrivals.deadline, calendar, is_last=True),
        "divisible": pa.array(arrivals.divisible),
        "id": ids,
    }
    if money.currency is not None:
        columns["currency"] = pa.array([money.currency] * len(arrivals), pa.string())
    return pa.table(columns)


def csv_bytes(table: "pyarrow.Table") -> bytes:
    """Return a table as CSV, UTF-8 with a header."""
    import pyarrow.csv

    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer, pyarrow.csv.WriteOptions(quoting_style="needed"))
    return buffer.getvalue()


def _times(ticks: Any, calendar: ExportCalendar | None, *, is_last: bool) -> "pyarrow.Array":
    import pyarrow as pa

    if calendar is None:
        return pa.array(ticks)
    number, place = np.unique(ticks, return_inverse=True)
    at = calendar.last_us if is_last else calendar.time_us
    days = [(calendar.date(int(each)) - datetime.date(1970, 1, 1)).days for each in number]
    moments = [day * 86_400 * US + at(int(each)) for day, each in zip(days, number, strict=True)]
    return pa.array(np.array(moments, dtype="datetime64[us]")[place.ravel()])
