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
    LEFT,
    LSM_VALUE,
    MAX_CYCLE_LENGTH,
    MAX_CYCLES,
    NEAR_AT,
    NONE,
    OFFSETS,
    PAIR_AFTER,
    PAIR_CHANGED,
    PAIRS,
    PATH_AT,
    REST,
    SIZE,
    STAMP,
    TO,
    TRIED,
    VALUE,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.ledger import bank_row, change, front, headroom, move, payment_row, take_front
from payment_simulator.engine.pairs import pair_row

MAX_EDGES_A_TICK = 10_000
LONGEST = 5
# Of a path: its pairs, how far each bank's walk is, its banks, and what each gains
WALK, VISITED, GAIN = LONGEST, 2 * LONGEST, 3 * LONGEST


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
    """The length of the first cycle over `start` that settles, with its pairs and banks in the path; 0 for none."""
    path, depth, left = w[PATH_AT], ZERO, w[EDGES_LEFT]
    w[path + VISITED] = start
    w[path + WALK] = _first_from(w, start, start)
    while depth >= 0:
        b = bank_row(w[path + VISITED + depth])
        near, degree, at = w[NEAR_AT] + w[b + PAIRS], w[b + DEGREE], w[path + WALK + depth]
        w[path + WALK + depth] = at + 1
        if at >= degree:
            depth -= 1
            continue
        if left == 0:
            break
        left -= 1
        w[path + depth] = w[near + at]
        to = w[pair_row(w, w[near + at]) + TO]
        if to == start:
            if depth >= 2 and _covers(w, depth + 1):
                w[EDGES_LEFT] = left
                return depth + 1
        elif depth + 1 < w[MAX_CYCLE_LENGTH] and not _is_visited(w, depth, to):
            depth += 1
            w[path + VISITED + depth] = to
            w[path + WALK + depth] = _first_from(w, to, start)
    w[EDGES_LEFT] = left
    return ZERO


@part
def _first_from(w, bank, start):  # type: ignore[no-untyped-def]
    """How many of a bank's receivers come before `start`."""
    b = bank_row(bank)
    near, low, high = w[NEAR_AT] + w[b + PAIRS], ZERO, w[b + DEGREE]
    while low < high:
        middle = (low + high) // 2
        if w[pair_row(w, w[near + middle]) + TO] < start:
            low = middle + 1
        else:
            high = middle
    return low


@part
def _is_visited(w, depth, bank):  # type: ignore[no-untyped-def]
    for at in range(1, depth + 1):  # noqa: SIM110 - compiled code has no any()
        if w[w[PATH_AT] + VISITED + at] == bank:
            return True
    return False


@part
def _edge_amount(w, at):  # type: ignore[no-untyped-def]
    """The amount of an edge of the path: its pair's first payment."""
    return front(w, payment_row(w, w[pair_row(w, w[w[PATH_AT] + at]) + FIRST]))


@part
def _covers(w, length):  # type: ignore[no-untyped-def]
    """Whether every bank can pay what it loses in the cycle; writes what each gains."""
    path, before = w[PATH_AT], _edge_amount(w, length - 1)
    for at in range(length):
        amount = _edge_amount(w, at)
        w[path + GAIN + at] = before - amount
        if amount - before > headroom(w, bank_row(w[path + VISITED + at])):
            return False
        before = amount
    return True


@part
def _settle_cycle(w, length):  # type: ignore[no-untyped-def]
    path = w[PATH_AT]
    for at in range(length):
        pair = pair_row(w, w[path + at])
        w[LSM_VALUE] += take_front(w, w[pair + FIRST], E_CYCLE, w[OFFSETS])
    w[OFFSETS] += 1
    for at in range(length):
        if w[path + GAIN + at] != 0:
            change(w, w[path + VISITED + at], w[path + GAIN + at])
