"""The kernel's pairs of sender and receiver: the payments of Queue 2 from one to the other, in queue order."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.rows import bank_row, front, layer_of, pair_row, payment_row, remaining


@part
def find_pair(w, sender, receiver):
    """The number of a pair that is there, in the order of senders, then receivers; else of the one that follows it."""
    first = w[bank_row(sender) + L.PAIRS]
    if w[L.IS_DENSE]:
        return first + receiver
    low, high = first, w[L.PAIR_COUNT]
    if sender + 1 < w[L.BANKS]:
        high = w[bank_row(sender + 1) + L.PAIRS]
    while low < high:
        middle = (low + high) // 2
        if w[pair_row(w, middle) + L.TO] < receiver:
            low = middle + 1
        else:
            high = middle
    return low


@part
def queued_value(w, sender, receiver):
    """The cents that wait in Queue 2 from one bank to another."""
    number = find_pair(w, sender, receiver)
    following = w[L.PAIR_COUNT] if w[L.IS_DENSE] or sender + 1 == w[L.BANKS] else w[bank_row(sender + 1) + L.PAIRS]
    if number >= following or w[pair_row(w, number) + L.TO] != receiver:
        return L.ZERO
    return w[pair_row(w, number) + L.VALUE]


@part
def link_pair(w, p, r):
    """Put a payment, whose row is `r`, into its pair's list."""
    number = find_pair(w, w[r + L.SENDER], w[r + L.RECEIVER])
    pair = pair_row(w, number)
    w[r + L.PAIR] = number
    before = _before(w, p, r, number)
    after = w[pair + L.FIRST] if before == L.NONE else w[payment_row(w, before) + L.PAIR_AFTER]
    w[r + L.PAIR_BEFORE] = before
    w[r + L.PAIR_AFTER] = after
    if before == L.NONE:
        w[pair + L.FIRST] = p
        w[pair + L.FRONT] = front(w, r)
    else:
        w[payment_row(w, before) + L.PAIR_AFTER] = p
    if after != L.NONE:
        w[payment_row(w, after) + L.PAIR_BEFORE] = p
    w[pair + L.VALUE] += remaining(w, r)
    w[L.STAMP] += 1
    w[pair + L.PAIR_CHANGED] = w[L.STAMP]
    if w[pair + L.COUNT] == 0 and w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED] == 0:
        _add_near(w, w[r + L.SENDER], number)
    w[pair + L.COUNT] += 1


@part
def _before(w, p, r, number):
    """The payment that one belongs after: of its layer the last that is older, else the last of those before it."""
    first = w[L.LASTS_AT] + number * L.PRIORITIES
    last = first + layer_of(w, r)
    before = w[last]
    if before == L.NONE or before < p:
        w[last] = p
    while before > p and layer_of(w, payment_row(w, before)) == layer_of(w, r):
        before = w[payment_row(w, before) + L.PAIR_BEFORE]
    while before == L.NONE and last > first:
        last -= 1
        before = w[last]
    return before


@part
def shrink_pair(w, p, r, amount, is_last):
    """Take the settled first piece out of a pair; the payment leaves its pair's list with its last."""
    number = w[r + L.PAIR]
    pair = pair_row(w, number)
    w[pair + L.VALUE] -= amount
    w[L.STAMP] += 1
    w[pair + L.PAIR_CHANGED] = w[L.STAMP]
    if not is_last:
        if w[r + L.PAIR_BEFORE] == L.NONE:
            w[pair + L.FRONT] = front(w, r)
        return
    before, after = w[r + L.PAIR_BEFORE], w[r + L.PAIR_AFTER]
    if before == L.NONE:
        w[pair + L.FIRST] = after
        if after != L.NONE:
            w[pair + L.FRONT] = front(w, payment_row(w, after))
    else:
        w[payment_row(w, before) + L.PAIR_AFTER] = after
    if after != L.NONE:
        w[payment_row(w, after) + L.PAIR_BEFORE] = before
    last = w[L.LASTS_AT] + number * L.PRIORITIES + layer_of(w, r)
    if w[last] == p:
        is_alike = before != L.NONE and layer_of(w, payment_row(w, before)) == layer_of(w, r)
        w[last] = before if is_alike else L.NONE
    w[pair + L.COUNT] -= 1
    if w[pair + L.COUNT] == 0 and w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED] == 0:
        _remove_near(w, w[r + L.SENDER], number)


@part
def _add_near(w, sender, number):
    """Add a receiver to its sender's list, which is in their order."""
    b = bank_row(sender)
    first = w[L.NEAR_AT] + w[b + L.PAIRS]
    at = first + w[b + L.DEGREE]
    while at > first and w[at - 1] > number:
        w[at] = w[at - 1]
        at -= 1
    w[at] = number
    w[b + L.DEGREE] += 1


@part
def _remove_near(w, sender, number):
    b = bank_row(sender)
    at = w[L.NEAR_AT] + w[b + L.PAIRS]
    while w[at] != number:
        at += 1
    w[b + L.DEGREE] -= 1
    last = w[L.NEAR_AT] + w[b + L.PAIRS] + w[b + L.DEGREE]
    while at < last:
        w[at] = w[at + 1]
        at += 1


@part
def open_pair(w, number, to, back):
    """A pair without payments; `back` is the one the other way, or NONE."""
    pair = pair_row(w, number)
    w[pair + L.FIRST] = L.NONE
    w[pair + L.VALUE] = 0
    w[pair + L.COUNT] = 0
    w[pair + L.PAIR_CHANGED] = 0
    w[pair + L.TRIED] = -1
    w[pair + L.BACK] = back
    w[pair + L.TO] = to
