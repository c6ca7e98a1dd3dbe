"""Rates as the kernel multiplies by them: exactly, though a product may be far beyond 64 bits.

A rate is its whole part, then limbs of 31 bits of the rest, rounded up. The product of cents and a rate n/d is a
multiple of 1/d: if it comes out less than 1/(2d) too large, it is on the same side of every half, and of every whole
number. For up to 2^61 cents, 62 bits more than d has make it so; and so do they for a sum of
products, of 2^61 cents together, where d is the common denominator of their rates.
"""

from fractions import Fraction

LIMB_BITS, LIMBS = 31, 6
"""The sum of two products of limbs, and what was carried, stay within an int64."""

MOST_TIMES = 2**24
"""A run has fewer ticks. What is added up over its ticks before it is rounded needs as many bits more."""

LARGEST_DENOMINATOR = 2 ** (LIMB_BITS * LIMBS - 62) - 1


def columns(rate: Fraction) -> list[int]:
    """The whole part, then the limbs from the most significant on.

    A whole part over 2^62 is 2^62: of such a rate `limits` lets pass nothing that it could be charged on.
    """
    whole, rest = divmod(rate, 1)
    scaled = int(-(-rest * 2 ** (LIMB_BITS * LIMBS) // 1))
    shifts = range(LIMB_BITS * (LIMBS - 1), -1, -LIMB_BITS)
    return [min(int(whole), 2**62), *(scaled >> shift & 2**LIMB_BITS - 1 for shift in shifts)]
