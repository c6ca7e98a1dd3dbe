"""Payments in ISO 20022 messages: pacs.008 (customer credit transfers) and pacs.009 (of financial institutions).

Elements are known by their local names, in any version of the two messages, alone or in an envelope, any number of them
in a file. A file is read as a stream; a document type or an entity of its own is refused.
"""

import datetime
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from labledger.counts import counted
from labledger.errors import ConfigError
from labledger.extras import install_command, missing
from labledger.regular_files import opened_to_read
from labledger.untrusted_text import SHOWN, clean, reason_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import pyarrow

MESSAGES = {"FIToFICstmrCdtTrf": "pacs.008", "FICdtTrf": "pacs.009"}
NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(pacs\.00[89])\.\d{3}\.\d{2}")
BATCH = 1 << 14
TRANSACTION = "CdtTrfTxInf"
AMOUNT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
MAX_TEXT = 140
"""Characters of a name or a reference, as the messages' longest have them."""
AGENT_NAMES = ("BICFI", "BIC", "ClrSysMmbId/MmbId", "Othr/Id", "Nm")
IDS = ("UETR", "TxId", "InstrId", "EndToEndId")
COLUMNS = ("time", "sender", "receiver", "amount", "currency", "priority", "deadline", "settled", "id")
LINE = "line of the file"
"""The column, beside ours, that has the line on which each transaction begins."""
PRIORITIES = {"URGT": 10, "HIGH": 9, "NORM": 5}
"""Priorities of SttlmPrty, unless the scenario's `priorities` says others."""
OWN_PRIORITY = "PRIORITY "
"""The beginning of LclInstrm/Prtry where one of our eleven priorities follows it, as `export` writes it."""

Found = Callable[[str], str | None]
Row = dict[str, str | None]


def read_messages(path: Path, others: list[str] | None = None) -> "pyarrow.Table":
    """Return the payments of a file, a row each, texts in `COLUMNS` and `LINE`; null where a message does not say.

    The kinds of messages in it that are none of the two are put into `others`.

    `time` is when the payment may first settle: SttlmTmReq/FrTm of its day, else when it was accepted (AccptncDtTm),
    else when its message was made (CreDtTm). `deadline` is SttlmTmReq/TillTm, else CLSTm, else RjctTm; `settled` is
    SttlmTmIndctn/DbtDtTm, else CdtDtTm. `sender` and `receiver` are the instructing and the instructed agent, of the
    transaction, else of its message.

    Raises:
        ConfigError: it cannot be read, holds no such message, declares a document type or entities, or a transaction
            lacks what a payment needs: `file:line: message, transaction: problem`.
    """
    import pyarrow as pa

    if missing("defusedxml"):
        raise ConfigError(f"{path}: reading XML needs defusedxml; run {install_command('payments')}")
    schema = pa.schema([(name, pa.string()) for name in (*COLUMNS, LINE)])
    batches, rows = [], []
    for row in _payments(path, [] if others is None else others):
        rows.append(row)
        if len(rows) == BATCH:
            batches.append(pa.RecordBatch.from_pylist(rows, schema))
            rows = []
    return pa.Table.from_batches([*batches, pa.RecordBatch.from_pylist(rows, schema)], schema)


def _payments(path: Path, others: list[str]) -> Iterator[Row]:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException

    try:
        with opened_to_read(path, follow=True) as file:
            yield from _of_file(path, file, others)
    except ParseError as error:
        line, column = error.position
        reason = reason_of(error).partition(": line")[0]
        raise ConfigError(f"{path}:{line}:{column + 1}: not well-formed XML: {reason}") from error
    except DefusedXmlException as error:
        what = "an entity or a document type of its own, which is not read"
        raise ConfigError(f"{path}: it declares {what}; take it out") from error
    except (OSError, ValueError, LookupError) as error:
        raise ConfigError(f"{path}: cannot be read as XML: {reason_of(error)}") from error


def _of_file(path: Path, file: IO[bytes], others: list[str]) -> Iterator[Row]:
    """Yield the payments of an open file, and hold no more of it than one transaction."""
    from defusedxml.ElementTree import iterparse

    lines = _ByLines(file)
    messages = _Messages(path, lines, others)
    for event, element in iterparse(lines, ("start", "end"), forbid_dtd=True):
        if event == "start":
            messages.begin(element)
        elif (row := messages.end(element)) is not None:
            yield row
    messages.refuse_none()


class _Messages:
    """The messages of a file as its elements begin and end."""

    def __init__(self, path: Path, lines: "_ByLines", others: list[str]) -> None:
        self._path = path
        self._lines = lines
        self._others = others
        self._above: list[tuple[str, Element]] = []
        self._message = ""
        self._header: Element | None = None
        self._number = self._messages = self._begun = 0

    def begin(self, element: "Element") -> None:
        """Note that an element begins, or refuse it where a payment would be lost by it."""
        name, parent = _local(element.tag), self._above[-1][0] if self._above else ""
        self._above.append((name, element))
        if name in MESSAGES:
            if self._message:
                raise ConfigError(f"{self._here()}: {name} begins within {self._message}")
            _check_namespace(self._here(), element.tag, MESSAGES[name])
            self._message, self._header, self._number = name, None, 0
            self._messages += 1
        elif parent == "Document":
            self._others.append(_kind_of(element.tag))
        elif name == TRANSACTION and self._message:
            if parent != self._message:
                raise ConfigError(f"{self._here()}: {name} stands within {parent}; it belongs below {self._message}")
            self._begun = self._lines.line

    def end(self, element: "Element") -> Row | None:
        """Return the payment that an element is, None of another; what is done with is forgotten."""
        name, _ = self._above.pop()
        parent, outer = self._above[-1] if self._above else ("", None)
        found = None
        if outer is None or not self._message or parent != self._message:
            if name == self._message:
                _check_number(self._here(), MESSAGES[name], self._header, self._number)
                self._message = ""
            if outer is not None and not self._message:  # what is around messages, and those that are done
                outer.remove(element)
            return None
        if name == "GrpHdr":
            self._header = element
            return None
        if name == TRANSACTION:
            self._number += 1
            where = f"{self._path}:{self._begun}: {MESSAGES[self._message]}, transaction {self._number}"
            found = {**_payment(where, element, self._header), LINE: str(self._begun)}
        outer.remove(element)
        return found

    def _here(self) -> str:
        return f"{self._path}:{self._lines.line}"

    def refuse_none(self) -> None:
        """Refuse a file without any of our messages."""
        if not self._messages:
            rest = f"; it has {clean(self._others[0], SHOWN)}" if self._others else ""
            raise ConfigError(f"{self._path}: it holds no {' or '.join(MESSAGES.values())} message{rest}")


class _ByLines:
    """A file that a parser reads line by line, so that `line`, from 1, is where the parser is."""

    def __init__(self, file: IO[bytes]) -> None:
        self.line = 0
        self._file = file
        self._is_within = False

    def read(self, size: int = -1) -> bytes:
        """Return the next line, or as much of it as `size` has room for."""
        found = self._file.readline(size)
        self.line += not self._is_within
        self._is_within = not found.endswith(b"\n")
        return found


def _check_number(where: str, kind: str, header: "Element | None", number: int) -> None:
    """Refuse a message that holds another number of transactions than it says."""
    said = None if header is None else _texts(header)("NbOfTxs")
    if said is not None and not (said.isdecimal() and int(said) == number):
        held = counted(number, "transaction")
        raise ConfigError(f"{where}: {kind}: it holds {held}, and its NbOfTxs is {clean(said, SHOWN)}")


def _kind_of(tag: str) -> str:
    """Return the kind of a message by its namespace, as camt.054.001.08, else its name."""
    return tag.partition("}")[0].rpartition("tech:xsd:")[2] if "tech:xsd:" in tag else _local(tag)


def _check_namespace(where: str, tag: str, wanted: str) -> None:
    """Refuse a message whose namespace is none of ISO's for it."""
    namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
    found = NAMESPACE.fullmatch(namespace)
    if found is None or found[1] != wanted:
        shown = clean(namespace, SHOWN) or "none"
        raise ConfigError(
            f"{where}: {_local(tag)} is in the namespace {shown}; {wanted} is in "
            f"urn:iso:std:iso:20022:tech:xsd:{wanted}.001.NN"
        )


def _payment(where: str, transaction: "Element", header: "Element | None") -> Row:
    found = _texts(transaction)
    group: Found = _texts(header) if header is not None else lambda _: None
    names = [found(f"PmtId/{each}") for each in IDS]
    name = next(filter(None, names), None)
    where = f"{where} ({name})" if name else where
    amounts = [each for each in transaction if _local(each.tag) == "IntrBkSttlmAmt"]
    if len(amounts) > 1:
        raise ConfigError(f"{where}: it has {len(amounts)} elements IntrBkSttlmAmt; which is its amount?")
    if not amounts or not (amounts[0].text or "").strip():
        raise ConfigError(f"{where}: it has no IntrBkSttlmAmt")
    amount = amounts[0]
    if not amount.get("Ccy"):
        raise ConfigError(f"{where}: its IntrBkSttlmAmt has no Ccy, which says the currency")
    if len(amount):
        raise ConfigError(f"{where}: its IntrBkSttlmAmt holds elements; an amount is a number alone")
    if not AMOUNT.fullmatch((amount.text or "").strip()):
        shown = clean((amount.text or "").strip(), SHOWN)
        raise ConfigError(f"{where}: its IntrBkSttlmAmt, {shown!r}, is no number as XML has them, as 1500.25")
    date = found("IntrBkSttlmDt") or group("IntrBkSttlmDt")

    def at(time: str | None) -> str | None:
        """Return a time of the day of settlement as date and time."""
        if time is None:
            return None
        if date is None:
            raise ConfigError(f"{where}: it has a SttlmTmReq, and no IntrBkSttlmDt")
        return f"{_date(date, where)}T{time}"

    asked = {each: at(found(f"SttlmTmReq/{each}")) for each in ("FrTm", "TillTm", "CLSTm", "RjctTm")}
    time = asked["FrTm"] or _not_before(date, found("AccptncDtTm") or group("CreDtTm"), where)
    if time is None:
        raise ConfigError(f"{where}: no time: neither SttlmTmReq/FrTm, AccptncDtTm nor the message's CreDtTm")
    return {
        "time": time,
        "sender": _agent(where, "InstgAgt", found, group),
        "receiver": _agent(where, "InstdAgt", found, group),
        "amount": clean((amount.text or "").strip(), MAX_TEXT),
        "currency": amount.get("Ccy"),
        "priority": _priority(found, group),
        "deadline": asked["TillTm"] or asked["CLSTm"] or asked["RjctTm"],
        "settled": found("SttlmTmIndctn/DbtDtTm") or found("SttlmTmIndctn/CdtDtTm"),
        "id": name,
    }


def _not_before(date: str | None, time: str | None, where: str) -> str | None:
    """Return a time at which a payment is there on its day of settlement: that day's midnight if it came before.

    Raises:
        ConfigError: it came after that day.
    """
    if date is None or time is None:
        return time
    day, came = _date(date, where), time[:10]
    if came > day:
        raise ConfigError(f"{where}: its time, {time}, is after its IntrBkSttlmDt {day}")
    return time if came == day else f"{day}T00:00:00"


def _agent(where: str, role: str, found: Found, group: Found) -> str:
    for source in (found, group):
        for name in AGENT_NAMES:
            if text := source(f"{role}/FinInstnId/{name}"):
                return text
    words = {"InstgAgt": "instructing", "InstdAgt": "instructed"}[role]
    raise ConfigError(f"{where}: neither it nor its message names an {words} agent ({role}/FinInstnId/BICFI)")


def _priority(found: Found, group: Found) -> str | None:
    own = found("PmtTpInf/LclInstrm/Prtry") or ""
    if own.startswith(OWN_PRIORITY):
        return own.removeprefix(OWN_PRIORITY)
    return found("SttlmPrty") or found("PmtTpInf/InstrPrty") or group("PmtTpInf/InstrPrty")


def _date(text: str, where: str) -> str:
    try:
        return datetime.date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise ConfigError(f"{where}: IntrBkSttlmDt {clean(text, SHOWN)!r} is no date") from None


def _texts(element: "Element") -> Found:
    """Return a function that returns the text of what is below an element, by local names; None where there is none."""

    def text(path: str) -> str | None:
        found: Any = element
        for name in path.split("/"):
            if (found := _child(found, name)) is None:
                return None
        return clean((found.text or "").strip(), MAX_TEXT) or None

    return text


def _child(element: "Element", name: str) -> "Element | None":
    return next((each for each in element if _local(each.tag) == name), None)


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]
