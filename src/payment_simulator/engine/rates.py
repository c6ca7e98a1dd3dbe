"""Rates as the kernel multiplies by them: exactly, whatever their digits.

A rate is its whole part, then limbs of 31 bits of the rest, rounded up, then a 0. A product with cents, or the sum of
several over one common denominator d, is a multiple of 1/d; a result that is less than 1/(2d) too large is on the same
side of every half, and of every whole number. For up to 2^61 cents, 62 bits more than d has make it so.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

LIMB_BITS = 31
"""The sum of two products of limbs, and what was carried, stay within an int64."""


class Rates:
    """The columns of rates, one after another; the first begins at the place `begin`.

    Each group of `groups` are rates whose products are added up before they are rounded; all have as many limbs as
    the widest needs.
    """

    def __init__(self, begin: int, groups: Sequence[Sequence[Fraction]]) -> None:
        digits = (lcm(*(rate.denominator for rate in group)).bit_length() for group in groups)
        self.limbs = -(-(62 + max(digits)) // LIMB_BITS)
        self.columns: list[int] = []
        self._begin = begin

    def add(self, rate: Fraction) -> int:
        """Its place; its columns are the whole part, the limbs from the most significant on, and 0.

        A whole part over 2^62 is 2^62: of such a rate `limits` lets pass nothing that it could be charged on.
        """
        place = self._begin + len(self.columns)
        whole, rest = divmod(rate, 1)
        scaled = int(-(-rest * 2 ** (LIMB_BITS * self.limbs) // 1))
        shifts = range(LIMB_BITS * (self.limbs - 1), -1, -LIMB_BITS)
        self.columns += [min(int(whole), 2**62), *(scaled >> shift & 2**LIMB_BITS - 1 for shift in shifts), 0]
        return place
