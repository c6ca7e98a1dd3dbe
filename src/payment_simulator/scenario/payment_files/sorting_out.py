"""Rows that are payments of the run, and those that are not: left out and counted where the section says so."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labledger.untrusted_text import SHOWN, clean
from payment_simulator.scenario.bank_names import meant
from payment_simulator.scenario.payment_files.clock import Day, inside_day
from payment_simulator.scenario.payment_files.problems import Problems, some_of
from payment_simulator.scenario.payment_files.rows import UNWRITTEN, Rows, only
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments

Mask = NDArray[np.bool_]
MOST_TICKS = 2**31 - 1
WORDS = {
    "reversal": "below 0",
    "zero": "nothing is paid",
    "self": "the bank itself",
    "past_deadline": "before its time",
}
REMEDIES = {
    "outside_day": "times outside the day: {n}; say payments.skip: [outside_day] to leave them out",
    "unknown_bank": "banks that are not among the agents: {names} ({n} times); name them there, put from_payments into "
    "the list, which is all others, or say payments.skip: [unknown_bank] to leave them out",
    "self": "payments to oneself: {n}; say payments.skip: [self] to leave them out",
    "zero": "payments of nothing: {n}; say payments.skip: [zero] to leave them out",
    "past_deadline": "deadlines before their time: {n}; say payments.skip: [past_deadline] to leave them out",
    "reversal": "amounts below 0: {n}; say payments.reversals: skip, or swap to let the receiver pay",
}


def sorted_out(part: Rows, section: Payments, run: Run, day: Day | None, problems: Problems) -> Rows:
    """Return the rows that are payments of the run; others are left out as the section says, or noted."""
    reasons = {
        "reversal": part.amount < 0,
        "zero": part.amount == 0,
        "self": part.sender == part.receiver,
        "unknown_bank": _unknown(part, run),
        "outside_day": _outside(part, section, run, day),
        "past_deadline": _past_deadline(part),
    }
    if section.reversals == "swap":
        back = reasons.pop("reversal")
        sides = np.where(back, part.receiver, part.sender), np.where(back, part.sender, part.receiver)
        part = replace(part, sender=sides[0], receiver=sides[1], amount=np.abs(part.amount))
    skip = {*section.skip, *(["reversal"] if section.reversals == "skip" else [])}
    kept = ~problems.unusable(part.source)
    for reason, mask in reasons.items():
        mask &= kept
        if not mask.any():
            continue
        if reason in skip:
            part.source.skipped[reason] = int(mask.sum())
        else:
            _note(part, reason, mask, run, day, problems)
        kept &= ~mask
    return part if kept.all() else only(part, kept)


def _unknown(part: Rows, run: Run) -> Mask:
    if run.banks is None or not part.banks:
        return np.zeros(len(part.amount), dtype=np.bool_)
    known = set(run.banks)
    strange = np.array([name not in known for name in part.banks], dtype=np.bool_)
    return strange[part.sender] | strange[part.receiver]


def _outside(part: Rows, section: Payments, run: Run, day: Day | None) -> Mask:
    if day is None or section.clock is None:
        ticks = MOST_TICKS if run.ticks is None else run.ticks
        return (part.time < 0) | (part.time >= ticks)
    return ~inside_day(part.time, day, also_before=section.clock.before_open == "first_tick")


def _past_deadline(part: Rows) -> Mask:
    if part.deadline is None:
        return np.zeros(len(part.time), dtype=np.bool_)
    is_past: Mask = (part.deadline != UNWRITTEN) & (part.deadline < part.time)
    return is_past


def _note(part: Rows, reason: str, mask: Mask, run: Run, day: Day | None, problems: Problems) -> None:
    column = {"outside_day": "time", "past_deadline": "deadline", "self": "receiver"}.get(reason, "amount")
    if reason == "unknown_bank":
        known = sorted(run.banks or ())
        strange = np.array([name not in known for name in part.banks], dtype=np.bool_)
        names = sorted(name for name in part.banks if name not in known)
        remedy = REMEDIES[reason].replace("{names}", clean(some_of(names), SHOWN))
        for column, places in (("sender", part.sender), ("receiver", part.receiver)):
            text = _stranger(known)
            problems.add(part.source, mask & strange[places], column, text, remedy)
        return
    problems.add(part.source, mask, column, _words(reason, day, run), REMEDIES[reason])


def _stranger(known: list[str]) -> Callable[[str], str]:
    def text(cell: str) -> str:
        return f"{cell} is not among the agents{meant(cell.strip(chr(34)), known)}"

    return text


def _words(reason: str, day: Day | None, run: Run) -> str:
    if reason != "outside_day":
        return WORDS[reason]
    if day is not None:
        opens, closes = (f"{each // 3600:02}:{each // 60 % 60:02}" for each in (day.open_s, day.close_s))
        return f"outside the day, {opens} to {closes}"
    return "not a tick of the run" if run.ticks is None else f"not among the {run.ticks:,} ticks of the run"
