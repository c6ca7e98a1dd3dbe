"""Each kind of cost, worked by hand: to the cent, half a cent up, per bank, kind and tick."""

import pytest
from scenarios import act, ask, charged, costs_of, happened, make_scenario, once, pay, play

SPLITS_IN_3 = {"version": "1", "policy_id": "splits", "payment_tree": act("Split", num_splits=3)}
DROPS = {"version": "1", "policy_id": "drops", "payment_tree": act("Drop")}
NOTHING_TO_PAY_WITH = {"A": {}, "B": {}}


def waits(amount=1_000, **fields):
    """A payment of A, who has nothing."""
    return pay("A", "B", amount, **fields)


# Liquidity


def test_the_allocated_pool_costs_in_every_tick_whether_it_is_used_or_not(engine):
    banks = {"A": {"liquidity_pool": 100_000, "liquidity_allocation_fraction": 0.5}, "B": {}}
    outcome = play(make_scenario(banks, ticks=4, costs={"liquidity_cost_per_tick_bps": 83}), engine)
    assert charged(outcome, "A", "liquidity") == dict.fromkeys(range(4), 415)  # 50,000 x 83 / 10,000
    assert costs_of(outcome, "A") == {"liquidity": 4 * 415}
    assert costs_of(outcome, "B") == {}


@pytest.mark.parametrize(
    ("pool", "fraction", "allocated"),
    [
        (100_000, 0.29, 29_000),  # a product of doubles is 28,999.999999999996
        (333, 0.5, 166),  # 166.5, rounded down
        (1, 0.999, 0),
        (10**15 + 1, 1, 10**15 + 1),
        (3, 0.1, 0),
        (10, 0.7, 7),
    ],
)
def test_the_allocation_is_the_exact_fraction_of_the_pool_rounded_down(pool, fraction, allocated, engine):
    banks = {"A": {"opening_balance": 7, "liquidity_pool": pool, "liquidity_allocation_fraction": fraction}, "B": {}}
    assert play(make_scenario(banks), engine).final_balance[0] == 7 + allocated


@pytest.mark.parametrize(
    ("pool", "bps", "cents"),
    [
        (50, 100, 1),  # 0.5, half up
        (49, 100, 0),
        (150, 100, 2),  # 1.5
        (250, 100, 3),  # 2.5: half up, not half even
        (100_000, 0.29, 3),  # 2.9
        (50_000, 0.29, 1),  # 1.45
        (5_000_000, 0.0029, 1),  # 1.45
        (15_000, 0.7, 1),  # 1.05
        (25_000, 0.2, 1),  # 0.5
    ],
)
def test_a_share_is_rounded_half_up_from_its_exact_value(pool, bps, cents, engine):
    scenario = make_scenario({"A": {"liquidity_pool": pool}}, costs={"liquidity_cost_per_tick_bps": bps})
    assert costs_of(play(scenario, engine), "A").get("liquidity", 0) == cents


def test_rounding_is_per_tick_so_that_small_costs_do_not_add_up_unseen(engine):
    scenario = make_scenario({"A": {"liquidity_pool": 49}}, ticks=100, costs={"liquidity_cost_per_tick_bps": 100})
    assert costs_of(play(scenario, engine), "A") == {}  # 0.49 a tick is 0, a hundred times


def test_the_policys_fraction_stands_over_the_banks_own(engine):
    banks = {
        "A": {
            "liquidity_pool": 1_000,
            "liquidity_allocation_fraction": 0.5,
            "policy": {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.29}},
        }
    }
    assert play(make_scenario(banks), engine).final_balance[0] == 290


# Credit in use


def test_an_overdraft_costs_by_the_credit_in_use_after_the_tick(engine):
    banks = {"A": {"opening_balance": 100, "unsecured_cap": 1_000}, "B": {}}
    events = [pay("A", "B", 600), pay("B", "A", 550, tick=2)]
    outcome = play(make_scenario(banks, *events, ticks=3, costs={"overdraft_bps_per_tick": 150}), engine)
    # 100 - 600 is 500 below 0, for ticks 0 and 1: 500 x 150 / 10,000 = 7.5. In tick 2 the balance is 50.
    assert charged(outcome, "A", "overdraft") == {0: 8, 1: 8}
    assert outcome.agents()["A"]["peak_credit"] == 500
    assert outcome.agents()["A"]["liquidity_used"] == 600
    assert outcome.final_balance.tolist() == [50, 50]


def test_credit_reaches_to_its_cap_and_not_a_cent_further(engine):
    banks = {"A": {"opening_balance": 100, "unsecured_cap": 500}, "B": {}}
    assert play(make_scenario(banks, pay("A", "B", 600)), engine).final_balance.tolist() == [-500, 600]
    assert play(make_scenario(banks, pay("A", "B", 601)), engine).final_balance.tolist() == [100, 0]


# Collateral


@pytest.mark.parametrize(
    ("haircut", "most"),
    [(0, 1_001), (0.1, 900), (0.29, 710), (0.5, 500), (1, 0)],  # 1,001 x (1 - haircut), rounded down
)
def test_collateral_gives_credit_after_its_haircut(haircut, most, engine):
    banks = {"A": {"posted_collateral": 1_001, "collateral_haircut": haircut}, "B": {}}
    if most:
        assert play(make_scenario(banks, waits(most)), engine).final_balance.tolist() == [-most, most]
    assert play(make_scenario(banks, waits(most + 1)), engine).final_balance.tolist() == [0, 0]


def test_collateral_costs_before_its_haircut_and_does_not_reduce_the_balance(engine):
    banks = {"A": {"opening_balance": 70, "posted_collateral": 1_000, "collateral_haircut": 0.5}}
    outcome = play(make_scenario(banks, ticks=2, costs={"collateral_cost_per_tick_bps": 25}), engine)
    assert charged(outcome, "A", "collateral") == {0: 3, 1: 3}  # 1,000 x 25 / 10,000 = 2.5, not 1.25
    assert outcome.final_balance.tolist() == [70]


def test_collateral_that_is_posted_or_withdrawn_costs_from_that_tick_on(engine):
    banks = {"A": {"posted_collateral": 1_000, "max_collateral_capacity": 3_000}}
    events = [
        once("CollateralAdjustment", 1, agent="A", delta=2_000),
        once("CollateralAdjustment", 3, agent="A", delta=-3_000),
    ]
    outcome = play(make_scenario(banks, *events, ticks=4, costs={"collateral_cost_per_tick_bps": 100}), engine)
    assert charged(outcome, "A", "collateral") == {0: 10, 1: 30, 2: 30}


# Delay


def test_delay_costs_from_the_tick_of_arrival_to_the_tick_before_settlement(engine):
    events = [waits(), once("DirectTransfer", 3, from_agent="B", to_agent="A", amount=1_000)]
    scenario = make_scenario(
        {"A": {}, "B": {"opening_balance": 1_000}}, *events, ticks=5, costs={"delay_cost_per_tick_per_cent": 0.2}
    )
    outcome = play(scenario, engine)
    assert charged(outcome, "A", "delay") == {0: 200, 1: 200, 2: 200}  # 1,000 x 0.2
    assert outcome.agents()["A"]["mean_delay_ticks"] == 3


def test_delay_is_charged_in_the_last_tick_too(engine):
    scenario = make_scenario(NOTHING_TO_PAY_WITH, waits(), ticks=2, costs={"delay_cost_per_tick_per_cent": 0.2})
    assert charged(play(scenario, engine), "A", "delay") == {0: 200, 1: 200}


def test_a_payment_that_waits_at_its_bank_costs_as_much_as_one_in_the_central_queue(engine):
    banks = {"A": {"opening_balance": 1_000, "policy": {"type": "Deadline", "urgency_threshold": 0}}, "B": {}}
    scenario = make_scenario(banks, waits(deadline=2), ticks=4, costs={"delay_cost_per_tick_per_cent": 0.2})
    assert charged(play(scenario, engine), "A", "delay") == {0: 200, 1: 200}


@pytest.mark.parametrize(
    ("amounts", "rate", "cents"),
    [
        ([100], 0.29, 29),
        ([1, 1], 0.25, 1),  # 0.25 + 0.25 = 0.5: summed first, then rounded
        ([1, 1, 1], 0.5, 2),  # 1.5
        ([1], 0.49, 0),
        ([10] * 7, 0.015, 1),  # 7 x 0.15 = 1.05
        ([100, 50], 0.01, 2),  # 1.5
        ([50], 0.29, 15),  # 14.5
        ([5], 0.29, 1),  # 1.45
    ],
)
def test_the_delay_of_a_bank_in_a_tick_is_summed_exactly_and_then_rounded_half_up(amounts, rate, cents, engine):
    events = [waits(amount) for amount in amounts]
    scenario = make_scenario(NOTHING_TO_PAY_WITH, *events, costs={"delay_cost_per_tick_per_cent": rate})
    assert costs_of(play(scenario, engine), "A").get("delay", 0) == cents


@pytest.mark.parametrize(
    ("priority", "cents"), [(10, 150), (8, 150), (7, 100), (4, 100), (3, 30), (0, 30)], ids=lambda each: str(each)
)
def test_delay_costs_by_the_band_of_the_priority(priority, cents, engine):
    costs = {
        "delay_cost_per_tick_per_cent": 0.1,
        "priority_delay_multipliers": {"urgent_multiplier": 1.5, "low_multiplier": 0.3},
    }
    scenario = make_scenario(NOTHING_TO_PAY_WITH, waits(priority=priority), costs=costs)
    assert costs_of(play(scenario, engine), "A") == {"delay": cents}


def test_delay_costs_by_the_priority_on_arrival_whatever_it_is_changed_to(engine):
    tree = ask("priority", "<", 9, act("Reprioritize", priority=9), act("Hold"))
    banks = {"A": {"policy": {"version": "1", "policy_id": "raises", "payment_tree": tree}}, "B": {}}
    costs = {"delay_cost_per_tick_per_cent": 0.1, "priority_delay_multipliers": {"urgent_multiplier": 5}}
    outcome = play(make_scenario(banks, waits(), ticks=3, costs=costs), engine)
    assert charged(outcome, "A", "delay") == {0: 100, 1: 100, 2: 100}


# Overdue


def test_a_payment_is_overdue_from_the_tick_after_its_deadline(engine):
    costs = {
        "delay_cost_per_tick_per_cent": 0.1,
        "overdue_delay_multiplier": 2.5,
        "deadline_penalty": 700,
    }
    scenario = make_scenario(NOTHING_TO_PAY_WITH, waits(tick=1, deadline=1), ticks=6, costs=costs)
    outcome = play(scenario, engine)
    assert happened(outcome, "WentOverdue") == [(3, "WentOverdue", "A", "B", 1_000)]  # arrived in 1, due in 2
    assert charged(outcome, "A", "delay") == {1: 100, 2: 100, 3: 250, 4: 250, 5: 250}
    assert charged(outcome, "A", "deadline_penalty") == {3: 700}


def test_a_payment_that_settles_in_the_tick_after_its_deadline_was_never_overdue(engine):
    events = [waits(deadline=0), once("DirectTransfer", 1, from_agent="B", to_agent="A", amount=1_000)]
    scenario = make_scenario(
        {"A": {}, "B": {"opening_balance": 1_000}}, *events, ticks=3, costs={"deadline_penalty": 700}
    )
    outcome = play(scenario, engine)
    assert outcome.settled[0] == 1
    assert costs_of(outcome, "A") == {}


@pytest.mark.parametrize("penalty", [7, {"mode": "fixed", "amount": 7}])
def test_a_fixed_penalty_is_the_same_whatever_the_amount(penalty, engine):
    events = [waits(1, deadline=0), waits(100_000, deadline=0)]
    scenario = make_scenario(NOTHING_TO_PAY_WITH, *events, ticks=2, costs={"deadline_penalty": penalty})
    assert costs_of(play(scenario, engine), "A") == {"deadline_penalty": 14}


def test_a_penalty_by_rate_is_rounded_for_each_payment(engine):
    penalty = {"mode": "rate", "bps_per_event": 50}
    events = [waits(100, deadline=0), waits(100, deadline=0), waits(99, deadline=0)]
    scenario = make_scenario(NOTHING_TO_PAY_WITH, *events, ticks=2, costs={"deadline_penalty": penalty})
    # 0.5 is 1, 0.5 is 1, 0.495 is 0; summed first it would be 1.495, and 1.
    assert costs_of(play(scenario, engine), "A") == {"deadline_penalty": 2}


# The day's end


def test_what_is_unsettled_at_the_end_of_each_day_costs_a_penalty_and_borrowing(engine):
    costs = {"eod_penalty_per_transaction": 40, "eod_borrowing_bps": 150}
    scenario = make_scenario(NOTHING_TO_PAY_WITH, waits(550), waits(550), ticks=2, days=3, costs=costs)
    outcome = play(scenario, engine)
    assert charged(outcome, "A", "eod_penalty") == {1: 80, 3: 80, 5: 80}
    assert charged(outcome, "A", "eod_borrowing") == {
        1: 17,
        3: 17,
        5: 17,
    }  # of 1,100 together: 16.5; one by one 8.25 and 8.25
    assert happened(outcome, "EndOfDay")[0] == (1, "EndOfDay", "A", None, 1_100)


def test_a_penalty_at_the_days_end_by_rate_is_rounded_for_each_payment(engine):
    costs = {"eod_penalty_per_transaction": {"mode": "rate", "bps_per_event": 50}}
    scenario = make_scenario(NOTHING_TO_PAY_WITH, waits(100), waits(99), waits(100), costs=costs)
    assert costs_of(play(scenario, engine), "A") == {"eod_penalty": 2}


# Dropped and split


def test_a_dropped_payment_is_charged_as_unsettled_to_the_end(engine):
    costs = {
        "delay_cost_per_tick_per_cent": 0.1,
        "overdue_delay_multiplier": 2,
        "deadline_penalty": 9,
        "eod_penalty_per_transaction": 5,
        "eod_borrowing_bps": 100,
    }

    def costs_by(policy, **fields):
        banks = {"A": {"policy": policy, **fields}, "B": {}}
        return costs_of(play(make_scenario(banks, waits(deadline=1), ticks=2, days=2, costs=costs), engine), "A")

    dropped = costs_by(DROPS, opening_balance=1_000)
    # 100 in ticks 0 and 1, 200 in ticks 2 and 3; overdue once; two days' ends of 5, and of 1,000 x 1 %.
    assert dropped == {"delay": 600, "deadline_penalty": 9, "eod_penalty": 10, "eod_borrowing": 20}
    assert dropped == costs_by({"type": "Fifo"})  # as a payment that cannot be settled


def test_each_extra_piece_of_a_split_costs_friction(engine):
    banks = {"A": {"opening_balance": 1_000, "policy": SPLITS_IN_3}, "B": {}}
    events = [waits(100, is_divisible=True), waits(200, is_divisible=True)]
    outcome = play(make_scenario(banks, *events, ticks=2, costs={"split_friction_cost": 7}), engine)
    assert charged(outcome, "A", "split_friction") == {0: 28}  # two splits, two extra pieces each


def test_every_unsettled_piece_pays_a_penalty_of_its_own(engine):
    banks = {"A": {"opening_balance": 33, "policy": SPLITS_IN_3}, "B": {}}
    costs = {
        "deadline_penalty": {"mode": "rate", "bps_per_event": 1_500},
        "eod_penalty_per_transaction": 4,
        "delay_cost_per_tick_per_cent": 0.1,
    }
    outcome = play(make_scenario(banks, waits(100, is_divisible=True, deadline=0), ticks=2, costs=costs), engine)
    # Of 33, 33 and 34 the first settles. 15 % of 33 is 4.95, of 34 is 5.1; a tick's delay is 6.7.
    assert charged(outcome, "A", "deadline_penalty") == {1: 10}
    assert charged(outcome, "A", "eod_penalty") == {1: 8}
    assert charged(outcome, "A", "delay") == {0: 7, 1: 7}
    assert outcome.settled.tolist() == [0, 0]
    assert outcome.settled_value == 33


# Days


def test_the_pool_is_lent_once_and_costs_on_every_day(engine):
    banks = {"A": {"liquidity_pool": 1_000}, "B": {}}
    scenario = make_scenario(banks, waits(400), waits(700), ticks=2, days=2, costs={"liquidity_cost_per_tick_bps": 100})
    outcome = play(scenario, engine)
    assert happened(outcome, "LiquidityAllocated") == [(0, "LiquidityAllocated", "A", None, 1_000)]
    assert outcome.final_balance.tolist() == [600, 400]  # 700 fits on neither day
    assert charged(outcome, "A", "liquidity") == dict.fromkeys(range(4), 10)


def test_delay_and_overdue_go_on_over_midnight(engine):
    costs = {"delay_cost_per_tick_per_cent": 0.1, "overdue_delay_multiplier": 3, "deadline_penalty": 9}
    outcome = play(make_scenario(NOTHING_TO_PAY_WITH, waits(deadline=2), ticks=2, days=3, costs=costs), engine)
    assert charged(outcome, "A", "delay") == {0: 100, 1: 100, 2: 100, 3: 300, 4: 300, 5: 300}
    assert charged(outcome, "A", "deadline_penalty") == {3: 9}


def test_costs_of_different_kinds_add_up_to_the_total(engine):
    banks = {"A": {"liquidity_pool": 100, "posted_collateral": 100, "opening_balance": 0}, "B": {}}
    costs = {
        "liquidity_cost_per_tick_bps": 100,
        "collateral_cost_per_tick_bps": 200,
        "overdraft_bps_per_tick": 400,
        "delay_cost_per_tick_per_cent": 0.1,
    }
    outcome = play(make_scenario(banks, waits(200), waits(1_000), costs=costs), engine)
    assert costs_of(outcome, "A") == {"liquidity": 1, "collateral": 2, "overdraft": 4, "delay": 100}
    assert outcome.total_cost.tolist() == [107, 0]
