"""Arithmetic in which what is unknown stays unknown, and what no float can hold is unknown too."""

import math
from collections.abc import Callable, Sequence
from operator import mul, truediv
from typing import TypeVar

N = TypeVar("N", int, float)


def ratio(part: float | None, whole: float | None) -> float | None:
    """None where either is unknown, there is nothing to divide by, or no float holds the ratio."""
    return _in_a_float(truediv, part, whole) if part is not None and whole else None


def product(one: float | None, other: float | None) -> float | None:
    """None where either is unknown, or no float holds the product."""
    return None if one is None or other is None else _in_a_float(mul, one, other)


def sum_of_all(values: Sequence[N | None]) -> N | None:
    """None where one is unknown, there is none, or no float holds a sum of floats; a sum of int is exact."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    try:
        found = sum(known)
    except OverflowError:  # an int beyond all floats, and a float
        return None
    return found if isinstance(found, int) or math.isfinite(found) else None


def _in_a_float(operation: Callable[[float, float], float], one: float, other: float) -> float | None:
    try:
        found = float(operation(one, other))
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
