"""A watch on one bank, `WATCHED`: the least that it lacked where a test of its liquidity failed, as `reference.watch`.

An ordinary run watches NONE, and is told so where a test fails: no payment that settles costs more for it.
"""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.rows import (
    bank_row,
    first_place_tried,
    has_segment_tree,
    payment_row,
    places_before,
    segment_tree_at,
    spendable_liquidity,
)
from payment_simulator.engine.kernel.segment_tree import least_within


@part
def note_shortfall(w, bank, lacks):
    """Keep what a bank lacks for a test, if it is the one watched and never lacked less."""
    if bank == w[L.WATCHED] and lacks < w[L.SHORTFALL]:
        w[L.SHORTFALL] = lacks


@part
def note_waiting(w, best):
    """Note the payments of Queue 2 that the bank was tried for and cannot settle: those before the key `best`."""
    bank, least = w[L.WATCHED], L.NOTHING
    if bank == L.NONE:
        return
    b = bank_row(bank)
    for layer in range(w[L.RETRY_FROM] >> L.KEY_SHIFT, L.LAYERS - 1):
        if layer <= best >> L.KEY_SHIFT and has_segment_tree(w, bank, layer):
            start = first_place_tried(w, bank, layer) if w[L.RETRY_FROM] > 0 else L.ZERO
            size = w[b + L.SEGMENT_TREE_SIZE]
            end = size if layer < best >> L.KEY_SHIFT else places_before(w, bank, best & L.KEY_MASK)
            least = min(least, least_within(w, segment_tree_at(w, b, layer), size, start, end))
    if least < L.NOTHING:
        note_shortfall(w, bank, least - spendable_liquidity(w, b))


@part
def note_held(w, bank, start, end, left):
    """Note the payments of Queue 1, in the places from `start` to `end`, that would leave less than the buffer."""
    if bank == w[L.WATCHED]:
        b = bank_row(bank)
        least = least_within(w, segment_tree_at(w, b, L.QUEUE1_LAYER), w[b + L.SEGMENT_TREE_SIZE], start, end)
        if least < L.NOTHING:
            note_shortfall(w, bank, least - left)


@part
def note_left_out(w, bank, side, total, limit):
    """Note the last payment that was left out of one side of an offset, for `total` to stay within `limit`."""
    if bank == w[L.WATCHED]:
        r, pieces = payment_row(w, w[side]), w[side + 1]
        if pieces > w[r + L.LEFT]:
            r, pieces = payment_row(w, w[r + L.PAIR_AFTER]), L.ZERO
        amount = w[r + L.SIZE] if pieces < w[r + L.LEFT] else w[r + L.REST]
        note_shortfall(w, bank, total + amount - limit)


@part
def note_cycle(w, path, depth, amount):
    """Note the cycle that an edge of `amount` would close, where every other bank can pay what it loses."""
    if w[L.WATCHED] == L.NONE:
        return
    before, lacks = amount, L.ZERO
    for at in range(depth + 2):
        bank, gives = w[path + L.PATH_BANK + at], w[path + L.PATH_AMOUNT + at] if at <= depth else amount
        short = gives - before - spendable_liquidity(w, bank_row(bank))
        if short > 0 and gives > before:
            if bank != w[L.WATCHED]:
                return
            lacks = short
        before = gives
    if lacks > 0:
        note_shortfall(w, w[L.WATCHED], lacks)
