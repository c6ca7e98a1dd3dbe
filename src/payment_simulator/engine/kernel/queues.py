"""The kernel's bookkeeping of the two queues, and of the cost of waiting in them; for places see `layout`.

`w` is the array, `b` the row of a bank, `r` that of a payment `p`.
"""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.fixed_point import penalty
from payment_simulator.engine.kernel.jit import inlined, part
from payment_simulator.engine.kernel.pairs import link_pair, shrink_pair
from payment_simulator.engine.kernel.rows import (
    bank_row,
    first_place_tried,
    front,
    front_place,
    has_segment_tree,
    layer_of,
    payment_row,
    remaining,
    segment_tree_at,
    spendable_liquidity,
)
from payment_simulator.engine.kernel.rules import count_settled, find_candidate_by_rules
from payment_simulator.engine.kernel.segment_tree import next_within, set_minimum
from payment_simulator.engine.vocabulary import EventColumn, EventKind


@part
def _is_settlement(kind):
    """True for the kinds of `ROUTES`."""
    is_single = kind == EventKind.SettledImmediately or kind == EventKind.SettledFromQueue
    is_netted = kind == EventKind.LsmMultilateralOffset or kind == EventKind.LsmBatchSettlement
    is_pair = kind == EventKind.LsmBilateralOffset or kind == EventKind.LsmEntryOffset
    return is_single or is_netted or is_pair or kind == EventKind.LsmCycleSettlement


@inlined
def record_event(w, kind, agent, other, payment, piece, amount, note):
    """Record an event, in a run that records any."""
    if w[L.ROWS] >= 0:
        _write_event(w, kind, agent, other, payment, piece, amount, note)


@part
def _write_event(w, kind, agent, other, payment, piece, amount, note):
    """Write an event; what no longer fits is counted, and the run is made again with room for it."""
    count = w[L.ROWS]
    if w[L.ONLY_SETTLEMENTS] and not _is_settlement(kind):
        return
    if count < w[L.ROWS_ROOM]:
        at = w[L.ROWS_AT] + count * L.ROW_WIDTH
        w[at + EventColumn.tick] = w[L.TICK]
        w[at + EventColumn.event] = kind
        w[at + EventColumn.agent] = agent
        w[at + EventColumn.counterparty] = other
        w[at + EventColumn.payment] = payment
        w[at + EventColumn.piece] = piece
        w[at + EventColumn.amount] = amount
        w[at + EventColumn.note] = note
    w[L.ROWS] = count + 1


@part
def record_piece_event(w, kind, p, piece, amount, note):
    """Record what happens to a payment that has a row."""
    r = payment_row(w, p)
    record_event(w, kind, w[r + L.SENDER], w[r + L.RECEIVER], p, piece, amount, note)


@part
def note_more_liquidity(w, bank):
    """Let the bank's part of Queue 2 be looked at again: something may fit now."""
    b = bank_row(bank)
    w[L.STAMP] += 1
    w[b + L.CHANGED] = w[L.STAMP]
    if w[b + L.QUEUE2_SIZE] > 0 and w[b + L.CANDIDATE] < 0:
        w[b + L.CANDIDATE] = 0
        w[w[L.LISTED_AT] + w[L.LISTED]] = bank
        w[L.LISTED] += 1


@part
def move(w, sender, receiver, amount):
    """Move money from one bank to another, to be used at once or after this tick; below 0, the other way."""
    if amount < 0:
        sender, receiver, amount = receiver, sender, -amount
    change(w, sender, -amount)
    change(w, receiver, amount)


@part
def change(w, bank, amount):
    """Change a bank's balance; a credit may have to wait for the tick's end."""
    b = bank_row(bank)
    if amount > 0 and w[L.DEFERRED]:
        w[b + L.PENDING] += amount
        return
    w[b + L.BALANCE] += amount
    if w[L.CENTRAL_SIZE] == 0:
        return
    if amount > 0:
        note_more_liquidity(w, bank)
    else:
        w[L.STAMP] += 1
        w[b + L.CHANGED] = w[L.STAMP]


@part
def open_row(w, a, first, p):
    """Write the row of a payment that may wait, and a date in the calendar of deadlines."""
    r, at = payment_row(w, p), (first + p) * L.ARRIVAL_COLUMNS
    w[r + L.STATE] = 0
    w[r + L.SENDER] = a[at + L.A_SENDER]
    w[r + L.RECEIVER] = a[at + L.A_RECEIVER]
    w[r + L.PRIORITY] = a[at + L.A_PRIORITY]
    w[r + L.ARRIVAL_PRIORITY] = a[at + L.A_PRIORITY]
    w[r + L.ARRIVAL] = a[at + L.A_TICK]
    w[r + L.DUE] = a[at + L.A_DEADLINE]
    w[r + L.DIVISIBLE] = a[at + L.A_DIVISIBLE]
    w[r + L.LEFT] = 0
    w[r + L.SIZE] = 0
    w[r + L.REST] = a[at + L.A_AMOUNT]
    w[r + L.PIECES] = 1
    w[r + L.OVERDUE] = 0
    w[r + L.WAITING] = 0
    w[r + L.HELD] = 0
    w[r + L.BLOCKED] = 0
    w[r + L.PLACE] = w[w[L.PLACE_OF_AT] + p]
    w[w[L.KNOWN_AT] + p] = 1
    date = w[r + L.DUE] + 1
    if date < w[L.CALENDAR_SIZE]:
        w[r + L.NEXT_DUE] = w[w[L.DUE_AT] + date]
        w[w[L.DUE_AT] + date] = p


@part
def delayed_at(w, b, r, overdue):
    """The place where a bank counts the cents that wait at a payment's rate of delay."""
    return b + L.DELAYED + w[L.DELAY_RATE_OF + 2 * w[r + L.ARRIVAL_PRIORITY] + overdue]


@part
def count_waiting(w, p, sign):
    """Begin (1) or cease (-1) to charge for what is left of a payment."""
    r = payment_row(w, p)
    b = bank_row(w[r + L.SENDER])
    value, left = remaining(w, r), w[r + L.LEFT]
    w[r + L.WAITING] += sign
    w[delayed_at(w, b, r, w[r + L.OVERDUE])] += sign * value
    w[b + L.UNSETTLED_VALUE] += sign * value
    w[b + L.UNSETTLED_ITEMS] += sign * (left + 1)
    if w[r + L.OVERDUE] or w[L.PENALISES_OVERDUE] == 0:
        w[b + L.EOD_VALUE] += sign * value
        w[b + L.EOD_PENALTIES] += sign * penalties(w, r, L.EOD_RULE)


@part
def penalties(w, r, rule):
    """The penalties of every unsettled piece, in cents."""
    found = penalty(w, w[r + L.REST], rule)
    if w[r + L.LEFT] > 0:
        found += w[r + L.LEFT] * penalty(w, w[r + L.SIZE], rule)
    return found


@part
def count_front_settled(w, p):
    """Count the first piece as settled: it costs no more, and the next one is first. True where that was the last."""
    r = payment_row(w, p)
    b, amount = bank_row(w[r + L.SENDER]), front(w, r)
    w[L.SETTLED_VALUE] += amount
    w[b + L.SETTLED_TODAY] += amount
    if w[L.HAS_RULES]:
        count_settled(w, w[r + L.SENDER], w[r + L.RECEIVER], amount, w[r + L.PRIORITY])
    if w[r + L.WAITING] != 0:
        w[delayed_at(w, b, r, w[r + L.OVERDUE])] -= amount
        w[b + L.UNSETTLED_VALUE] -= amount
        w[b + L.UNSETTLED_ITEMS] -= 1
        if w[r + L.OVERDUE] or w[L.PENALISES_OVERDUE] == 0:
            w[b + L.EOD_VALUE] -= amount
            w[b + L.EOD_PENALTIES] -= penalty(w, amount, L.EOD_RULE)
    if w[r + L.LEFT] > 0:
        w[r + L.LEFT] -= 1
        return False
    w[r + L.STATE] = L.SETTLED
    w[r + L.WAITING] = 0
    w[b + L.SETTLED_COUNT] += 1
    w[b + L.DELAY_TICKS] += w[L.TICK] - w[r + L.ARRIVAL]
    return True


@part
def set_in_segment_tree(w, p, layer, amount):
    """Put a payment into its sender's segment tree of a layer with this amount."""
    r = payment_row(w, p)
    bank = w[r + L.SENDER]
    b = bank_row(bank)
    base, size = segment_tree_at(w, b, layer), w[b + L.SEGMENT_TREE_SIZE]
    if not has_segment_tree(w, bank, layer):
        w[w[L.READY_AT] + bank * L.LAYERS + layer] = 1
        for at in range(base, base + 2 * size):
            w[at] = L.NOTHING
    set_minimum(w, base, size, w[r + L.PLACE], amount)


@part
def shown(w, r):
    """The amount with which a payment of Queue 2 is found; NOTHING where its receiver is closed, unless others wait."""
    is_hidden = w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED] and w[L.STRICT] == 0
    return L.NOTHING if is_hidden else front(w, r)


@part
def find_candidate(w, bank):
    """The key of a bank's first payment in Queue 2 that its liquidity and rules allow; NOTHING for none."""
    if w[L.HAS_RULES]:
        return find_candidate_by_rules(w, bank)
    b = bank_row(bank)
    for layer in range(w[L.RETRY_FROM] >> L.KEY_SHIFT, L.LAYERS - 1):
        if has_segment_tree(w, bank, layer):
            start = first_place_tried(w, bank, layer) if w[L.RETRY_FROM] > 0 else L.ZERO
            place = next_within(
                w, segment_tree_at(w, b, layer), w[b + L.SEGMENT_TREE_SIZE], start, spendable_liquidity(w, b)
            )
            if place >= 0:
                return (layer << L.KEY_SHIFT) | w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place]
    return L.NOTHING


@part
def enter_queue2(w, p):
    """Put what is left of a payment into the central queue."""
    r = payment_row(w, p)
    b = bank_row(w[r + L.SENDER])
    w[r + L.STATE] = L.IN_QUEUE2
    if w[r + L.WAITING] == 0:
        count_waiting(w, p, L.ONE)
    w[b + L.QUEUE2_VALUE] += remaining(w, r)
    w[b + L.QUEUE2_SIZE] += w[r + L.LEFT] + 1
    w[L.CENTRAL_SIZE] += w[r + L.LEFT] + 1
    set_in_segment_tree(w, p, layer_of(w, r), shown(w, r))
    if w[L.HAS_PAIRS]:
        link_pair(w, p, r)


@part
def take_front(w, p, kind, note):
    """Take a payment's first piece out of the central queue as settled; its amount. No money is moved."""
    r = payment_row(w, p)
    b, amount = bank_row(w[r + L.SENDER]), front(w, r)
    record_piece_event(w, kind, p, front_place(w, r), amount, note)
    w[b + L.QUEUE2_VALUE] -= amount
    w[b + L.QUEUE2_SIZE] -= 1
    w[L.CENTRAL_SIZE] -= 1
    is_last = count_front_settled(w, p)
    set_in_segment_tree(w, p, layer_of(w, r), L.NOTHING if is_last else front(w, r))
    if w[L.HAS_PAIRS]:
        shrink_pair(w, p, r, amount, is_last)
    return amount


@part
def make_urgent_at(w, p, tick):
    """Enter a payment into the calendar of urgency, in that tick."""
    if tick < w[L.CALENDAR_SIZE]:
        w[payment_row(w, p) + L.NEXT_URGENT] = w[w[L.URGENT_AT] + tick]
        w[w[L.URGENT_AT] + tick] = p


@part
def enter_queue1(w, p):
    """Put a payment into its bank's queue."""
    r = payment_row(w, p)
    b = bank_row(w[r + L.SENDER])
    w[r + L.STATE] = L.IN_QUEUE1
    w[b + L.QUEUE1_VALUE] += w[r + L.REST]
    w[b + L.QUEUE1_SIZE] += 1
    count_waiting(w, p, L.ONE)


@part
def leave_queue1(w, p):
    """Take a payment out of its bank's queue: it is released or dropped."""
    r = payment_row(w, p)
    b = bank_row(w[r + L.SENDER])
    w[r + L.STATE] = 0
    w[b + L.QUEUE1_VALUE] -= w[r + L.REST]
    w[b + L.QUEUE1_SIZE] -= 1


@part
def append_queue1(w, p):
    """Put a payment at the end of its bank's list, which is in sequence."""
    r = payment_row(w, p)
    b = bank_row(w[r + L.SENDER])
    last = w[b + L.QUEUE1_LAST]
    w[r + L.BEFORE] = last
    w[r + L.AFTER] = L.NONE
    if last == L.NONE:
        w[b + L.QUEUE1_FIRST] = p
    else:
        w[payment_row(w, last) + L.AFTER] = p
    w[b + L.QUEUE1_LAST] = p


@part
def remove_queue1(w, p):
    """Take a payment out of that list."""
    r = payment_row(w, p)
    b, before, after = bank_row(w[r + L.SENDER]), w[r + L.BEFORE], w[r + L.AFTER]
    if before == L.NONE:
        w[b + L.QUEUE1_FIRST] = after
    else:
        w[payment_row(w, before) + L.AFTER] = after
    if after == L.NONE:
        w[b + L.QUEUE1_LAST] = before
    else:
        w[payment_row(w, after) + L.BEFORE] = before
