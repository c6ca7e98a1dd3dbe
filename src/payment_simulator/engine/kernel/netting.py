"""Multilateral netting in the kernel, as `reference.netting`: last ones go out until every bank can bear the rest.

Each bank's payments stand side by side, in queue order, up to its `NET_LAST`, in the place of what was released; how
many pieces of a payment are in stands in the place of urgent keys, by its number. A removal touches the sums of two
banks, and looks for the next bank from the least that may be broken on.
"""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.queues import change, take_front
from payment_simulator.engine.kernel.rows import bank_row, layer_of, payment_row, remaining
from payment_simulator.engine.kernel.rules import find_limit, lacks, next_queued
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.vocabulary import PriorityClass


@part
def net_queue2(w, kind):
    """Settle at once as much of Queue 2 as every bank can bear."""
    count = _gather(w)
    _leave_out(w)
    _settle(w, count, kind)


@part
def _gather(w):
    """Let everything be in that may be tried; the number of payments."""
    count = L.ZERO
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        w[b + L.NET_OUT] = w[b + L.NET_IN] = w[b + L.NET_BROKEN] = 0
        w[b + L.NET_URGENT] = w[b + L.NET_NORMAL] = w[b + L.NET_LOW] = 0
        if w[b + L.QUEUE2_SIZE] > 0:
            count = _list_payments(w, bank, count)
        w[b + L.NET_LAST] = w[L.RELEASED_AT] + count - 1
        for number in range(w[b + L.LIMIT_COUNT]):
            row = w[b + L.LIMITS] + number * L.LIMIT_COLUMNS
            w[row + L.LIMIT_OUT] = w[row + L.LIMIT_IN] = 0
            w[row + L.LIMIT_LAST] = w[b + L.NET_LAST]
    for at in range(w[L.RELEASED_AT], w[L.RELEASED_AT] + count):
        r = payment_row(w, w[at])
        w[w[L.URGENT_KEYS_AT] + w[at]] = w[r + L.LEFT] + 1
        w[_class_count(w, r)] += 1
        _count(w, r, remaining(w, r))
    return count


@part
def _list_payments(w, bank, count):
    """Add a bank's payments to the list, in queue order; strictly, those before the first that may not be tried."""
    for layer in range(L.LAYERS - 1):
        p = next_queued(w, bank, layer, L.ZERO, L.NOTHING - 1)
        while p != L.NONE:
            r = payment_row(w, p)
            if w[bank_row(w[r + L.RECEIVER]) + L.IS_CLOSED]:
                return count
            w[w[L.RELEASED_AT] + count] = p
            count += 1
            p = next_queued(w, bank, layer, w[r + L.PLACE] + 1, L.NOTHING - 1)
    return count


@part
def _class_count(w, r):
    """The place where a bank counts its payments of a payment's class that are in."""
    b, kind = bank_row(w[r + L.SENDER]), w[L.CLASS_OF + w[r + L.PRIORITY]]
    if kind == PriorityClass.URGENT:
        return b + L.NET_URGENT
    return b + L.NET_NORMAL if kind == PriorityClass.NORMAL else b + L.NET_LOW


@part
def _count(w, r, amount):
    """Count an amount as in; below 0, as out."""
    sender, receiver = w[r + L.SENDER], w[r + L.RECEIVER]
    w[bank_row(sender) + L.NET_OUT] += amount
    w[bank_row(receiver) + L.NET_IN] += amount
    if w[L.HAS_RULES]:
        _count_limit(w, bank_row(sender), receiver, amount, L.ZERO)
        _count_limit(w, bank_row(receiver), sender, L.ZERO, amount)


@part
def _count_limit(w, b, other, out, into):
    """Count the same for a bank's limit to another, if there is one, and whether it is broken."""
    row = find_limit(w, b, other)
    if row == L.NONE:
        return
    w[b + L.NET_BROKEN] -= _is_beyond(w, b, row)
    w[row + L.LIMIT_OUT] += out
    w[row + L.LIMIT_IN] += into
    w[b + L.NET_BROKEN] += _is_beyond(w, b, row)


@part
def _is_beyond(w, b, row):
    """1 where what is in would bring a position beyond its limit."""
    rise = w[row + L.LIMIT_OUT] - w[b + L.IS_NET] * w[row + L.LIMIT_IN]
    return L.ONE if rise > 0 and w[row + L.LIMIT_POSITION] + rise > w[row + L.LIMIT] else L.ZERO


@part
def _bears(w, b):
    """True where a bank has the liquidity for what is in, and its limit to all others allows it."""
    if w[b + L.NET_OUT] == 0:
        return True
    rise = w[b + L.NET_OUT] - w[b + L.IS_NET] * w[b + L.NET_IN]
    if rise > 0 and w[b + L.POSITION] + rise > w[b + L.MULTILATERAL_LIMIT]:
        return False
    lowest = PriorityClass.URGENT.value
    if w[b + L.NET_LOW] > 0:
        lowest = PriorityClass.LOW.value
    elif w[b + L.NET_NORMAL] > 0:
        lowest = PriorityClass.NORMAL.value
    return not lacks(w, b, w[b + L.NET_OUT] - w[b + L.NET_IN], lowest)


@part
def _leave_out(w):
    if w[L.HAS_RULES]:
        _leave_out_by_rules(w)
    else:
        _leave_out_for_liquidity(w)


@part
def _leave_out_for_liquidity(w):
    """Leave last payments out, bank by bank, until each can bear what is in: in whatever order, the same ones go."""
    begin = L.ZERO
    while begin < w[L.BANKS]:
        first, begin = begin, w[L.BANKS]
        for bank in range(first, w[L.BANKS]):
            while not _bears(w, bank_row(bank)):
                other = _remove_last(w, bank_row(bank))
                if other < bank:
                    begin = min(begin, other)


@part
def _leave_out_by_rules(w):
    """Leave last payments out: for a limit to a bank while one is broken, by ids, else of the first bank that must."""
    beyond = bank = L.ZERO
    while True:
        while beyond < w[L.BANKS] and w[bank_row(beyond) + L.NET_BROKEN] == 0:
            beyond += 1
        if beyond < w[L.BANKS]:
            other = _remove_beyond(w, beyond)
        else:
            while bank < w[L.BANKS] and _bears(w, bank_row(bank)):
                bank += 1
            if bank == w[L.BANKS]:
                return
            other = _remove_last(w, bank_row(bank))
        bank, beyond = min(bank, other), min(beyond, other)


@part
def _remove_beyond(w, bank):
    """Take out the last piece to the first bank a limit to which is broken; strictly, the last; its receiver."""
    b = bank_row(bank)
    if w[L.STRICT]:
        return _remove_last(w, b)
    row = w[b + L.LIMITS]
    while _is_beyond(w, b, row) == 0:
        row += L.LIMIT_COLUMNS
    at = w[row + L.LIMIT_LAST]
    while _pieces(w, at) == 0 or w[payment_row(w, w[at]) + L.RECEIVER] != w[row + L.LIMIT_TO]:
        at -= 1
    w[row + L.LIMIT_LAST] = at
    return _remove(w, w[at])


@part
def _remove_last(w, b):
    """Take out a bank's last piece; its receiver."""
    at = w[b + L.NET_LAST]
    while _pieces(w, at) == 0:
        at -= 1
    w[b + L.NET_LAST] = at
    return _remove(w, w[at])


@part
def _pieces(w, at):
    return w[w[L.URGENT_KEYS_AT] + w[at]]


@part
def _remove(w, p):
    r, pieces = payment_row(w, p), w[w[L.URGENT_KEYS_AT] + p]
    w[w[L.URGENT_KEYS_AT] + p] = pieces - 1
    if pieces == 1:
        w[_class_count(w, r)] -= 1
    _count(w, r, -(w[r + L.REST] if pieces > w[r + L.LEFT] else w[r + L.SIZE]))
    return w[r + L.RECEIVER]


@part
def _settle(w, count, kind):
    """Settle what is in, in queue order, and move each bank's net."""
    begin, total = w[L.RELEASED_AT], L.ZERO
    end = begin
    for at in range(begin, begin + count):
        if _pieces(w, at) > 0:
            w[end] = (layer_of(w, payment_row(w, w[at])) << L.KEY_SHIFT) | w[at]
            end += 1
    sort_keys(w, begin, end - begin)
    for at in range(begin, end):
        p = w[at] & L.KEY_MASK
        for _ in range(w[w[L.URGENT_KEYS_AT] + p]):
            total += take_front(w, p, kind, w[L.OFFSETS])
    if total == 0:
        return
    w[L.OFFSETS] += 1
    w[L.LSM_VALUE] += total
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.NET_IN] != w[b + L.NET_OUT]:
            change(w, bank, w[b + L.NET_IN] - w[b + L.NET_OUT])
