"""Decisions of the kernel's banks: by decision trees, and by what a LiquidityAware bank can afford."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.policy_vm import defined, run_decision_tree, whole
from payment_simulator.engine.kernel.queue1 import release_in_order
from payment_simulator.engine.kernel.queues import (
    count_waiting,
    leave_queue1,
    record_piece_event,
    remove_queue1,
    set_in_segment_tree,
)
from payment_simulator.engine.kernel.rows import bank_row, has_segment_tree, payment_row, queue_key, segment_tree_at
from payment_simulator.engine.kernel.rules import bilateral_left
from payment_simulator.engine.kernel.segment_tree import next_within
from payment_simulator.engine.kernel.watch import note_held
from payment_simulator.engine.kernel.workspace import NO_BUDGET, credit_with, post
from payment_simulator.engine.vocabulary import EventKind
from payment_simulator.policy.fields_and_actions import NO_LIMIT, ActionKind
from payment_simulator.policy.tree import MAX_PIECES


@part
def release_affordable(w, bank, begun, ended, count):
    """Release in sequence what leaves the buffer, and the urgent from `begun` to `ended`; the count of all releases."""
    if w[L.SORTS_QUEUE1]:
        return release_in_order(w, bank, count)
    if not has_segment_tree(w, bank, L.QUEUE1_LAYER):
        return count
    b = bank_row(bank)
    left, start = w[b + L.BALANCE] - w[b + L.BUFFER], L.ZERO
    while True:
        place = next_within(w, segment_tree_at(w, b, L.QUEUE1_LAYER), w[b + L.SEGMENT_TREE_SIZE], start, left)
        while begun < ended and _place_of_urgent(w, begun) < start:
            begun += 1
        if begun < ended and (place < 0 or _place_of_urgent(w, begun) < place):
            place = _place_of_urgent(w, begun)
        note_held(w, bank, start, place if place >= 0 else w[b + L.SEGMENT_TREE_SIZE], left)
        if place < 0:
            return count
        p = w[w[L.AT_PLACE_AT] + w[b + L.PLACES] + place]
        left -= w[payment_row(w, p) + L.REST]
        set_in_segment_tree(w, p, L.QUEUE1_LAYER, L.NOTHING)
        leave_queue1(w, p)
        w[w[L.RELEASED_AT] + count] = queue_key(w, p)
        count += 1
        start = place + 1


@part
def _place_of_urgent(w, index):
    return w[payment_row(w, w[w[L.URGENT_KEYS_AT] + index] & L.KEY_MASK) + L.PLACE]


@part
def run_bank_and_collateral_trees(w, f, code):
    """Steps 4 and 5: collateral of every bank, then budgets and registers."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.COLLATERAL_TREE] >= 0 and not w[b + L.IS_OUT]:
            _set_fields(w, f, b)
            action = run_decision_tree(w, f, code, w[b + L.COLLATERAL_TREE])
            if action == ActionKind.PostCollateral:
                post(w, bank, min(max(whole(f[L.STACK_AT]), 0), max(w[b + L.CAPACITY] - w[b + L.POSTED], 0)))
            elif action == ActionKind.WithdrawCollateral:
                post(w, bank, -min(max(whole(f[L.STACK_AT]), 0), max(w[b + L.POSTED] - _least_collateral(w, b), 0)))
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.BANK_TREE] >= 0 and not w[b + L.IS_OUT]:
            _set_fields(w, f, b)
            action = run_decision_tree(w, f, code, w[b + L.BANK_TREE])
            if action == ActionKind.SetReleaseBudget:
                w[b + L.BUDGET] = max(whole(f[L.STACK_AT]), 0)
            elif action == ActionKind.SetState:
                f[L.REGISTERS_AT + int(f[L.STACK_AT + 1])] = f[L.STACK_AT]
            elif action == ActionKind.AddState:
                register = L.REGISTERS_AT + int(f[L.STACK_AT + 1])
                f[register] = defined(w, f[register] + f[L.STACK_AT])


@part
def _least_collateral(w, b):
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
def decide_queue1(w, f, code, bank, count):
    """Apply a bank's decision tree to its Queue 1, in sequence; the count of all releases."""
    b, so_far = bank_row(bank), L.ZERO
    _set_fields(w, f, b)
    p = w[b + L.QUEUE1_FIRST]
    while p != L.NONE:
        r = payment_row(w, p)
        following, amount = w[r + L.AFTER], w[r + L.REST]
        _set_payment_fields(w, f, b, r, so_far)
        action = run_decision_tree(w, f, code, w[b + L.PAYMENT_TREE])
        has_number = action == ActionKind.Split or action == ActionKind.Reprioritize
        number = whole(f[L.STACK_AT]) if has_number else 0
        if action == ActionKind.Split and (w[r + L.DIVISIBLE] == 0 or number < 2 or number > min(amount, MAX_PIECES)):
            action = ActionKind.Hold.value
        releases = (action == ActionKind.Release or action == ActionKind.Split) and amount <= w[b + L.BUDGET]
        if releases and w[bank_row(w[r + L.RECEIVER]) + L.IS_AVOIDED] == 0:
            so_far += amount
            _release(w, b, p, number if action == ActionKind.Split else L.ONE)
            w[w[L.RELEASED_AT] + count] = queue_key(w, p)
            count += 1
        else:
            _keep(w, p, action, number)
        p = following
    return count


@part
def _release(w, b, p, pieces):
    """Take a payment out of Queue 1, whole or as `pieces`: all but the last of the same amount, then the rest."""
    r = payment_row(w, p)
    amount = w[r + L.REST]
    if w[b + L.BUDGET] != NO_BUDGET:
        w[b + L.BUDGET] -= amount
    remove_queue1(w, p)
    leave_queue1(w, p)
    if pieces == 1:
        return
    count_waiting(w, p, L.NONE)
    w[r + L.PIECES] = pieces
    w[r + L.LEFT] = pieces - 1
    w[r + L.SIZE] = amount // pieces
    w[r + L.REST] = amount - w[r + L.SIZE] * (pieces - 1)
    count_waiting(w, p, L.ONE)
    w[b + L.TICK_FRICTION] += w[L.FRICTION] * (pieces - 1)
    record_piece_event(w, EventKind.PolicySplit, p, L.ZERO, amount, pieces)


@part
def _keep(w, p, action, number):
    """Drop a payment, give it another priority, or hold it."""
    r = payment_row(w, p)
    if action == ActionKind.Drop:
        remove_queue1(w, p)
        leave_queue1(w, p)
        w[r + L.STATE] = L.DROPPED
        record_piece_event(w, EventKind.PolicyDrop, p, L.ZERO, w[r + L.REST], L.NONE)
    elif action == ActionKind.Reprioritize:
        priority = min(max(number, 0), 10)
        if priority != w[r + L.PRIORITY]:
            w[r + L.PRIORITY] = priority
            record_piece_event(w, EventKind.PolicyReprioritize, p, L.ZERO, w[r + L.REST], priority)
    elif w[r + L.HELD] == 0:  # held, or released beyond the budget or to a bank that is avoided
        w[r + L.HELD] = 1
        record_piece_event(w, EventKind.PolicyHold, p, L.ZERO, w[r + L.REST], L.NONE)


@part
def _set_fields(w, f, b):
    """Set the fields of a bank and of time."""
    tick, ticks_per_day = w[L.TICK], w[L.TICKS_PER_DAY]
    _set_liquidity(w, f, b, L.ZERO)
    f[L.TreeField.unsecured_cap] = w[b + L.CAP]
    f[L.TreeField.posted_collateral] = w[b + L.POSTED]
    f[L.TreeField.max_collateral_capacity] = w[b + L.CAPACITY]
    f[L.TreeField.remaining_collateral_capacity] = max(w[b + L.CAPACITY] - w[b + L.POSTED], 0)
    f[L.TreeField.queue1_total_value] = w[b + L.QUEUE1_VALUE]
    f[L.TreeField.queue1_size] = w[b + L.QUEUE1_SIZE]
    f[L.TreeField.queue2_own_value] = w[b + L.QUEUE2_VALUE]
    f[L.TreeField.queue2_own_size] = w[b + L.QUEUE2_SIZE]
    f[L.TreeField.multilateral_limit_left] = min(w[b + L.MULTILATERAL_LIMIT] - w[b + L.POSITION], NO_LIMIT)
    f[L.TreeField.excess_collateral] = max(w[b + L.POSTED] - _least_collateral(w, b), 0)
    f[L.TreeField.current_tick] = tick
    f[L.TreeField.current_day] = tick // ticks_per_day
    f[L.TreeField.system_tick_in_day] = tick % ticks_per_day
    f[L.TreeField.ticks_remaining_in_day] = ticks_per_day - 1 - tick % ticks_per_day
    f[L.TreeField.day_progress_fraction] = (tick % ticks_per_day) / ticks_per_day


@part
def _set_liquidity(w, f, b, released):
    """Balance, spendable_liquidity and credit in use, less what this step has released."""
    f[L.TreeField.balance] = w[b + L.BALANCE] - released
    f[L.TreeField.effective_liquidity] = w[b + L.BALANCE] + w[b + L.CREDIT] - released
    f[L.TreeField.credit_used] = max(released - w[b + L.BALANCE], 0)


@part
def _set_payment_fields(w, f, b, r, released):
    """Set the fields of a payment."""
    f[L.TreeField.amount] = w[r + L.REST]
    f[L.TreeField.remaining_amount] = w[r + L.REST]
    f[L.TreeField.priority] = w[r + L.PRIORITY]
    f[L.TreeField.is_divisible] = w[r + L.DIVISIBLE]
    f[L.TreeField.ticks_to_deadline] = w[r + L.DUE] - w[L.TICK]
    f[L.TreeField.is_overdue] = w[r + L.OVERDUE]
    f[L.TreeField.arrival_tick] = w[r + L.ARRIVAL]
    f[L.TreeField.queue_age] = w[L.TICK] - w[r + L.ARRIVAL]
    f[L.TreeField.bilateral_limit_left] = bilateral_left(w, b, w[r + L.RECEIVER])
    f[L.TreeField.arrival_priority] = w[r + L.ARRIVAL_PRIORITY]
    _set_liquidity(w, f, b, released)
