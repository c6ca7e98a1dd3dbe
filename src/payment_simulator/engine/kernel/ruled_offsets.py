"""Offsets in the kernel where limits, reservations or strict queues decide, too: a piece at a time, as `reference`."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.rows import bank_row, payment_row, remaining
from payment_simulator.engine.kernel.rules import lacks, leading_to, limits_forbid
from payment_simulator.engine.vocabulary import PriorityClass

SIDE = 3  # a payment, the last that is in; how many of its pieces are; the place of the lowest class up to it


@part
def bear_offset(w, bank, other, pair, back):
    """What each of two banks pays in the offset that both can bear; 0 for none.

    A side begins whole, or in a strict queue as far as the bank's payments go to the other; while a bank cannot bear
    it, its last piece is left out.
    """
    side_one, side_two = w[L.PATH_AT], w[L.PATH_AT] + SIDE
    begin = w[L.RELEASED_AT]
    one = _gather(w, pair, side_one, begin, _most(w, bank, other))
    if one > 0:
        begin = w[side_one + 2] + 1
    two = _gather(w, back, side_two, begin, _most(w, other, bank))
    a, b = bank_row(bank), bank_row(other)
    while one > 0 and two > 0:
        rise, back_rise = one - w[a + L.IS_NET] * two, two - w[b + L.IS_NET] * one
        if limits_forbid(w, a, other, rise, rise):
            one -= _leave_out(w, side_one)
        elif limits_forbid(w, b, bank, back_rise, back_rise):
            two -= _leave_out(w, side_two)
        elif lacks(w, a, one - two, w[w[side_one + 2]]):
            one -= _leave_out(w, side_one)
        elif lacks(w, b, two - one, w[w[side_two + 2]]):
            two -= _leave_out(w, side_two)
        else:
            return one, two
    return L.ZERO, L.ZERO


@part
def _most(w, bank, other):
    return leading_to(w, bank, other) if w[L.STRICT] else L.NOTHING


@part
def _gather(w, pair, side, begin, most):
    """The sum of a side's first payments, `most` of them; from `begin` on the lowest class up to each of them."""
    total, p, at, lowest = L.ZERO, w[pair + L.FIRST], begin, PriorityClass.URGENT.value
    while p != L.NONE and at - begin < most:
        r = payment_row(w, p)
        lowest = min(lowest, w[L.CLASS_OF + w[r + L.PRIORITY]])
        w[at] = lowest
        w[side], w[side + 1], w[side + 2] = p, w[r + L.LEFT] + 1, at
        total += remaining(w, r)
        p = w[r + L.PAIR_AFTER]
        at += 1
    return total


@part
def _leave_out(w, side):
    """Leave the last piece out of a side; its amount."""
    r, pieces = payment_row(w, w[side]), w[side + 1]
    amount = w[r + L.REST] if pieces > w[r + L.LEFT] else w[r + L.SIZE]
    w[side + 1] = pieces - 1
    if pieces == 1 and w[r + L.PAIR_BEFORE] != L.NONE:
        w[side] = w[r + L.PAIR_BEFORE]
        w[side + 1] = w[payment_row(w, w[side]) + L.LEFT] + 1
        w[side + 2] -= 1
    return amount


@part
def allow_cycle(w, length):
    """True where every bank can bear the cycle of so many edges that the path holds."""
    path = w[L.PATH_AT]
    before = w[path + L.PATH_AMOUNT + length - 1]
    for at in range(length):
        b, gives = bank_row(w[path + L.PATH_BANK + at]), w[path + L.PATH_AMOUNT + at]
        if limits_forbid(w, b, w[path + L.PATH_BANK + at + 1], gives, gives - w[b + L.IS_NET] * before):
            return False
        priority = w[payment_row(w, w[w[path + L.PATH_EDGE + at] + L.FIRST]) + L.PRIORITY]
        if lacks(w, b, gives - before, w[L.CLASS_OF + priority]):
            return False
        before = gives
    return True
