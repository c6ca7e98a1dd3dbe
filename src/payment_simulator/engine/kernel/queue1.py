"""The order of Queue 1 in the kernel where it is not that of arrival: priority, then deadline, then sequence."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.queues import leave_queue1, remove_queue1
from payment_simulator.engine.kernel.rows import bank_row, payment_row, queue_key
from payment_simulator.engine.kernel.watch import note_shortfall


@part
def sort_queue1(w, bank):
    """Sort a bank's list: new payments are at its end, and priorities may have changed."""
    p = w[bank_row(bank) + L.QUEUE1_FIRST]
    while p != L.NONE:
        following, before = w[payment_row(w, p) + L.AFTER], w[payment_row(w, p) + L.BEFORE]
        place = before
        while place != L.NONE and _is_first(w, p, place):
            place = w[payment_row(w, place) + L.BEFORE]
        if place != before:
            remove_queue1(w, p)
            _insert_after(w, bank, p, place)
        p = following


@part
def _is_first(w, p, q):
    """True where a payment comes before another."""
    r, s = payment_row(w, p), payment_row(w, q)
    if w[r + L.PRIORITY] != w[s + L.PRIORITY]:
        return w[r + L.PRIORITY] > w[s + L.PRIORITY]
    if w[r + L.DUE] != w[s + L.DUE]:
        return w[r + L.DUE] < w[s + L.DUE]
    return p < q


@part
def _insert_after(w, bank, p, before):
    """Put a payment into a bank's list behind another; behind NONE: first."""
    b, r = bank_row(bank), payment_row(w, p)
    after = w[b + L.QUEUE1_FIRST] if before == L.NONE else w[payment_row(w, before) + L.AFTER]
    w[r + L.BEFORE] = before
    w[r + L.AFTER] = after
    if before == L.NONE:
        w[b + L.QUEUE1_FIRST] = p
    else:
        w[payment_row(w, before) + L.AFTER] = p
    if after == L.NONE:
        w[b + L.QUEUE1_LAST] = p
    else:
        w[payment_row(w, after) + L.BEFORE] = p


@part
def release_in_order(w, bank, count):
    """Release from a LiquidityAware bank's list, in its order, what leaves the buffer, and what is urgent; the count
    of all releases."""
    b = bank_row(bank)
    left, p = w[b + L.BALANCE] - w[b + L.BUFFER], w[b + L.QUEUE1_FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        following, amount = w[r + L.AFTER], w[r + L.REST]
        if w[bank_row(w[r + L.RECEIVER]) + L.IS_AVOIDED] == 0:
            if amount <= left or w[r + L.DUE] - w[L.TICK] <= w[b + L.THRESHOLD]:
                left -= amount
                remove_queue1(w, p)
                leave_queue1(w, p)
                w[w[L.RELEASED_AT] + count] = queue_key(w, p)
                count += 1
            else:
                note_shortfall(w, bank, amount - left)
        p = following
    return count
