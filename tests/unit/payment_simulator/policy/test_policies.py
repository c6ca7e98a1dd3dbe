"""Decisions of banks: the three policies that need no tree, and every action and field of decision trees."""

from pathlib import Path

import pytest
from scenarios import act, agents, ask, charged, happened, make_scenario, pay, play, released, settled, trees

from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.fields_and_actions import ACTIONS, REFERENCE_FIELDS

# Without trees


def test_fifo_releases_all_at_once_and_is_the_default(engine):
    for policy in ({}, {"type": "Fifo"}):
        outcome = play(make_scenario(agents(policy), pay("A", "B", 10), pay("A", "B", 20)), engine)
        assert released(outcome) == [(0, 10), (0, 20)]


@pytest.mark.parametrize(
    ("policy", "tick"),
    [
        ({"type": "Deadline"}, 2),
        ({"type": "Deadline", "urgency_threshold": 3}, 2),
        ({"type": "Deadline", "urgency_threshold": 0}, 5),
        ({"type": "Deadline", "urgency_threshold": -1}, 6),
        ({"type": "Deadline", "parameters": {"urgency_threshold": 4}}, 1),
        ({"type": "Deadline", "urgency_threshold": 9}, 0),
    ],
)
def test_deadline_releases_when_so_many_ticks_are_left(policy, tick, engine):
    outcome = play(make_scenario(agents(policy), pay("A", "B", 10, deadline=5), ticks=8), engine)
    assert released(outcome) == [(tick, 10)]
    assert [row[0] for row in happened(outcome, "PolicyHold")] == ([0] if tick else [])


def test_liquidity_aware_keeps_its_buffer_until_a_payment_is_urgent(engine):
    policy = {"type": "LiquidityAware", "target_buffer": 40, "urgency_threshold": 1}
    events = [pay("A", "B", 50, deadline=3), pay("A", "B", 30, deadline=9), pay("A", "B", 31, deadline=9)]
    outcome = play(make_scenario(agents(policy, opening_balance=100), *events, ticks=4), engine)
    # 100 - 50 leaves 50. Then 50 - 30 would leave 20, less than 40; so would 50 - 31. None is urgent before tick 8.
    assert released(outcome) == [(0, 50)]


def test_liquidity_aware_counts_what_it_has_released_in_the_same_tick(engine):
    policy = {"type": "LiquidityAware", "target_buffer": 0, "urgency_threshold": -9}
    events = [pay("A", "B", 60), pay("A", "B", 50), pay("A", "B", 40)]
    outcome = play(make_scenario(agents(policy, opening_balance=100), *events), engine)
    assert released(outcome) == [(0, 60), (0, 40)]


def test_liquidity_aware_counts_its_balance_and_not_its_credit(engine):
    policy = {"type": "LiquidityAware", "urgency_threshold": 1}
    events = [pay("A", "B", 60, deadline=3)]
    outcome = play(make_scenario(agents(policy, opening_balance=50, unsecured_cap=500), *events, ticks=4), engine)
    assert released(outcome) == [(2, 60)]


# Actions of payment trees


def test_a_held_payment_is_asked_again_in_every_tick_and_its_hold_is_recorded_once(engine):
    policy = trees(ask("queue_age", ">=", 2, act("Release"), act("Hold")))
    outcome = play(make_scenario(agents(policy, opening_balance=10), pay("A", "B", 10, tick=1), ticks=5), engine)
    assert happened(outcome, "PolicyHold", "Submitted") == [
        (1, "PolicyHold", "A", "B", 10),
        (3, "Submitted", "A", "B", 10),
    ]


def test_a_dropped_payment_is_never_tried_again(engine):
    policy = trees(ask("current_tick", "==", 0, act("Drop"), act("Release")))
    events = [pay("A", "B", 10), pay("A", "B", 20, tick=1)]
    outcome = play(make_scenario(agents(policy, opening_balance=100), *events, ticks=3), engine)
    assert released(outcome) == [(1, 20)]
    assert happened(outcome, "PolicyDrop") == [(0, "PolicyDrop", "A", "B", 10)]
    assert (outcome.final_queue1.tolist(), outcome.final_queue2.tolist()) == ([0, 0], [0, 0])
    assert happened(outcome, "EndOfDay")[0][4] == 10


@pytest.mark.parametrize(
    ("amount", "count", "sizes"),
    [(10, 3, [3, 3, 4]), (12, 3, [4, 4, 4]), (3, 3, [1, 1, 1]), (11, 4, [2, 2, 2, 5]), (10, 2.9, [5, 5])],
)
def test_a_split_has_equal_pieces_and_the_rest_last(amount, count, sizes, engine):
    policy = trees(act("Split", num_splits=count))
    outcome = play(make_scenario(agents(policy, opening_balance=100), pay("A", "B", amount, is_divisible=True)), engine)
    assert [row[4] for row in settled(outcome)] == sizes
    assert [row["piece"] for row in outcome.events().to_pylist() if row["event"] == "Submitted"] == list(
        range(len(sizes))
    )
    assert (outcome.arrived[0], outcome.settled[0]) == (1, 1)


@pytest.mark.parametrize(
    ("amount", "count", "divisible"),
    [(10, 3, False), (10, 1, True), (10, 0, True), (10, -2, True), (2, 3, True), (10, 1.9, True)],
)
def test_a_split_that_cannot_be_is_a_hold(amount, count, divisible, engine):
    policy = trees(act("Split", num_splits=count))
    scenario = make_scenario(agents(policy, opening_balance=100), pay("A", "B", amount, is_divisible=divisible))
    outcome = play(scenario, engine)
    assert happened(outcome, "PolicyHold", "PolicySplit", "Submitted") == [(0, "PolicyHold", "A", "B", amount)]


def test_a_split_into_more_pieces_than_ten_thousand_is_a_hold(engine):
    policy = trees({**act("Split"), "parameters": {"num_splits": {"field": "amount"}}})
    payments = [pay("A", "B", 10_001, is_divisible=True), pay("A", "B", 5, is_divisible=True)]
    outcome = play(make_scenario(agents(policy), *payments), engine)
    assert happened(outcome, "PolicyHold", "PolicySplit") == [
        (0, "PolicyHold", "A", "B", 10_001),
        (0, "PolicySplit", "A", "B", 5),
    ]


def test_pieces_settle_apart_and_the_payment_with_its_last_piece(engine):
    policy = trees(act("Split", num_splits=3))
    events = [pay("A", "B", 100, is_divisible=True), pay("B", "A", 33, tick=1), pay("B", "A", 34, tick=3)]
    scenario = {"A": {"policy": policy, "opening_balance": 33}, "B": {"opening_balance": 67}}
    outcome = play(make_scenario(scenario, *events, ticks=4), engine)
    assert [(row[0], row[4]) for row in settled(outcome) if row[2] == "A"] == [(0, 33), (1, 33), (3, 34)]
    assert outcome.agents()["A"]["mean_delay_ticks"] == 3
    assert outcome.settled.tolist() == [1, 2]


def test_pieces_keep_their_parents_place_and_priority(engine):
    policy = trees(ask("amount", "==", 100, act("Split", num_splits=2), act("Release")))
    events = [pay("A", "B", 7), pay("A", "B", 100, priority=9, is_divisible=True), pay("A", "B", 8, priority=9)]
    outcome = play(make_scenario(agents(policy, opening_balance=1_000), *events), engine)
    assert [row[4] for row in happened(outcome, "Submitted")] == [50, 50, 8, 7]


@pytest.mark.parametrize(("asked", "found"), [(9, 9), (12, 10), (-3, 0), (7.9, 7)])
def test_a_priority_is_whole_and_between_0_and_10(asked, found, engine):
    policy = trees(ask("current_tick", "==", 0, act("Reprioritize", priority=asked), act("Hold")))
    outcome = play(make_scenario(agents(policy), pay("A", "B", 10), ticks=2), engine)
    rows = outcome.events().to_pylist()
    assert [row["priority"] for row in rows if row["event"] == "PolicyReprioritize"] == [found]


# Bank trees


def budget_of(amount):
    return act("SetReleaseBudget", amount=amount)


def test_a_release_beyond_the_budget_is_a_hold_and_a_smaller_one_goes(engine):
    events = [pay("A", "B", cents) for cents in (60, 50, 40, 1)]
    scenario = make_scenario(agents(trees(bank_tree=budget_of(100)), opening_balance=1_000), *events)
    outcome = play(scenario, engine)
    assert released(outcome) == [(0, 60), (0, 40)]
    assert [row[4] for row in happened(outcome, "PolicyHold")] == [50, 1]


def test_a_budget_lasts_until_it_is_set_again(engine):
    tree = ask("current_tick", "==", 0, budget_of(50), act("NoAction"))
    events = [pay("A", "B", 30, tick=tick) for tick in (0, 1)]
    scenario = make_scenario(agents(trees(bank_tree=tree), opening_balance=1_000), *events, ticks=3, days=2)
    # 20 are left for the second; at midnight the budget is gone.
    assert released(play(scenario, engine)) == [(0, 30), (3, 30)]


def test_a_split_counts_whole_against_the_budget(engine):
    policy = trees(act("Split", num_splits=2), bank_tree=budget_of(15))
    events = [pay("A", "B", 16, is_divisible=True), pay("A", "B", 14, is_divisible=True)]
    assert released(play(make_scenario(agents(policy, opening_balance=100), *events), engine)) == [(0, 7), (0, 7)]


def test_registers_are_kept_from_tick_to_tick_and_over_midnight(engine):
    counts = act("AddState", key="bank_state_ticks", value=1)
    policy = trees(ask("bank_state_ticks", ">=", 4, act("Release"), act("Hold")), bank_tree=counts)
    scenario = make_scenario(agents(policy, opening_balance=100), pay("A", "B", 10), ticks=2, days=3)
    assert released(play(scenario, engine)) == [(3, 10)]


def test_a_register_is_set_and_is_0_before(engine):
    sets = ask("current_tick", "==", 1, act("SetState", key="bank_state_open", value=2.5), act("NoAction"))
    policy = trees(ask("bank_state_open", "==", 2.5, act("Release"), act("Hold")), bank_tree=sets)
    scenario = make_scenario(agents(policy, opening_balance=100), pay("A", "B", 10), ticks=3)
    assert released(play(scenario, engine)) == [(1, 10)]


def test_each_bank_has_registers_of_its_own(engine):
    counts = trees(
        ask("bank_state_n", ">=", 2, act("Release"), act("Hold")),
        bank_tree=act("AddState", key="bank_state_n", value=1),
    )
    reads = trees(ask("bank_state_n", ">=", 1, act("Release"), act("Hold")))
    scenario = {"A": {"policy": counts, "opening_balance": 9}, "B": {"policy": reads, "opening_balance": 9}}
    outcome = play(make_scenario(scenario, pay("A", "B", 1), pay("B", "A", 2), ticks=4), engine)
    assert released(outcome) == [(1, 1)]


# Collateral trees


def test_collateral_is_posted_up_to_the_capacity_and_used_in_the_same_tick(engine):
    policy = trees(collateral_tree=act("PostCollateral", amount=700))
    fields = {"max_collateral_capacity": 1_000, "collateral_haircut": 0.1}
    outcome = play(make_scenario(agents(policy, **fields), pay("A", "B", 600), ticks=3), engine)
    assert happened(outcome, "CollateralPosted") == [
        (0, "CollateralPosted", "A", None, 700),
        (1, "CollateralPosted", "A", None, 300),
    ]
    assert settled(outcome) == [(0, "SettledImmediately", "A", "B", 600)]


def test_collateral_is_withdrawn_down_to_what_the_credit_in_use_needs(engine):
    policy = trees(
        collateral_tree=ask("current_tick", ">=", 1, act("WithdrawCollateral", amount=5_000), act("HoldCollateral"))
    )
    fields = {"posted_collateral": 1_000, "collateral_haircut": 0.3, "unsecured_cap": 50}
    outcome = play(make_scenario(agents(policy, **fields), pay("A", "B", 151), ticks=2), engine)
    # 101 beyond the cap: 101 / 0.7 = 144.3, so 145 stay, and 145 x 0.7 = 101.5.
    assert happened(outcome, "CollateralWithdrawn") == [(1, "CollateralWithdrawn", "A", None, 855)]


def test_a_collateral_tree_is_asked_before_the_bank_tree(engine):
    policy = trees(
        collateral_tree=act("PostCollateral", amount=100),
        bank_tree=ask("posted_collateral", "==", 100, budget_of(0), act("NoAction")),
    )
    scenario = make_scenario(agents(policy, opening_balance=50, max_collateral_capacity=100), pay("A", "B", 10))
    assert released(play(scenario, engine)) == []


# Fields

SCENARIO_FIELDS = {
    "opening_balance": 100,
    "unsecured_cap": 40,
    "posted_collateral": 100,
    "max_collateral_capacity": 150,
    "collateral_haircut": 0.5,
}
COSTS = {
    "liquidity_cost_per_tick_bps": 1.5,
    "overdraft_bps_per_tick": 2.5,
    "collateral_cost_per_tick_bps": 3.5,
    "delay_cost_per_tick_per_cent": 0.25,
    "overdue_delay_multiplier": 4.5,
    "deadline_penalty": {"mode": "rate", "bps_per_event": 5.5},
    "eod_penalty_per_transaction": {"mode": "fixed", "amount": 6},
    "eod_borrowing_bps": 7.5,
    "split_friction_cost": 8,
    "priority_delay_multipliers": {"urgent_multiplier": 2, "normal_multiplier": 1.5, "low_multiplier": 0.5},
}
ASKED_IN_TICK_5 = {
    "amount": 30,
    "remaining_amount": 30,
    "priority": 7,
    "is_divisible": 1,
    "ticks_to_deadline": -1,
    "is_overdue": 0,
    "arrival_tick": 2,
    "queue_age": 3,
    "bilateral_limit_left": 2**53,
    "multilateral_limit_left": 2**53,
    "arrival_priority": 7,
    "my_q2_out_value_to_counterparty": 620,
    "my_q2_in_value_from_counterparty": 0,
    "my_bilateral_net_q2": 620,
    "is_in_queue2": 0,
    # 130 of 100 went out in tick 0; 500 and 20 wait in the central queue, 30 and 11 at the bank.
    "balance": -30,
    "effective_liquidity": 60,
    "credit_used": 30,
    "unsecured_cap": 40,
    "posted_collateral": 100,
    "max_collateral_capacity": 150,
    "remaining_collateral_capacity": 50,
    "queue1_total_value": 41,
    "queue1_size": 2,
    "queue2_own_value": 620,
    "queue2_own_size": 2,
    "excess_collateral": 100,
    "my_throughput_fraction_today": 0,
    "current_tick": 5,
    "current_day": 1,
    "system_tick_in_day": 1,
    "ticks_remaining_in_day": 2,
    "day_progress_fraction": 0.25,
    "liquidity_cost_per_tick_bps": 1.5,
    "overdraft_bps_per_tick": 2.5,
    "collateral_cost_per_tick_bps": 3.5,
    "delay_cost_per_tick_per_cent": 0.25,
    "overdue_delay_multiplier": 4.5,
    "deadline_penalty": 5.5,
    "eod_penalty_per_transaction": 6,
    "eod_borrowing_bps": 7.5,
    "split_friction_cost": 8,
    "urgent_multiplier": 2,
    "normal_multiplier": 1.5,
    "low_multiplier": 0.5,
    "deadline_penalty_cents": 0,
    "deadline_penalty_bps": 5.5,
    "eod_rush_threshold": 0.8,
    # Those that follow from others
    "available_liquidity": 60,
    "queue1_liquidity_gap": 0,
    "headroom": 19,
    "credit_limit": 90,
    "credit_headroom": 10,
    "overdraft_headroom": 60,
    "is_using_credit": 1,
    "liquidity_pressure": 1,
    "outgoing_queue_size": 2,
    "is_eod_rush": 0,
    "expected_throughput_fraction_by_now": 0.25,
    "is_past_deadline": 1,
    "deadline_tick": 4,
    "cost_overdraft_this_amount_one_tick": 0.0075,
    "cost_delay_this_tx_one_tick": 11.25,
    "cost_deadline_penalty": 0.0165,
    "cost_liquidity_bps_per_tick": 1.5,
    "cost_overdraft_bps_per_tick": 2.5,
    "cost_collateral_bps_per_tick": 3.5,
    "cost_delay_per_tick_per_cent": 0.25,
    "cost_overdue_delay_multiplier": 4.5,
    "cost_eod_penalty": 6,
    "cost_eod_borrowing_bps": 7.5,
    "cost_split_friction": 8,
}


def test_the_table_of_fields_below_is_complete():
    assert {*ASKED_IN_TICK_5} == {*known_fields("payment_tree")}


@pytest.mark.parametrize(("field", "value"), ASKED_IN_TICK_5.items())
def test_a_field_has_its_value(field, value, engine):
    """The payment of 30, in tick 5."""
    if engine == "kernel" and field in REFERENCE_FIELDS:
        pytest.skip("the reference alone knows it")
    tells = ask(field, "==", value, act("Drop"), act("Hold"))
    early = ask("amount", ">", 100, act("Release"), act("Hold"))
    mine = ask("amount", "==", 30, ask("current_tick", "==", 5, tells, act("Hold")), early)
    events = [
        pay("A", "B", 130),
        pay("A", "B", 500),
        pay("A", "B", 120),
        pay("A", "B", 30, tick=2, deadline=2, priority=7, is_divisible=True),
        pay("A", "B", 11, tick=3),
    ]
    scenario = make_scenario(agents(trees(mine), **SCENARIO_FIELDS), *events, ticks=4, days=2, costs=COSTS)
    outcome = play(scenario, engine)
    assert happened(outcome, "PolicyDrop") == [(5, "PolicyDrop", "A", "B", 30)]


def test_balance_liquidity_and_credit_are_less_what_this_step_released_and_nothing_else_is(engine):
    both = {
        "op": "and",
        "conditions": [
            {"op": "==", "left": {"field": "balance"}, "right": -20},
            {"op": "==", "left": {"field": "effective_liquidity"}, "right": 5},
            {"op": "==", "left": {"field": "credit_used"}, "right": 20},
            {"op": "==", "left": {"field": "queue1_size"}, "right": 2},
            {"op": "==", "left": {"field": "queue1_total_value"}, "right": 61},
        ],
    }
    second = {"type": "condition", "condition": both, "on_true": act("Drop"), "on_false": act("Hold")}
    policy = trees(ask("amount", "==", 60, act("Release"), second))
    scenario = make_scenario(agents(policy, opening_balance=40, unsecured_cap=25), pay("A", "B", 60), pay("A", "B", 1))
    assert [row[4] for row in happened(play(scenario, engine), "PolicyDrop")] == [1]


def test_every_action_is_tried_in_this_file():
    folder = Path(__file__).parents[1]
    text = Path(__file__).read_text() + (folder / "engine" / "test_queue2_decisions.py").read_text()
    assert [name for actions in ACTIONS.values() for name in actions if f'"{name}"' not in text] == []


def test_what_a_policy_holds_costs_delay(engine):
    policy = trees(ask("queue_age", ">=", 2, act("Release"), act("Hold")))
    scenario = make_scenario(
        agents(policy, opening_balance=10), pay("A", "B", 10), ticks=3, costs={"delay_cost_per_tick_per_cent": 0.5}
    )
    assert charged(play(scenario, engine), "A", "delay") == {0: 5, 1: 5}
