"""Offsets on entry in the kernel: what does not fit as it is released, with the receiver's first payments back."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.pairs import find_pair
from payment_simulator.engine.kernel.queues import move, take_front
from payment_simulator.engine.kernel.rows import bank_row, pair_row, payment_row
from payment_simulator.engine.kernel.rules import lacks, leading_to, limits_forbid, waits_behind
from payment_simulator.engine.vocabulary import EventKind, PriorityClass


@part
def pieces_back(w, sender, receiver, amount, p, priority):
    """The fewest pieces of the receiver's queue to the sender with which a payment settles; 0 where none do."""
    if w[L.IS_PREPARED] == 0 or w[bank_row(sender) + L.IS_CLOSED] or waits_behind(w, sender, p, priority):
        return L.ZERO
    pair = _pair_back(w, sender, receiver)
    if pair == L.NONE:
        return L.ZERO
    most = leading_to(w, receiver, sender) if w[L.STRICT] else L.NOTHING
    back, count, lowest, q = L.ZERO, L.ZERO, PriorityClass.URGENT.value, w[pair + L.FIRST]
    while q != L.NONE and most > 0:
        r = payment_row(w, q)
        lowest = min(lowest, w[L.CLASS_OF + w[r + L.PRIORITY]])
        for left in range(w[r + L.LEFT], -1, -1):
            back += w[r + L.SIZE] if left > 0 else w[r + L.REST]
            count += 1
            if not _bears(w, receiver, sender, back, amount, lowest):
                return L.ZERO  # and with more it bears less
            if _bears(w, sender, receiver, amount, back, w[L.CLASS_OF + priority]):
                return count
        q = w[r + L.PAIR_AFTER]
        most -= 1
    return L.ZERO


@part
def _pair_back(w, sender, receiver):
    """The row of the pair from a receiver to the sender; NONE where there is none."""
    number = find_pair(w, receiver, sender)
    end = w[L.PAIR_COUNT] if receiver + 1 == w[L.BANKS] else w[bank_row(receiver + 1) + L.PAIRS]
    is_there = number < end and w[pair_row(w, number) + L.TO] == sender
    return pair_row(w, number) if is_there else L.NONE


@part
def _bears(w, bank, other, out, into, lowest):
    """True where a bank can pay `out` to another and receive `into` at once; `lowest` is the least urgent class."""
    b = bank_row(bank)
    rise = out - w[b + L.IS_NET] * into
    return not (lacks(w, b, out - into, lowest) or limits_forbid(w, b, other, rise, rise))


@part
def settle_back(w, sender, receiver, amount, count):
    """Settle so many pieces of the receiver's, with a payment that was counted already; move what both net to."""
    first = _pair_back(w, sender, receiver)
    back = L.ZERO
    for _ in range(count):
        back += take_front(w, w[first + L.FIRST], EventKind.LsmEntryOffset, w[L.OFFSETS])
    w[L.OFFSETS] += 1
    w[L.LSM_VALUE] += amount + back
    if amount != back:
        move(w, sender, receiver, amount - back)
