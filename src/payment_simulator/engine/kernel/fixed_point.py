"""Shares of an amount, exact whatever the rate: `rates` says why, `layout` where a rate is."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part


@part
def product(w, amount, rate, half):
    """`amount`, at least 0, times the rate at `rate`: rounded down, or half up where `half` is HALF. See `rates`.

    Written out, for LLVM then leaves it where it is: a loop in it would be inlined, and make its callers slow.
    """
    low, high = amount & L.LIMB_MASK, amount >> L.LIMB_SHIFT
    carry = w[rate + 6] * low
    carry = (carry >> L.LIMB_SHIFT) + w[rate + 5] * low + w[rate + 6] * high
    carry = (carry >> L.LIMB_SHIFT) + w[rate + 4] * low + w[rate + 5] * high
    carry = (carry >> L.LIMB_SHIFT) + w[rate + 3] * low + w[rate + 4] * high
    carry = (carry >> L.LIMB_SHIFT) + w[rate + 2] * low + w[rate + 3] * high
    carry = (carry >> L.LIMB_SHIFT) + w[rate + 1] * low + w[rate + 2] * high
    return w[rate] * amount + w[rate + 1] * high + ((carry + half) >> L.LIMB_SHIFT)


@part
def share(w, amount, rate):
    """`amount` times the rate at `rate`, rounded half up."""
    return product(w, amount, rate, L.HALF)


@part
def penalty(w, amount, rule):
    """Cents, or where there is a rate, a share of the amount."""
    return w[rule] if w[rule + 1] == L.NONE else share(w, amount, w[rule + 1])
