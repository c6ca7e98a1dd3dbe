"""Remarks on how files of payments were read, for what nobody said in the scenario and what was changed by it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from payment_simulator.scenario.payment_files.banks import BIC11
from payment_simulator.scenario.payment_files.columns import is_usual, listed
from payment_simulator.scenario.payment_files.priorities import MOST, NONE, T2
from payment_simulator.scenario.payment_files.rows import Rows
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.source import Source

if TYPE_CHECKING:
    import pyarrow

NUMBERS_OF_T2 = {word for word in T2 if word.isdecimal() and word != "0"}
SIGNS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def about_reading(parts: Sequence[Rows], section: Payments) -> list[str]:
    """Return remarks on all files, as their rows were before some were left out."""
    sources = [part.source for part in parts]
    found = [_guessed(part, section) for part in parts]
    if section.columns.currency is None:
        found += [_currency(source) for source in sources]
    found.append(_swapped(parts) if section.reversals == "swap" else "")
    found.append(_one_bank(sources) if section.bic == 8 else "")
    found.append(_low_priorities(sources) if section.priorities is None else "")
    found += [f"columns that are not read: {listed(source.unread)}" for source in sources if source.unread]
    return list(dict.fromkeys(filter(None, found)))


def _guessed(part: Rows, section: Payments) -> str:
    """Return the signs of a text that were found in it, where they are not the usual ones."""
    source = part.source
    between = source.separator if section.separator is None and source.separator not in (None, ",", "\t") else None
    decimal = "," if section.decimal is None and part.decimal == "," else None
    words = [f"{SIGNS.get(between, between)} between columns"] if between else []
    words += ["commas before decimals"] if decimal else []
    return f"{', '.join(words)}, as found in the file" if words else ""


def _currency(source: Source) -> str:
    name = source.columns.get("currency", "")
    is_known = not name or is_usual(name, "currency")
    return "" if is_known else f"the column {source.shown_column('currency')} is taken as the currency"


def _swapped(parts: Sequence[Rows]) -> str:
    number = sum(int((part.amount < 0).sum()) for part in parts)
    return f"amounts below 0, which the receiver pays: {number:,}" if number else ""


def _one_bank(sources: Sequence[Source]) -> str:
    written: set[str] = set()
    for source in sources:
        for ours in ("sender", "receiver"):
            written |= _words(source.column(ours))
    branches = {name: found[1] for name in written if (found := BIC11.fullmatch(name))}
    if not branches:
        return ""
    merged = len(set(branches.values()) | (written - branches.keys()))
    return f"by the first 8 characters of BICs {len(written):,} names are {merged:,} banks"


def _low_priorities(sources: Sequence[Source]) -> str:
    """Return how priorities are read that are within those of T2, which count the other way round."""
    words: set[str] = set()
    for source in sources:
        words |= _words(source.column("priority"))
    numbers = {text for each in words if each.lower() not in NONE and (text := each.removesuffix(".0")) != "0"}
    if not numbers or not numbers <= NUMBERS_OF_T2:
        return ""
    shown = f"{min(numbers)} to {max(numbers)}" if len(numbers) > 1 else f"all {min(numbers)}"
    read = f"priorities are {shown}, read as numbers of 0 to {MOST}, where {MOST} is the most urgent"
    return f"{read}; if 1 is, as in T2, say payments.priorities: t2"


def _words(column: "pyarrow.ChunkedArray | None") -> set[str]:
    if column is None:
        return set()
    import pyarrow as pa

    unique = column.unify_dictionaries().unique()
    plain = unique.cast(unique.type.value_type) if pa.types.is_dictionary(unique.type) else unique
    return {each.strip() for each in plain.cast(pa.string()).to_pylist() if each}
