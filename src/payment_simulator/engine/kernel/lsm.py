"""Liquidity saving in the kernel: bilateral offsets and cycles, as `reference` and `lsm` define them."""

from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
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
    ONE,
    PAIR_AFTER,
    PAIR_BEFORE,
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
from payment_simulator.engine.kernel.pairs import pair_row
from payment_simulator.engine.kernel.queues import bank_row, change, headroom, move, payment_row, take_front
from payment_simulator.engine.reference.lsm import MAX_EDGES_A_TICK

PATH_ROOM = 6  # the longest has 5 banks, and comes back to its start
SIDE = 2  # of a pair that is cut: a payment, and how many of its pieces are in
# Of a path, for each bank: the edge that leaves it, and its amount; the bank, how far its walk is, where that ends, and
# whether the banks between it and the start can pay what they lose
EDGE, AMOUNT, VISITED, WALK, END, FITS = (place * PATH_ROOM for place in range(6))


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
    side_one, side_two = w[PATH_AT], w[PATH_AT] + SIDE
    w[side_one] = w[side_two] = NONE
    while one > 0 and two > 0:
        if one - two > room_one:
            one = _cut(w, pair, side_one, one, two + room_one)
        elif two - one > room_two:
            two = _cut(w, back, side_two, two, one + room_two)
        else:
            _settle_side(w, pair, one)
            _settle_side(w, back, two)
            w[OFFSETS] += 1
            w[LSM_VALUE] += one + two
            if one != two:
                move(w, bank, other, one - two)
            return


@part
def _cut(w, pair, side, total, limit):  # type: ignore[no-untyped-def]
    """The sum of as many payments from the front of a pair's queue as stay within `limit`; `total` is more.

    At `side` stand the last payment that is in, if it is known, and how many of its pieces are. The first cut is found
    from the front, and later ones back from there: a side is walked once each way, however often it is cut.
    """
    if w[side] == NONE:
        return _cut_from_front(w, pair, side, limit)
    while total > limit:
        p, pieces = w[side], w[side + 1]
        r = payment_row(w, p)
        if pieces > w[r + LEFT]:
            total -= w[r + REST]
            pieces -= 1
        if total > limit and pieces > 0:
            over = min((total - limit + w[r + SIZE] - 1) // w[r + SIZE], pieces)
            total -= over * w[r + SIZE]
            pieces -= over
        w[side + 1] = pieces
        if pieces == 0:
            p = w[r + PAIR_BEFORE]
            if p == NONE:
                return ZERO
            w[side] = p
            w[side + 1] = w[payment_row(w, p) + LEFT] + 1
    return total


@part
def _cut_from_front(w, pair, side, limit):  # type: ignore[no-untyped-def]
    total, p = ZERO, w[pair + FIRST]
    while p != NONE:
        r = payment_row(w, p)
        pieces = w[r + LEFT]
        if pieces > 0:
            pieces = min(pieces, (limit - total) // w[r + SIZE])
            total += pieces * w[r + SIZE]
        if pieces == w[r + LEFT] and total + w[r + REST] <= limit:
            total += w[r + REST]
            pieces += 1
        w[side], w[side + 1] = p, pieces
        if pieces <= w[r + LEFT]:
            return total
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
    w[SEARCHES] += 1
    settled = 0
    for start in range(w[BANKS]):
        while settled < w[MAX_CYCLES] and w[EDGES_LEFT] > 0:
            length = _find_cycle(w, start)
            if length == 0:
                break
            _settle_cycle(w, length)
            w[SEARCHES] += 1
            settled += 1
    if settled == 0:
        w[CYCLES_TRIED] = w[STAMP]


@part
def _find_cycle(w, start):  # type: ignore[no-untyped-def]
    """The length of the first cycle over `start` that settles, with its pairs and banks in the path; 0 for none.

    An edge is visited when it is looked at: one to the start, or to a higher id. A bank's edge to the start is its
    first one, so it is tried as soon as the bank is reached; of the last bank that a cycle may have no other matters,
    and they are counted at once.
    """
    path, pairs, left, last_depth = w[PATH_AT], w[PAIRS_AT], w[EDGES_LEFT], w[MAX_CYCLE_LENGTH] - 2
    depth = ZERO
    w[path + VISITED] = start
    w[path + FITS] = 1
    at, end = _walk(w, bank_row(start), start)
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
        if _is_visited(w, path, depth, to):
            continue
        first, last = _walk(w, bank_row(to), start)
        _note(w, path, depth, pair, to)
        if first < last and w[pair_row(w, w[first]) + TO] == start and left > 0:
            pair = pair_row(w, w[first])
            first += 1
            left -= 1
            if depth > 0 and _closes(w, path, depth, w[pair + FRONT]):
                _note(w, path, depth + 1, pair, start)
                w[EDGES_LEFT] = left
                return depth + 2
        if depth == last_depth:
            left -= min(last - first, left)
        elif first < last:
            w[path + WALK + depth] = at
            w[path + END + depth] = end
            w[path + FITS + depth + 1] = _still_fits(w, path, depth)
            depth += 1
            at, end = first, last
    w[EDGES_LEFT] = left
    return ZERO


@part
def _note(w, path, depth, pair, to):  # type: ignore[no-untyped-def]
    """The edge that a path takes, and where it comes to."""
    w[path + EDGE + depth] = pair
    w[path + AMOUNT + depth] = w[pair + FRONT]
    w[path + VISITED + depth + 1] = to


@part
def _walk(w, b, start):  # type: ignore[no-untyped-def]
    """Of the list of a bank's receivers, where those from `start` on begin, and where it ends.

    Starts only grow until a cycle settles and the lists change.
    """
    if w[b + SKIP_OF] != w[SEARCHES]:
        w[b + SKIP_OF] = w[SEARCHES]
        w[b + SKIP] = 0
    near = w[NEAR_AT] + w[b + PAIRS]
    at, end = near + w[b + SKIP], near + w[b + DEGREE]
    while at < end and w[pair_row(w, w[at]) + TO] < start:
        at += 1
    w[b + SKIP] = at - near
    return at, end


@part
def _still_fits(w, path, depth):  # type: ignore[no-untyped-def]
    """Whether the banks of the path after the start can pay what they lose; of the last one both edges are known."""
    if depth == 0:
        return ONE
    loses = w[path + AMOUNT + depth] - w[path + AMOUNT + depth - 1]
    return w[path + FITS + depth] if loses <= headroom(w, bank_row(w[path + VISITED + depth])) else ZERO


@part
def _closes(w, path, depth, amount):  # type: ignore[no-untyped-def]
    """Whether every bank can pay what it loses in the cycle that an edge of `amount` closes."""
    last = bank_row(w[path + VISITED + depth + 1])
    if amount - w[path + AMOUNT + depth] > headroom(w, last) or not _still_fits(w, path, depth):
        return False
    return w[path + AMOUNT] - amount <= headroom(w, bank_row(w[path + VISITED]))


@part
def _is_visited(w, path, depth, bank):  # type: ignore[no-untyped-def]
    """Whether a bank stands between the start and the last one of a path."""
    at = path + VISITED + depth - 1
    while at > path + VISITED:
        if w[at] == bank:
            return True
        at -= 1
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
