"""The search for the allocation of its pool that costs one bank least, the other banks' policies and payments fixed.

It is exact, and needs few runs. Say that a run was made with the allocation x, and that s is the least that the bank
lacked in any test of its liquidity that failed: of a payment as it was submitted or retried, of an offset, a cycle, a
transfer, a withdrawal of collateral by the scenario, or a policy's buffer. With x + d, 0 <= d < s, the bank has d more
at every moment. By induction over the tests in their order, each turns out as before: one that passed passes with more,
one that failed lacked s or more and still lacks something. So the same settles at the same moments, and of the bank's
costs over T ticks, with the balances b_t at their ends, two change:

    cost(x + d) = T share(x + d, liquidity rate) + sum over t of share(max(0, -b_t - d), overdraft rate) + the rest

The first rises with d and the second falls, rounded as they are. From l to r inside of this step no allocation costs
less than the first at l, the second at r, and the rest; where that is more than the best found, nothing is looked for,
and elsewhere the stretch is halved. The next run is made with x + s. As no cost is below 0, the search is over where
liquidity alone costs what the best does.

This needs policies that see the allocation through such tests alone: `can_step`. For others every allocation is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from payment_simulator.engine.reference.stepping import StepSearch
from payment_simulator.engine.simulate import Engine, Prepared, begins_with_kernel, carry_out, prepare
from payment_simulator.policy.builtin import Policy, trees_of
from payment_simulator.policy.nodes import Action, Constant, FieldValue
from payment_simulator.policy.policies import FRACTION, policies_of
from payment_simulator.policy.tree import parts_of
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.schema import Scenario

LIQUIDITY_FIELDS = ("balance", "effective_liquidity", "credit_used", "excess_collateral")
"""Fields of decision trees that change with the bank's allocation, though every settlement stays as it is."""

LARGEST_BUDGET = 2**62


@dataclass(frozen=True)
class AllocationSearch:
    """The outcome of a search. Money in cents.

    `allocation` is the least of those with the least own `cost`, among those seen. No allocation that was asked for
    costs less than `lower_bound`, which is `cost` where the search `is_complete`. `seen` allocations are settled:
    simulated, or proved to cost no less. `work` is what it took, in simulated payments times ticks.
    """

    allocation: int
    cost: int
    lower_bound: int
    is_complete: bool
    seen: int
    work: int


def search_allocations(
    scenario: Scenario,
    policies: Sequence[Policy] | None,
    arrivals: Arrivals,
    bank: int,
    allocations: Sequence[int] | range,
    *,
    budget: int,
    engine: Engine = "auto",
) -> AllocationSearch:
    """Search `allocations`, rising cents of the pool of `bank`, for the one that costs it least.

    `policies` are one per bank, in the order of ids, None the scenario's own; the fraction of this bank's is ignored.
    The search ends before its `work` passes `budget`, but makes one run in any case. It is the same with either engine.

    Raises:
        ConfigError: a sum of money or costs could pass what an int64 holds, or the kernel that was asked for is not
            installed.
        ValueError: there is no such bank, the allocations do not rise from 0 to its pool at most, there is not one
            sample of arrivals, or the bank's trees read its fraction, so that an allocation does not say what they do.
    """
    chosen = [*(policies_of(scenario) if policies is None else policies)]
    _check(scenario, chosen, arrivals, bank, allocations)
    chosen[bank] = replace(chosen[bank], fraction=Fraction(0))
    prepared = prepare(scenario, chosen)
    prepared.limits.check(scenario, arrivals)
    if not begins_with_kernel(engine, prepared, arrivals):
        search = StepSearch(
            scenario, arrivals, chosen, bank, allocations, can_step=may_step(prepared, bank), budget=budget
        )
        if search.go(lambda run: carry_out(run, "reference" if prepared.reference_only else engine)):
            is_complete = search.seen == len(allocations)
            return AllocationSearch(
                search.allocation, search.cost, search.lower_bound, is_complete, search.seen, search.work
            )
    return _by_kernel(prepared, arrivals, bank, allocations, budget)


def _check(
    scenario: Scenario, policies: Sequence[Policy], arrivals: Arrivals, bank: int, allocations: Sequence[int] | range
) -> None:
    if not 0 <= bank < len(scenario.agents):
        raise ValueError(f"bank {bank} is not one of {len(scenario.agents)}")
    pool = scenario.agents_by_id()[bank].liquidity_pool
    rises = isinstance(allocations, range) or all(low < high for low, high in pairwise(allocations))
    if not allocations or not rises or allocations[0] < 0 or not allocations[0] <= allocations[-1] <= pool:
        raise ValueError(f"allocations should rise from 0 or more to {pool} at most")
    if arrivals.samples != 1:
        raise ValueError(f"a search is over one sample, and these are {arrivals.samples}")
    if reads_fraction(policies[bank]):
        raise ValueError(f"the bank's trees read {FRACTION}: an allocation does not say what they do")


def _by_kernel(
    prepared: Prepared, arrivals: Arrivals, bank: int, allocations: Sequence[int] | range, budget: int
) -> AllocationSearch:
    from payment_simulator.engine.kernel import layout, stepping, workspace
    from payment_simulator.engine.kernel.jit import call

    compiled, count = prepared.compiled, len(arrivals)
    s = np.zeros(layout.SEARCH_COLUMNS, dtype=np.int64)
    s[layout.S_BANK], s[layout.S_CAN_STEP], s[layout.S_BUDGET] = (
        bank,
        may_step(prepared, bank),
        min(budget, LARGEST_BUDGET),
    )
    s[layout.S_NUMBER], listed = len(allocations), np.zeros(0, dtype=np.int64)
    if isinstance(allocations, range):
        s[layout.S_FIRST], s[layout.S_STEP] = allocations.start, allocations.step
    else:
        listed = np.array(allocations, dtype=np.int64)
    size = workspace.workspace_size(compiled, count, -1)
    call(
        stepping.search,
        np.empty(stepping.search_size(size, compiled.ticks), dtype=np.int64),
        compiled.template.copy(),
        compiled.events,
        compiled.code,
        compiled.numbers.copy(),
        arrivals.table,
        count,
        compiled.ticks,
        s,
        listed,
    )
    return AllocationSearch(
        allocation=int(s[layout.S_ALLOCATION]),
        cost=int(s[layout.S_COST]),
        lower_bound=int(s[layout.S_LOWER_BOUND]),
        is_complete=bool(s[layout.S_SEEN] == s[layout.S_NUMBER]),
        seen=int(s[layout.S_SEEN]),
        work=int(s[layout.S_WORK]),
    )


def may_step(prepared: Prepared, bank: int) -> bool:
    """True where nothing but tests of liquidity, which a run can watch, lets an allocation change what happens."""
    scenario = prepared.scenario
    if scenario.offsets_on_entry or scenario.lsm_config.enable_multilateral or scenario.netting_batches:
        return False  # whether a payment is left out depends on what others lack
    return not scenario.has_rules and scenario.queue2.release != "strict" and can_step(prepared.policies[bank])


def can_step(policy: Policy) -> bool:
    """True where a bank's decisions follow its allocation only through tests of liquidity, which a run can watch.

    Its trees then read nothing that changes with the allocation while every settlement stays: neither liquidity nor
    its own fraction. Nor do they withdraw collateral, which is cut to what the credit in use leaves.
    """
    return not reads_fraction(policy) and not any(
        (isinstance(part, FieldValue) and part.name in LIQUIDITY_FIELDS)
        or (isinstance(part, Action) and part.name in ("WithdrawCollateral", "PostCollateralFor"))
        for part in parts_of(*trees_of(policy))
    )


def reads_fraction(policy: Policy) -> bool:
    """True where a bank's trees read `initial_liquidity_fraction`, so that more than its allocation follows from it."""
    return any(isinstance(part, Constant) and part.parameter == FRACTION for part in parts_of(*trees_of(policy)))
