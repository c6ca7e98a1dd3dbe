"""Shares of an amount, exact whatever the rate: `rates` says why, `layout` where a rate is."""

from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import HALF, LIMB_MASK, LIMB_SHIFT, NONE


@part
def product(w, amount, rate, half):  # type: ignore[no-untyped-def]
    """`amount`, at least 0, times the rate at `rate`: rounded down, or half up where `half` is HALF. See `rates`.

    Written out, for LLVM then leaves it where it is: a loop in it would be inlined, and make its callers slow.
    """
    low, high = amount & LIMB_MASK, amount >> LIMB_SHIFT
    carry = w[rate + 6] * low
    carry = (carry >> LIMB_SHIFT) + w[rate + 5] * low + w[rate + 6] * high
    carry = (carry >> LIMB_SHIFT) + w[rate + 4] * low + w[rate + 5] * high
    carry = (carry >> LIMB_SHIFT) + w[rate + 3] * low + w[rate + 4] * high
    carry = (carry >> LIMB_SHIFT) + w[rate + 2] * low + w[rate + 3] * high
    carry = (carry >> LIMB_SHIFT) + w[rate + 1] * low + w[rate + 2] * high
    return w[rate] * amount + w[rate + 1] * high + ((carry + half) >> LIMB_SHIFT)


@part
def share(w, amount, rate):  # type: ignore[no-untyped-def]
    """`amount` times the rate at `rate`, rounded half up."""
    return product(w, amount, rate, HALF)


@part
def penalty(w, amount, rule):  # type: ignore[no-untyped-def]
    """Cents, or where there is a rate, a share of the amount."""
    return w[rule] if w[rule + 1] == NONE else share(w, amount, w[rule + 1])
