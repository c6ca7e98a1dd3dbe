"""Step 7 of a tick in the kernel: releases are tried once, alone or with payments the other way."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.on_entry import pieces_back, settle_back
from payment_simulator.engine.kernel.queues import (
    count_front_settled,
    enter_queue2,
    move,
    open_row,
    record_event,
    record_piece_event,
)
from payment_simulator.engine.kernel.rows import bank_row, front, front_place, payment_row, spendable_liquidity
from payment_simulator.engine.kernel.rules import count_settled, may_settle, waits_behind
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.kernel.watch import note_shortfall
from payment_simulator.engine.kernel.workspace import prepare
from payment_simulator.engine.vocabulary import EventKind


@part
def settle_releases(w, a, first, last, ticks, count):
    """Step 7: try all releases once, in queue order."""
    sort_keys(w, w[L.RELEASED_AT], count)
    if w[L.HAS_BARRIERS]:
        _settle_with_rules(w, a, first, last, ticks, count)
        return
    index = L.ZERO
    while True:
        index = _settle_fitting(w, a, first, index, count)
        if index == count:
            return
        p = w[w[L.RELEASED_AT] + index] & L.KEY_MASK
        if w[L.IS_PREPARED] and w[w[L.KNOWN_AT] + p]:
            _settle_known(w, p)
        elif not _settle_new(w, a, first, p):
            _queue_new(w, a, first, last, ticks, p)
        index += 1


@part
def _settle_fitting(w, a, first, index, count):
    """Settle releases that never waited, from the one at `index` on, while each fits; the place of the next one.

    A loop with nothing else in it: what it calls is compiled into it, and costs it time even where it is not run.
    """
    while index < count:
        p = w[w[L.RELEASED_AT] + index] & L.KEY_MASK
        at = (first + p) * L.ARRIVAL_COLUMNS
        sender, receiver, amount = a[at + L.A_SENDER], a[at + L.A_RECEIVER], a[at + L.A_AMOUNT]
        is_known = w[L.IS_PREPARED] and w[w[L.KNOWN_AT] + p]
        if is_known or amount > spendable_liquidity(w, bank_row(sender)):
            break
        record_event(w, EventKind.Submitted, sender, receiver, p, L.ZERO, amount, L.NONE)
        _settle_whole(w, sender, receiver, amount, p)
        index += 1
    return index


@part
def _settle_with_rules(w, a, first, last, ticks, count):
    """Step 7 where more than liquidity may bar a release; a loop of its own, which costs the other one nothing."""
    for index in range(count):
        p = w[w[L.RELEASED_AT] + index] & L.KEY_MASK
        if w[L.IS_PREPARED] and w[w[L.KNOWN_AT] + p]:
            _settle_known(w, p)
        elif not _settle_new_by_rules(w, a, first, p):
            _queue_new(w, a, first, last, ticks, p)


@part
def _queue_new(w, a, first, last, ticks, p):
    """Put a payment that never waited into Queue 2."""
    if not w[L.IS_PREPARED]:
        prepare(w, a, first, last, ticks)
    open_row(w, a, first, p)
    enter_queue2(w, p)


@part
def _settle_new(w, a, first, p):
    """Step 7, for a payment that never waited and does not fit alone; True where it settles in another way."""
    at = (first + p) * L.ARRIVAL_COLUMNS
    sender, receiver, amount = a[at + L.A_SENDER], a[at + L.A_RECEIVER], a[at + L.A_AMOUNT]
    record_event(w, EventKind.Submitted, sender, receiver, p, L.ZERO, amount, L.NONE)
    return _settle_otherwise(w, sender, receiver, amount, p, a[at + L.A_PRIORITY])


@part
def _settle_new_by_rules(w, a, first, p):
    """Step 7, for a payment that never waited, where more than liquidity may bar it; True where it settled."""
    at = (first + p) * L.ARRIVAL_COLUMNS
    sender, receiver, amount = a[at + L.A_SENDER], a[at + L.A_RECEIVER], a[at + L.A_AMOUNT]
    priority = a[at + L.A_PRIORITY]
    record_event(w, EventKind.Submitted, sender, receiver, p, L.ZERO, amount, L.NONE)
    is_open = _is_tried(w, receiver) and amount <= spendable_liquidity(w, bank_row(sender))
    if not is_open or (w[L.HAS_RULES] and _is_barred(w, sender, receiver, amount, p, priority)):
        return _settle_otherwise(w, sender, receiver, amount, p, priority)
    if w[L.HAS_RULES]:
        count_settled(w, sender, receiver, amount, priority)
    _settle_whole(w, sender, receiver, amount, p)
    return True


@part
def _settle_whole(w, sender, receiver, amount, p):
    """Settle a payment that never waited."""
    move(w, sender, receiver, amount)
    w[bank_row(sender) + L.SETTLED_COUNT] += 1
    w[L.SETTLED_VALUE] += amount
    record_event(w, EventKind.SettledImmediately, sender, receiver, p, L.ZERO, amount, L.NONE)


@part
def _is_tried(w, receiver):
    """True where releases to a bank are tried."""
    return w[bank_row(receiver) + L.IS_CLOSED] == 0 and w[L.RTGS] != 0


@part
def _settle_otherwise(w, sender, receiver, amount, p, priority):
    """Settle what never waited and does not settle alone with payments the other way; True where some do."""
    if _is_tried(w, receiver):
        note_shortfall(w, sender, amount - spendable_liquidity(w, bank_row(sender)))
        if w[L.ON_ENTRY] and _offset_new(w, sender, receiver, amount, p, priority):
            return True
    record_event(w, EventKind.Queued, sender, receiver, p, L.ZERO, amount, L.NONE)
    return False


@part
def _offset_new(w, sender, receiver, amount, p, priority):
    """Settle the same with payments the other way; True where some do."""
    count = pieces_back(w, sender, receiver, amount, p, priority)
    if count == 0:
        return False
    record_event(w, EventKind.LsmEntryOffset, sender, receiver, p, L.ZERO, amount, w[L.OFFSETS])
    w[bank_row(sender) + L.SETTLED_COUNT] += 1
    w[L.SETTLED_VALUE] += amount
    if w[L.HAS_RULES]:
        count_settled(w, sender, receiver, amount, priority)
    settle_back(w, sender, receiver, amount, count)
    return True


@part
def _is_barred(w, sender, receiver, amount, p, priority):
    """True where a rule keeps a payment from settling as it is released."""
    return waits_behind(w, sender, p, priority) or not may_settle(w, sender, receiver, amount, priority)


@part
def _settle_known(w, p):
    """Step 7, for a payment that was in Queue 1: each piece in turn, what does not fit to Queue 2."""
    r = payment_row(w, p)
    is_tried = _is_tried(w, w[r + L.RECEIVER])
    while is_tried and (_settle_front(w, p, r) or (w[L.ON_ENTRY] and _offset_front(w, p, r))):
        if w[r + L.STATE] == L.SETTLED:
            return
    if is_tried:
        note_shortfall(w, w[r + L.SENDER], front(w, r) - spendable_liquidity(w, bank_row(w[r + L.SENDER])))
    if w[L.ROWS] >= 0:
        for left in range(w[r + L.LEFT], -1, -1):
            amount = w[r + L.SIZE] if left > 0 else w[r + L.REST]
            record_piece_event(w, EventKind.Submitted, p, w[r + L.PIECES] - 1 - left, amount, L.NONE)
            record_piece_event(w, EventKind.Queued, p, w[r + L.PIECES] - 1 - left, amount, L.NONE)
    enter_queue2(w, p)


@part
def _settle_front(w, p, r):
    """Settle the first piece alone; True where it fits."""
    sender, receiver, amount = w[r + L.SENDER], w[r + L.RECEIVER], front(w, r)
    if amount > spendable_liquidity(w, bank_row(sender)):
        return False
    if w[L.HAS_RULES] and _is_barred(w, sender, receiver, amount, p, w[r + L.PRIORITY]):
        return False
    record_piece_event(w, EventKind.Submitted, p, front_place(w, r), amount, L.NONE)
    record_piece_event(w, EventKind.SettledImmediately, p, front_place(w, r), amount, L.NONE)
    count_front_settled(w, p)
    move(w, sender, receiver, amount)
    return True


@part
def _offset_front(w, p, r):
    """Settle the first piece with payments the other way; True where some do."""
    sender, receiver, amount = w[r + L.SENDER], w[r + L.RECEIVER], front(w, r)
    count = pieces_back(w, sender, receiver, amount, p, w[r + L.PRIORITY])
    if count == 0:
        return False
    record_piece_event(w, EventKind.Submitted, p, front_place(w, r), amount, L.NONE)
    record_piece_event(w, EventKind.LsmEntryOffset, p, front_place(w, r), amount, w[L.OFFSETS])
    count_front_settled(w, p)
    settle_back(w, sender, receiver, amount, count)
    return True
