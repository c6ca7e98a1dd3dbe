"""Money as a person reads it: exact where it is little, in thousands to trillions of the currency where it is much.

What is computed, and what files and JSON hold, is always whole cents.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from payment_simulator.scenario.payment_files.sections import Payments
    from payment_simulator.scenario.schema import Scenario

LEAST_ROUNDED = 100_000
"""Units of the currency from which on an amount is written with three digits."""
UNITS = ((10**12, "tn"), (10**9, "bn"), (10**6, "M"), (10**3, "k"))
COLUMN_DECIMALS = 2
DIGITS = 3
MOST_DIGITS = 25
"""Digits that tell any two amounts apart."""
T = TypeVar("T")


def money(cents: int, decimals: int = 2, digits: int = DIGITS) -> str:
    """Return an amount in units of its currency, of `decimals`: `1.24 bn`, three digits; below 100,000 units exact."""
    if abs(cents) < LEAST_ROUNDED * 10**decimals:
        return _written(cents, decimals)
    sign, value = "-" if cents < 0 else "", abs(cents)
    for size, unit in reversed(UNITS):
        whole, is_largest = value // (size * 10**decimals), unit == UNITS[0][1]
        if whole >= 1_000 and not is_largest:
            continue
        places = max(digits - len(str(whole)), 0)
        scaled = _half_up(value * 10**places, size * 10**decimals)
        if len(str(scaled)) > digits and not is_largest:
            if whole == 999:  # 999.9 k is 1.00 M
                continue
            scaled, places = scaled // 10, places - 1  # 9.999 M is 10.0 M
        return f"{sign}{_written(scaled, places)} {unit}"
    raise AssertionError  # the largest unit takes all


def told_apart(first: T, second: T, write: Callable[[T, int], str], digits: int) -> tuple[str, str]:
    """Return how `write` writes two values with `digits`, both with as many more of them as unequal ones differ by."""
    for number in range(digits, MOST_DIGITS):
        texts = write(first, number), write(second, number)
        if first == second or texts[0] != texts[1]:
            return texts
    return repr(first), repr(second)


def decimals_of(scenario: "Scenario") -> int:
    """Return the decimals of the currency of a scenario's payments; 2 where it names none."""
    return decimals_in(scenario.payments_section)


def decimals_in(section: "Payments | None") -> int:
    """Return the decimals of the currency of payments that were read so; 2 where none is named."""
    from payment_simulator.scenario.payment_files import currencies

    currency = None if section is None else section.currency
    found = None if currency is None else currencies.decimals_of(currency)
    return currencies.DEFAULT_DECIMALS if found is None else found


@dataclass(frozen=True)
class MoneyStyle:
    """The style of the amounts of one answer: all in cents, exactly, or all in units of the currency."""

    in_cents: bool
    decimals: int = 2

    @classmethod
    def of(cls, amounts: Iterable[int], decimals: int = 2) -> "MoneyStyle":
        """Return cents where all amounts are below 100,000 units, else units."""
        least = LEAST_ROUNDED * 10**decimals
        return cls(all(abs(each) < least for each in amounts), decimals)

    @property
    def words(self) -> str:
        """The unit of the amounts, in words."""
        if self.in_cents and self.decimals:
            return "cents" if self.decimals == 2 else "smallest units of the currency"
        return "units of the currency"

    def text(self, cents: int) -> str:
        """Return one amount."""
        return self._short(cents, DIGITS)

    def pair(self, first: int, second: int) -> tuple[str, str]:
        """Return two amounts to be compared: unequal ones never look equal."""
        return told_apart(first, second, self._short, DIGITS)

    def _short(self, cents: int, digits: int) -> str:
        return f"{cents:,}" if self.in_cents else money(cents, self.decimals, digits)

    def column(self, name: str, amounts: Sequence[int]) -> tuple[str, list[str]]:
        """Return the head of a column, with its unit, and its cells: all of them in one unit, that of the largest."""
        if self.in_cents:
            return name, [f"{each:,}" for each in amounts]
        largest = max(map(abs, amounts), default=0)
        base = 10**self.decimals
        if largest < LEAST_ROUNDED * base:
            return name, [_written(each, self.decimals) for each in amounts]
        size, unit = next((size, unit) for size, unit in UNITS if largest >= size * base)
        return f"{name} ({unit})", [_of_size(each, size * base) for each in amounts]


def _of_size(cents: int, size: int) -> str:
    """An amount as a multiple of `size`, rounded; one that would be 0 and is not is told as less than the least."""
    scaled = _half_up(abs(cents) * 10**COLUMN_DECIMALS, size)
    if cents and not scaled:
        return "<0.01" if cents > 0 else ">-0.01"
    return _written(scaled if cents > 0 else -scaled, COLUMN_DECIMALS)


def _half_up(part: int, whole: int) -> int:
    return (2 * part + whole) // (2 * whole)


def _written(number: int, places: int) -> str:
    """Return `number` / 10^`places`, with all its places."""
    whole, rest = divmod(abs(number), 10**places)
    text = f"{whole:,}" + (f".{rest:0{places}d}" if places else "")
    return f"-{text}" if number < 0 else text
