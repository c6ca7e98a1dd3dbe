"""The fields that decision trees see, set in the kernel's numbers before a tree is run."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.pairs import queued_value
from payment_simulator.engine.kernel.rules import bilateral_left
from payment_simulator.engine.kernel.workspace import least_collateral
from payment_simulator.policy.fields_and_actions import NO_LIMIT


@part
def set_fields(w, f, b):
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
    f[L.TreeField.excess_collateral] = max(w[b + L.POSTED] - least_collateral(w, b), 0)
    due = w[b + L.SETTLED_TODAY] + w[b + L.UNSETTLED_VALUE]
    f[L.TreeField.my_throughput_fraction_today] = w[b + L.SETTLED_TODAY] / due if due > 0 else 1.0
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
def set_payment_fields(w, f, b, r, released):
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
    if w[L.NAMES_PAIRS]:
        _set_between(w, f, w[r + L.SENDER], w[r + L.RECEIVER])


@part
def _set_between(w, f, bank, other):
    """Set the fields of a payment that count what waits between two banks in the central queue."""
    out, into = queued_value(w, bank, other), queued_value(w, other, bank)
    f[L.TreeField.my_q2_out_value_to_counterparty] = out
    f[L.TreeField.my_q2_in_value_from_counterparty] = into
    f[L.TreeField.my_bilateral_net_q2] = out - into
