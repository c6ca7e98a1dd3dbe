"""Arithmetic in which what is unknown stays unknown."""

from collections.abc import Sequence
from typing import TypeVar

N = TypeVar("N", int, float)


def ratio(part: float | None, whole: float | None) -> float | None:
    """None where either is unknown, or there is nothing to divide by."""
    return part / whole if part is not None and whole else None


def sum_of_all(values: Sequence[N | None]) -> N | None:
    """None where one is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
