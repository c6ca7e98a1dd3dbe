"""The end of a tick: credit that waited for it, and what the state that is left costs each bank."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.fixed_point import share, share_of_each
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.queues import (
    delayed_at,
    note_more_liquidity,
    penalties,
    record_event,
    record_piece_event,
)
from payment_simulator.engine.kernel.rows import bank_row, payment_row, remaining
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.vocabulary import Cost, EventKind

OVERDRAFT_RATE = L.RATE_PLACES["overdraft_bps_per_tick"]
BORROWING_RATE = L.RATE_PLACES["eod_borrowing_bps"]


@part
def close_tick(w, tick):
    """Steps 10 to 12: deferred credit, then costs on the state that is left."""
    if w[L.DEFERRED]:
        for bank in range(w[L.BANKS]):
            b = bank_row(bank)
            if w[b + L.PENDING] > 0:
                w[b + L.BALANCE] += w[b + L.PENDING]
                record_event(w, EventKind.CreditApplied, bank, L.NONE, L.NONE, L.NONE, w[b + L.PENDING], L.NONE)
                w[b + L.PENDING] = 0
                note_more_liquidity(w, bank)
    if w[L.IS_PREPARED]:
        _mark_overdue(w)
    for bank in range(w[L.BANKS]):
        _accrue(w, bank, bank_row(bank))
    if w[L.WATCHED] != L.NONE:
        w[w[L.BALANCES_AT] + tick] = w[bank_row(w[L.WATCHED]) + L.BALANCE]
    if tick % w[L.TICKS_PER_DAY] == w[L.TICKS_PER_DAY] - 1:
        for bank in range(w[L.BANKS]):
            b = bank_row(bank)
            record_event(
                w, EventKind.EndOfDay, bank, L.NONE, L.NONE, L.NONE, w[b + L.UNSETTLED_VALUE], w[b + L.UNSETTLED_ITEMS]
            )
            _charge(w, bank, Cost.EOD_PENALTY, w[b + L.EOD_PENALTIES])
            _charge(w, bank, Cost.EOD_BORROWING, share(w, w[b + L.UNSETTLED_VALUE], w[BORROWING_RATE]))


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
        w[b + L.TICK_PENALTIES] += penalties(w, r, L.DEADLINE_RULE)
        if w[L.ROWS] >= 0:
            for left in range(w[r + L.LEFT], -1, -1):
                amount = w[r + L.SIZE] if left > 0 else w[r + L.REST]
                record_piece_event(w, EventKind.WentOverdue, p, w[r + L.PIECES] - 1 - left, amount, L.NONE)


@part
def _accrue(w, bank, b):
    """Step 11: charge one bank for the tick."""
    w[b + L.LIQUIDITY_USED] = max(w[b + L.LIQUIDITY_USED], w[b + L.OPENING] - w[b + L.BALANCE])
    w[b + L.PEAK_QUEUE1] = max(w[b + L.PEAK_QUEUE1], w[b + L.QUEUE1_SIZE])
    w[b + L.PEAK_QUEUE2] = max(w[b + L.PEAK_QUEUE2], w[b + L.QUEUE2_SIZE])
    _charge(w, bank, Cost.LIQUIDITY, w[b + L.LIQUIDITY_COST])
    if w[b + L.BALANCE] < 0:
        w[b + L.PEAK_CREDIT] = max(w[b + L.PEAK_CREDIT], -w[b + L.BALANCE])
        _charge(w, bank, Cost.OVERDRAFT, share(w, -w[b + L.BALANCE], w[OVERDRAFT_RATE]))
    _charge(w, bank, Cost.COLLATERAL, w[b + L.COLLATERAL_COST])
    if w[b + L.UNSETTLED_VALUE] > 0 and w[L.DELAY_RATES] > 0:
        _charge(w, bank, Cost.DELAY, share_of_each(w, b + L.DELAYED, w[L.DELAY_RATE], w[L.DELAY_RATES]))
    if w[b + L.TICK_PENALTIES] > 0:
        _charge(w, bank, Cost.DEADLINE_PENALTY, w[b + L.TICK_PENALTIES])
        w[b + L.TICK_PENALTIES] = 0
    if w[b + L.TICK_FRICTION] > 0:
        _charge(w, bank, Cost.SPLIT_FRICTION, w[b + L.TICK_FRICTION])
        w[b + L.TICK_FRICTION] = 0


@part
def _charge(w, bank, kind, amount):
    if amount > 0:
        w[bank_row(bank) + L.COSTS + kind] += amount
        record_event(w, EventKind.CostAccrual, bank, L.NONE, L.NONE, L.NONE, amount, kind.value)
