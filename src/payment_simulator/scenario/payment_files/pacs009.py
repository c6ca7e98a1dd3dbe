"""Payments written as one message of ISO 20022, pacs.009."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from labledger.errors import ConfigError
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.payment_files.iso20022 import OWN_PRIORITY, PRIORITIES
from payment_simulator.scenario.payment_files.writing import US, ExportCalendar, ExportMoney
from payment_simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    import pyarrow

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08"
BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
UETR = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")
MAX_REFERENCE = 35
"""Characters of a reference of PmtId, the UETR aside."""
NO_NAME = "NOTPROVIDED"
"""The EndToEndId, which PmtId has to have, of a payment that is named otherwise."""
DEFAULT_CURRENCY = "EUR"
"""The currency of a message, which needs one, where none is known."""


def pacs009_bytes(
    arrivals: Arrivals, ids: "pyarrow.Array", scenario: Scenario, calendar: ExportCalendar, money: ExportMoney
) -> bytes:
    """Return payments, called `ids`, as one pacs.009 message: SttlmTmReq/FrTm is the tick in which a payment comes.

    A priority that SttlmPrty has no word for stands in LclInstrm/Prtry, as a number. A name is the EndToEndId, or the
    UETR where it is one; a payment whose name has no room in either is called by its place.

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
    return "".join(_message(arrivals, _references(ids), scenario, calendar, money)).encode()


def remarks_of_pacs009(arrivals: Arrivals, ids: "pyarrow.Array") -> list[str]:
    """Return what a reader of the message has to know of it, a sentence each."""
    found = []
    if wordless := int((~np.isin(arrivals.priority, [*PRIORITIES.values()])).sum()):
        found.append(f"{_payments(wordless)} a priority that SttlmPrty has no word for; it stands in LclInstrm/Prtry")
    if nameless := sum(_reference(name) is None for name in ids.to_pylist()):
        found.append(f"{_payments(nameless)} a name that pacs.009 has no room for, and a number in its place")
    return found


def _payments(count: int) -> str:
    return "1 payment has" if count == 1 else f"{count:,} payments have"


def _references(ids: "pyarrow.Array") -> Iterator[str]:
    """Yield the elements of PmtId for each name, no two alike."""
    names = ids.to_pylist()
    taken = set(names)
    for place, name in enumerate(names, start=1):
        number = str(place)
        while number in taken:
            number += "'"
        yield _reference(name) or f"<EndToEndId>{number}</EndToEndId>"


def _reference(name: str) -> str | None:
    """Return the elements of PmtId that hold a name; None where none does."""
    if UETR.fullmatch(name):
        return f"<EndToEndId>{NO_NAME}</EndToEndId><UETR>{name}</UETR>"
    fits = 0 < len(name) <= MAX_REFERENCE and name.isprintable() and name == name.strip()
    return f"<EndToEndId>{escape(name)}</EndToEndId>" if fits else None


def _message(
    arrivals: Arrivals, references: Iterable[str], scenario: Scenario, calendar: ExportCalendar, money: ExportMoney
) -> Iterator[str]:
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
    rows = zip(references, *(column.tolist() for column in columns), strict=True)
    for reference, tick, sender, receiver, cents, priority, deadline in rows:
        own = f"<PmtTpInf><LclInstrm><Prtry>{OWN_PRIORITY}{priority}</Prtry></LclInstrm></PmtTpInf>"
        yield (
            f"<CdtTrfTxInf><PmtId>{reference}</PmtId>{'' if priority in words else own}"
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
