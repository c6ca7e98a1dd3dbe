"""Shares of an amount, exact whatever the rate: `rates` says why, `layout` where a rate is."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import inlined, part


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


@inlined
def share_of_each(w, amounts, rates, count):
    """The sum of `count` amounts from `amounts` on, each times its own rate from `rates` on, rounded half up.

    The amounts are at most 2^61 together: their rates, rounded up, make the sum no more too large than one product.
    """
    whole = first = second = third = fourth = fifth = sixth = L.ZERO
    for index in range(count):
        amount, rate = w[amounts + index], rates + index * L.RATE_COLUMNS
        low, high = amount & L.LIMB_MASK, amount >> L.LIMB_SHIFT
        carry = sixth + w[rate + 6] * low
        sixth = carry & L.LIMB_MASK
        carry = (carry >> L.LIMB_SHIFT) + fifth + w[rate + 5] * low + w[rate + 6] * high
        fifth = carry & L.LIMB_MASK
        carry = (carry >> L.LIMB_SHIFT) + fourth + w[rate + 4] * low + w[rate + 5] * high
        fourth = carry & L.LIMB_MASK
        carry = (carry >> L.LIMB_SHIFT) + third + w[rate + 3] * low + w[rate + 4] * high
        third = carry & L.LIMB_MASK
        carry = (carry >> L.LIMB_SHIFT) + second + w[rate + 2] * low + w[rate + 3] * high
        second = carry & L.LIMB_MASK
        carry = (carry >> L.LIMB_SHIFT) + first + w[rate + 1] * low + w[rate + 2] * high
        first = carry & L.LIMB_MASK
        whole += w[rate] * amount + w[rate + 1] * high + (carry >> L.LIMB_SHIFT)
    return whole + ((first + L.HALF) >> L.LIMB_SHIFT)


@part
def accrue_share(w, remainder, amount, rate, times):
    """The whole cents of `times` shares of an amount and of what the limbs at `remainder` hold, which keep the rest.

    `times` is at most 2^24, so that its product with a limb, and what is carried, stay within an int64.
    """
    low, high = amount & L.LIMB_MASK, amount >> L.LIMB_SHIFT
    carry = w[rate + 6] * low
    more = w[remainder + 5] + (carry & L.LIMB_MASK) * times
    w[remainder + 5] = more & L.LIMB_MASK
    for limb in range(4, -1, -1):
        carry = (carry >> L.LIMB_SHIFT) + w[rate + limb + 1] * low + w[rate + limb + 2] * high
        more = (more >> L.LIMB_SHIFT) + w[remainder + limb] + (carry & L.LIMB_MASK) * times
        w[remainder + limb] = more & L.LIMB_MASK
    return (w[rate] * amount + w[rate + 1] * high + (carry >> L.LIMB_SHIFT)) * times + (more >> L.LIMB_SHIFT)


@part
def penalty(w, amount, rule):
    """Cents, or where there is a rate, a share of the amount."""
    return w[rule] if w[rule + 1] == L.NONE else share(w, amount, w[rule + 1])
