"""Arithmetic of figures that may be unknown: the result is None where an operand is, or where no float holds it."""

import math
from collections.abc import Callable, Sequence
from operator import mul, truediv
from typing import TypeVar

N = TypeVar("N", int, float)


def ratio(part: float | None, whole: float | None) -> float | None:
    """`part` over `whole`; None where either is unknown, `whole` is 0, or no float holds the ratio."""
    return _in_a_float(truediv, part, whole) if part is not None and whole else None


def product(one: float | None, other: float | None) -> float | None:
    """`one` times `other`; None where either is unknown, or no float holds the product."""
    return None if one is None or other is None else _in_a_float(mul, one, other)


def sum_of_all(values: Sequence[N | None]) -> N | None:
    """The sum; None where one is unknown, there is none, or no float holds a sum of floats. A sum of int is exact."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    try:
        found = sum(known)
    except OverflowError:  # an int beyond all floats, and a float
        return None
    return found if isinstance(found, int) or math.isfinite(found) else None


def sum_of_known(values: Sequence[float | None]) -> float | None:
    """The sum of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def is_computable(value: float | None) -> bool:
    """Return True if the value is known and a float holds it: an int may be beyond all floats."""
    return product(value, 1.0) is not None


def _in_a_float(operation: Callable[[float, float], float], one: float, other: float) -> float | None:
    try:
        found = float(operation(one, other))
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def seconds(length_s: float) -> str:
    """Return a length of time in a message: `2.4 s`; of a short one two digits, `0.013 s`, never `0.0 s`."""
    return f"{length_s:.1f} s" if length_s >= 1 or length_s == 0 else f"{length_s:.2g} s"
