"""Queue 1: the payments that wait at their bank. A bank with trees has them in a list too, in sequence."""

from payment_simulator.engine.compiled import part
from payment_simulator.engine.layout import (
    AFTER,
    BEFORE,
    IN_QUEUE1,
    NONE,
    ONE,
    QUEUE1_FIRST,
    QUEUE1_LAST,
    QUEUE1_SIZE,
    QUEUE1_VALUE,
    REST,
    SENDER,
    STATE,
)
from payment_simulator.engine.ledger import bank_row, count_waiting, payment_row


@part
def enter_queue1(w, p):  # type: ignore[no-untyped-def]
    """A payment waits at its bank."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    w[r + STATE] = IN_QUEUE1
    w[b + QUEUE1_VALUE] += w[r + REST]
    w[b + QUEUE1_SIZE] += 1
    count_waiting(w, p, ONE)


@part
def leave_queue1(w, p):  # type: ignore[no-untyped-def]
    """A payment is released or dropped."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    w[r + STATE] = 0
    w[b + QUEUE1_VALUE] -= w[r + REST]
    w[b + QUEUE1_SIZE] -= 1


@part
def append_queue1(w, p):  # type: ignore[no-untyped-def]
    """Put a payment at the end of its bank's list, which is in sequence."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    last = w[b + QUEUE1_LAST]
    w[r + BEFORE] = last
    w[r + AFTER] = NONE
    if last == NONE:
        w[b + QUEUE1_FIRST] = p
    else:
        w[payment_row(w, last) + AFTER] = p
    w[b + QUEUE1_LAST] = p


@part
def remove_queue1(w, p):  # type: ignore[no-untyped-def]
    """Take a payment out of that list."""
    r = payment_row(w, p)
    b, before, after = bank_row(w[r + SENDER]), w[r + BEFORE], w[r + AFTER]
    if before == NONE:
        w[b + QUEUE1_FIRST] = after
    else:
        w[payment_row(w, before) + AFTER] = after
    if after == NONE:
        w[b + QUEUE1_LAST] = before
    else:
        w[payment_row(w, after) + BEFORE] = before
