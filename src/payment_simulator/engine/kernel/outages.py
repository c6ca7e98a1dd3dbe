"""Outages in the kernel: who is out in a tick, and payments to banks that are closed, hidden from every search."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.queues import (
    leave_queue1,
    note_more_liquidity,
    record_event,
    record_piece_event,
    remove_queue1,
    set_in_segment_tree,
    shown,
)
from payment_simulator.engine.kernel.rows import bank_row, layer_of, pair_row, payment_row, queue_key
from payment_simulator.engine.vocabulary import EventKind


@part
def begin_outage(w, bank, lets_in, last):
    """Begin an outage of a bank that ends with the tick `last`."""
    b = bank_row(bank)
    w[b + L.OUT_UNTIL] = last
    w[b + L.LETS_IN] = lets_in
    w[b + L.AVOIDED_FROM] = w[L.TICK] + w[L.STOP_SENDING_AFTER]
    lasts = last + 1 - w[L.TICK]
    record_event(w, EventKind.OutageBegan, bank, L.NONE, L.NONE, L.NONE, L.ZERO, lasts)


@part
def update_outages(w, come):
    """Find out who is out, closed and avoided in this tick; `come` payments have arrived before it."""
    has_changed = False
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        is_out = w[b + L.OUT_UNTIL] >= w[L.TICK]
        is_avoided = is_out and w[L.TICK] >= w[b + L.AVOIDED_FROM]
        is_closed = is_avoided or (is_out and w[b + L.LETS_IN] == 0)
        has_changed = has_changed or is_avoided != (w[b + L.IS_AVOIDED] != 0) or is_closed != (w[b + L.IS_CLOSED] != 0)
        w[b + L.IS_OUT] = 1 if is_out else 0
        w[b + L.IS_AVOIDED] = 1 if is_avoided else 0
        w[b + L.IS_CLOSED] = 1 if is_closed else 0
    if has_changed:
        _hide_and_show(w, come)


@part
def _hide_and_show(w, come):
    """Hide from the searches what may not be tried now, show what may, and have all of it looked at again."""
    for p in range(come):
        if w[w[L.KNOWN_AT] + p] == 0:
            continue
        r = payment_row(w, p)
        receiver = bank_row(w[r + L.RECEIVER])
        if w[r + L.STATE] == L.IN_QUEUE2:
            set_in_segment_tree(w, p, layer_of(w, r), shown(w, r))
        elif w[r + L.STATE] == L.IN_QUEUE1 and w[bank_row(w[r + L.SENDER]) + L.POLICY] == L.LIQUIDITY_AWARE:
            amount = L.NOTHING if w[receiver + L.IS_AVOIDED] else w[r + L.REST]
            set_in_segment_tree(w, p, L.QUEUE1_LAYER, amount)
    for bank in range(w[L.BANKS]):
        note_more_liquidity(w, bank)
        if w[L.HAS_PAIRS]:
            _list_receivers(w, bank)


@part
def _list_receivers(w, bank):
    """List the banks that one has queued payments to, without those that are closed."""
    b = bank_row(bank)
    end = w[L.PAIR_COUNT] if bank + 1 == w[L.BANKS] else w[bank_row(bank + 1) + L.PAIRS]
    near, degree = w[L.NEAR_AT] + w[b + L.PAIRS], 0
    for number in range(w[b + L.PAIRS], end):
        pair = pair_row(w, number)
        if w[pair + L.COUNT] > 0 and w[bank_row(w[pair + L.TO]) + L.IS_CLOSED] == 0:
            w[near + degree] = number
            degree += 1
    w[b + L.DEGREE] = degree


@part
def held_until(w, r):
    """The last tick in which an outage, of its sender or its receiver, keeps a payment in Queue 1; or NONE."""
    sender, receiver = bank_row(w[r + L.SENDER]), bank_row(w[r + L.RECEIVER])
    if w[sender + L.IS_OUT]:
        return w[sender + L.OUT_UNTIL]
    return w[receiver + L.OUT_UNTIL] if w[receiver + L.IS_AVOIDED] else L.NONE


@part
def release_held(w, bank, count):
    """Release what outages kept in the queue of a bank that releases everything; the count of all releases."""
    p = w[bank_row(bank) + L.QUEUE1_FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        following = w[r + L.AFTER]
        if w[bank_row(w[r + L.RECEIVER]) + L.IS_AVOIDED] == 0:
            remove_queue1(w, p)
            leave_queue1(w, p)
            w[w[L.RELEASED_AT] + count] = queue_key(w, p)
            count += 1
        p = following
    return count


@part
def hold_queue1(w, bank):
    """Record, once, what a bank with decision trees holds while it is out."""
    p = w[bank_row(bank) + L.QUEUE1_FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        if w[r + L.HELD] == 0:
            w[r + L.HELD] = 1
            record_piece_event(w, EventKind.PolicyHold, p, L.ZERO, w[r + L.REST], L.NONE)
        p = w[r + L.AFTER]
