"""Checks of payments that a caller puts together: what is wrong, in which column and row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.scenario.given_payments import COLUMNS
from payment_simulator.scenario.numbers import LARGEST_CENTS

Ints = NDArray[Any]
LAST = 2**31 - 1
RANGES = {
    "tick": (0, LAST, "ticks are counted from 0"),
    "sender": (0, LAST, "banks are counted from 0, in the order of their ids"),
    "receiver": (0, LAST, "banks are counted from 0, in the order of their ids"),
    "amount": (1, LARGEST_CENTS, "amounts are cents, from 1 to 2^61"),
    "priority": (0, 10, "priorities are from 0 to 10"),
    "deadline": (0, LAST, "a deadline is the last tick in which the payment is not overdue"),
    "divisible": (0, 1, "divisible is true or false"),
    "bounds": (0, LAST, "bounds are the places at which samples begin"),
    "given": (-1, LAST, "given is a place among the scenario's payments, or -1"),
}
MOST_PROBLEMS = 10


def checked_columns(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns of payments as arrays of the types that the engines read; `given` may be None.

    Raises:
        ValueError: they cannot be payments in sequence; a line for each problem has its column and first row.
    """
    columns: dict[str, Any] = {}
    problems = []
    for name, values in written.items():
        if name == "given" and values is None:
            columns[name] = None
            continue
        try:
            columns[name] = _whole_numbers(name, values)
        except ValueError as error:
            problems.append(str(error))
    if not problems:
        problems = list(_problems(columns))
    if problems:
        raise ValueError("\n".join(problems[:MOST_PROBLEMS]))
    kinds = {**COLUMNS, "bounds": np.int64, "given": np.int32}
    return {
        name: None if values is None else values.astype(kinds[name], copy=False) for name, values in columns.items()
    }


def first_row(wrong: NDArray[np.bool_], also: str = "rows") -> str:
    """Return the first row that is wrong, counted from 0, and how many are."""
    count = int(np.count_nonzero(wrong))
    more = f" (and {count - 1:,} other {also})" if count > 1 else ""
    return f"row {int(np.argmax(wrong)):,}{more}"


def _whole_numbers(name: str, values: Any) -> Ints:
    found: Ints = np.asarray(values)
    if found.ndim != 1:
        raise ValueError(f"{name}: an array of {found.ndim} dimensions; give a value per payment")
    if found.dtype.kind in "fO" and not isinstance(values, np.ndarray) and all(type(each) is int for each in values):
        found = np.array(values, dtype=object)  # none at all, or past int64
    elif found.dtype.kind not in ("iub" if name == "divisible" else "iu"):
        remedy = "round amounts to whole cents" if name == "amount" else "give whole numbers"
        raise ValueError(f"{name}: holds {found.dtype} values, which are no whole numbers; {remedy}")
    low, high, rule = RANGES[name]
    wrong = (found < low) | (found > high)
    if wrong.any():
        raise ValueError(f"{first_row(wrong)}: {name}: {found[np.argmax(wrong)]} is not possible: {rule}")
    return found


def _problems(columns: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with columns of possible values."""
    count = len(columns["tick"])
    lengths = {name: len(each) for name, each in columns.items() if each is not None and name != "bounds"}
    if uneven := [f"{name} {length:,}" for name, length in lengths.items() if length != count]:
        yield f"columns have a value per payment: tick has {count:,}, {', '.join(uneven)}"
        return
    bounds = columns["bounds"].astype(np.int64)
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != count or (np.diff(bounds) < 0).any():
        yield f"bounds: should rise from 0 to the number of payments, {count:,}; of one sample they are [0, {count}]"
        return
    yield from _wrong_rows(columns, bounds)


def _wrong_rows(columns: Mapping[str, Any], bounds: Ints) -> Iterator[str]:
    tick = columns["tick"].astype(np.int64)
    goes_back = np.zeros(len(tick), dtype=np.bool_)
    goes_back[1:] = np.diff(tick) < 0
    goes_back[bounds[(bounds > 0) & (bounds < len(tick))]] = False
    if goes_back.any():
        row = int(np.argmax(goes_back))
        yield (
            f"{first_row(goes_back)}: tick: {tick[row]} comes after {tick[row - 1]}: payments stand in sequence, by "
            "tick; sort them, and keep the order of those in one tick"
        )
    itself = columns["sender"] == columns["receiver"]
    if itself.any():
        row = int(np.argmax(itself))
        yield f"{first_row(itself)}: receiver: {columns['receiver'][row]} is the sender itself"
    late = columns["deadline"] < tick
    if late.any():
        row = int(np.argmax(late))
        yield (
            f"{first_row(late)}: deadline: {columns['deadline'][row]} is before the payment's tick, {tick[row]}; "
            "deadlines are ticks of the run"
        )


def strange_rows(columns: Mapping[str, Ints], banks: Sequence[str], ticks: int) -> Iterator[str]:
    """Yield what payments have that a scenario of these banks, and so many ticks, does not."""
    for name in ("sender", "receiver"):
        wrong = (columns[name] < 0) | (columns[name] >= len(banks))
        if wrong.any():
            yield (
                f"{first_row(wrong)}: {name}: {columns[name][np.argmax(wrong)]} is no bank: the scenario has "
                f"{len(banks):,}, 0 to {len(banks) - 1} in the order of their ids"
            )
    wrong = (columns["tick"] < 0) | (columns["tick"] >= ticks)
    if wrong.any():
        yield (
            f"{first_row(wrong)}: tick: {columns['tick'][np.argmax(wrong)]} is past the end: the run has {ticks:,} "
            "ticks, counted from 0"
        )
