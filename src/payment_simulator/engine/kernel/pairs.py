"""The kernel's pairs of sender and receiver: what of Queue 2 goes from one to the other, in queue order."""

from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
    BACK,
    BANK_COLUMNS,
    BANKS,
    COUNT,
    DEGREE,
    FIRST,
    FRONT,
    HEAD,
    IS_DENSE,
    LASTS_AT,
    LEFT,
    NEAR_AT,
    NONE,
    PAIR,
    PAIR_AFTER,
    PAIR_BEFORE,
    PAIR_CHANGED,
    PAIR_COLUMNS,
    PAIR_COUNT,
    PAIRS,
    PAIRS_AT,
    PAYMENT_COLUMNS,
    PAYMENTS_AT,
    PRIORITIES,
    PRIORITY,
    RECEIVER,
    REST,
    SENDER,
    SIZE,
    STAMP,
    TO,
    TRIED,
    VALUE,
)  # fmt: skip


@part
def pair_row(w, number):  # type: ignore[no-untyped-def]
    """Where the row of a pair begins."""
    return w[PAIRS_AT] + number * PAIR_COLUMNS


@part
def find_pair(w, sender, receiver):  # type: ignore[no-untyped-def]
    """The number of a pair that is there, in the order of senders, then receivers; else of the one that follows it."""
    first = w[HEAD + sender * BANK_COLUMNS + PAIRS]
    if w[IS_DENSE]:
        return first + receiver
    low, high = first, w[PAIR_COUNT]
    if sender + 1 < w[BANKS]:
        high = w[HEAD + (sender + 1) * BANK_COLUMNS + PAIRS]
    while low < high:
        middle = (low + high) // 2
        if w[pair_row(w, middle) + TO] < receiver:
            low = middle + 1
        else:
            high = middle
    return low


@part
def link_pair(w, p, r):  # type: ignore[no-untyped-def]
    """Put a payment, whose row is `r`, into its pair's list."""
    number = find_pair(w, w[r + SENDER], w[r + RECEIVER])
    pair = pair_row(w, number)
    w[r + PAIR] = number
    before = _before(w, p, r, number)
    after = w[pair + FIRST] if before == NONE else w[_row(w, before) + PAIR_AFTER]
    w[r + PAIR_BEFORE] = before
    w[r + PAIR_AFTER] = after
    if before == NONE:
        w[pair + FIRST] = p
        w[pair + FRONT] = w[r + SIZE] if w[r + LEFT] > 0 else w[r + REST]
    else:
        w[_row(w, before) + PAIR_AFTER] = p
    if after != NONE:
        w[_row(w, after) + PAIR_BEFORE] = p
    w[pair + VALUE] += w[r + LEFT] * w[r + SIZE] + w[r + REST]
    w[STAMP] += 1
    w[pair + PAIR_CHANGED] = w[STAMP]
    if w[pair + COUNT] == 0:
        _add_near(w, w[r + SENDER], number)
    w[pair + COUNT] += 1


@part
def _row(w, p):  # type: ignore[no-untyped-def]
    return w[PAYMENTS_AT] + p * PAYMENT_COLUMNS


@part
def _before(w, p, r, number):  # type: ignore[no-untyped-def]
    """After which payment one belongs: of its priority the last that is older, else the last that is more urgent."""
    first = w[LASTS_AT] + number * PRIORITIES
    last = first + 10 - w[r + PRIORITY]
    before = w[last]
    if before == NONE or before < p:
        w[last] = p
    while before > p and w[_row(w, before) + PRIORITY] == w[r + PRIORITY]:
        before = w[_row(w, before) + PAIR_BEFORE]
    while before == NONE and last > first:
        last -= 1
        before = w[last]
    return before


@part
def shrink_pair(w, p, r, amount, is_last):  # type: ignore[no-untyped-def]
    """The first piece of a payment is settled, and it leaves its pair's list with its last."""
    number = w[r + PAIR]
    pair = pair_row(w, number)
    w[pair + VALUE] -= amount
    w[STAMP] += 1
    w[pair + PAIR_CHANGED] = w[STAMP]
    if not is_last:
        if w[r + PAIR_BEFORE] == NONE:
            w[pair + FRONT] = w[r + SIZE] if w[r + LEFT] > 0 else w[r + REST]
        return
    before, after = w[r + PAIR_BEFORE], w[r + PAIR_AFTER]
    if before == NONE:
        w[pair + FIRST] = after
        if after != NONE:
            first = _row(w, after)
            w[pair + FRONT] = w[first + SIZE] if w[first + LEFT] > 0 else w[first + REST]
    else:
        w[_row(w, before) + PAIR_AFTER] = after
    if after != NONE:
        w[_row(w, after) + PAIR_BEFORE] = before
    last = w[LASTS_AT] + number * PRIORITIES + 10 - w[r + PRIORITY]
    if w[last] == p:
        is_alike = before != NONE and w[_row(w, before) + PRIORITY] == w[r + PRIORITY]
        w[last] = before if is_alike else NONE
    w[pair + COUNT] -= 1
    if w[pair + COUNT] == 0:
        _remove_near(w, w[r + SENDER], number)


@part
def _add_near(w, sender, number):  # type: ignore[no-untyped-def]
    """A sender has something for one more receiver; its list is in their order."""
    b = HEAD + sender * BANK_COLUMNS
    first = w[NEAR_AT] + w[b + PAIRS]
    at = first + w[b + DEGREE]
    while at > first and w[at - 1] > number:
        w[at] = w[at - 1]
        at -= 1
    w[at] = number
    w[b + DEGREE] += 1


@part
def _remove_near(w, sender, number):  # type: ignore[no-untyped-def]
    b = HEAD + sender * BANK_COLUMNS
    at = w[NEAR_AT] + w[b + PAIRS]
    while w[at] != number:
        at += 1
    w[b + DEGREE] -= 1
    last = w[NEAR_AT] + w[b + PAIRS] + w[b + DEGREE]
    while at < last:
        w[at] = w[at + 1]
        at += 1


@part
def open_pair(w, number, to, back):  # type: ignore[no-untyped-def]
    """A pair without payments; `back` is the one the other way, or NONE."""
    pair = pair_row(w, number)
    w[pair + FIRST] = NONE
    w[pair + VALUE] = 0
    w[pair + COUNT] = 0
    w[pair + PAIR_CHANGED] = 0
    w[pair + TRIED] = -1
    w[pair + BACK] = back
    w[pair + TO] = to
