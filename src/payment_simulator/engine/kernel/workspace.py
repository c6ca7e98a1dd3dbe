"""The kernel's workspace: how large it is, and where each part of it begins; and the collateral of banks."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.fixed_point import product, share
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.lowering import CompiledScenario
from payment_simulator.engine.kernel.pairs import find_pair, open_pair
from payment_simulator.engine.kernel.queues import note_more_liquidity, record_event
from payment_simulator.engine.kernel.rows import bank_row, pair_row
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.vocabulary import EventKind

NO_BUDGET = 2**62
COLLATERAL_RATE = L.RATE_PLACES["collateral_cost_per_tick_bps"]


def workspace_size(compiled: CompiledScenario, payments: int, room: int) -> int:
    """The most numbers (int64) that a run needs; the system gives memory only to those that are written."""
    banks, ticks = compiled.banks, compiled.ticks
    pairs = 0 if not compiled.has_pairs else banks * banks if banks * banks <= L.DENSE_PAIRS else payments
    waiting = payments * (L.PAYMENT_COLUMNS + 3) + 2 * ticks + L.LAYERS * (banks + 4 * payments + 2 * banks)
    pair_columns = L.PAIR_COLUMNS + L.PRIORITIES + 1
    rows = L.ROW_WIDTH * max(room, 0)
    timers = banks * ticks if compiled.has_timers else 0
    head = len(compiled.template) + 2 * banks + L.PATH_SIZE + timers
    return head + rows + 2 * payments + waiting + pairs * pair_columns + 64


@part
def credit_with(w, b, posted):
    """The cents that a bank's balance may go below 0 with `posted` cents of collateral."""
    return w[b + L.CAP] + product(w, posted, w[b + L.AFTER_HAIRCUT], L.ZERO)


@part
def set_posted(w, b, posted):
    """Set a bank's posted collateral, and what follows from it."""
    w[b + L.POSTED] = posted
    w[b + L.CREDIT] = credit_with(w, b, posted)
    w[b + L.COLLATERAL_COST] = share(w, posted, w[COLLATERAL_RATE])


@part
def set_credit_limit(w, bank, cap):
    """Set a bank's credit without collateral."""
    b = bank_row(bank)
    record_event(w, EventKind.CreditLimitChanged, bank, L.NONE, L.NONE, L.NONE, cap, L.NONE)
    w[b + L.CAP] = cap
    set_posted(w, b, w[b + L.POSTED])
    note_more_liquidity(w, bank)


@part
def reset_balance(w, bank):
    """Let a bank have what it has as a day begins."""
    b = bank_row(bank)
    more = w[b + L.OPENING] - w[b + L.BALANCE]
    if more != 0:
        record_event(w, EventKind.BalanceReset, bank, L.NONE, L.NONE, L.NONE, more, L.NONE)
        w[b + L.BALANCE] += more
        note_more_liquidity(w, bank)


@part
def post(w, bank, amount):
    """Post `amount` more cents of collateral; below 0, withdraw them."""
    if amount == 0:
        return
    record_event(
        w,
        EventKind.CollateralPosted if amount > 0 else EventKind.CollateralWithdrawn,
        bank,
        L.NONE,
        L.NONE,
        L.NONE,
        abs(amount),
        L.NONE,
    )
    b = bank_row(bank)
    set_posted(w, b, w[b + L.POSTED] + amount)
    note_more_liquidity(w, bank)


@part
def least_collateral(w, b):
    """The least that must stay posted for the credit in use."""
    needed = max(-w[b + L.BALANCE], 0)
    if needed <= w[b + L.CAP]:
        return 0
    low, high = L.ZERO, w[b + L.POSTED]
    while low < high:
        middle = (low + high) // 2
        if credit_with(w, b, middle) < needed:
            low = middle + 1
        else:
            high = middle
    return low


@part
def prepare(w, a, first, last, ticks):
    """Make what waiting payments need: rows, places in segment trees, calendars and, for offsets, pairs."""
    count, banks = last - first, w[L.BANKS]
    at = w[L.URGENT_KEYS_AT] + count
    w[L.PAYMENTS_AT] = at
    w[L.KNOWN_AT] = at = at + count * L.PAYMENT_COLUMNS
    w[L.PLACE_OF_AT] = at = at + count
    w[L.AT_PLACE_AT] = at = at + count
    w[L.DUE_AT] = at = at + count
    w[L.URGENT_AT] = at = at + ticks
    w[L.READY_AT] = at = at + ticks
    w[L.PAIRS_AT] = at + banks * L.LAYERS
    w[L.CALENDAR_SIZE] = ticks
    for index in range(count):
        w[w[L.KNOWN_AT] + index] = 0
    for index in range(2 * ticks):
        w[w[L.DUE_AT] + index] = L.NONE
    for index in range(banks * L.LAYERS):
        w[w[L.READY_AT] + index] = 0
    w[L.PAIR_COUNT] = 0
    w[L.HAS_PAIRS] = 1 if w[L.BILATERAL] or w[L.CYCLES] or w[L.ON_ENTRY] or w[L.NAMES_PAIRS] else 0
    w[L.NEAR_AT] = w[L.PAIRS_AT]
    if w[L.HAS_PAIRS]:
        _make_pairs(w, a, first, count)
    w[L.SEGMENT_TREES_AT] = w[L.NEAR_AT] + w[L.PAIR_COUNT] + 1
    _make_places(w, a, first, count)
    w[L.IS_PREPARED] = 1


@part
def _make_places(w, a, first, count):
    """Give each payment a place in its sender's segment trees, in sequence."""
    for bank in range(w[L.BANKS]):
        w[bank_row(bank) + L.SEGMENT_TREE_SIZE] = 0
    for p in range(count):
        b = bank_row(a[(first + p) * L.ARRIVAL_COLUMNS + L.A_SENDER])
        w[w[L.PLACE_OF_AT] + p] = w[b + L.SEGMENT_TREE_SIZE]
        w[b + L.SEGMENT_TREE_SIZE] += 1
    places = nodes = 0
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        w[b + L.PLACES] = places
        w[b + L.SEGMENT_TREE] = nodes
        size = 1
        while size < w[b + L.SEGMENT_TREE_SIZE]:
            size *= 2
        places += w[b + L.SEGMENT_TREE_SIZE]
        w[b + L.SEGMENT_TREE_SIZE] = size
        nodes += 2 * size
    for p in range(count):
        b = bank_row(a[(first + p) * L.ARRIVAL_COLUMNS + L.A_SENDER])
        w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + w[w[L.PLACE_OF_AT] + p]] = p
    w[L.LAYER_SIZE] = nodes


@part
def _make_pairs(w, a, first, count):
    banks = w[L.BANKS]
    w[L.IS_DENSE] = 1 if banks * banks <= L.DENSE_PAIRS else 0
    if w[L.IS_DENSE]:
        w[L.PAIR_COUNT] = banks * banks
        for sender in range(banks):
            w[bank_row(sender) + L.PAIRS] = sender * banks
            for receiver in range(banks):
                open_pair(w, sender * banks + receiver, receiver, receiver * banks + sender)
    else:
        _make_sparse_pairs(w, a, first, count)
    w[L.LASTS_AT] = w[L.PAIRS_AT] + w[L.PAIR_COUNT] * L.PAIR_COLUMNS
    w[L.NEAR_AT] = w[L.LASTS_AT] + w[L.PAIR_COUNT] * L.PRIORITIES
    for at in range(w[L.LASTS_AT], w[L.NEAR_AT]):
        w[at] = L.NONE


@part
def _make_sparse_pairs(w, a, first, count):
    """Open the pairs that have payments, by sender, then receiver."""
    banks, keys = w[L.BANKS], w[L.URGENT_KEYS_AT]
    for p in range(count):
        at = (first + p) * L.ARRIVAL_COLUMNS
        w[keys + p] = a[at + L.A_SENDER] * banks + a[at + L.A_RECEIVER]
    sort_keys(w, keys, count)
    sender = 0
    for index in range(count):
        key = w[keys + index]
        if index > 0 and key == w[keys + index - 1]:
            continue
        while sender <= key // banks:
            w[bank_row(sender) + L.PAIRS] = w[L.PAIR_COUNT]
            sender += 1
        open_pair(w, w[L.PAIR_COUNT], key % banks, key // banks)
        w[L.PAIR_COUNT] += 1
    while sender < banks:
        w[bank_row(sender) + L.PAIRS] = w[L.PAIR_COUNT]
        sender += 1
    for number in range(w[L.PAIR_COUNT]):  # until now each pair's BACK was its sender
        pair = pair_row(w, number)
        back = find_pair(w, w[pair + L.TO], w[pair + L.BACK])
        is_there = back < w[L.PAIR_COUNT] and w[pair_row(w, back) + L.TO] == w[pair + L.BACK]
        is_there = is_there and back >= w[bank_row(w[pair + L.TO]) + L.PAIRS]
        following = w[L.PAIR_COUNT] if w[pair + L.TO] + 1 == banks else w[bank_row(w[pair + L.TO] + 1) + L.PAIRS]
        w[pair + L.BACK] = back if is_there and back < following else L.NONE
