"""What the kernel's banks decide: trees, and what a LiquidityAware bank can afford."""

from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import (
    AFTER,
    ARRIVAL,
    AT_PLACE_AT,
    BALANCE,
    BANK_TREE,
    BANKS,
    BUDGET,
    BUFFER,
    CAP,
    CAPACITY,
    COLLATERAL_TREE,
    CREDIT,
    DIVISIBLE,
    DROPPED,
    DUE,
    E_DROP,
    E_HOLD,
    E_REPRIORITIZE,
    E_SPLIT,
    F_BANK,
    F_TIME,
    FRICTION,
    HELD,
    HURRIED_AT,
    KEY_MASK,
    LEFT,
    NONE,
    NOTHING,
    ONE,
    OVERDUE,
    PAYMENT_TREE,
    PIECES,
    PLACE,
    PLACES,
    POSTED,
    PRIORITY,
    QUEUE1_FIRST,
    QUEUE1_LAYER,
    QUEUE1_SIZE,
    QUEUE1_VALUE,
    QUEUE2_SIZE,
    QUEUE2_VALUE,
    REGISTERS_AT,
    RELEASED_AT,
    REST,
    SIZE,
    STACK_AT,
    STATE,
    TICK,
    TICK_FRICTION,
    TICKS_PER_DAY,
    TREE_SIZE,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.kernel.policy_vm import run_tree, whole
from payment_simulator.engine.kernel.queues import (
    bank_row,
    count_waiting,
    is_ready,
    leave_queue1,
    payment_row,
    queue_key,
    remove_queue1,
    say_piece,
    set_in_tree,
    tree_at,
)  # fmt: skip
from payment_simulator.engine.kernel.segment_tree import next_within
from payment_simulator.engine.kernel.workspace import NO_BUDGET, credit_with, post
from payment_simulator.policy.tree import MAX_PIECES

# Actions, as they stand in `policy.fields.ACTIONS`
A_RELEASE, A_HOLD, A_DROP, A_SPLIT, A_REPRIORITIZE = range(5)
A_BUDGET, A_SET, A_ADD = range(3)
A_POST, A_WITHDRAW = range(2)


@part
def release_affordable(w, bank, begun, ended, count):  # type: ignore[no-untyped-def]
    """In sequence, what leaves the buffer, and what is urgent: the hurried from `begun` to `ended`. How many in all."""
    if not is_ready(w, bank, QUEUE1_LAYER):
        return count
    b = bank_row(bank)
    left, start = w[b + BALANCE] - w[b + BUFFER], ZERO
    while True:
        place = next_within(w, tree_at(w, b, QUEUE1_LAYER), w[b + TREE_SIZE], start, left)
        while begun < ended and _place_of_hurried(w, begun) < start:
            begun += 1
        if begun < ended and (place < 0 or _place_of_hurried(w, begun) < place):
            place = _place_of_hurried(w, begun)
        if place < 0:
            return count
        p = w[w[AT_PLACE_AT] + w[b + PLACES] + place]
        left -= w[payment_row(w, p) + REST]
        set_in_tree(w, p, QUEUE1_LAYER, NOTHING)
        leave_queue1(w, p)
        w[w[RELEASED_AT] + count] = queue_key(w, p)
        count += 1
        start = place + 1


@part
def _place_of_hurried(w, index):  # type: ignore[no-untyped-def]
    return w[payment_row(w, w[w[HURRIED_AT] + index] & KEY_MASK) + PLACE]


@part
def run_bank_trees(w, f, code):  # type: ignore[no-untyped-def]
    """Steps 4 and 5: collateral of every bank, then budgets and registers."""
    for bank in range(w[BANKS]):
        b = bank_row(bank)
        if w[b + COLLATERAL_TREE] >= 0:
            _set_fields(w, f, b)
            action = run_tree(w, f, code, w[b + COLLATERAL_TREE])
            if action == A_POST:
                post(w, bank, min(max(whole(f[STACK_AT]), 0), max(w[b + CAPACITY] - w[b + POSTED], 0)))
            elif action == A_WITHDRAW:
                post(w, bank, -min(max(whole(f[STACK_AT]), 0), max(w[b + POSTED] - _least_collateral(w, b), 0)))
    for bank in range(w[BANKS]):
        b = bank_row(bank)
        if w[b + BANK_TREE] >= 0:
            _set_fields(w, f, b)
            action = run_tree(w, f, code, w[b + BANK_TREE])
            if action == A_BUDGET:
                w[b + BUDGET] = max(whole(f[STACK_AT]), 0)
            elif action == A_SET:
                f[REGISTERS_AT + int(f[STACK_AT + 1])] = f[STACK_AT]
            elif action == A_ADD:
                f[REGISTERS_AT + int(f[STACK_AT + 1])] += f[STACK_AT]


@part
def _least_collateral(w, b):  # type: ignore[no-untyped-def]
    """The least that must stay posted for the credit in use."""
    needed = max(-w[b + BALANCE], 0)
    if needed <= w[b + CAP]:
        return 0
    low, high = ZERO, w[b + POSTED]
    while low < high:
        middle = (low + high) // 2
        if credit_with(w, b, middle) < needed:
            low = middle + 1
        else:
            high = middle
    return low


@part
def ask_tree(w, f, code, bank, count):  # type: ignore[no-untyped-def]
    """What a bank's tree says of each payment in its Queue 1, in sequence; how many are released in all."""
    b, so_far = bank_row(bank), ZERO
    _set_fields(w, f, b)
    p = w[b + QUEUE1_FIRST]
    while p != NONE:
        r = payment_row(w, p)
        following, amount = w[r + AFTER], w[r + REST]
        _set_payment_fields(w, f, b, r, so_far)
        action = run_tree(w, f, code, w[b + PAYMENT_TREE])
        number = whole(f[STACK_AT]) if action >= A_SPLIT else 0
        if action == A_SPLIT and (w[r + DIVISIBLE] == 0 or number < 2 or number > min(amount, MAX_PIECES)):
            action = A_HOLD
        releases = action in (A_RELEASE, A_SPLIT) and amount <= w[b + BUDGET]
        if releases:
            so_far += amount
            _release(w, b, p, number if action == A_SPLIT else ONE)
            w[w[RELEASED_AT] + count] = queue_key(w, p)
            count += 1
        else:
            _keep(w, p, action, number)
        p = following
    return count


@part
def _release(w, b, p, pieces):  # type: ignore[no-untyped-def]
    """A payment leaves Queue 1, whole or as `pieces`: all but the last of the same amount, then the rest."""
    r = payment_row(w, p)
    amount = w[r + REST]
    if w[b + BUDGET] != NO_BUDGET:
        w[b + BUDGET] -= amount
    remove_queue1(w, p)
    leave_queue1(w, p)
    if pieces == 1:
        return
    count_waiting(w, p, NONE)
    w[r + PIECES] = pieces
    w[r + LEFT] = pieces - 1
    w[r + SIZE] = amount // pieces
    w[r + REST] = amount - w[r + SIZE] * (pieces - 1)
    count_waiting(w, p, ONE)
    w[b + TICK_FRICTION] += w[FRICTION] * (pieces - 1)
    say_piece(w, E_SPLIT, p, ZERO, amount, pieces)


@part
def _keep(w, p, action, number):  # type: ignore[no-untyped-def]
    """A payment is dropped, given another priority, or held."""
    r = payment_row(w, p)
    if action == A_DROP:
        remove_queue1(w, p)
        leave_queue1(w, p)
        w[r + STATE] = DROPPED
        say_piece(w, E_DROP, p, ZERO, w[r + REST], NONE)
    elif action == A_REPRIORITIZE:
        priority = min(max(number, 0), 10)
        if priority != w[r + PRIORITY]:
            w[r + PRIORITY] = priority
            say_piece(w, E_REPRIORITIZE, p, ZERO, w[r + REST], priority)
    elif w[r + HELD] == 0:  # held, or released beyond the budget
        w[r + HELD] = 1
        say_piece(w, E_HOLD, p, ZERO, w[r + REST], NONE)


@part
def _set_fields(w, f, b):  # type: ignore[no-untyped-def]
    """What trees may ask of a bank."""
    tick, a_day = w[TICK], w[TICKS_PER_DAY]
    _set_liquidity(w, f, b, ZERO)
    f[F_BANK + 3] = w[b + CAP]
    f[F_BANK + 4] = w[b + POSTED]
    f[F_BANK + 5] = w[b + CAPACITY]
    f[F_BANK + 6] = max(w[b + CAPACITY] - w[b + POSTED], 0)
    f[F_BANK + 7] = w[b + QUEUE1_VALUE]
    f[F_BANK + 8] = w[b + QUEUE1_SIZE]
    f[F_BANK + 9] = w[b + QUEUE2_VALUE]
    f[F_BANK + 10] = w[b + QUEUE2_SIZE]
    f[F_TIME] = tick
    f[F_TIME + 1] = tick // a_day
    f[F_TIME + 2] = tick % a_day
    f[F_TIME + 3] = a_day - 1 - tick % a_day
    f[F_TIME + 4] = (tick % a_day) / a_day


@part
def _set_liquidity(w, f, b, released):  # type: ignore[no-untyped-def]
    """Balance, headroom and credit in use, less what this step has released."""
    f[F_BANK] = w[b + BALANCE] - released
    f[F_BANK + 1] = w[b + BALANCE] + w[b + CREDIT] - released
    f[F_BANK + 2] = max(released - w[b + BALANCE], 0)


@part
def _set_payment_fields(w, f, b, r, released):  # type: ignore[no-untyped-def]
    """What a payment tree may ask of a payment."""
    f[0] = w[r + REST]
    f[1] = w[r + REST]
    f[2] = w[r + PRIORITY]
    f[3] = w[r + DIVISIBLE]
    f[4] = w[r + DUE] - w[TICK]
    f[5] = w[r + OVERDUE]
    f[6] = w[r + ARRIVAL]
    f[7] = w[TICK] - w[r + ARRIVAL]
    _set_liquidity(w, f, b, released)
