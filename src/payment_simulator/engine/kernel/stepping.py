"""A search for the allocation that costs a bank least, in compiled code: `reference.stepping`, call for call."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.fixed_point import accrue_share, share
from payment_simulator.engine.kernel.jit import entry, part
from payment_simulator.engine.kernel.rates import LIMBS
from payment_simulator.engine.kernel.rows import bank_row
from payment_simulator.engine.kernel.run import run
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.vocabulary import Cost

LIQUIDITY_RATE = L.RATE_PLACES["liquidity_cost_per_tick_bps"]
OVERDRAFT_RATE = L.RATE_PLACES["overdraft_bps_per_tick"]

KINDS = len(Cost)
SPAN, SPANS = 4, 70
"""Numbers of a span: its first and last place, and the overdraft's cost at each; so many spans may wait at most."""


def search_size(workspace: int, ticks: int) -> int:
    """The numbers of a workspace for a search: a run's, then balances by tick, how many alike, and spans."""
    return workspace + 2 * ticks + SPAN * SPANS


@entry
def search(w, template, events, code, f, a, count, ticks, s, listed):
    """Go up from the least allocation, run by run.

    `w` has `search_size` numbers, `template` (changed) says where its balances begin, `s` is what `layout` has for a
    search; allocations are in `listed` or, where that is empty, even. The rest is as `run` takes it.
    """
    registers = f.copy()
    s[L.S_COST] = L.NONE
    if s[L.S_CAN_STEP]:
        template[L.WATCHED] = s[L.S_BANK]
    template[L.BALANCES_AT] = len(w) - 2 * ticks - SPAN * SPANS
    while s[L.S_SEEN] < s[L.S_NUMBER] and _may_be_better(template, s, listed, ticks, s[L.S_SEEN], L.ZERO):
        if not _spend(s, max(count, 1) * ticks):
            break
        f[:] = registers
        _allocate(template, s, _allocation(s, listed, s[L.S_SEEN]))
        run(w, template, events, code, f, a, L.ZERO, count, ticks, L.NONE, L.ZERO)
        following = _next_step(w, s, listed)
        if not _search_step(w, template, s, listed, ticks, following - 1):
            s[L.S_SEEN] += 1
            break
        s[L.S_SEEN] = following
    else:
        s[L.S_SEEN] = s[L.S_NUMBER]
    s[L.S_LOWER_BOUND] = s[L.S_COST]
    if s[L.S_SEEN] < s[L.S_NUMBER]:
        s[L.S_LOWER_BOUND] = min(s[L.S_COST], _liquidity(template, s, listed, ticks, s[L.S_SEEN]))


@part
def _allocation(s, listed, place):
    return listed[place] if len(listed) > 0 else s[L.S_FIRST] + place * s[L.S_STEP]


@part
def _liquidity(w, s, listed, ticks, place):
    """The cost of an allocation's liquidity."""
    if w[L.REMAINDERS_AT] != 0:
        _clear_scratch(w)
        return accrue_share(w, L.SCRATCH, _allocation(s, listed, place), w[LIQUIDITY_RATE], ticks)
    return ticks * share(w, _allocation(s, listed, place), w[LIQUIDITY_RATE])


@part
def _clear_scratch(w):
    """Begin a sum that is rounded once, a half up."""
    for limb in range(LIMBS):
        w[L.SCRATCH + limb] = 0
    w[L.SCRATCH] = L.HALF


@part
def _allocate(template, s, allocation):
    """Let the bank begin with another allocation."""
    b = bank_row(s[L.S_BANK])
    template[b + L.OPENING] += allocation - template[b + L.ALLOCATED]
    template[b + L.ALLOCATED] = allocation
    template[b + L.LIQUIDITY_COST] = share(template, allocation, template[LIQUIDITY_RATE])


@part
def _next_step(w, s, listed):
    """The place of the first allocation at which something else can happen."""
    low, high = s[L.S_SEEN] + 1, s[L.S_NUMBER]
    if not s[L.S_CAN_STEP]:
        return low
    if w[L.SHORTFALL] == L.NOTHING:
        return high
    wanted = _allocation(s, listed, s[L.S_SEEN]) + w[L.SHORTFALL]
    while low < high:
        middle = (low + high) // 2
        if _allocation(s, listed, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@part
def _search_step(w, template, s, listed, ticks, last):
    """Offer what was run, and search the places from there to `last`; False where the budget ends."""
    first, costs, total = s[L.S_SEEN], bank_row(s[L.S_BANK]) + L.COSTS, L.ZERO
    for kind in range(KINDS):
        total += w[costs + kind]
    _offer(s, listed, first, total)
    s[L.S_REST] = total - w[costs + Cost.OVERDRAFT] - _liquidity(template, s, listed, ticks, first)
    if last == first or not _may_be_better(template, s, listed, ticks, first + 1, s[L.S_REST]):
        return True
    if not _spend(s, ticks):
        return False
    s[L.S_BASE] = _allocation(s, listed, first)
    s[L.S_LEVELS] = _gather_levels(w, ticks)
    after = _try(w, template, s, listed, ticks, last)
    return _halve(w, template, s, listed, ticks, first, w[costs + Cost.OVERDRAFT], last, after)


@part
def _halve(w, template, s, listed, ticks, left, before, right, after):
    """Search what lies between two places, of which the cost of overdraft is known; False where the budget ends."""
    stack = w[L.BALANCES_AT] + 2 * ticks
    top = _push(w, stack, left, before, right, after)
    while top > stack:
        top -= SPAN
        left, before, right, after = w[top], w[top + 1], w[top + 2], w[top + 3]
        if right - left < 2 or before == after:
            continue
        if not _may_be_better(template, s, listed, ticks, left + 1, after + s[L.S_REST]):
            continue
        if not _spend(s, ticks):
            return False
        middle = (left + right) // 2
        between = _try(w, template, s, listed, ticks, middle)
        is_right_first = (
            _liquidity(template, s, listed, ticks, right) + after
            < _liquidity(template, s, listed, ticks, left) + before
        )
        if is_right_first:
            top = _push(w, top, left, before, middle, between)
            top = _push(w, top, middle, between, right, after)
        else:
            top = _push(w, top, middle, between, right, after)
            top = _push(w, top, left, before, middle, between)
    return True


@part
def _push(w, top, left, before, right, after):
    w[top], w[top + 1], w[top + 2], w[top + 3] = left, before, right, after
    return top + SPAN


@part
def _gather_levels(w, ticks):
    """Gather the balances below 0 with which ticks ended, each once, from the lowest; behind them, how many of each."""
    at, count = w[L.BALANCES_AT], L.ZERO
    sort_keys(w, at, ticks)
    for tick in range(ticks):
        balance = w[at + tick]
        if balance >= 0:
            break
        if count == 0 or w[at + count - 1] != balance:
            w[at + count] = balance
            w[at + ticks + count] = 0
            count += 1
        w[at + ticks + count - 1] += 1
    return count


@part
def _try(w, template, s, listed, ticks, place):
    """Offer an allocation at which all settles as it did, and return the cost of its overdraft."""
    at, more, found = w[L.BALANCES_AT], _allocation(s, listed, place) - s[L.S_BASE], L.ZERO
    carries = template[L.REMAINDERS_AT] != 0
    if carries:
        _clear_scratch(template)
    for level in range(s[L.S_LEVELS]):
        owed = -w[at + level] - more
        if owed <= 0:
            break
        if carries:
            found += accrue_share(template, L.SCRATCH, owed, template[OVERDRAFT_RATE], w[at + ticks + level])
        else:
            found += w[at + ticks + level] * share(template, owed, template[OVERDRAFT_RATE])
    _offer(s, listed, place, _liquidity(template, s, listed, ticks, place) + found + s[L.S_REST])
    return found


@part
def _may_be_better(template, s, listed, ticks, place, others):
    """True where an allocation, with `others` the least that it costs but liquidity, could be chosen."""
    least = _liquidity(template, s, listed, ticks, place) + others
    is_least = _allocation(s, listed, place) < s[L.S_ALLOCATION]
    return s[L.S_COST] < 0 or least < s[L.S_COST] or (least == s[L.S_COST] and is_least)


@part
def _offer(s, listed, place, cost):
    allocation = _allocation(s, listed, place)
    is_less = cost < s[L.S_COST] or (cost == s[L.S_COST] and allocation < s[L.S_ALLOCATION])
    if s[L.S_COST] < 0 or is_less:
        s[L.S_COST], s[L.S_ALLOCATION] = cost, allocation


@part
def _spend(s, work):
    """True where the budget has room for it, or nothing was run yet."""
    has_room = s[L.S_COST] < 0 or s[L.S_WORK] + work <= s[L.S_BUDGET]
    if has_room:
        s[L.S_WORK] += work
    return has_room
