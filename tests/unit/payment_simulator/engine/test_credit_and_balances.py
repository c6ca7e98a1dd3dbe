"""Credit limits that change and balances that are reset: nothing is forced, and what follows is exact."""

import pytest
from scenarios import act, agents, ask, costs_of, happened, make_scenario, once, pay, play, settled, trees

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, simulate


def limit(bank, cap, tick=0):
    return once("CreditLimitChange", tick, agent=bank, unsecured_cap=cap)


def test_a_limit_below_the_debt_forces_nothing_and_stops_what_the_bank_would_pay(engine):
    """A owes 80 of 100 when its limit becomes 30: at 10 % a tick it is charged on, and only B's 60 free it to pay."""
    payments = [pay("A", "B", 80), pay("A", "B", 10, 1), pay("B", "A", 60, 2)]
    scenario = make_scenario(
        {"A": {"unsecured_cap": 100}, "B": {}},
        *payments,
        limit("A", 30, 1),
        ticks=4,
        costs={"overdraft_bps_per_tick": 1_000},
    )
    outcome = play(scenario, engine)
    assert settled(outcome) == [
        (0, "SettledImmediately", "A", "B", 80),
        (2, "SettledImmediately", "B", "A", 60),
        (2, "SettledFromQueue", "A", "B", 10),
    ]
    assert happened(outcome, "CreditLimitChanged") == [(1, "CreditLimitChanged", "A", None, 30)]
    assert outcome.final_balance.tolist() == [-30, 30]
    assert costs_of(outcome, "A") == {"overdraft": 8 + 8 + 3 + 3}


def test_a_higher_limit_lets_a_queued_payment_settle_in_the_same_tick(engine):
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 50), limit("A", 50, 2), ticks=3)
    assert settled(play(scenario, engine)) == [(2, "SettledFromQueue", "A", "B", 50)]


@pytest.mark.parametrize("lsm", [{"enable_bilateral": True}, {"enable_cycles": True}])
def test_a_bank_below_its_floor_takes_part_in_an_offset_that_costs_it_nothing(lsm, engine):
    banks = {"A": {"unsecured_cap": 50}, "B": {}, "C": {}, "D": {}}
    back = [pay("B", "A", 20, 1)] if "enable_bilateral" in lsm else [pay("B", "C", 20, 1), pay("C", "A", 20, 1)]
    events = [pay("A", "D", 50), limit("A", 0, 1), pay("A", "B", 20, 1), *back, pay("A", "B", 1, 1)]
    outcome = play(make_scenario(banks, *events, ticks=2, lsm=lsm), engine)
    assert sum(row[1].startswith("Lsm") for row in settled(outcome)) == len(back) + 1
    assert outcome.final_balance[0] == -50


def test_collateral_may_be_posted_below_the_floor_and_not_withdrawn(engine):
    banks = {"A": {"unsecured_cap": 50, "posted_collateral": 20, "max_collateral_capacity": 90}, "B": {}}
    changes = [
        once("CollateralAdjustment", tick, agent="A", delta=delta) for tick, delta in ((1, 10), (2, -5), (3, 60))
    ]
    outcome = play(make_scenario(banks, pay("A", "B", 70), limit("A", 0, 1), *changes, ticks=4), engine)
    assert happened(outcome, "CollateralPosted", "EventSkipped") == [
        (1, "CollateralPosted", "A", None, 10),
        (2, "EventSkipped", "A", None, -5),
        (3, "CollateralPosted", "A", None, 60),
    ]


@pytest.mark.parametrize("haircut", [0, 0.5, 1])
def test_a_tree_withdraws_no_collateral_where_the_limit_was_cut_below_the_debt(haircut, engine):
    late = ask("current_tick", ">", 1, act("WithdrawCollateral", amount=9), act("HoldCollateral"))
    banks = agents(trees(collateral_tree=late), unsecured_cap=50, posted_collateral=9, collateral_haircut=haircut)
    below = play(make_scenario(banks, pay("A", "B", 45), limit("A", 0, 1), ticks=3), engine)
    assert happened(below, "CollateralWithdrawn") == []
    covered = play(make_scenario(banks, pay("A", "B", 45), ticks=3), engine)
    assert happened(covered, "CollateralWithdrawn") == [(2, "CollateralWithdrawn", "A", None, 9)]


def test_a_tree_reads_the_limit_of_the_moment(engine):
    policy = trees(act("Hold"), bank_tree=act("SetState", key="bank_state_x", value={"field": "unsecured_cap"}))
    policy["payment_tree"] = {
        "type": "condition",
        "condition": {"op": "==", "left": {"field": "unsecured_cap"}, "right": {"value": 7}},
        "on_true": act("Release"),
        "on_false": act("Hold"),
    }
    outcome = play(make_scenario(agents(policy), pay("A", "B", 7), limit("A", 7, 1), ticks=2), engine)
    assert settled(outcome) == [(1, "SettledImmediately", "A", "B", 7)]


def test_balances_that_are_reset_begin_each_day_anew_and_what_is_unsettled_stays(engine):
    """A opens with 40 and a pool of 60: 100 a day. Its 150 of the first day stay; 100 of the second settle at once."""
    banks = {"A": {"opening_balance": 40, "liquidity_pool": 60}, "B": {"opening_balance": 10}}
    payments = [pay("A", "B", 30), pay("A", "B", 150), pay("A", "B", 100, 2)]
    outcome = play(make_scenario(banks, *payments, ticks=2, days=2, daily_balances="reset"), engine)
    assert settled(outcome) == [
        (0, "SettledImmediately", "A", "B", 30),
        (2, "SettledImmediately", "A", "B", 100),
    ]
    assert happened(outcome, "BalanceReset") == [
        (2, "BalanceReset", "A", None, 30),
        (2, "BalanceReset", "B", None, -30),
    ]
    assert (outcome.final_balance.tolist(), outcome.liquidity_used.tolist()) == ([0, 110], [100, 0])
    assert (outcome.final_queue2[0], happened(outcome, "LiquidityAllocated")) == (
        1,
        [(0, "LiquidityAllocated", "A", None, 60)],
    )


def test_an_event_gives_a_bank_another_opening_balance_for_that_day_and_those_that_are_reset_later(engine):
    reset = once("BalanceReset", 2, agent="A", opening_balance=5)
    banks = {"A": {"opening_balance": 40, "liquidity_pool": 60}, "B": {}}
    kept = play(make_scenario(banks, pay("A", "B", 30), reset, ticks=1, days=4), engine)
    assert happened(kept, "BalanceReset") == [(2, "BalanceReset", "A", None, -5)]
    daily = play(make_scenario(banks, pay("A", "B", 30), reset, ticks=1, days=4, daily_balances="reset"), engine)
    assert [row for row in happened(daily, "BalanceReset") if row[2] == "A"] == [
        (1, "BalanceReset", "A", None, 30),
        (2, "BalanceReset", "A", None, -35),
    ]
    assert daily.final_balance.tolist() == [65, 0]


LARGEST = 2**61


@pytest.mark.parametrize(
    ("events", "further"),
    [
        ([limit("A", LARGEST)], {}),
        ([once("BalanceReset", tick, agent="A", opening_balance=LARGEST // 4) for tick in range(4)], {}),
        ([once("BalanceReset", 1, agent="A", opening_balance=LARGEST)], {"daily_balances": "reset"}),
    ],
)
def test_limits_and_resets_count_where_money_could_overflow(events, further):
    scenario = make_scenario({"A": {"opening_balance": 5}, "B": {}}, *events, pay("A", "B", 5), ticks=4, **further)
    with pytest.raises(ConfigError, match="could pass what is counted exactly"):
        simulate(scenario, draw_arrivals(scenario))
