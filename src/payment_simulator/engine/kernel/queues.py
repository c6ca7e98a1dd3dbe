"""The kernel's bookkeeping: what waits, what it costs to wait, what is in which queue. `layout` says where.

`w` is the array, `b` the row of a bank, `r` that of a payment `p`.
"""

from payment_simulator.engine.kernel.fixed_point import penalty
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
    A_AMOUNT,
    A_DEADLINE,
    A_DIVISIBLE,
    A_PRIORITY,
    A_RECEIVER,
    A_SENDER,
    A_TICK,
    AFTER,
    ARRIVAL,
    ARRIVAL_COLUMNS,
    ARRIVAL_PRIORITY,
    AT_PLACE_AT,
    BALANCE,
    BANK_COLUMNS,
    BEFORE,
    CALENDAR_SIZE,
    CANDIDATE,
    CENTRAL_SIZE,
    CHANGED,
    CREDIT,
    DEFERRED,
    DELAY_TICKS,
    DELAY_TIMES,
    DIVISIBLE,
    DUE,
    DUE_AT,
    EOD_PENALTIES,
    EOD_RULE,
    HAS_PAIRS,
    HEAD,
    HELD,
    IN_QUEUE1,
    IN_QUEUE2,
    KEY_SHIFT,
    KNOWN_AT,
    LAYER_SIZE,
    LAYERS,
    LEFT,
    LISTED,
    LISTED_AT,
    LOWS_AT,
    NEXT_DUE,
    NEXT_URGENT,
    NONE,
    NOTHING,
    ONE,
    OVERDUE,
    PAYMENT_COLUMNS,
    PAYMENTS_AT,
    PENDING,
    PIECES,
    PLACE,
    PLACE_OF_AT,
    PLACES,
    PRIORITY,
    QUEUE1_FIRST,
    QUEUE1_LAST,
    QUEUE1_SIZE,
    QUEUE1_VALUE,
    QUEUE2_SIZE,
    QUEUE2_VALUE,
    READY_AT,
    RECEIVER,
    REST,
    ROW_WIDTH,
    ROWS,
    ROWS_AT,
    ROWS_ROOM,
    SENDER,
    SETTLED,
    SETTLED_COUNT,
    SETTLED_VALUE,
    SIZE,
    STAMP,
    STATE,
    TICK,
    TREE,
    TREE_SIZE,
    UNSETTLED_ITEMS,
    UNSETTLED_VALUE,
    URGENT_AT,
    WAITING,
    WEIGHT,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.kernel.pairs import link_pair, shrink_pair
from payment_simulator.engine.kernel.segment_tree import next_within, set_low


@part
def bank_row(bank):  # type: ignore[no-untyped-def]
    """Where the row of a bank begins."""
    return HEAD + bank * BANK_COLUMNS


@part
def payment_row(w, p):  # type: ignore[no-untyped-def]
    """Where the row of a payment begins."""
    return w[PAYMENTS_AT] + p * PAYMENT_COLUMNS


@part
def headroom(w, b):  # type: ignore[no-untyped-def]
    """The most that a bank can pay now."""
    return w[b + BALANCE] + w[b + CREDIT]


@part
def say(w, kind, agent, other, payment, piece, amount, note):  # type: ignore[no-untyped-def]
    """Record an event; what no longer fits is counted, and the run is made again with room for it."""
    count = w[ROWS]
    if count < 0:
        return
    if count < w[ROWS_ROOM]:
        at = w[ROWS_AT] + count * ROW_WIDTH
        w[at] = w[TICK]
        w[at + 1] = kind
        w[at + 2] = agent
        w[at + 3] = other
        w[at + 4] = payment
        w[at + 5] = piece
        w[at + 6] = amount
        w[at + 7] = note
    w[ROWS] = count + 1


@part
def say_piece(w, kind, p, piece, amount, note):  # type: ignore[no-untyped-def]
    """Record what happens to a payment that has a row."""
    r = payment_row(w, p)
    say(w, kind, w[r + SENDER], w[r + RECEIVER], p, piece, amount, note)


@part
def raise_headroom(w, bank):  # type: ignore[no-untyped-def]
    """Something in Queue 2 may fit now."""
    b = bank_row(bank)
    w[STAMP] += 1
    w[b + CHANGED] = w[STAMP]
    if w[b + QUEUE2_SIZE] > 0 and w[b + CANDIDATE] < 0:
        w[b + CANDIDATE] = 0
        w[w[LISTED_AT] + w[LISTED]] = bank
        w[LISTED] += 1


@part
def move(w, sender, receiver, amount):  # type: ignore[no-untyped-def]
    """Money goes from one bank to another, to be used at once or after this tick; below 0, the other way."""
    if amount < 0:
        sender, receiver, amount = receiver, sender, -amount
    change(w, sender, -amount)
    change(w, receiver, amount)


@part
def change(w, bank, amount):  # type: ignore[no-untyped-def]
    """A bank's balance changes; a credit may have to wait for the tick's end."""
    b = bank_row(bank)
    if amount > 0 and w[DEFERRED]:
        w[b + PENDING] += amount
        return
    w[b + BALANCE] += amount
    if w[CENTRAL_SIZE] == 0:
        return
    if amount > 0:
        raise_headroom(w, bank)
    else:
        w[STAMP] += 1
        w[b + CHANGED] = w[STAMP]


@part
def remaining(w, r):  # type: ignore[no-untyped-def]
    """What of a payment is not settled."""
    return w[r + LEFT] * w[r + SIZE] + w[r + REST]


@part
def front(w, r):  # type: ignore[no-untyped-def]
    """The amount of its first unsettled piece."""
    return w[r + SIZE] if w[r + LEFT] > 0 else w[r + REST]


@part
def front_place(w, r):  # type: ignore[no-untyped-def]
    """The place of that piece among all."""
    return w[r + PIECES] - 1 - w[r + LEFT]


@part
def queue_key(w, p):  # type: ignore[no-untyped-def]
    """Queue order as one number."""
    return ((10 - w[payment_row(w, p) + PRIORITY]) << KEY_SHIFT) | p


@part
def open_row(w, a, first, p):  # type: ignore[no-untyped-def]
    """A payment that may wait gets its row, and a date in the calendar of deadlines."""
    r, at = payment_row(w, p), (first + p) * ARRIVAL_COLUMNS
    w[r + STATE] = 0
    w[r + SENDER] = a[at + A_SENDER]
    w[r + RECEIVER] = a[at + A_RECEIVER]
    w[r + PRIORITY] = a[at + A_PRIORITY]
    w[r + ARRIVAL_PRIORITY] = a[at + A_PRIORITY]
    w[r + ARRIVAL] = a[at + A_TICK]
    w[r + DUE] = a[at + A_DEADLINE]
    w[r + DIVISIBLE] = a[at + A_DIVISIBLE]
    w[r + LEFT] = 0
    w[r + SIZE] = 0
    w[r + REST] = a[at + A_AMOUNT]
    w[r + PIECES] = 1
    w[r + OVERDUE] = 0
    w[r + WAITING] = 0
    w[r + HELD] = 0
    w[r + PLACE] = w[w[PLACE_OF_AT] + p]
    w[w[KNOWN_AT] + p] = 1
    date = w[r + DUE] + 1
    if date < w[CALENDAR_SIZE]:
        w[r + NEXT_DUE] = w[w[DUE_AT] + date]
        w[w[DUE_AT] + date] = p


@part
def delay_times(w, r, overdue):  # type: ignore[no-untyped-def]
    """How many times DELAY_RATE a cent of it costs a tick."""
    return w[DELAY_TIMES + 2 * w[r + ARRIVAL_PRIORITY] + overdue]


@part
def count_waiting(w, p, sign):  # type: ignore[no-untyped-def]
    """What is left of a payment begins (1) or ceases (-1) to cost."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    value, left = remaining(w, r), w[r + LEFT]
    w[r + WAITING] += sign
    w[b + WEIGHT] += sign * value * delay_times(w, r, w[r + OVERDUE])
    w[b + UNSETTLED_VALUE] += sign * value
    w[b + UNSETTLED_ITEMS] += sign * (left + 1)
    w[b + EOD_PENALTIES] += sign * penalties(w, r, EOD_RULE)


@part
def penalties(w, r, rule):  # type: ignore[no-untyped-def]
    """Of every unsettled piece."""
    found = penalty(w, w[r + REST], rule)
    if w[r + LEFT] > 0:
        found += w[r + LEFT] * penalty(w, w[r + SIZE], rule)
    return found


@part
def count_front_settled(w, p):  # type: ignore[no-untyped-def]
    """The first piece is settled: it costs no more, and the next one is first. Whether that was the last."""
    r = payment_row(w, p)
    b, amount = bank_row(w[r + SENDER]), front(w, r)
    w[SETTLED_VALUE] += amount
    if w[r + WAITING] != 0:
        w[b + WEIGHT] -= amount * delay_times(w, r, w[r + OVERDUE])
        w[b + UNSETTLED_VALUE] -= amount
        w[b + UNSETTLED_ITEMS] -= 1
        w[b + EOD_PENALTIES] -= penalty(w, amount, EOD_RULE)
    if w[r + LEFT] > 0:
        w[r + LEFT] -= 1
        return False
    w[r + STATE] = SETTLED
    w[r + WAITING] = 0
    w[b + SETTLED_COUNT] += 1
    w[b + DELAY_TICKS] += w[TICK] - w[r + ARRIVAL]
    return True


@part
def tree_at(w, b, layer):  # type: ignore[no-untyped-def]
    """Where a bank's tree of a layer begins."""
    return w[LOWS_AT] + layer * w[LAYER_SIZE] + w[b + TREE]


@part
def is_ready(w, bank, layer):  # type: ignore[no-untyped-def]
    """Whether anything was ever put into that tree."""
    return w[w[READY_AT] + bank * LAYERS + layer] != 0


@part
def set_in_tree(w, p, layer, amount):  # type: ignore[no-untyped-def]
    """Put a payment into its sender's tree of a layer with this amount."""
    r = payment_row(w, p)
    bank = w[r + SENDER]
    b = bank_row(bank)
    base, size = tree_at(w, b, layer), w[b + TREE_SIZE]
    if not is_ready(w, bank, layer):
        w[w[READY_AT] + bank * LAYERS + layer] = 1
        for at in range(base, base + 2 * size):
            w[at] = NOTHING
    set_low(w, base, size, w[r + PLACE], amount)


@part
def find_candidate(w, bank):  # type: ignore[no-untyped-def]
    """The key of a bank's first payment in Queue 2 that fits its headroom; NOTHING for none."""
    b = bank_row(bank)
    for layer in range(LAYERS - 1):
        if is_ready(w, bank, layer):
            place = next_within(w, tree_at(w, b, layer), w[b + TREE_SIZE], ZERO, headroom(w, b))
            if place >= 0:
                return (layer << KEY_SHIFT) | w[w[AT_PLACE_AT] + w[b + PLACES] + place]
    return NOTHING


@part
def enter_queue2(w, p):  # type: ignore[no-untyped-def]
    """What is left of a payment joins the central queue."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    w[r + STATE] = IN_QUEUE2
    if w[r + WAITING] == 0:
        count_waiting(w, p, ONE)
    w[b + QUEUE2_VALUE] += remaining(w, r)
    w[b + QUEUE2_SIZE] += w[r + LEFT] + 1
    w[CENTRAL_SIZE] += w[r + LEFT] + 1
    set_in_tree(w, p, 10 - w[r + PRIORITY], front(w, r))
    if w[HAS_PAIRS]:
        link_pair(w, p, r)


@part
def take_front(w, p, kind, note):  # type: ignore[no-untyped-def]
    """Take a payment's first piece out of the central queue as settled; its amount. No money is moved."""
    r = payment_row(w, p)
    b, amount = bank_row(w[r + SENDER]), front(w, r)
    say_piece(w, kind, p, front_place(w, r), amount, note)
    w[b + QUEUE2_VALUE] -= amount
    w[b + QUEUE2_SIZE] -= 1
    w[CENTRAL_SIZE] -= 1
    is_last = count_front_settled(w, p)
    set_in_tree(w, p, 10 - w[r + PRIORITY], NOTHING if is_last else front(w, r))
    if w[HAS_PAIRS]:
        shrink_pair(w, p, r, amount, is_last)
    return amount


@part
def make_urgent_at(w, p, tick):  # type: ignore[no-untyped-def]
    """Let a payment be looked at in that tick."""
    if tick < w[CALENDAR_SIZE]:
        w[payment_row(w, p) + NEXT_URGENT] = w[w[URGENT_AT] + tick]
        w[w[URGENT_AT] + tick] = p


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
