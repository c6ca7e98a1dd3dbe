"""Limits, reservations and strict queues in the kernel, as `reference.rules` defines them; where HAS_RULES is set."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.pairs import find_pair
from payment_simulator.engine.kernel.rows import bank_row, front, pair_row, payment_row, spendable_liquidity
from payment_simulator.engine.kernel.segment_tree import next_within
from payment_simulator.engine.vocabulary import PriorityClass


@part
def class_of(priority):
    """The class of a priority: 0-3, 4-7 and 8-10."""
    return priority // 4


@part
def forget_day(w):
    """Begin a day, in which nothing has settled yet."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        w[b + L.SENT_TODAY] = 0
        w[b + L.RECEIVED_TODAY] = 0
        w[b + L.URGENT_TODAY] = 0
        w[b + L.NORMAL_TODAY] = 0
    for number in range(w[L.PAIR_COUNT]):
        w[pair_row(w, number) + L.PAIR_SENT] = 0


@part
def set_limit(w, bank, other, limit):
    """Let this be a bank's limit to another, or to all where that is NONE; a pair without payments needs none."""
    if other == L.NONE:
        w[bank_row(bank) + L.MULTILATERAL_LIMIT] = limit
        return
    number = _pair_of(w, bank, other)
    if number != L.NONE:
        w[pair_row(w, number) + L.PAIR_LIMIT] = limit


@part
def _pair_of(w, sender, receiver):
    """The number of a pair; NONE where it has no payments at all."""
    number = find_pair(w, sender, receiver)
    end = w[L.PAIR_COUNT] if sender + 1 == w[L.BANKS] else w[bank_row(sender + 1) + L.PAIRS]
    return number if number < end and w[pair_row(w, number) + L.TO] == receiver else L.NONE


@part
def note_settled(w, sender, receiver, priority, amount):
    """Count a settled payment, or piece."""
    b = bank_row(sender)
    w[b + L.SENT_TODAY] += amount
    w[bank_row(receiver) + L.RECEIVED_TODAY] += amount
    if class_of(priority) == PriorityClass.URGENT:
        w[b + L.URGENT_TODAY] += amount
    elif class_of(priority) == PriorityClass.NORMAL:
        w[b + L.NORMAL_TODAY] += amount
    w[pair_row(w, find_pair(w, sender, receiver)) + L.PAIR_SENT] += amount


@part
def usable(w, b, lowest):
    """The cents that a bank may pay now for payments of this class and of higher ones."""
    found = spendable_liquidity(w, b)
    if lowest < PriorityClass.URGENT:
        found -= max(w[b + L.RESERVED_URGENT] - w[b + L.URGENT_TODAY], 0)
    if lowest == PriorityClass.LOW:
        found -= max(w[b + L.RESERVED_NORMAL] - w[b + L.NORMAL_TODAY], 0)
    return found


@part
def within_bilateral(w, b, pair, out, into):
    """True where a bank is within its limit to another once it has sent it `out` and received `into`."""
    if w[pair + L.PAIR_LIMIT] == L.NOTHING:
        return True
    position = w[pair + L.PAIR_SENT] + out
    if not w[b + L.IS_GROSS]:
        received = w[pair_row(w, w[pair + L.BACK]) + L.PAIR_SENT] if w[pair + L.BACK] != L.NONE else 0
        position -= received + into
    return position <= w[pair + L.PAIR_LIMIT]


@part
def within_multilateral(w, b, out, into):
    """True where a bank is within its limit to all once it has sent `out` and received `into`."""
    if w[b + L.MULTILATERAL_LIMIT] == L.NOTHING:
        return True
    position = w[b + L.SENT_TODAY] + out
    if not w[b + L.IS_GROSS]:
        position -= w[b + L.RECEIVED_TODAY] + into
    return position <= w[b + L.MULTILATERAL_LIMIT]


@part
def within_limits(w, sender, receiver, amount):
    """True where a payment leaves its sender within its limits."""
    b = bank_row(sender)
    pair = pair_row(w, find_pair(w, sender, receiver))
    return within_multilateral(w, b, amount, L.ZERO) and within_bilateral(w, b, pair, amount, L.ZERO)


@part
def first_in_queue2(w, bank):
    """The key of a bank's first payment in Queue 2, may it be tried or not; NOTHING for none."""
    b = bank_row(bank)
    for layer in range(L.LAYERS - 1):
        if w[w[L.READY_AT] + bank * L.LAYERS + layer] != 0:
            base = w[L.SEGMENT_TREES_AT] + layer * w[L.LAYER_SIZE] + w[b + L.SEGMENT_TREE]
            place = next_within(w, base, w[b + L.SEGMENT_TREE_SIZE], L.ZERO, L.HIDDEN)
            if place >= 0:
                return (layer << L.KEY_SHIFT) | w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place]
    return L.NOTHING


@part
def find_allowed(w, bank):
    """The key of a bank's first payment in Queue 2 that may settle; NOTHING for none."""
    if w[L.IS_STRICT]:
        key = first_in_queue2(w, bank)
        return key if key != L.NOTHING and _is_allowed(w, key & L.KEY_MASK) else L.NOTHING
    b = bank_row(bank)
    for layer in range(L.LAYERS - 1):
        if w[w[L.READY_AT] + bank * L.LAYERS + layer] == 0:
            continue
        base = w[L.SEGMENT_TREES_AT] + layer * w[L.LAYER_SIZE] + w[b + L.SEGMENT_TREE]
        place, most = L.ZERO, spendable_liquidity(w, b)
        while True:
            place = next_within(w, base, w[b + L.SEGMENT_TREE_SIZE], place, most)
            if place < 0:
                break
            p = w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place]
            if _is_allowed(w, p):
                return (layer << L.KEY_SHIFT) | p
            place += 1
    return L.NOTHING


@part
def _is_allowed(w, p):
    """True of a payment in Queue 2 whose first piece may settle by itself."""
    r = payment_row(w, p)
    sender, receiver = w[r + L.SENDER], w[r + L.RECEIVER]
    if w[bank_row(receiver) + L.IS_CLOSED] or front(w, r) > usable(w, bank_row(sender), class_of(w[r + L.PRIORITY])):
        return False
    return within_limits(w, sender, receiver, front(w, r))
