"""Liquidity saving in the kernel: bilateral offsets and cycles, as `reference` and `lsm` define them."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import inlined, part
from payment_simulator.engine.kernel.queues import change, move, take_front
from payment_simulator.engine.kernel.rows import bank_row, pair_row, payment_row, room, spendable_liquidity
from payment_simulator.engine.kernel.ruled_offsets import allow_cycle, bear_offset
from payment_simulator.engine.kernel.rules import first_queued
from payment_simulator.engine.kernel.watch import note_cycle, note_left_out
from payment_simulator.engine.vocabulary import EventKind

SIDE = 2  # of a pair that is cut: a payment, and how many of its pieces are in


@part
def offset_pairs(w):
    """Offset every pair once, by ids; after a failure not until a queue or the liquidity of either has changed."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.IS_CLOSED]:
            continue
        near = w[L.NEAR_AT] + w[b + L.PAIRS]
        at = 0
        while at < w[b + L.DEGREE]:
            number = w[near + at]
            pair = pair_row(w, number)
            if w[pair + L.TO] > bank and w[pair + L.BACK] != L.NONE:
                _try_pair(w, bank, pair, pair_row(w, w[pair + L.BACK]))
            if at < w[b + L.DEGREE] and w[near + at] == number:
                at += 1


@part
def _try_pair(w, bank, pair, back):
    other = w[pair + L.TO]
    changed = max(w[pair + L.PAIR_CHANGED], w[back + L.PAIR_CHANGED])
    changed = max(changed, max(w[bank_row(bank) + L.CHANGED], w[bank_row(other) + L.CHANGED]))
    if w[back + L.COUNT] > 0 and w[L.HAS_RULES]:  # more than these may have changed
        one, two = bear_offset(w, bank, other, pair, back)
        if one > 0:
            _settle_pair(w, bank, other, pair, back, one, two)
    elif w[back + L.COUNT] > 0 and changed > w[pair + L.TRIED]:
        w[pair + L.TRIED] = w[L.STAMP]
        _offset_pair(w, bank, other, pair, back)


@part
def _offset_pair(w, bank, other, pair, back):
    """Settle both sides whole; while the net payer lacks liquidity, its last payment in queue order is left out."""
    one, two = w[pair + L.VALUE], w[back + L.VALUE]
    room_one, room_two = room(w, bank_row(bank)), room(w, bank_row(other))
    side_one, side_two = w[L.PATH_AT], w[L.PATH_AT] + SIDE
    w[side_one] = w[side_two] = L.NONE
    while one > 0 and two > 0:
        if one - two > room_one:
            one = _cut(w, pair, side_one, one, two + room_one)
            note_left_out(w, bank, side_one, one, two + spendable_liquidity(w, bank_row(bank)))
        elif two - one > room_two:
            two = _cut(w, back, side_two, two, one + room_two)
            note_left_out(w, other, side_two, two, one + spendable_liquidity(w, bank_row(other)))
        else:
            _settle_pair(w, bank, other, pair, back, one, two)
            return


@part
def _settle_pair(w, bank, other, pair, back, one, two):
    """Settle what each of two banks pays the other."""
    _settle_side(w, pair, one)
    _settle_side(w, back, two)
    w[L.OFFSETS] += 1
    w[L.LSM_VALUE] += one + two
    if one != two:
        move(w, bank, other, one - two)


@part
def _cut(w, pair, side, total, limit):
    """The sum of as many payments from the front of a pair's queue as stay within `limit`; `total` is more.

    At `side` stand the last payment that is in, if it is known, and how many of its pieces are. The first cut is found
    from the front, and later ones back from there: a side is walked once each way, however often it is cut.
    """
    if w[side] == L.NONE:
        return _cut_from_front(w, pair, side, limit)
    while total > limit:
        p, pieces = w[side], w[side + 1]
        r = payment_row(w, p)
        if pieces > w[r + L.LEFT]:
            total -= w[r + L.REST]
            pieces -= 1
        if total > limit and pieces > 0:
            over = min((total - limit + w[r + L.SIZE] - 1) // w[r + L.SIZE], pieces)
            total -= over * w[r + L.SIZE]
            pieces -= over
        w[side + 1] = pieces
        if pieces == 0:
            p = w[r + L.PAIR_BEFORE]
            if p == L.NONE:
                return L.ZERO
            w[side] = p
            w[side + 1] = w[payment_row(w, p) + L.LEFT] + 1
    return total


@part
def _cut_from_front(w, pair, side, limit):
    total, p = L.ZERO, w[pair + L.FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        pieces = w[r + L.LEFT]
        if pieces > 0:
            pieces = min(pieces, (limit - total) // w[r + L.SIZE])
            total += pieces * w[r + L.SIZE]
        if pieces == w[r + L.LEFT] and total + w[r + L.REST] <= limit:
            total += w[r + L.REST]
            pieces += 1
        w[side], w[side + 1] = p, pieces
        if pieces <= w[r + L.LEFT]:
            return total
        p = w[r + L.PAIR_AFTER]
    return total


@part
def _settle_side(w, pair, total):
    while total > 0:
        total -= take_front(w, w[pair + L.FIRST], EventKind.LsmBilateralOffset, w[L.OFFSETS])


@part
def settle_cycles(w):
    """Settle cycles for each start by id, depth first over higher ids."""
    if w[L.STAMP] != w[L.CYCLES_TRIED] or w[L.HAS_RULES]:
        _search_cycles(w)
    if w[L.EDGES_LEFT] < 0:
        w[L.CUTS] += 1


@part
def _search_cycles(w):
    w[L.EDGES_LEFT] = w[L.MAX_EDGES]
    w[L.SEARCHES] += 1
    settled = 0
    for start in range(w[L.BANKS]):
        while settled < w[L.MAX_CYCLES] and w[L.EDGES_LEFT] >= 0:
            length = _find_cycle(w, start)
            if length == 0:
                break
            _settle_cycle(w, length)
            w[L.SEARCHES] += 1
            settled += 1
    if settled == 0:
        w[L.CYCLES_TRIED] = w[L.STAMP]


@part
def _find_cycle(w, start):
    """The length of the first cycle over `start` that settles, with its pairs and banks in the path; 0 for none.

    An edge is visited when it is looked at: one to the start, or to a higher id. A bank's edge to the start is its
    first one, so it is tried as soon as the bank is reached; of the last bank that a cycle may have no other matters,
    and they are counted at once. EDGES_LEFT is below 0 once there was an edge that might not be looked at.
    """
    path, pairs, left, last_depth = w[L.PATH_AT], w[L.PAIRS_AT], w[L.EDGES_LEFT], w[L.MAX_CYCLE_LENGTH] - 2
    depth = L.ZERO
    w[path + L.PATH_BANK] = start
    w[path + L.PATH_FITS] = 1
    at, end = _walk(w, start, start)
    while True:
        if at >= end:
            depth -= 1
            if depth < 0:
                break
            at, end = w[path + L.PATH_WALK + depth], w[path + L.PATH_END + depth]
            continue
        left -= 1
        if left < 0:
            break
        pair = pairs + w[at] * L.PAIR_COLUMNS
        to = w[pair + L.TO]
        at += 1
        if _is_visited(w, path, depth, to):
            continue
        first, last = _walk(w, to, start)
        _note(w, path, depth, pair, to)
        if first < last and w[pair_row(w, w[first]) + L.TO] == start:
            pair = pair_row(w, w[first])
            first += 1
            left -= 1
            if left >= 0 and depth > 0 and _closes(w, path, depth, pair, start):
                w[L.EDGES_LEFT] = left
                return depth + 2
        if depth == last_depth:
            left -= last - first
        elif first < last:
            w[path + L.PATH_WALK + depth] = at
            w[path + L.PATH_END + depth] = end
            w[path + L.PATH_FITS + depth + 1] = _still_fits(w, path, depth)
            depth += 1
            at, end = first, last
    w[L.EDGES_LEFT] = left
    return L.ZERO


@part
def _note(w, path, depth, pair, to):
    """Write down the edge that a path takes, and the bank that it comes to."""
    w[path + L.PATH_EDGE + depth] = pair
    w[path + L.PATH_AMOUNT + depth] = w[pair + L.FRONT]
    w[path + L.PATH_BANK + depth + 1] = to


@inlined
def _walk(w, bank, start):
    """The places in the list of a bank's receivers where those from `start` on begin, and where it ends.

    Starts only grow until a cycle settles and the lists change.
    """
    b = bank_row(bank)
    if w[L.STRICT]:
        return _first_edge(w, bank, start)
    if w[b + L.SKIP_OF] != w[L.SEARCHES]:
        w[b + L.SKIP_OF] = w[L.SEARCHES]
        w[b + L.SKIP] = 0
    near = w[L.NEAR_AT] + w[b + L.PAIRS]
    at, end = near + w[b + L.SKIP], near + w[b + L.DEGREE]
    while at < end and w[pair_row(w, w[at]) + L.TO] < start:
        at += 1
    w[b + L.SKIP] = at - near
    return at, end


@part
def _first_edge(w, bank, start):
    """The same of a strict queue: the bank's first payment is its only edge."""
    b, key = bank_row(bank), first_queued(w, bank)
    at = w[L.NEAR_AT] + w[b + L.PAIRS]
    end = at + w[b + L.DEGREE]
    if key == L.NOTHING:
        return end, end
    number = w[payment_row(w, key & L.KEY_MASK) + L.PAIR]
    while at < end and w[at] != number:
        at += 1
    is_edge = at < end and w[pair_row(w, number) + L.TO] >= start
    return (at, at + 1) if is_edge else (end, end)


@part
def _still_fits(w, path, depth):
    """1 where the banks of a path after the start can pay what they lose; of the last one both edges are known."""
    if depth == 0:
        return L.ONE
    loses = w[path + L.PATH_AMOUNT + depth] - w[path + L.PATH_AMOUNT + depth - 1]
    return w[path + L.PATH_FITS + depth] if loses <= room(w, bank_row(w[path + L.PATH_BANK + depth])) else L.ZERO


@part
def _closes(w, path, depth, pair, start):
    """True where every bank can bear the cycle that the front of a pair, back to the start, closes; noted then."""
    amount = w[pair + L.FRONT]
    first, last = bank_row(w[path + L.PATH_BANK]), bank_row(w[path + L.PATH_BANK + depth + 1])
    if (
        amount - w[path + L.PATH_AMOUNT + depth] > room(w, last)
        or w[path + L.PATH_AMOUNT] - amount > room(w, first)
        or not _still_fits(w, path, depth)
    ):
        note_cycle(w, path, depth, amount)
        return False
    _note(w, path, depth + 1, pair, start)
    return w[L.HAS_RULES] == 0 or allow_cycle(w, depth + 2)


@part
def _is_visited(w, path, depth, bank):
    """True where a bank stands between the start and the last one of a path."""
    at = path + L.PATH_BANK + depth - 1
    while at > path + L.PATH_BANK:
        if w[at] == bank:
            return True
        at -= 1
    return False


@part
def _settle_cycle(w, length):
    path = w[L.PATH_AT]
    for at in range(length):
        w[L.LSM_VALUE] += take_front(
            w, w[w[path + L.PATH_EDGE + at] + L.FIRST], EventKind.LsmCycleSettlement, w[L.OFFSETS]
        )
    w[L.OFFSETS] += 1
    before = w[path + L.PATH_AMOUNT + length - 1]
    for at in range(length):
        amount = w[path + L.PATH_AMOUNT + at]
        if amount != before:
            change(w, w[path + L.PATH_BANK + at], before - amount)
        before = amount
