"""The end of a tick: credit that waited for it, and what the state that is left costs each bank."""

from payment_simulator.engine.kernel.fixed_point import share
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
    BALANCE,
    BANKS,
    BORROWING_RATE,
    COLLATERAL,
    COLLATERAL_COST,
    COSTS,
    DEADLINE_PENALTY,
    DEADLINE_RULE,
    DEFERRED,
    DELAY,
    DELAY_RATE,
    DUE_AT,
    E_COST,
    E_CREDIT,
    E_END_OF_DAY,
    E_OVERDUE,
    EOD_BORROWING,
    EOD_PENALTIES,
    EOD_PENALTY,
    IS_PREPARED,
    LEFT,
    LIQUIDITY,
    LIQUIDITY_COST,
    LIQUIDITY_USED,
    NEXT_DUE,
    NONE,
    ONE,
    OPENING,
    OVERDRAFT,
    OVERDRAFT_RATE,
    OVERDUE,
    PEAK_CREDIT,
    PEAK_QUEUE1,
    PEAK_QUEUE2,
    PENDING,
    PIECES,
    QUEUE1_SIZE,
    QUEUE2_SIZE,
    RELEASED_AT,
    REST,
    ROWS,
    SENDER,
    SIZE,
    SPLIT_FRICTION,
    TICK,
    TICK_FRICTION,
    TICK_PENALTIES,
    TICKS_PER_DAY,
    UNSETTLED_ITEMS,
    UNSETTLED_VALUE,
    WAITING,
    WEIGHT,
    ZERO,
)
from payment_simulator.engine.kernel.queues import (
    bank_row,
    delay_times,
    payment_row,
    penalties,
    raise_headroom,
    remaining,
    say,
    say_piece,
)
from payment_simulator.engine.kernel.sorting import sort_keys


@part
def close_tick(w, tick):  # type: ignore[no-untyped-def]
    """Steps 10 to 12: deferred credit, then costs on the state that is left."""
    if w[DEFERRED]:
        for bank in range(w[BANKS]):
            b = bank_row(bank)
            if w[b + PENDING] > 0:
                w[b + BALANCE] += w[b + PENDING]
                say(w, E_CREDIT, bank, NONE, NONE, NONE, w[b + PENDING], NONE)
                w[b + PENDING] = 0
                raise_headroom(w, bank)
    if w[IS_PREPARED]:
        _mark_overdue(w)
    for bank in range(w[BANKS]):
        _accrue(w, bank, bank_row(bank))
    if tick % w[TICKS_PER_DAY] == w[TICKS_PER_DAY] - 1:
        for bank in range(w[BANKS]):
            b = bank_row(bank)
            say(w, E_END_OF_DAY, bank, NONE, NONE, NONE, w[b + UNSETTLED_VALUE], w[b + UNSETTLED_ITEMS])
            _charge(w, bank, EOD_PENALTY, w[b + EOD_PENALTIES])
            _charge(w, bank, EOD_BORROWING, share(w, w[b + UNSETTLED_VALUE], w[BORROWING_RATE]))


@part
def _mark_overdue(w):  # type: ignore[no-untyped-def]
    """What has passed its deadline unsettled, in sequence."""
    count, p = ZERO, w[w[DUE_AT] + w[TICK]]
    while p != NONE:
        r = payment_row(w, p)
        if w[r + WAITING] != 0:
            w[w[RELEASED_AT] + count] = p
            count += 1
        p = w[r + NEXT_DUE]
    sort_keys(w, w[RELEASED_AT], count)
    for index in range(count):
        p = w[w[RELEASED_AT] + index]
        r = payment_row(w, p)
        b = bank_row(w[r + SENDER])
        w[r + OVERDUE] = 1
        w[b + WEIGHT] += remaining(w, r) * (delay_times(w, r, ONE) - delay_times(w, r, ZERO))
        w[b + TICK_PENALTIES] += penalties(w, r, DEADLINE_RULE)
        if w[ROWS] >= 0:
            for left in range(w[r + LEFT], -1, -1):
                amount = w[r + SIZE] if left > 0 else w[r + REST]
                say_piece(w, E_OVERDUE, p, w[r + PIECES] - 1 - left, amount, NONE)


@part
def _accrue(w, bank, b):  # type: ignore[no-untyped-def]
    """Step 11, of one bank."""
    w[b + LIQUIDITY_USED] = max(w[b + LIQUIDITY_USED], w[b + OPENING] - w[b + BALANCE])
    w[b + PEAK_QUEUE1] = max(w[b + PEAK_QUEUE1], w[b + QUEUE1_SIZE])
    w[b + PEAK_QUEUE2] = max(w[b + PEAK_QUEUE2], w[b + QUEUE2_SIZE])
    _charge(w, bank, LIQUIDITY, w[b + LIQUIDITY_COST])
    if w[b + BALANCE] < 0:
        w[b + PEAK_CREDIT] = max(w[b + PEAK_CREDIT], -w[b + BALANCE])
        _charge(w, bank, OVERDRAFT, share(w, -w[b + BALANCE], w[OVERDRAFT_RATE]))
    _charge(w, bank, COLLATERAL, w[b + COLLATERAL_COST])
    if w[b + WEIGHT] > 0:
        _charge(w, bank, DELAY, share(w, w[b + WEIGHT], w[DELAY_RATE]))
    if w[b + TICK_PENALTIES] > 0:
        _charge(w, bank, DEADLINE_PENALTY, w[b + TICK_PENALTIES])
        w[b + TICK_PENALTIES] = 0
    if w[b + TICK_FRICTION] > 0:
        _charge(w, bank, SPLIT_FRICTION, w[b + TICK_FRICTION])
        w[b + TICK_FRICTION] = 0


@part
def _charge(w, bank, kind, amount):  # type: ignore[no-untyped-def]
    if amount > 0:
        w[bank_row(bank) + COSTS + kind] += amount
        say(w, E_COST, bank, NONE, NONE, NONE, amount, kind)
