"""Decisions of the kernel's banks on payments: by decision trees, and by what a LiquidityAware bank can afford."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.policy_vm import run_decision_tree, whole
from payment_simulator.engine.kernel.queue1 import release_in_order
from payment_simulator.engine.kernel.queues import (
    count_waiting,
    leave_queue1,
    record_piece_event,
    remove_queue1,
    set_in_segment_tree,
)
from payment_simulator.engine.kernel.rows import bank_row, has_segment_tree, payment_row, queue_key, segment_tree_at
from payment_simulator.engine.kernel.segment_tree import next_within
from payment_simulator.engine.kernel.tree_fields import set_fields, set_payment_fields
from payment_simulator.engine.kernel.watch import note_held
from payment_simulator.engine.kernel.workspace import NO_BUDGET
from payment_simulator.engine.vocabulary import EventKind
from payment_simulator.policy.fields_and_actions import ActionKind
from payment_simulator.policy.tree import MAX_PIECES


@part
def release_affordable(w, bank, begun, ended, count):
    """Release in sequence what leaves the buffer, and the urgent from `begun` to `ended`; the count of all releases."""
    if w[L.SORTS_QUEUE1]:
        return release_in_order(w, bank, count)
    if not has_segment_tree(w, bank, L.QUEUE1_LAYER):
        return count
    b = bank_row(bank)
    left, start = w[b + L.BALANCE] - w[b + L.BUFFER], L.ZERO
    while True:
        place = next_within(w, segment_tree_at(w, b, L.QUEUE1_LAYER), w[b + L.SEGMENT_TREE_SIZE], start, left)
        while begun < ended and _place_of_urgent(w, begun) < start:
            begun += 1
        if begun < ended and (place < 0 or _place_of_urgent(w, begun) < place):
            place = _place_of_urgent(w, begun)
        note_held(w, bank, start, place if place >= 0 else w[b + L.SEGMENT_TREE_SIZE], left)
        if place < 0:
            return count
        p = w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place]
        left -= w[payment_row(w, p) + L.REST]
        set_in_segment_tree(w, p, L.QUEUE1_LAYER, L.NOTHING)
        leave_queue1(w, p)
        w[w[L.RELEASED_AT] + count] = queue_key(w, p)
        count += 1
        start = place + 1


@part
def _place_of_urgent(w, index):
    return w[payment_row(w, w[w[L.URGENT_KEYS_AT] + index] & L.KEY_MASK) + L.PLACE]


@part
def decide_queue1(w, f, code, bank, count):
    """Apply a bank's decision tree to its Queue 1, in sequence; the count of all releases."""
    b, so_far = bank_row(bank), L.ZERO
    set_fields(w, f, b)
    if w[b + L.BUDGET_EACH] != NO_BUDGET:
        for other in range(w[L.BANKS]):
            w[w[L.SENT_AT] + other] = 0
    p = w[b + L.QUEUE1_FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        following, amount = w[r + L.AFTER], w[r + L.REST]
        set_payment_fields(w, f, b, r, so_far)
        action = run_decision_tree(w, f, code, w[b + L.PAYMENT_TREE])
        has_number = action == ActionKind.Split or action == ActionKind.Reprioritize or action == ActionKind.ReleaseAt
        number = whole(f[L.STACK_AT]) if has_number else 0
        if action == ActionKind.Split and (w[r + L.DIVISIBLE] == 0 or number < 2 or number > min(amount, MAX_PIECES)):
            action = ActionKind.Hold.value
        releases = action == ActionKind.Release or action == ActionKind.Split or action == ActionKind.ReleaseAt
        if releases and _may_release(w, f, b, w[r + L.RECEIVER], amount):
            so_far += amount
            if action == ActionKind.ReleaseAt:
                _reprioritize(w, p, number)
            _release(w, b, p, number if action == ActionKind.Split else L.ONE)
            w[w[L.RELEASED_AT] + count] = queue_key(w, p)
            count += 1
        else:
            _keep(w, p, action, number)
        p = following
    return count


@part
def _may_release(w, f, b, receiver, amount):
    """True where no budget and no outage keeps a bank from releasing so much to another."""
    if amount > w[b + L.BUDGET] or w[bank_row(receiver) + L.IS_AVOIDED]:
        return False
    if w[b + L.BUDGET_EACH] != NO_BUDGET and w[w[L.SENT_AT] + receiver] + amount > w[b + L.BUDGET_EACH]:
        return False
    if w[b + L.FOCUS_AT] == 0:
        return True
    for at in range(w[b + L.FOCUS_AT] + 1, w[b + L.FOCUS_AT] + 1 + int(f[w[b + L.FOCUS_AT]])):
        if int(f[at]) == receiver:
            return True
    return False


@part
def _release(w, b, p, pieces):
    """Take a payment out of Queue 1, whole or as `pieces`: all but the last of the same amount, then the rest."""
    r = payment_row(w, p)
    amount = w[r + L.REST]
    if w[b + L.BUDGET] != NO_BUDGET:
        w[b + L.BUDGET] -= amount
    if w[b + L.BUDGET_EACH] != NO_BUDGET:
        w[w[L.SENT_AT] + w[r + L.RECEIVER]] += amount
    remove_queue1(w, p)
    leave_queue1(w, p)
    if pieces == 1:
        return
    count_waiting(w, p, L.NONE)
    w[r + L.PIECES] = pieces
    w[r + L.LEFT] = pieces - 1
    w[r + L.SIZE] = amount // pieces
    w[r + L.REST] = amount - w[r + L.SIZE] * (pieces - 1)
    count_waiting(w, p, L.ONE)
    w[b + L.TICK_FRICTION] += w[L.FRICTION] * (pieces - 1)
    record_piece_event(w, EventKind.PolicySplit, p, L.ZERO, amount, pieces)


@part
def _keep(w, p, action, number):
    """Drop a payment, give it another priority, or hold it."""
    r = payment_row(w, p)
    if action == ActionKind.Drop:
        remove_queue1(w, p)
        leave_queue1(w, p)
        w[r + L.STATE] = L.DROPPED
        record_piece_event(w, EventKind.PolicyDrop, p, L.ZERO, w[r + L.REST], L.NONE)
    elif action == ActionKind.Reprioritize:
        _reprioritize(w, p, number)
    elif w[r + L.HELD] == 0:  # held, or released beyond the budget or to a bank that is avoided
        w[r + L.HELD] = 1
        record_piece_event(w, EventKind.PolicyHold, p, L.ZERO, w[r + L.REST], L.NONE)


@part
def _reprioritize(w, p, number):
    """Give a payment in Queue 1 another priority, from 0 to 10."""
    r, priority = payment_row(w, p), min(max(number, 0), 10)
    if priority != w[r + L.PRIORITY]:
        w[r + L.PRIORITY] = priority
        record_piece_event(w, EventKind.PolicyReprioritize, p, L.ZERO, w[r + L.REST], priority)
