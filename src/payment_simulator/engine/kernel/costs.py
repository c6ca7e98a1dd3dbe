"""The end of a tick: credit that waited for it, and what the state that is left costs each bank."""

import numpy as np

from payment_simulator.engine.exact_costs import SINGLE_RATES
from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.fixed_point import accrue_share, share, share_of_each
from payment_simulator.engine.kernel.jit import inlined, part
from payment_simulator.engine.kernel.queues import (
    delayed_at,
    note_more_liquidity,
    penalties,
    record_event,
    record_piece_event,
)
from payment_simulator.engine.kernel.rates import LIMBS
from payment_simulator.engine.kernel.rows import bank_row, payment_row, remaining
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.vocabulary import Cost, EventKind

LIQUIDITY_RATE = L.RATE_PLACES["liquidity_cost_per_tick_bps"]
COLLATERAL_RATE = L.RATE_PLACES["collateral_cost_per_tick_bps"]
OVERDRAFT_RATE = L.RATE_PLACES["overdraft_bps_per_tick"]
BORROWING_RATE = L.RATE_PLACES["eod_borrowing_bps"]

LIQUIDITY_SUM, OVERDRAFT_SUM, COLLATERAL_SUM, DEADLINE_SUM, EOD_SUM, BORROWING_SUM = (
    np.int64(2 * SINGLE_RATES.index(kind))
    for kind in (
        Cost.LIQUIDITY,
        Cost.OVERDRAFT,
        Cost.COLLATERAL,
        Cost.DEADLINE_PENALTY,
        Cost.EOD_PENALTY,
        Cost.EOD_BORROWING,
    )
)
DELAY_SUM = np.int64(2 * len(SINGLE_RATES))
KINDS = len(Cost)


@part
def apply_credits(w):
    """Step 10: let banks have what was credited in this tick, where that is deferred."""
    if w[L.DEFERRED] == 0:
        return
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.PENDING] > 0:
            w[b + L.BALANCE] += w[b + L.PENDING]
            record_event(w, EventKind.CreditApplied, bank, L.NONE, L.NONE, L.NONE, w[b + L.PENDING], L.NONE)
            w[b + L.PENDING] = 0
            note_more_liquidity(w, bank)


@part
def close_tick(w, tick):
    """Steps 11 and 12: costs on the state that is left."""
    if w[L.IS_PREPARED]:
        _mark_overdue(w)
    for bank in range(w[L.BANKS]):
        _accrue(w, bank, bank_row(bank))
    if w[L.WATCHED] != L.NONE:
        w[w[L.BALANCES_AT] + tick] = w[bank_row(w[L.WATCHED]) + L.BALANCE]
    if tick % w[L.TICKS_PER_DAY] == w[L.TICKS_PER_DAY] - 1:
        for bank in range(w[L.BANKS]):
            _end_day(w, bank, bank_row(bank))


@part
def _mark_overdue(w):
    """Charge the payments that have passed their deadline unsettled, in sequence."""
    count, p = L.ZERO, w[w[L.DUE_AT] + w[L.TICK]]
    while p != L.NONE:
        r = payment_row(w, p)
        if w[r + L.WAITING] != 0:
            w[w[L.RELEASED_AT] + count] = p
            count += 1
        p = w[r + L.NEXT_DUE]
    sort_keys(w, w[L.RELEASED_AT], count)
    for index in range(count):
        p = w[w[L.RELEASED_AT] + index]
        r = payment_row(w, p)
        b = bank_row(w[r + L.SENDER])
        w[r + L.OVERDUE] = 1
        w[delayed_at(w, b, r, L.ZERO)] -= remaining(w, r)
        w[delayed_at(w, b, r, L.ONE)] += remaining(w, r)
        if w[L.PENALISES_OVERDUE]:
            w[b + L.EOD_VALUE] += remaining(w, r)
            w[b + L.EOD_PENALTIES] += penalties(w, r, L.EOD_RULE)
        w[b + L.TICK_PENALTIES] += penalties(w, r, L.DEADLINE_RULE)
        w[b + L.TICK_OVERDUE] += remaining(w, r)
        if w[L.ROWS] >= 0:
            for left in range(w[r + L.LEFT], -1, -1):
                amount = w[r + L.SIZE] if left > 0 else w[r + L.REST]
                record_piece_event(w, EventKind.WentOverdue, p, w[r + L.PIECES] - 1 - left, amount, L.NONE)


@inlined
def _accrue(w, bank, b):
    """Step 11: charge one bank for the tick; most have little to be charged for, and then this is a few comparisons."""
    w[b + L.LIQUIDITY_USED] = max(w[b + L.LIQUIDITY_USED], w[b + L.OPENING] - w[b + L.BALANCE])
    w[b + L.PEAK_QUEUE1] = max(w[b + L.PEAK_QUEUE1], w[b + L.QUEUE1_SIZE])
    w[b + L.PEAK_QUEUE2] = max(w[b + L.PEAK_QUEUE2], w[b + L.QUEUE2_SIZE])
    if w[b + L.ALLOCATED] > 0:
        _charge(w, bank, Cost.LIQUIDITY, _liquidity(w, bank, b))
    if w[b + L.BALANCE] < 0:
        _charge(w, bank, Cost.OVERDRAFT, _overdraft(w, bank, b))
    if w[b + L.POSTED] > 0:
        _charge(w, bank, Cost.COLLATERAL, _collateral(w, bank, b))
    if w[b + L.UNSETTLED_VALUE] > 0 and w[L.DELAY_RATES] > 0:
        _charge(w, bank, Cost.DELAY, _delay(w, bank, b))
    if w[b + L.TICK_OVERDUE] > 0:
        _charge(w, bank, Cost.DEADLINE_PENALTY, _deadline_penalty(w, bank, b))
    if w[b + L.TICK_FRICTION] > 0:
        _charge(w, bank, Cost.SPLIT_FRICTION, w[b + L.TICK_FRICTION])
        w[b + L.TICK_FRICTION] = 0


@part
def _carried(w, bank, kind, amount, rate):
    """The share of an amount, and of what rounding has left of earlier ones; what is left now is kept for the next."""
    return accrue_share(w, w[L.REMAINDERS_AT] + (bank * KINDS + kind) * LIMBS, amount, rate, L.ONE)


@part
def _liquidity(w, bank, b):
    if w[L.REMAINDERS_AT] == 0:
        return w[b + L.LIQUIDITY_COST]
    return _carried(w, bank, Cost.LIQUIDITY, w[b + L.ALLOCATED], w[LIQUIDITY_RATE])


@part
def _overdraft(w, bank, b):
    owed = -w[b + L.BALANCE]
    w[b + L.PEAK_CREDIT] = max(w[b + L.PEAK_CREDIT], owed)
    _sum_up(w, b, OVERDRAFT_SUM, owed)
    if w[L.REMAINDERS_AT] == 0:
        return share(w, owed, w[OVERDRAFT_RATE])
    return _carried(w, bank, Cost.OVERDRAFT, owed, w[OVERDRAFT_RATE])


@part
def _collateral(w, bank, b):
    _sum_up(w, b, COLLATERAL_SUM, w[b + L.POSTED])
    if w[L.REMAINDERS_AT] == 0:
        return w[b + L.COLLATERAL_COST]
    return _carried(w, bank, Cost.COLLATERAL, w[b + L.POSTED], w[COLLATERAL_RATE])


@inlined
def _delay(w, bank, b):
    for index in range(w[L.DELAY_RATES]):
        _sum_up(w, b, DELAY_SUM + 2 * index, w[b + L.DELAYED + index])
    if w[L.REMAINDERS_AT] == 0:
        return share_of_each(w, b + L.DELAYED, w[L.DELAY_RATE], w[L.DELAY_RATES])
    found = L.ZERO
    for index in range(w[L.DELAY_RATES]):
        rate = w[L.DELAY_RATE] + index * L.RATE_COLUMNS
        found += _carried(w, bank, Cost.DELAY, w[b + L.DELAYED + index], rate)
    return found


@part
def _deadline_penalty(w, bank, b):
    """The penalties of what is overdue since this tick."""
    late, value, rate = w[b + L.TICK_PENALTIES], w[b + L.TICK_OVERDUE], w[L.DEADLINE_RULE + 1]
    w[b + L.TICK_PENALTIES] = 0
    w[b + L.TICK_OVERDUE] = 0
    if rate == L.NONE:
        return late
    _sum_up(w, b, DEADLINE_SUM, value)
    return late if w[L.REMAINDERS_AT] == 0 else _carried(w, bank, Cost.DEADLINE_PENALTY, value, rate)


@part
def _end_day(w, bank, b):
    """Step 12: charge one bank for what is unsettled."""
    value = w[b + L.UNSETTLED_VALUE]
    record_event(w, EventKind.EndOfDay, bank, L.NONE, L.NONE, L.NONE, value, w[b + L.UNSETTLED_ITEMS])
    if value > 0:
        _charge(w, bank, Cost.EOD_PENALTY, _eod_penalty(w, bank, b))
        _sum_up(w, b, BORROWING_SUM, value)
        if w[L.REMAINDERS_AT] == 0:
            _charge(w, bank, Cost.EOD_BORROWING, share(w, value, w[BORROWING_RATE]))
        else:
            _charge(w, bank, Cost.EOD_BORROWING, _carried(w, bank, Cost.EOD_BORROWING, value, w[BORROWING_RATE]))


@part
def _eod_penalty(w, bank, b):
    rate, value = w[L.EOD_RULE + 1], w[b + L.EOD_VALUE]
    if rate == L.NONE:
        return w[b + L.EOD_PENALTIES]
    _sum_up(w, b, EOD_SUM, value)
    return w[b + L.EOD_PENALTIES] if w[L.REMAINDERS_AT] == 0 else _carried(w, bank, Cost.EOD_PENALTY, value, rate)


@part
def _sum_up(w, b, place, amount):
    """Count what a rate is charged on, by its place among `CHARGED_ON`."""
    w[b + L.CHARGED_ON + place] += amount >> L.LIMB_SHIFT
    w[b + L.CHARGED_ON + place + 1] += amount & L.LIMB_MASK


@part
def sum_liquidity(w, ticks):
    """Sum up what the rate of liquidity was charged on in a run."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        w[b + L.CHARGED_ON + LIQUIDITY_SUM] = (w[b + L.ALLOCATED] >> L.LIMB_SHIFT) * ticks
        w[b + L.CHARGED_ON + LIQUIDITY_SUM + 1] = (w[b + L.ALLOCATED] & L.LIMB_MASK) * ticks


@part
def _charge(w, bank, kind, amount):
    if amount > 0:
        w[bank_row(bank) + L.COSTS + kind] += amount
        record_event(w, EventKind.CostAccrual, bank, L.NONE, L.NONE, L.NONE, amount, kind.value)
