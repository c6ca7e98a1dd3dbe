"""Rows of banks, payments and pairs: where each begins, and what follows from its columns."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part


@part
def bank_row(bank):
    """The place where the row of a bank begins."""
    return L.HEAD + bank * L.BANK_COLUMNS


@part
def payment_row(w, p):
    """The place where the row of a payment begins."""
    return w[L.PAYMENTS_AT] + p * L.PAYMENT_COLUMNS


@part
def pair_row(w, number):
    """The place where the row of a pair begins."""
    return w[L.PAIRS_AT] + number * L.PAIR_COLUMNS


@part
def spendable_liquidity(w, b):
    """The most that a bank can pay now, in cents."""
    return w[b + L.BALANCE] + w[b + L.CREDIT]


@part
def room(w, b):
    """The most that a bank can lose in an offset, in cents: nothing where its credit limit was cut below its debt."""
    return max(spendable_liquidity(w, b), L.ZERO)


@part
def remaining(w, r):
    """The unsettled amount of a payment, in cents."""
    return w[r + L.LEFT] * w[r + L.SIZE] + w[r + L.REST]


@part
def front(w, r):
    """The amount of a payment's first unsettled piece, in cents."""
    return w[r + L.SIZE] if w[r + L.LEFT] > 0 else w[r + L.REST]


@part
def front_place(w, r):
    """The place of a payment's first unsettled piece among all."""
    return w[r + L.PIECES] - 1 - w[r + L.LEFT]


@part
def layer_of(w, r):
    """The place of a payment's priority in queue order, the most urgent 0."""
    return w[L.LAYER_OF + w[r + L.PRIORITY]]


@part
def queue_key(w, p):
    """Queue order as one number."""
    return (layer_of(w, payment_row(w, p)) << L.KEY_SHIFT) | p


@part
def segment_tree_at(w, b, layer):
    """The place where a bank's segment tree of a layer begins."""
    return w[L.SEGMENT_TREES_AT] + layer * w[L.LAYER_SIZE] + w[b + L.SEGMENT_TREE]


@part
def has_segment_tree(w, bank, layer):
    """True where anything was ever put into that segment tree."""
    return w[w[L.READY_AT] + bank * L.LAYERS + layer] != 0


@part
def places_before(w, bank, p):
    """The number of a bank's payments that come before `p` in sequence."""
    places = w[L.AT_PLACE_AT] + w[bank_row(bank) + L.PLACES]
    low, high = L.ZERO, w[L.DUE_AT] - places
    if bank + 1 < w[L.BANKS]:
        high = w[bank_row(bank + 1) + L.PLACES] - w[bank_row(bank) + L.PLACES]
    while low < high:
        middle = (low + high) // 2
        if w[places + middle] < p:
            low = middle + 1
        else:
            high = middle
    return low


@part
def first_place_tried(w, bank, layer):
    """The first place of a bank in a layer of Queue 2 that is still to be tried; with one pass a tick, what is left."""
    key = w[L.RETRY_FROM]
    if layer > key >> L.KEY_SHIFT:
        return L.ZERO
    return places_before(w, bank, key & L.KEY_MASK)
