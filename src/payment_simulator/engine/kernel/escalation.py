"""Escalation in the kernel: the priorities of what waits near its deadline, before banks decide."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.pairs import link_pair, shrink_pair
from payment_simulator.engine.kernel.queues import record_piece_event, set_in_segment_tree, shown
from payment_simulator.engine.kernel.rows import front_place, layer_of, payment_row, remaining
from payment_simulator.engine.vocabulary import EventKind


@part
def escalate(w, come):
    """Raise the priorities of the first `come` payments, as far as they wait; each of them has a row."""
    start, p = w[L.ESCALATES_AT], w[L.ESCALATE_FROM]
    while p < come and not _is_waiting(w, p):
        p += 1
    w[L.ESCALATE_FROM] = p
    while p < come:
        r = payment_row(w, p)
        left = max(w[r + L.DUE] - w[L.TICK], L.ZERO)
        if left <= start and _is_waiting(w, p):
            boost = (2 * w[L.MAX_BOOST] * (start - left) + start) // (2 * start)
            priority = min(w[r + L.ARRIVAL_PRIORITY] + boost, 10)
            if priority > w[r + L.PRIORITY]:
                change_priority(w, p, priority)
                record_piece_event(w, EventKind.PriorityEscalated, p, front_place(w, r), remaining(w, r), priority)
        p += 1


@part
def _is_waiting(w, p):
    state = w[payment_row(w, p) + L.STATE]
    return state == L.IN_QUEUE1 or state == L.IN_QUEUE2


@part
def change_priority(w, p, priority):
    """Give a payment another priority, and its place in the order of the central queue, where it is in it."""
    r = payment_row(w, p)
    if w[r + L.STATE] != L.IN_QUEUE2:
        w[r + L.PRIORITY] = priority
        return
    set_in_segment_tree(w, p, layer_of(w, r), L.NOTHING)
    if w[L.HAS_PAIRS]:
        shrink_pair(w, p, r, remaining(w, r), True)
    w[r + L.PRIORITY] = priority
    set_in_segment_tree(w, p, layer_of(w, r), shown(w, r))
    if w[L.HAS_PAIRS]:
        link_pair(w, p, r)
