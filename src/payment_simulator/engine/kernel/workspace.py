"""The kernel's workspace: how large it is, and where each part of it begins; and the collateral of banks."""

from payment_simulator.engine.kernel.fixed_point import product, share
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
    A_RECEIVER,
    A_SENDER,
    AFTER_HAIRCUT,
    ARRIVAL_COLUMNS,
    AT_PLACE_AT,
    BACK,
    BANKS,
    BILATERAL,
    CALENDAR_SIZE,
    CAP,
    COLLATERAL_COST,
    COLLATERAL_RATE,
    CREDIT,
    CYCLES,
    DENSE_PAIRS,
    DUE_AT,
    E_POSTED,
    E_WITHDRAWN,
    HAS_PAIRS,
    HURRIED_AT,
    IS_DENSE,
    IS_PREPARED,
    KNOWN_AT,
    LASTS_AT,
    LAYER_SIZE,
    LAYERS,
    LOWS_AT,
    NEAR_AT,
    NONE,
    PAIR_COLUMNS,
    PAIR_COUNT,
    PAIRS,
    PAIRS_AT,
    PAYMENT_COLUMNS,
    PAYMENTS_AT,
    PLACE_OF_AT,
    PLACES,
    POSTED,
    PRIORITIES,
    READY_AT,
    TO,
    TREE,
    TREE_SIZE,
    URGENT_AT,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.kernel.pairs import find_pair, open_pair, pair_row
from payment_simulator.engine.kernel.queues import bank_row, raise_headroom, say
from payment_simulator.engine.kernel.sorting import sort_keys

NO_BUDGET = 2**62


def workspace_size(head: int, banks: int, payments: int, ticks: int, has_pairs: bool, room: int) -> int:
    """How many numbers a run needs at the most; the system gives memory only to those that are written."""
    pairs = 0 if not has_pairs else banks * banks if banks * banks <= DENSE_PAIRS else payments
    waiting = payments * (PAYMENT_COLUMNS + 3) + 2 * ticks + LAYERS * (banks + 4 * payments + 2 * banks)
    return head + banks + 40 + 8 * max(room, 0) + 2 * payments + waiting + pairs * (PAIR_COLUMNS + PRIORITIES + 1) + 64


@part
def credit_with(w, b, posted):  # type: ignore[no-untyped-def]
    """How far below 0 a bank's balance may go with so much collateral."""
    return w[b + CAP] + product(w, posted, w[b + AFTER_HAIRCUT], ZERO)


@part
def set_posted(w, b, posted):  # type: ignore[no-untyped-def]
    """A bank has so much collateral posted."""
    w[b + POSTED] = posted
    w[b + CREDIT] = credit_with(w, b, posted)
    w[b + COLLATERAL_COST] = share(w, posted, w[COLLATERAL_RATE])


@part
def post(w, bank, amount):  # type: ignore[no-untyped-def]
    """Post so much more collateral; below 0, withdraw it."""
    if amount == 0:
        return
    say(w, E_POSTED if amount > 0 else E_WITHDRAWN, bank, NONE, NONE, NONE, abs(amount), NONE)
    b = bank_row(bank)
    set_posted(w, b, w[b + POSTED] + amount)
    raise_headroom(w, bank)


@part
def prepare(w, a, first, last, ticks):  # type: ignore[no-untyped-def]
    """Make what waiting payments need: rows, places in trees, calendars and, for offsets, pairs."""
    count, banks = last - first, w[BANKS]
    at = w[HURRIED_AT] + count
    w[PAYMENTS_AT] = at
    w[KNOWN_AT] = at = at + count * PAYMENT_COLUMNS
    w[PLACE_OF_AT] = at = at + count
    w[AT_PLACE_AT] = at = at + count
    w[DUE_AT] = at = at + count
    w[URGENT_AT] = at = at + ticks
    w[READY_AT] = at = at + ticks
    w[PAIRS_AT] = at + banks * LAYERS
    w[CALENDAR_SIZE] = ticks
    for index in range(count):
        w[w[KNOWN_AT] + index] = 0
    for index in range(2 * ticks):
        w[w[DUE_AT] + index] = NONE
    for index in range(banks * LAYERS):
        w[w[READY_AT] + index] = 0
    w[PAIR_COUNT] = 0
    w[HAS_PAIRS] = 1 if w[BILATERAL] or w[CYCLES] else 0
    w[NEAR_AT] = w[PAIRS_AT]
    if w[HAS_PAIRS]:
        _make_pairs(w, a, first, count)
    w[LOWS_AT] = w[NEAR_AT] + w[PAIR_COUNT] + 1
    _make_places(w, a, first, count)
    w[IS_PREPARED] = 1


@part
def _make_places(w, a, first, count):  # type: ignore[no-untyped-def]
    """A place in its sender's trees for each payment, in sequence."""
    for bank in range(w[BANKS]):
        w[bank_row(bank) + TREE_SIZE] = 0
    for p in range(count):
        b = bank_row(a[(first + p) * ARRIVAL_COLUMNS + A_SENDER])
        w[w[PLACE_OF_AT] + p] = w[b + TREE_SIZE]
        w[b + TREE_SIZE] += 1
    places = trees = 0
    for bank in range(w[BANKS]):
        b = bank_row(bank)
        w[b + PLACES] = places
        w[b + TREE] = trees
        size = 1
        while size < w[b + TREE_SIZE]:
            size *= 2
        places += w[b + TREE_SIZE]
        w[b + TREE_SIZE] = size
        trees += 2 * size
    for p in range(count):
        b = bank_row(a[(first + p) * ARRIVAL_COLUMNS + A_SENDER])
        w[w[AT_PLACE_AT] + w[b + PLACES] + w[w[PLACE_OF_AT] + p]] = p
    w[LAYER_SIZE] = trees


@part
def _make_pairs(w, a, first, count):  # type: ignore[no-untyped-def]
    banks = w[BANKS]
    w[IS_DENSE] = 1 if banks * banks <= DENSE_PAIRS else 0
    if w[IS_DENSE]:
        w[PAIR_COUNT] = banks * banks
        for sender in range(banks):
            w[bank_row(sender) + PAIRS] = sender * banks
            for receiver in range(banks):
                open_pair(w, sender * banks + receiver, receiver, receiver * banks + sender)
    else:
        _make_sparse_pairs(w, a, first, count)
    w[LASTS_AT] = w[PAIRS_AT] + w[PAIR_COUNT] * PAIR_COLUMNS
    w[NEAR_AT] = w[LASTS_AT] + w[PAIR_COUNT] * PRIORITIES
    for at in range(w[LASTS_AT], w[NEAR_AT]):
        w[at] = NONE


@part
def _make_sparse_pairs(w, a, first, count):  # type: ignore[no-untyped-def]
    """Those that have payments, by sender, then receiver."""
    banks, keys = w[BANKS], w[HURRIED_AT]
    for p in range(count):
        at = (first + p) * ARRIVAL_COLUMNS
        w[keys + p] = a[at + A_SENDER] * banks + a[at + A_RECEIVER]
    sort_keys(w, keys, count)
    sender = 0
    for index in range(count):
        key = w[keys + index]
        if index > 0 and key == w[keys + index - 1]:
            continue
        while sender <= key // banks:
            w[bank_row(sender) + PAIRS] = w[PAIR_COUNT]
            sender += 1
        open_pair(w, w[PAIR_COUNT], key % banks, key // banks)
        w[PAIR_COUNT] += 1
    while sender < banks:
        w[bank_row(sender) + PAIRS] = w[PAIR_COUNT]
        sender += 1
    for number in range(w[PAIR_COUNT]):  # until now each pair's BACK was its sender
        pair = pair_row(w, number)
        back = find_pair(w, w[pair + TO], w[pair + BACK])
        is_there = back < w[PAIR_COUNT] and w[pair_row(w, back) + TO] == w[pair + BACK]
        is_there = is_there and back >= w[bank_row(w[pair + TO]) + PAIRS]
        following = w[PAIR_COUNT] if w[pair + TO] + 1 == banks else w[bank_row(w[pair + TO] + 1) + PAIRS]
        w[pair + BACK] = back if is_there and back < following else NONE
