"""The columns of a file of payments: by the names that the user gives, else by the usual ones."""

import re
from collections.abc import Sequence

from labledger.untrusted_text import clean
from labledger.yaml_files import nearest
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
from payment_simulator.scenario.payment_files.sections import PaymentColumns

SIDES = {
    "sender": (
        "sender from payer debtor dbtr dbtragt instgagt debtoragent instructingagent instructingbank instructingparty "
        "sendingbank sendingparticipant sendingparty sendinginstitution sendingagent payingbank payingparticipant "
        "orderingbank orderinginstitution originator originatorbank source debitbank debitparticipant debited"
    ),
    "receiver": (
        "receiver to payee creditor cdtr cdtragt instdagt creditoragent instructedagent instructedbank instructedparty "
        "receivingbank receivingparticipant receivingparty receivinginstitution receivingagent payeebank recipient "
        "beneficiary beneficiarybank beneficiaryinstitution target destination creditbank creditparticipant credited"
    ),
}
"""A bank on either side; each also with one of the endings."""
ENDINGS = ("", "agent", "bank", "bic", "id", "code", "name", "participant", "aba", "account", "member")
USUAL_NAMES = {
    "time": (
        "time timestamp datetime tick arrivaltick arrivaltime arrival submitted submittedat submissiontime "
        "submissiontimestamp submissiondatetime submittime entered enteredat entrytime entrytimestamp entrydatetime "
        "introduced introducedat introductiontime timeofintroduction intrtime accepted acceptedat acceptancetime "
        "accptncdttm received receivedat receivedtime receipttime created createdat creationtime credttm inputtime "
        "initiationtime sendtime senttime sentat messagetime transactiontime transactiondatetime paymenttime "
        "paymentdatetime paymenttimestamp instructiontime"
    ),
    "sender": " ".join(f"{word}{ending}" for word in SIDES["sender"].split() for ending in ENDINGS),
    "receiver": " ".join(f"{word}{ending}" for word in SIDES["receiver"].split() for ending in ENDINGS),
    "amount": (
        "amount amt value paymentamount paymentvalue transactionamount transactionvalue settlementamount "
        "settlementvalue settledamount interbanksettlementamount intrbksttlmamt instructedamount amountcents "
        "valuecents amountincents"
    ),
    "priority": "priority prio settlementpriority sttlmprty paymentpriority instructionpriority urgency priorityclass",
    "deadline": (
        "deadline due dueat duetime latest latesttime latestsettlementtime settleby settlementdeadline till tilltime "
        "tilltm rejecttime rejttm rejtm cutoff cutofftime"
    ),
    "divisible": "divisible isdivisible",
    "settled": (
        "settled settledat settledtime settledtick settlementtime settlementtimestamp settlementdatetime "
        "settlementtick timeofsettlement finaltime finalitytime booked bookedat bookingtime executed executedat "
        "executiontime"
    ),
    "date": (
        "date businessdate businessday day settlementdate intrbksttlmdt valuedate transactiondate transdate entrydate "
        "introductiondate paymentdate submissiondate"
    ),
    "currency": "currency ccy currencycode curr",
    "id": (
        "id paymentid transactionid transid txid txnid tranid uetr ref reference paymentreference transactionreference "
        "transactionnumber endtoendid instructionid instrid msgid messageid imad"
    ),
}
"""The names of each column in files of the field; case, blanks, dashes, dots and underscores do not count."""
REQUIRED = ("time", "sender", "receiver", "amount")
SAID = r"(\w+): \.\.\.,?"
MOST_LISTED, SOME_LISTED = 20, 10
"""Columns of a file that a message names, and of one that has more."""
FIRST_COUNTS = ("id",)
"""Columns of which, where there are several, the first by the usual names is taken: none of them changes a payment."""


class ColumnsError(PaymentsKeyError):
    """Columns of a file are not found: `missing` are those of ours that no column is, `problems` what else is wrong."""

    def __init__(self, file: str, problems: Sequence[str], missing: Sequence[str], names: Sequence[str]) -> None:
        lines = [f"{file}: {problem}" for problem in problems]
        if missing:
            asked = " or the ".join(filter(None, (", the ".join(missing[:-1]), missing[-1])))
            hint = "; it is one column: is the separator another, or the header on another line?" * (len(names) == 1)
            lines.append(f"{file}: no column is the {asked}; it has {listed(names)}{hint}; say {_section(missing)}")
        super().__init__("columns", *lines)

    def with_options(self) -> str:
        """Return the message for a command that sets the keys of the section by options."""
        text = re.sub(r"^payments\.columns: ", "", str(self), flags=re.MULTILINE)
        return re.sub(
            r"say columns: \{(.*?)\}", lambda said: "say " + re.sub(SAID, r"--set columns.\1=...", said[1]), text
        )


def _section(missing: Sequence[str]) -> str:
    return f"columns: {{{', '.join(f'{ours}: ...' for ours in missing)}}}"


def chosen_columns(names: Sequence[str], given: PaymentColumns, file: str) -> dict[str, str]:
    """Return the file's name of each column that it has, by our name.

    A file without a time of submission, but with one of settlement, has that as its `time` and no `settled`.

    Raises:
        ColumnsError: columns that are needed, or that the user names, are not there, or several could be one of ours.
    """
    found, taken = {}, {name for name in given.model_dump().values() if name}
    problems, wrong = [], set()
    for ours in USUAL_NAMES:
        named = getattr(given, ours)
        fits = [named] if named else [] if named is not None else _usual(names, ours, taken)
        if named and named not in names:
            near = nearest(named, list(names))
            about = f" (did you mean {clean(near, 60)}?)" if near else f"; it has {listed(names)}"
            problems.append(f"no column {clean(named, 60)!r}{about}")
            wrong.add(ours)
        elif len(fits) > 1 and ours not in FIRST_COUNTS:
            both = " and ".join(repr(clean(name, 60)) for name in fits)
            problems.append(f"{both} could be the {ours}; say columns: {{{ours}: ...}}")
            wrong.add(ours)
        elif fits:
            found[ours] = fits[0]
    if "time" not in found and given.time is None and given.settled is None and "settled" in found:
        found["time"] = found.pop("settled")
    missing = [ours for ours in REQUIRED if ours not in found and ours not in wrong]
    if missing or problems:
        raise ColumnsError(clean(file, 300), problems, missing, names)
    return found


def is_of_settlement(name: str) -> bool:
    """Return True of a usual name of the time at which payments settle."""
    return is_usual(name, "settled")


def is_usual(name: str, ours: str) -> bool:
    """Return True of a usual name of one of our columns."""
    return _plain(name) in USUAL_NAMES[ours].split()


def listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    if not names:
        return "none"
    most = len(names) if len(names) <= MOST_LISTED else SOME_LISTED
    rest = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(clean(name, 60) or '""' for name in names[:most]) + rest


def _usual(names: Sequence[str], ours: str, taken: set[str]) -> list[str]:
    """Return the columns that may be one of ours, the most usual name first."""
    usual = USUAL_NAMES[ours].split()
    fits = [name for name in dict.fromkeys(names) if name not in taken and _plain(name) in usual]
    return sorted(fits, key=lambda name: usual.index(_plain(name))) if ours in FIRST_COUNTS else fits


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
