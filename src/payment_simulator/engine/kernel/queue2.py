"""Steps 8 and 9 of a tick in the kernel: the central queue is retried, then offset."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.lsm import offset_pairs, settle_cycles
from payment_simulator.engine.kernel.netting import net_queue2
from payment_simulator.engine.kernel.queues import (
    find_candidate,
    move,
    note_more_liquidity,
    record_piece_event,
    take_front,
)
from payment_simulator.engine.kernel.rows import bank_row, front, front_place, payment_row
from payment_simulator.engine.kernel.rules import find_blocked
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.kernel.watch import note_waiting
from payment_simulator.engine.vocabulary import EventKind


@part
def work_queue2(w):
    """Steps 8 and 9: retry the central queue, then offset; or net it, in a batch."""
    if w[L.RTGS]:
        _retry_all(w)
    if w[L.CENTRAL_SIZE] > 0:
        if w[L.BATCHES] > 0 and _is_batch(w):
            net_queue2(w, EventKind.LsmBatchSettlement)
        elif w[L.RTGS]:
            _offset(w)


@part
def _is_batch(w):
    at, end = w[L.BATCHES_AT], w[L.BATCHES_AT] + w[L.BATCHES]
    while at < end and w[at] != w[L.TICK] % w[L.TICKS_PER_DAY]:
        at += 1
    return at < end


@part
def _offset(w):
    """Step 9 where no batch is."""
    if w[L.BILATERAL]:
        offset_pairs(w)
    if w[L.CYCLES]:
        settle_cycles(w)
    if w[L.MULTILATERAL]:
        net_queue2(w, EventKind.LsmMultilateralOffset)


@part
def _retry_all(w):
    """Step 8."""
    if (w[L.HAS_RULES] or w[L.RETRIES_ONCE]) and w[L.CENTRAL_SIZE] > 0:
        _list_all(w)
    if w[L.LISTED] > 0:
        _retry(w)
    if w[L.HAS_RULES] and w[L.CENTRAL_SIZE] > 0 and w[L.ROWS] >= 0 and w[L.ONLY_SETTLEMENTS] == 0:
        _record_blocked(w)


@part
def _retry(w):
    """Settle the first in queue order, while any fits; with one pass, of those behind what settled last."""
    w[L.RETRY_FROM] = 0
    for at in range(w[L.LISTED_AT], w[L.LISTED_AT] + w[L.LISTED]):
        w[bank_row(w[at]) + L.CANDIDATE] = find_candidate(w, w[at])
    while True:
        best = _best_candidate(w)
        note_waiting(w, best)
        if best == L.NOTHING:
            return
        if w[L.RETRIES_ONCE]:
            w[L.RETRY_FROM] = best
        p = best & L.KEY_MASK
        r = payment_row(w, p)
        sender, receiver = w[r + L.SENDER], w[r + L.RECEIVER]
        move(w, sender, receiver, take_front(w, p, EventKind.SettledFromQueue, L.NONE))
        w[bank_row(sender) + L.CANDIDATE] = find_candidate(w, sender)
        if w[L.HAS_RULES]:
            note_more_liquidity(w, receiver)  # its limits leave more, too
        if w[bank_row(receiver) + L.CANDIDATE] != L.NONE:
            w[bank_row(receiver) + L.CANDIDATE] = find_candidate(w, receiver)


@part
def _list_all(w):
    """Let every bank's part of Queue 2 be looked at: rules may allow more now, and one pass leaves what fits."""
    for bank in range(w[L.BANKS]):
        note_more_liquidity(w, bank)


@part
def _record_blocked(w):
    """Record, in queue order, what only a limit forbids."""
    count = find_blocked(w)
    sort_keys(w, w[L.RELEASED_AT], count)
    for index in range(count):
        p = w[w[L.RELEASED_AT] + index] & L.KEY_MASK
        r = payment_row(w, p)
        record_piece_event(w, EventKind.LimitBlocked, p, front_place(w, r), front(w, r), L.NONE)


@part
def _best_candidate(w):
    """The first in queue order of the banks' candidates; banks without one leave the list."""
    best, at = L.NOTHING, w[L.LISTED_AT]
    while at < w[L.LISTED_AT] + w[L.LISTED]:
        b = bank_row(w[at])
        if w[b + L.CANDIDATE] == L.NOTHING:
            w[b + L.CANDIDATE] = L.NONE
            w[L.LISTED] -= 1
            w[at] = w[w[L.LISTED_AT] + w[L.LISTED]]
        else:
            best = min(best, w[b + L.CANDIDATE])
            at += 1
    return best
