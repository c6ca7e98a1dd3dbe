"""The search for an allocation: exact beside a run for each allocation, the same in both engines, and cheap."""

import random
from dataclasses import replace

import pytest
from games import drawn_game, game
from scenarios import act, ask, computed, make_scenario, once, pay, trees

from labledger.errors import ConfigError
from payment_simulator import Policy, draw_arrivals
from payment_simulator.engine.allocation_search import AllocationSearch, can_step, reads_fraction
from payment_simulator.policy.builtin import Deadline, Fifo, LiquidityAware
from payment_simulator.policy.fields_and_actions import FIELDS, TREE_KINDS
from payment_simulator.policy.policies import read_policy

LATE = {"liquidity_cost_per_tick_bps": 100, "delay_cost_per_tick_per_cent": 1}


def least(costs, places):
    """The least cost among some allocations, and the least of those that cost it."""
    return min((costs[place], place) for place in places)


def check_exact(played, engine="kernel", places=None):
    """All costs of a game, after its searches were held against them."""
    costs = played.all_costs()
    found = played.search(engine=engine)
    cost, allocation = least(costs, range(len(costs)))
    assert found == AllocationSearch(allocation, cost, cost, True, len(costs), found.work)
    return costs


def check_drawn(seed, largest_pool):
    """Hold a drawn game's searches against its costs: over all, over parts, over listed ones, and cut short."""
    played, dice = drawn_game(seed, largest_pool), random.Random(seed)  # noqa: S311 - no secret
    costs = check_exact(played)
    whole = played.search(engine="reference")
    assert whole == played.search(engine="kernel")
    for _ in range(3):
        first = dice.randrange(len(costs))
        part = range(first, dice.randint(first + 1, min(len(costs), first + 60)), dice.choice([1, 1, 3]))
        listed = sorted(dice.sample(range(len(costs)), min(9, len(costs))))
        for places in (part, listed):
            found = played.search(places, engine="kernel")
            assert (found.cost, found.allocation) == least(costs, places)
            assert found == played.search(places, engine="reference")
        budget = dice.randint(0, whole.work)
        short = played.search(budget=budget, engine="kernel")
        assert short == played.search(budget=budget, engine="reference")
        assert short.lower_bound <= min(costs) <= short.cost == costs[short.allocation]
        assert least(costs, range(short.seen)) >= (short.cost, short.allocation)
        assert short.work <= max(budget, max(len(played.arrivals), 1) * played.scenario.simulation.ticks)


@pytest.mark.parametrize("seed", range(25))
def test_in_any_game_the_search_finds_what_a_run_for_each_allocation_finds(seed):
    check_drawn(seed, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 600))
def test_in_500_games_the_search_finds_what_a_run_for_each_allocation_finds(seed):
    check_drawn(seed, 20_000 if seed % 50 == 0 else 3_000 if seed % 5 == 0 else 300)


def test_a_payment_that_credit_covers_may_be_bought_with_liquidity_or_with_credit(engine):
    costs = {"liquidity_cost_per_tick_bps": 50, "overdraft_bps_per_tick": 100}
    banks = {"A": {"liquidity_pool": 10_000, "unsecured_cap": 10_000}, "B": {}}
    played = game(make_scenario(banks, pay("A", "B", 10_000), ticks=3, costs=costs))
    assert (played.cost(0), played.cost(10_000)) == (300, 150)
    found = played.search(engine=engine)
    assert (found.cost, found.is_complete, found.seen) == (150, True, 10_001)
    assert found.allocation == 9_851  # at 49.255 cents a tick, and 1.49 for the overdraft, it rounds to no more


FULL = {"opening_balance": 10_000}
TESTS_OF_LIQUIDITY = {
    "submission": ({"A": {}, "B": {}}, [pay("A", "B", 10, priority=9), pay("A", "B", 3, priority=1)], {}, 10),
    "queue 2, once more came in": ({"A": {}, "B": FULL}, [pay("A", "B", 10), pay("B", "A", 4)], {}, 6),
    "a piece of a split payment": (
        {"A": {"policy": trees(act("Split", num_splits=3))}, "B": FULL},
        [pay("A", "B", 12, is_divisible=True), pay("B", "A", 8, tick=1)],
        {},
        4,
    ),
    "the net of an offset": ({"A": {}, "B": {}}, [pay("A", "B", 10), pay("B", "A", 7)], {"enable_bilateral": True}, 3),
    "an offset that leaves a payment out": (
        {"A": {}, "B": {}},
        [pay("A", "B", 10), pay("A", "B", 90), pay("B", "A", 7)],
        {"enable_bilateral": True},
        3,
    ),
    "what is lost in a cycle": (
        {"A": {}, "B": {}, "C": {}},
        [pay("A", "B", 10), pay("B", "C", 8), pay("C", "A", 8)],
        {"enable_cycles": True},
        2,
    ),
    "a buffer": (
        {"A": {"policy": {"type": "LiquidityAware", "target_buffer": 15, "urgency_threshold": -1}}, "B": {}},
        [pay("A", "B", 10)],
        {},
        25,
    ),
    "a transfer": (
        {"A": {}, "B": {"opening_balance": 10}},
        [once("DirectTransfer", from_agent="A", to_agent="B", amount=10), pay("B", "A", 20), pay("A", "B", 20)],
        {},
        10,
    ),
    "a withdrawal of collateral": (
        {"A": {"posted_collateral": 1_000, "max_collateral_capacity": 1_000}, "B": {}},
        [pay("A", "B", 10), once("CollateralAdjustment", 1, agent="A", delta=-1_000)],
        {},
        10,
    ),
}


@pytest.mark.parametrize("name", TESTS_OF_LIQUIDITY)
def test_a_search_stops_at_every_allocation_at_which_a_test_of_liquidity_passes(name, engine):
    banks, events, lsm, wanted = TESTS_OF_LIQUIDITY[name]
    banks = {**banks, "A": {**banks["A"], "liquidity_pool": 100}}
    costs = {**LATE, "collateral_cost_per_tick_bps": 500}
    played = game(make_scenario(banks, *events, ticks=4, costs=costs, lsm=lsm))
    costs = check_exact(played, engine)
    assert costs[wanted] < costs[wanted - 1]
    assert played.search(range(wanted + 1), engine=engine).allocation == wanted


def test_a_search_steps_where_remainders_are_carried_limits_change_and_a_bank_is_out(engine):
    """0.3 bps of a pool of 300 come to 0.09 cents in 10 ticks; a debt of 250 is 0.25 cents a tick at 10 bps."""
    banks = {"A": {"liquidity_pool": 300, "unsecured_cap": 400}, "B": {"opening_balance": 50}, "C": {}}
    events = [
        pay("A", "B", 250),
        pay("A", "B", 90, 6),
        pay("A", "C", 60, 6),
        once("CreditLimitChange", 5, agent="A", unsecured_cap=0),
        {"type": "Outage", "agent": "C", "start_tick": 6, "end_tick": 7, "incoming": False},
    ]
    costs = {
        "liquidity_cost_per_tick_bps": 0.3,
        "overdraft_bps_per_tick": 10,
        "delay_cost_per_tick_per_cent": 0.0021,
    }
    played = game(make_scenario(banks, *events, ticks=10, costs=costs, cost_rounding="carry"))
    check_exact(played, engine)
    assert played.search(engine=engine).work < 301 * len(events) * 10 / 10


def test_a_bank_without_a_pool_has_one_allocation(engine):
    played = game(make_scenario({"A": {}, "B": {}}, pay("A", "B", 10), ticks=2, costs=LATE))
    assert played.search(engine=engine) == AllocationSearch(0, 20, 20, True, 1, 2)


def test_where_nothing_costs_anything_one_run_shows_it(engine):
    played = game(make_scenario({"A": {"liquidity_pool": 10**6}, "B": {}}, pay("A", "B", 10), ticks=2))
    assert played.search(engine=engine) == AllocationSearch(0, 0, 0, True, 10**6 + 1, 2)


def test_the_largest_pool_is_searched_in_the_steps_that_matter(engine):
    banks = {"A": {"liquidity_pool": 2**60}, "B": {}}
    costs = {"liquidity_cost_per_tick_bps": 1e-9, "delay_cost_per_tick_per_cent": 1e-6}
    played = game(make_scenario(banks, pay("A", "B", 2**50), ticks=2, costs=costs))
    found = played.search(engine=engine)
    assert (found.allocation, found.is_complete, found.seen) == (2**50, True, 2**60 + 1)
    assert found.cost == played.cost(2**50) == 2 * 113


def test_the_budget_counts_work_and_the_first_run_is_made_in_any_case(engine):
    payments = [pay("A", "B", amount) for amount in (10, 20, 30)]
    played = game(make_scenario({"A": {"liquidity_pool": 100}, "B": {}}, *payments, ticks=4, costs=LATE))
    costs, one_run = played.all_costs(), 3 * 4
    assert played.search(budget=0, engine=engine) == AllocationSearch(0, costs[0], 0, False, 10, one_run)
    more = played.search(budget=3 * one_run, engine=engine)
    assert (more.work, more.is_complete, more.seen) == (3 * one_run, False, 60)
    assert (more.cost, more.lower_bound) == (costs[30], min(costs[30], 4 * 1))
    assert played.search(budget=10**9, engine=engine).cost == min(costs)


def test_a_cost_that_overflows_with_the_largest_allocation_is_refused_before_any_run(engine):
    banks = {"A": {"liquidity_pool": 2**60}, "B": {}}
    played = game(make_scenario(banks, pay("A", "B", 10), ticks=4, costs={"liquidity_cost_per_tick_bps": 10_000}))
    with pytest.raises(ConfigError, match=r"cost_rates\.liquidity_cost_per_tick_bps"):
        played.search(range(2), engine=engine)


@pytest.mark.parametrize("allocations", [[], [5, 5], [5, 4], [-1, 0], [0, 101], range(0), range(5, 0, -1)])
def test_allocations_that_do_not_rise_within_the_pool_are_refused(allocations):
    played = game(make_scenario({"A": {"liquidity_pool": 100}, "B": {}}))
    with pytest.raises(ValueError, match="allocations should rise from 0 or more to 100 at most"):
        played.search(allocations)


def test_a_search_over_several_samples_is_refused():
    played = game(make_scenario({"A": {"liquidity_pool": 100}, "B": {}}))
    with pytest.raises(ValueError, match="a search is over one sample, and these are 2"):
        replace(played, arrivals=draw_arrivals(played.scenario, samples=2)).search()


def policy(document) -> Policy:
    read, problems = read_policy(document)
    assert not problems
    return read


@pytest.mark.parametrize("built_in", [Fifo(), Deadline(), LiquidityAware(target_buffer=10)])
def test_stepping_holds_for_every_built_in_policy(built_in):
    assert can_step(built_in)


@pytest.mark.parametrize("kind", TREE_KINDS)
def test_stepping_holds_for_trees_that_read_anything_but_liquidity(kind):
    leaf = {"payment_tree": act("Hold"), "bank_tree": act("NoAction")}.get(kind, act("HoldCollateral"))
    hinders = {name for name in FIELDS[kind] if not can_step(policy(trees(**{kind: ask(name, ">", 1, leaf, leaf)})))}
    assert hinders == {"balance", "effective_liquidity", "credit_used", "excess_collateral"}


def test_stepping_does_not_hold_for_trees_that_withdraw_collateral():
    assert can_step(policy(trees(collateral_tree=act("PostCollateral", amount=1))))
    assert not can_step(policy(trees(collateral_tree=act("WithdrawCollateral", amount=1))))


def test_trees_that_read_their_own_fraction_are_told_from_all_others_and_refused(engine):
    fraction = {"param": "initial_liquidity_fraction"}
    split = act("Split", num_splits=computed("*", fraction, 10))
    reads = trees(split, parameters={"initial_liquidity_fraction": 0.5, "p": 0.5})
    assert reads_fraction(policy(reads))
    assert not can_step(policy(reads))
    assert not reads_fraction(policy({**reads, "payment_tree": act("Split", num_splits={"param": "p"})}))
    played = game(make_scenario({"A": {"liquidity_pool": 100, "policy": reads}, "B": {}}))
    with pytest.raises(ValueError, match="the bank's trees read initial_liquidity_fraction"):
        played.search(engine=engine)
