"""Values of a scenario: whole cents, rates that are exactly what was written, and flags."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

LARGEST_CENTS = 2**61
"""No sum of money, nor of costs, may pass this; int64 holds four times as much."""

Cents = Annotated[int, Field(ge=0, le=LARGEST_CENTS, strict=True)]
Amount = Annotated[int, Field(ge=1, le=LARGEST_CENTS, strict=True)]
Tick = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
TickRange = tuple[Tick, Tick]
Positive = Annotated[int, Field(ge=1, le=2**31, strict=True)]
Priority = Annotated[int, Field(ge=0, le=10, strict=True)]
DEFAULT_PRIORITY = 5
Flag = Annotated[bool, Field(strict=True)]
Rate = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e100, strict=True)]
"""Far from what an infinite sum would take."""
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
BPS = 10_000


def exact(number: float) -> Fraction:
    """The fraction that was written: 0.29 is 29/100, not the nearest double."""
    return Fraction(Decimal(repr(number)))


def half_up(value: Fraction) -> int:
    """The nearest whole number; of two as near, the larger."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def check_range(name: str, limits: tuple[int, int]) -> None:
    """Refuse a range of `name` whose ends are the wrong way round.

    Raises:
        ValueError: they are.
    """
    if limits[0] > limits[1]:
        raise ValueError(f"{name}: {list(limits)} is not [least, most]")


def without_control_characters(name: str) -> str:
    """Return a name as it is.

    Raises:
        ValueError: a character in it is one that a terminal obeys, or that no path can have.
    """
    if any(letter < " " or letter == "\x7f" for letter in name):
        raise ValueError(f"{name!r}: a name has no control characters, such as NUL or a line break")
    return name
