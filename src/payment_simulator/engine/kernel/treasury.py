"""What the kernel's banks do with their money beside payments: collateral and its timers, budgets and registers."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.policy_vm import defined, run_decision_tree, whole
from payment_simulator.engine.kernel.rows import bank_row
from payment_simulator.engine.kernel.tree_fields import set_fields
from payment_simulator.engine.kernel.workspace import NO_BUDGET, least_collateral, post
from payment_simulator.policy.fields_and_actions import ActionKind


@part
def run_collateral_and_bank_trees(w, f, code):
    """Steps 4 and 5: collateral of every bank, after what timers withdraw, then budgets and registers."""
    if w[L.HAS_TIMERS]:
        _end_timers(w)
    run_collateral_trees(w, f, code, L.COLLATERAL_TREE)
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + L.BUDGET_KIND] != 0:
            _end_budget(w, b)
        if w[b + L.BANK_TREE] >= 0 and not w[b + L.IS_OUT]:
            set_fields(w, f, b)
            _act_on_bank(w, f, b, run_decision_tree(w, f, code, w[b + L.BANK_TREE]))


@part
def _end_timers(w):
    """Withdraw what was posted until now, all of it together, cut to what the credit in use leaves."""
    for bank in range(w[L.BANKS]):
        due = w[w[L.TIMERS_AT] + w[L.TICK] * w[L.BANKS] + bank]
        if due > 0:
            _withdraw(w, bank, due)


@part
def run_collateral_trees(w, f, code, column):
    """Run every bank's collateral tree that begins where `column` of its row says."""
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        if w[b + column] < 0 or w[b + L.IS_OUT]:
            continue
        set_fields(w, f, b)
        action = run_decision_tree(w, f, code, w[b + column])
        if action == ActionKind.WithdrawCollateral:
            _withdraw(w, bank, max(whole(f[L.STACK_AT]), 0))
        elif action == ActionKind.PostCollateral or action == ActionKind.PostCollateralFor:
            amount = min(max(whole(f[L.STACK_AT]), 0), max(w[b + L.CAPACITY] - w[b + L.POSTED], 0))
            post(w, bank, amount)
            if action == ActionKind.PostCollateralFor:
                _set_timer(w, bank, amount, max(whole(f[L.STACK_AT + 1]), 1))


@part
def _set_timer(w, bank, amount, ticks):
    """Let so much collateral be withdrawn so many ticks later, in a tick of the run."""
    tick = w[L.TICK] + ticks
    if tick < w[L.CALENDAR_SIZE]:
        w[w[L.TIMERS_AT] + tick * w[L.BANKS] + bank] += amount


@part
def _withdraw(w, bank, amount):
    """Withdraw collateral, cut to what the credit in use leaves."""
    b = bank_row(bank)
    post(w, bank, -min(amount, max(w[b + L.POSTED] - least_collateral(w, b), 0)))


@part
def _end_budget(w, b):
    """Lift a budget of the last tick; one that lasts is for all banks again."""
    if w[b + L.BUDGET_KIND] == L.OF_TICK:
        w[b + L.BUDGET] = NO_BUDGET
    w[b + L.BUDGET_KIND] = 0
    w[b + L.BUDGET_EACH] = NO_BUDGET
    w[b + L.FOCUS_AT] = 0


@part
def _act_on_bank(w, f, b, action):
    """Carry out what a bank's tree comes to."""
    if action == ActionKind.SetReleaseBudget:
        w[b + L.BUDGET] = max(whole(f[L.STACK_AT]), 0)
    elif action == ActionKind.SetBudgetOfTick:
        each, focus = whole(f[L.STACK_AT + 1]), int(f[L.STACK_AT + 3])
        w[b + L.BUDGET] = max(whole(f[L.STACK_AT]), 0)
        w[b + L.BUDGET_KIND] = L.LASTING if whole(f[L.STACK_AT + 2]) != 0 else L.OF_TICK
        w[b + L.BUDGET_EACH] = NO_BUDGET if each < 0 else each
        w[b + L.FOCUS_AT] = 0 if focus < 0 else w[L.CONSTANTS_AT] + focus
    elif action == ActionKind.SetState:
        f[L.REGISTERS_AT + int(f[L.STACK_AT + 1])] = f[L.STACK_AT]
    elif action == ActionKind.AddState:
        register = L.REGISTERS_AT + int(f[L.STACK_AT + 1])
        f[register] = defined(w, f[register] + f[L.STACK_AT])
