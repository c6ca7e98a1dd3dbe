"""Deterministic games for tests, from seeds: a few banks that are short of money, with policies of every kind."""

import random
from dataclasses import dataclass, replace
from fractions import Fraction

from scenarios import act, ask, computed, make_scenario, once, pay, trees

from payment_simulator import Scenario, draw_arrivals, simulate
from payment_simulator.engine.allocation_search import search_allocations
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.policies import policies_of
from payment_simulator.scenario.arrivals import Arrivals


@dataclass(frozen=True)
class Game:
    """A scenario, its payments, and the bank whose allocation is searched."""

    scenario: Scenario
    arrivals: Arrivals
    policies: list[Policy]
    bank: int

    @property
    def pool(self):
        return self.scenario.agents_by_id()[self.bank].liquidity_pool

    def search(self, allocations=None, budget=2**60, **options):
        """A search over all allocations, or over some."""
        asked = range(self.pool + 1) if allocations is None else allocations
        return search_allocations(
            self.scenario, self.policies, self.arrivals, self.bank, asked, budget=budget, **options
        )

    def cost(self, allocation):
        """The bank's own cost of an allocation, by a run of its own."""
        policies = [*self.policies]
        policies[self.bank] = replace(policies[self.bank], fraction=Fraction(allocation, max(self.pool, 1)))
        return int(simulate(self.scenario, self.arrivals, policies, engine="kernel").costs[self.bank].sum())

    def all_costs(self):
        """The own cost of every allocation."""
        return [self.cost(allocation) for allocation in range(self.pool + 1)]


def game(scenario, bank=0):
    """A game of a scenario that draws nothing."""
    return Game(scenario, draw_arrivals(scenario), policies_of(scenario), bank)


def drawn_game(seed, largest_pool):
    """Any game: from the same seed the same one. Some are full of cycles, of transfers or of changes of collateral."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    theme = dice.choice(["any", "any", "cycles", "cycles", "transfer", "collateral"])
    banks = [f"B{number}" for number in range(dice.choice([3, 3, 4] if theme == "cycles" else [2, 2, 3]))]
    bank, ticks, days = dice.randrange(len(banks)), dice.randint(1, 8), dice.choice([1, 1, 2, 3])
    pool = dice.randint(largest_pool // 10, largest_pool)
    agents = {name: _agent(dice, dice.randint(0, pool), theme) for name in banks}
    agents[banks[bank]]["liquidity_pool"] = pool
    events = [_event(dice, banks, ticks * days, pool, theme) for _ in range(dice.choice([3, 8, 20, 40]))]
    offsets = {"enable_bilateral": dice.random() < 0.5, "enable_cycles": theme == "cycles" or dice.random() < 0.5}
    longest = {"max_cycle_length": dice.randint(3, 5), "max_cycles_per_tick": dice.choice([1, 3, 10])}
    lasts, defers = {"ticks": ticks, "days": days}, dice.random() < 0.4
    costs, further = _costs(dice), _further(dice, events, banks, ticks * days, pool) if dice.random() < 0.5 else {}
    scenario = make_scenario(
        agents, *events, **lasts, costs=costs, lsm=offsets | longest, deferred_crediting=defers, **further
    )
    return game(scenario, bank)


def _further(dice, events, banks, ticks, pool):
    """Outages, credit limits that change, balances that are reset, and keys that go with them."""
    for bank in banks:
        if dice.random() < 0.5:
            begin = dice.randrange(ticks)
            until = {"start_tick": begin, "end_tick": dice.randrange(begin, ticks)}
            events.append({"type": "Outage", "agent": bank, **until, "incoming": dice.random() < 0.5})
        if dice.random() < 0.5:
            events.append(once("CreditLimitChange", dice.randrange(ticks), agent=bank, unsecured_cap=pool // 4))
            events.append(once("CreditLimitChange", dice.randrange(ticks), agent=bank, unsecured_cap=0))
        if dice.random() < 0.2:
            events.append(once("BalanceReset", dice.randrange(ticks), agent=bank, opening_balance=pool // 3))
        if dice.random() < 0.1:
            events.append(once("LimitChange", dice.randrange(ticks), agent=bank, limit=pool // 2))
    return {
        "outage_response": dice.choice([None, {"stop_sending_after": dice.randint(0, 3)}]),
        "daily_balances": dice.choice(["keep", "reset"]),
        "cost_rounding": dice.choice(["nearest", "carry"]),
        "queue2": {
            "order": dice.choice(["priority", "bands", "fifo"]),
            "release": dice.choice(["bypass", "bypass", "strict"]),
        },
        "queue1_ordering": dice.choice(["Fifo", "priority_deadline"]),
        "queue2_passes": dice.choice(["until_nothing_fits", "until_nothing_fits", "once"]),
    }


def _agent(dice, money, theme):
    return {
        "opening_balance": dice.choice([0, 0, money // 3]),
        "unsecured_cap": dice.choice([0, 0 if theme == "cycles" else money // 4, money]),
        "liquidity_pool": money,
        "liquidity_allocation_fraction": dice.choice([0, 0.3, 1]),
        "posted_collateral": money if theme == "collateral" else dice.choice([0, 0, money // 3]),
        "max_collateral_capacity": dice.choice([0, 2 * money]),
        "collateral_haircut": dice.choice([0, 0.1, 1 / 3, 1]),
        "policy": _policy(dice, money),
    }


def _policy(dice, money):
    few, many = dice.randint(1, max(money // 4, 1)), dice.randint(1, max(money, 1))
    wait = ask("ticks_to_deadline", "<=", dice.randint(0, 3), act("Release"), act("Hold"))
    split = ask("is_divisible", "==", 1, act("Split", num_splits=dice.randint(2, 5)), act("Release"))
    count = act("AddState", key="bank_state_x", value={"field": "queue2_own_size"})
    post, withdraw = act("PostCollateral", amount=few), act("WithdrawCollateral", amount=few)
    by_balance = ask("balance", ">=", many, act("Release"), wait)
    spends = {"compute": {"op": "-", "left": {"field": "effective_liquidity"}, "right": {"field": "amount"}}}
    keeps = {"type": "condition", "condition": {"op": ">=", "left": spends, "right": {"value": few}}}
    return dice.choice(
        [
            {"type": "Fifo"},
            {"type": "Fifo"},
            {"type": "Deadline", "urgency_threshold": dice.randint(-1, 4)},
            {"type": "LiquidityAware", "target_buffer": dice.choice([0, few, -few]), "urgency_threshold": 1},
            {"type": "LiquidityAware", "target_buffer": few, "urgency_threshold": dice.randint(-1, 3)},
            trees(split),
            trees(ask("queue2_own_size", ">", dice.randint(0, 2), wait, split)),
            trees(ask("is_overdue", "==", 1, act("Drop"), ask("queue_age", ">", 1, act("Release"), wait))),
            trees(
                ask("priority", "<", 8, act("Reprioritize", priority=computed("+", {"field": "priority"}, 3)), split)
            ),
            trees(split, bank_tree=act("SetReleaseBudget", amount=many)),
            trees(ask("bank_state_x", ">", 3, split, act("Release")), bank_tree=count),
            trees(split, collateral_tree=ask("queue2_own_value", ">", few, post, act("HoldCollateral"))),
            trees(split, collateral_tree=ask("posted_collateral", ">", few, withdraw, post)),
            trees(by_balance),
            trees({**keeps, "on_true": act("Release"), "on_false": wait}),
        ]
    )


def _event(dice, banks, ticks, pool, theme):
    place, tick = dice.randrange(len(banks)), dice.randrange(ticks)
    one, other = banks[place], banks[(place + dice.randint(1, len(banks) - 1)) % len(banks)]
    amount = dice.randint(1, max(pool // dice.choice([1, 2, 5, 20]), 1))
    kind = dice.choice(["pay"] * 6 + [theme] * 3 + ["transfer", "collateral"])
    if kind == "transfer":
        return once("DirectTransfer", tick, from_agent=one, to_agent=other, amount=amount)
    if kind == "collateral":
        return once("CollateralAdjustment", tick, agent=one, delta=dice.choice([-1, -1, 1]) * amount)
    if kind == "cycles":
        amount, other = dice.randint(pool // 2, pool) or 1, banks[(place + 1) % len(banks)]
    more = {"priority": dice.randint(0, 10), "is_divisible": dice.random() < 0.6}
    return pay(one, other, amount, tick, dice.randint(0, 5), **more)


def _costs(dice):
    penalty = [0, 7, {"mode": "fixed", "amount": 50}, {"mode": "rate", "bps_per_event": 33.3}]
    return {
        "liquidity_cost_per_tick_bps": dice.choice([0, 1.5, 12.5, 83, 100 / 3, 300]),
        "overdraft_bps_per_tick": dice.choice([0, 1.5, 83, 120, 100 / 3]),
        "collateral_cost_per_tick_bps": dice.choice([0, 12.5]),
        "delay_cost_per_tick_per_cent": dice.choice([0, 0.0125, 0.2, 0.05]),
        "overdue_delay_multiplier": dice.choice([1, 2.5]),
        "deadline_penalty": dice.choice(penalty),
        "eod_penalty_per_transaction": dice.choice(penalty),
        "eod_borrowing_bps": dice.choice([0, 100]),
        "split_friction_cost": dice.choice([0, 3]),
    }
