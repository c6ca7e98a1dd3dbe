"""Limits, reservations and strict queues in the kernel: what may settle beside what liquidity allows, as `reference`.

Where a scenario has none of them, `HAS_RULES` is 0 and nothing here is called. A bank's bilateral limits follow one
another from its `LIMITS` on, by the numbers of the other banks; a limit that there is not is NOTHING.
"""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.rows import (
    bank_row,
    first_place_tried,
    front,
    has_segment_tree,
    layer_of,
    payment_row,
    segment_tree_at,
    spendable_liquidity,
)
from payment_simulator.engine.kernel.segment_tree import next_within
from payment_simulator.engine.vocabulary import PriorityClass
from payment_simulator.policy.fields_and_actions import NO_LIMIT


@part
def begin_day(w):
    """Let nothing have settled today."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        w[b + L.POSITION] = 0
        w[b + L.URGENT_LEFT] = w[b + L.URGENT_RESERVED]
        w[b + L.NORMAL_LEFT] = w[b + L.NORMAL_RESERVED]
        for number in range(w[b + L.LIMIT_COUNT]):
            w[w[b + L.LIMITS] + number * L.LIMIT_COLUMNS + L.LIMIT_POSITION] = 0


@part
def find_limit(w, b, other):
    """The row of a bank's limit to another; NONE where it has none."""
    low, high = L.ZERO, w[b + L.LIMIT_COUNT]
    while low < high:
        middle = (low + high) // 2
        if w[w[b + L.LIMITS] + middle * L.LIMIT_COLUMNS + L.LIMIT_TO] < other:
            low = middle + 1
        else:
            high = middle
    row = w[b + L.LIMITS] + low * L.LIMIT_COLUMNS
    return row if low < w[b + L.LIMIT_COUNT] and w[row + L.LIMIT_TO] == other else L.NONE


@part
def bilateral_left(w, b, other):
    """What is left of a bank's limit to another, in cents."""
    row = find_limit(w, b, other)
    return min(w[row + L.LIMIT] - w[row + L.LIMIT_POSITION], NO_LIMIT) if row != L.NONE else L.ZERO + NO_LIMIT


@part
def set_limit(w, bank, other, limit):
    """Set a bank's limit to another, or to all: NONE."""
    b = bank_row(bank)
    if other == L.NONE:
        w[b + L.MULTILATERAL_LIMIT] = limit
    else:
        w[find_limit(w, b, other) + L.LIMIT] = limit


@part
def count_settled(w, sender, receiver, amount, priority):
    """Count what has settled, for positions and reservations."""
    b = bank_row(sender)
    _raise_position(w, b, receiver, amount)
    if w[bank_row(receiver) + L.IS_NET]:
        _raise_position(w, bank_row(receiver), sender, -amount)
    kind = w[L.CLASS_OF + priority]
    if kind == PriorityClass.URGENT:
        w[b + L.URGENT_LEFT] = max(w[b + L.URGENT_LEFT] - amount, L.ZERO)
    elif kind == PriorityClass.NORMAL:
        w[b + L.NORMAL_LEFT] = max(w[b + L.NORMAL_LEFT] - amount, L.ZERO)


@part
def _raise_position(w, b, other, amount):
    w[b + L.POSITION] += amount
    row = find_limit(w, b, other)
    if row != L.NONE:
        w[row + L.LIMIT_POSITION] += amount


@part
def usable(w, b, kind):
    """The most that a bank can pay for payments of which those of the class `kind` are the least urgent, in cents."""
    found = spendable_liquidity(w, b)
    if kind < PriorityClass.URGENT:
        found -= w[b + L.URGENT_LEFT]
    if kind < PriorityClass.NORMAL:
        found -= w[b + L.NORMAL_LEFT]
    return found


@part
def lacks(w, b, loses, kind):
    """True where a bank lacks the liquidity for what it loses."""
    return loses > 0 and loses > usable(w, b, kind)


@part
def limits_forbid(w, b, other, rise, whole_rise):
    """True where a limit of a bank forbids that its position to another, and to all, rises so much."""
    if whole_rise > 0 and w[b + L.POSITION] + whole_rise > w[b + L.MULTILATERAL_LIMIT]:
        return True
    row = find_limit(w, b, other)
    return row != L.NONE and rise > 0 and w[row + L.LIMIT_POSITION] + rise > w[row + L.LIMIT]


@part
def may_settle(w, sender, receiver, amount, priority):
    """True where a payment may settle alone."""
    b = bank_row(sender)
    return not (lacks(w, b, amount, w[L.CLASS_OF + priority]) or limits_forbid(w, b, receiver, amount, amount))


@part
def may_queued_settle(w, p):
    """True where the first piece of a payment in Queue 2 may settle alone."""
    r = payment_row(w, p)
    is_open = w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED] == 0
    return is_open and may_settle(w, w[r + L.SENDER], w[r + L.RECEIVER], front(w, r), w[r + L.PRIORITY])


@part
def next_queued(w, bank, layer, start, limit):
    """A bank's next payment in a layer of Queue 2, from a place on, whose first piece is at most `limit`; or NONE."""
    if not has_segment_tree(w, bank, layer):
        return L.NONE
    b = bank_row(bank)
    place = next_within(w, segment_tree_at(w, b, layer), w[b + L.SEGMENT_TREE_SIZE], start, limit)
    return w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place] if place >= 0 else L.NONE


@part
def first_queued(w, bank):
    """The key of a bank's first payment in Queue 2; NOTHING for none."""
    for layer in range(L.LAYERS - 1):
        p = next_queued(w, bank, layer, L.ZERO, L.NOTHING - 1)
        if p != L.NONE:
            return (layer << L.KEY_SHIFT) | p
    return L.NOTHING


@part
def waits_behind(w, bank, p, priority):
    """True where a payment, in a strict queue, has to wait for one of its bank that is queued already."""
    if w[L.STRICT] == 0 or w[bank_row(bank) + L.QUEUE2_SIZE] == 0:
        return False
    return first_queued(w, bank) < (w[L.LAYER_OF + priority] << L.KEY_SHIFT) | p


@part
def find_candidate_by_rules(w, bank):
    """The key of a bank's first payment in Queue 2 that may settle; NOTHING for none."""
    if w[L.STRICT]:
        key = first_queued(w, bank)
        is_tried = w[L.RETRY_FROM] <= key and key != L.NOTHING
        return key if is_tried and may_queued_settle(w, key & L.KEY_MASK) else L.NOTHING
    b = bank_row(bank)
    most = min(spendable_liquidity(w, b), w[b + L.MULTILATERAL_LIMIT] - w[b + L.POSITION])
    for layer in range(w[L.RETRY_FROM] >> L.KEY_SHIFT, L.LAYERS - 1):
        start = first_place_tried(w, bank, layer) if w[L.RETRY_FROM] > 0 else L.ZERO
        p = next_queued(w, bank, layer, start, most)
        while p != L.NONE:
            if may_queued_settle(w, p):
                return (layer << L.KEY_SHIFT) | p
            p = _after(w, bank, layer, p, most)
    return L.NOTHING


@part
def _after(w, bank, layer, p, limit):
    return next_queued(w, bank, layer, w[payment_row(w, p) + L.PLACE] + 1, limit)


@part
def leading_to(w, bank, receiver):
    """The number of payments at the head of a bank's part of Queue 2 that all go to one receiver."""
    count = L.ZERO
    for layer in range(L.LAYERS - 1):
        p = next_queued(w, bank, layer, L.ZERO, L.NOTHING - 1)
        while p != L.NONE:
            if w[payment_row(w, p) + L.RECEIVER] != receiver:
                return count
            count += 1
            p = _after(w, bank, layer, p, L.NOTHING - 1)
    return count


@part
def find_blocked(w):
    """The number of payments that lack nothing but a limit that allows them, and were not found before; their keys."""
    count = L.ZERO
    for bank in range(w[L.BANKS]):
        if w[bank_row(bank) + L.QUEUE2_SIZE] == 0:
            continue
        if w[L.STRICT]:
            count = _add_if_blocked(w, first_queued(w, bank) & L.KEY_MASK, count)
            continue
        for layer in range(L.LAYERS - 1):
            p = next_queued(w, bank, layer, L.ZERO, spendable_liquidity(w, bank_row(bank)))
            while p != L.NONE:
                count = _add_if_blocked(w, p, count)
                p = _after(w, bank, layer, p, spendable_liquidity(w, bank_row(bank)))
    return count


@part
def _add_if_blocked(w, p, count):
    r = payment_row(w, p)
    b, amount = bank_row(w[r + L.SENDER]), front(w, r)
    if w[r + L.BLOCKED] or w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED]:
        return count
    if lacks(w, b, amount, w[L.CLASS_OF + w[r + L.PRIORITY]]):
        return count
    if not limits_forbid(w, b, w[r + L.RECEIVER], amount, amount):
        return count
    w[r + L.BLOCKED] = 1
    w[w[L.RELEASED_AT] + count] = (layer_of(w, r) << L.KEY_SHIFT) | p
    return count + 1
