"""Step 2 of a tick in the kernel: what the scenario lets happen to banks."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.outages import begin_outage
from payment_simulator.engine.kernel.queues import move, record_event
from payment_simulator.engine.kernel.rows import bank_row, spendable_liquidity
from payment_simulator.engine.kernel.rules import set_limit
from payment_simulator.engine.kernel.watch import note_shortfall
from payment_simulator.engine.kernel.workspace import credit_with, post, reset_balance, set_credit_limit
from payment_simulator.engine.vocabulary import EventKind, Skipped


@part
def apply_scenario_event(w, kind, bank, other, amount):
    """Apply an event; see `lowering.CompiledScenario`."""
    if kind == EventKind.Transfer:
        _transfer(w, bank, other, amount)
    elif kind == EventKind.CollateralPosted:
        _adjust_collateral(w, bank, amount)
    elif kind == EventKind.CreditLimitChanged:
        set_credit_limit(w, bank, amount)
    elif kind == EventKind.LimitChanged:
        record_event(w, EventKind.LimitChanged, bank, other, L.NONE, L.NONE, amount, L.NONE)
        set_limit(w, bank, other, amount)
    elif kind == EventKind.OutageBegan:
        begin_outage(w, bank, other, amount)
    elif kind == EventKind.BalanceReset:
        b = bank_row(bank)
        w[b + L.OPENING] = amount + w[b + L.ALLOCATED]
        reset_balance(w, bank)


@part
def _transfer(w, bank, other, amount):
    """Move money, or record that it was skipped."""
    b = bank_row(bank)
    if amount > spendable_liquidity(w, b):
        note_shortfall(w, bank, amount - spendable_liquidity(w, b))
        record_event(w, EventKind.EventSkipped, bank, other, L.NONE, L.NONE, amount, Skipped.CREDIT_FLOOR.value)
        return
    record_event(w, EventKind.Transfer, bank, other, L.NONE, L.NONE, amount, L.NONE)
    move(w, bank, other, amount)


@part
def _adjust_collateral(w, bank, amount):
    """Post or withdraw collateral, or record that it was skipped."""
    b = bank_row(bank)
    posted = w[b + L.POSTED] + amount
    if posted < 0 or (amount > 0 and posted > w[b + L.CAPACITY]):
        record_event(w, EventKind.EventSkipped, bank, L.NONE, L.NONE, L.NONE, amount, Skipped.CAPACITY.value)
    elif amount < 0 and w[b + L.BALANCE] + credit_with(w, b, posted) < 0:
        note_shortfall(w, bank, -w[b + L.BALANCE] - credit_with(w, b, posted))
        record_event(w, EventKind.EventSkipped, bank, L.NONE, L.NONE, L.NONE, amount, Skipped.CREDIT_FLOOR.value)
    else:
        post(w, bank, amount)
