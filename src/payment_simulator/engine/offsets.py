"""Liquidity saving in the kernel: bilateral offsets and cycles, as `reference` and `lsm` define them."""

from payment_simulator.engine.compiled import part
from payment_simulator.engine.layout import (
    BACK,
    BANKS,
    CHANGED,
    COUNT,
    CYCLES_TRIED,
    DEGREE,
    E_BILATERAL,
    E_CYCLE,
    EDGES_LEFT,
    FIRST,
    FRONT,
    LEFT,
    LSM_VALUE,
    MAX_CYCLE_LENGTH,
    MAX_CYCLES,
    NEAR_AT,
    NONE,
    OFFSETS,
    PAIR_AFTER,
    PAIR_CHANGED,
    PAIR_COLUMNS,
    PAIRS,
    PAIRS_AT,
    PATH_AT,
    REST,
    SEARCHES,
    SIZE,
    SKIP,
    SKIP_OF,
    STAMP,
    TO,
    TRIED,
    VALUE,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.ledger import bank_row, change, headroom, move, payment_row, take_front
from payment_simulator.engine.pairs import pair_row

MAX_EDGES_A_TICK = 10_000
LONGEST = 5
# Of a path, for each bank: the edge that leaves it, and its amount; the bank, its headroom, how far its walk is, where
# that ends, and whether the banks between it and the start can pay what they lose
EDGE, AMOUNT, VISITED, ROOM, WALK, END, FITS = (place * LONGEST for place in range(7))


@part
def offset_pairs(w):  # type: ignore[no-untyped-def]
    """Every pair once, by ids; one that did not settle waits until a queue or the liquidity of either has changed."""
    for bank in range(w[BANKS]):
        b = bank_row(bank)
        near = w[NEAR_AT] + w[b + PAIRS]
        at = 0
        while at < w[b + DEGREE]:
            number = w[near + at]
            pair = pair_row(w, number)
            if w[pair + TO] > bank and w[pair + BACK] != NONE:
                _try_pair(w, bank, pair, pair_row(w, w[pair + BACK]))
            if at < w[b + DEGREE] and w[near + at] == number:
                at += 1


@part
def _try_pair(w, bank, pair, back):  # type: ignore[no-untyped-def]
    other = w[pair + TO]
    changed = max(w[pair + PAIR_CHANGED], w[back + PAIR_CHANGED])
    changed = max(changed, max(w[bank_row(bank) + CHANGED], w[bank_row(other) + CHANGED]))
    if w[back + COUNT] > 0 and changed > w[pair + TRIED]:
        w[pair + TRIED] = w[STAMP]
        _offset_pair(w, bank, other, pair, back)


@part
def _offset_pair(w, bank, other, pair, back):  # type: ignore[no-untyped-def]
    """Both sides whole; while the net payer's headroom is short, its last payment in queue order is left out."""
    one, two = w[pair + VALUE], w[back + VALUE]
    room_one, room_two = headroom(w, bank_row(bank)), headroom(w, bank_row(other))
    while one > 0 and two > 0:
        if one - two > room_one:
            one = _longest_within(w, pair, two + room_one)
        elif two - one > room_two:
            two = _longest_within(w, back, one + room_two)
        else:
            _settle_side(w, pair, one)
            _settle_side(w, back, two)
            w[OFFSETS] += 1
            w[LSM_VALUE] += one + two
            if one != two:
                move(w, bank, other, one - two)
            return


@part
def _longest_within(w, pair, limit):  # type: ignore[no-untyped-def]
    """The sum of as many payments from the front of a pair's queue as stay within `limit`."""
    total, p = 0, w[pair + FIRST]
    while p != NONE:
        r = payment_row(w, p)
        if w[r + LEFT] > 0:
            fitting = min(w[r + LEFT], (limit - total) // w[r + SIZE])
            total += fitting * w[r + SIZE]
            if fitting < w[r + LEFT]:
                return total
        if total + w[r + REST] > limit:
            return total
        total += w[r + REST]
        p = w[r + PAIR_AFTER]
    return total


@part
def _settle_side(w, pair, total):  # type: ignore[no-untyped-def]
    while total > 0:
        total -= take_front(w, w[pair + FIRST], E_BILATERAL, w[OFFSETS])


@part
def settle_cycles(w):  # type: ignore[no-untyped-def]
    """For each start by id, cycles depth first over higher ids; skipped if nothing changed since it settled nothing."""
    if w[STAMP] == w[CYCLES_TRIED]:
        return
    w[EDGES_LEFT] = MAX_EDGES_A_TICK
    settled = 0
    for start in range(w[BANKS]):
        while settled < w[MAX_CYCLES] and w[EDGES_LEFT] > 0:
            length = _find_cycle(w, start)
            if length == 0:
                break
            _settle_cycle(w, length)
            settled += 1
    if settled == 0:
        w[CYCLES_TRIED] = w[STAMP]


@part
def _find_cycle(w, start):  # type: ignore[no-untyped-def]
    """The length of the first cycle over `start` that settles, with its pairs and banks in the path; 0 for none.

    An edge is visited when it is looked at: one to the start, or to a higher id. Of the last bank that a cycle may have
    only the edge to the start matters; the others are counted at once.
    """
    path, pairs, left, longest = w[PATH_AT], w[PAIRS_AT], w[EDGES_LEFT], w[MAX_CYCLE_LENGTH]
    w[SEARCHES] += 1
    depth = ZERO
    _enter(w, path, depth, start, start)
    at, end = w[path + WALK], w[path + END]
    while True:
        if at >= end:
            depth -= 1
            if depth < 0:
                break
            at, end = w[path + WALK + depth], w[path + END + depth]
            continue
        if left == 0:
            break
        pair = pairs + w[at] * PAIR_COLUMNS
        to = w[pair + TO]
        at += 1
        left -= 1
        if to == start:
            if depth >= 2 and _closes(w, path, depth, w[pair + FRONT]):
                w[path + EDGE + depth] = pair
                w[path + AMOUNT + depth] = w[pair + FRONT]
                w[EDGES_LEFT] = left
                return depth + 1
        elif depth + 1 == longest:
            left -= min(end - at, left)
            at = end
        elif not _is_visited(w, path, depth, to):
            w[path + EDGE + depth] = pair
            w[path + AMOUNT + depth] = w[pair + FRONT]
            w[path + WALK + depth] = at
            depth += 1
            _enter(w, path, depth, to, start)
            at, end = w[path + WALK + depth], w[path + END + depth]
    w[EDGES_LEFT] = left
    return ZERO


@part
def _enter(w, path, depth, bank, start):  # type: ignore[no-untyped-def]
    """The path goes on to a bank: its receivers are walked from `start` on."""
    b = bank_row(bank)
    near = w[NEAR_AT] + w[b + PAIRS]
    if w[b + SKIP_OF] != w[SEARCHES]:
        w[b + SKIP_OF] = w[SEARCHES]
        w[b + SKIP] = _receivers_before(w, near, w[b + DEGREE], start)
    w[path + VISITED + depth] = bank
    w[path + ROOM + depth] = headroom(w, b)
    w[path + WALK + depth] = near + w[b + SKIP]
    w[path + END + depth] = near + w[b + DEGREE]
    fits = 1
    if depth >= 2:  # the bank before the last one knows both of its edges now
        loses = w[path + AMOUNT + depth - 1] - w[path + AMOUNT + depth - 2]
        fits = w[path + FITS + depth - 1] if loses <= w[path + ROOM + depth - 1] else 0
    w[path + FITS + depth] = fits


@part
def _receivers_before(w, near, degree, start):  # type: ignore[no-untyped-def]
    """How many of a bank's receivers come before `start`."""
    low, high = near, near + degree
    while low < high:
        middle = (low + high) // 2
        if w[pair_row(w, w[middle]) + TO] < start:
            low = middle + 1
        else:
            high = middle
    return low - near


@part
def _closes(w, path, last, amount):  # type: ignore[no-untyped-def]
    """Whether every bank can pay what it loses in the cycle that an edge of `amount` from the last bank closes."""
    if w[path + FITS + last] == 0 or amount - w[path + AMOUNT + last - 1] > w[path + ROOM + last]:
        return False
    return w[path + AMOUNT] - amount <= w[path + ROOM]


@part
def _is_visited(w, path, depth, bank):  # type: ignore[no-untyped-def]
    for at in range(1, depth + 1):  # noqa: SIM110 - compiled code has no any()
        if w[path + VISITED + at] == bank:
            return True
    return False


@part
def _settle_cycle(w, length):  # type: ignore[no-untyped-def]
    path = w[PATH_AT]
    for at in range(length):
        w[LSM_VALUE] += take_front(w, w[w[path + EDGE + at] + FIRST], E_CYCLE, w[OFFSETS])
    w[OFFSETS] += 1
    before = w[path + AMOUNT + length - 1]
    for at in range(length):
        amount = w[path + AMOUNT + at]
        if amount != before:
            change(w, w[path + VISITED + at], before - amount)
        before = amount
