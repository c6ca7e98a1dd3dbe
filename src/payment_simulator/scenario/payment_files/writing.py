"""Payments written as files that `payments` reads: CSV, Parquet, and pacs.009 of ISO 20022."""

import datetime
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from labledger.errors import ConfigError
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.payment_files.clock import Day
from payment_simulator.scenario.payment_files.currencies import DEFAULT_DECIMALS
from payment_simulator.scenario.payment_files.iso20022 import OWN_PRIORITY, PRIORITIES
from payment_simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    import pyarrow

FIRST_DAY = datetime.date(2026, 1, 5)
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08"
BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
DEFAULT_CURRENCY = "EUR"
"""The currency of a message, which needs one, where none is known."""
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
    arrivals: Arrivals, scenario: Scenario, calendar: ExportCalendar | None, money: ExportMoney
) -> "pyarrow.Table":
    """Return payments as a table that `payments` reads; without a calendar times and deadlines are ticks.

    Columns: time, sender, receiver, amount (text, in units of the currency), priority, deadline, divisible, and
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


def pacs009_bytes(arrivals: Arrivals, scenario: Scenario, calendar: ExportCalendar, money: ExportMoney) -> bytes:
    """Return payments as one pacs.009 message: SttlmTmReq/FrTm is the tick in which a payment comes.

    A priority that SttlmPrty has no word for stands in LclInstrm/Prtry, as a number.

    Raises:
        ConfigError: a payment is divisible, or its deadline is on a later day; the message cannot say either.
    """
    if len(arrivals) == 0:
        raise ConfigError("there is no payment to write: a message has one at least")
    if (divisible := int(arrivals.divisible.sum())) > 0:
        raise ConfigError(f"{divisible:,} payments are divisible, which pacs.009 cannot say; take csv or parquet")
    ticks = calendar.day.ticks
    if later := int((arrivals.deadline // ticks != arrivals.tick // ticks).sum()):
        problem = f"{later:,} payments have a deadline on a later day, which pacs.009 cannot say"
        raise ConfigError(f"{problem}; take csv or parquet, or deadline_cap_at_eod: true")
    return "".join(_message(arrivals, scenario, calendar, money)).encode()


def _message(arrivals: Arrivals, scenario: Scenario, calendar: ExportCalendar, money: ExportMoney) -> Iterator[str]:
    currency = money.currency or DEFAULT_CURRENCY
    made = f"{calendar.date(0).isoformat()}T{_clock(calendar.day.open_s * US)}"
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}">\n<FICdtTrf>\n'
        f"<GrpHdr><MsgId>payment-sim-export</MsgId><CreDtTm>{made}</CreDtTm><NbOfTxs>{len(arrivals)}</NbOfTxs>"
        "<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>\n"
    )
    agents = [_institution(name) for name in scenario.agent_ids]
    columns = (arrivals.tick, arrivals.sender, arrivals.receiver, arrivals.amount, arrivals.priority, arrivals.deadline)
    words = {number: word for word, number in PRIORITIES.items()}
    for index, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        tick, sender, receiver, cents, priority, deadline = row
        own = f"<PmtTpInf><LclInstrm><Prtry>{OWN_PRIORITY}{priority}</Prtry></LclInstrm></PmtTpInf>"
        yield (
            f"<CdtTrfTxInf><PmtId><EndToEndId>{index + 1}</EndToEndId></PmtId>{'' if priority in words else own}"
            f'<IntrBkSttlmAmt Ccy="{currency}">{money.amount(cents)}</IntrBkSttlmAmt>'
            f"<IntrBkSttlmDt>{calendar.date(tick).isoformat()}</IntrBkSttlmDt>"
            + (f"<SttlmPrty>{words[priority]}</SttlmPrty>" if priority in words else "")
            + f"<SttlmTmReq><TillTm>{_clock(calendar.last_us(deadline))}</TillTm>"
            f"<FrTm>{_clock(calendar.time_us(tick))}</FrTm></SttlmTmReq>"
            f"<InstgAgt>{agents[sender]}</InstgAgt><InstdAgt>{agents[receiver]}</InstdAgt>"
            f"<Dbtr>{agents[sender]}</Dbtr><Cdtr>{agents[receiver]}</Cdtr></CdtTrfTxInf>\n"
        )
    yield "</FICdtTrf>\n</Document>\n"


def _institution(name: str) -> str:
    inside = f"<BICFI>{name}</BICFI>" if BIC.fullmatch(name) else f"<Othr><Id>{escape(name)}</Id></Othr>"
    return f"<FinInstnId>{inside}</FinInstnId>"


def _clock(us: int) -> str:
    seconds, rest = divmod(us, US)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}" + (f".{rest:06}" if rest else "")


def _times(ticks: Any, calendar: ExportCalendar | None, *, is_last: bool) -> "pyarrow.Array":
    import pyarrow as pa

    if calendar is None:
        return pa.array(ticks)
    number, place = np.unique(ticks, return_inverse=True)
    at = calendar.last_us if is_last else calendar.time_us
    days = [(calendar.date(int(each)) - datetime.date(1970, 1, 1)).days for each in number]
    moments = [day * 86_400 * US + at(int(each)) for day, each in zip(days, number, strict=True)]
    return pa.array(np.array(moments, dtype="datetime64[us]")[place.ravel()])
