"""Limits, reservations and the order of queues: what keeps a payment waiting although there is money."""

import pytest
from scenarios import happened, make_scenario, once, pay, play, settled

from payment_simulator import Scenario


def amounts(outcome, *kinds):
    return [(row[0], row[4]) for row in (happened(outcome, *kinds) if kinds else settled(outcome))]


def run(banks, *events, engine, ticks=1, **further):
    return play(make_scenario(banks, *events, ticks=ticks, **further), engine)


RICH = {"opening_balance": 1_000}


# Limits


def test_a_bilateral_limit_is_on_what_was_sent_less_what_was_received(engine):
    """The limit is 10: 6 settle, 5 would make 11; once B has paid 2, the position is 4, and 5 make 9."""
    banks = {"A": {**RICH, "limits": {"bilateral_limits": {"B": 10}}}, "B": RICH}
    outcome = run(banks, pay("A", "B", 6), pay("A", "B", 5), pay("B", "A", 2, tick=1), ticks=2, engine=engine)
    assert amounts(outcome) == [(0, 6), (1, 2), (1, 5)]
    assert amounts(outcome, "LimitBlocked") == [(0, 5)]


def test_a_gross_limit_counts_what_was_sent_alone(engine):
    limits = {"bilateral_limits": {"B": 10}, "measure": "gross"}
    banks = {"A": {**RICH, "limits": limits}, "B": RICH}
    outcome = run(banks, pay("A", "B", 6), pay("A", "B", 5), pay("B", "A", 2, tick=1), ticks=2, engine=engine)
    assert amounts(outcome) == [(0, 6), (1, 2)]


def test_a_multilateral_limit_is_on_the_position_to_all(engine):
    banks = {"A": {**RICH, "multilateral_limit": 10}, "B": RICH, "C": RICH}
    outcome = run(banks, pay("A", "B", 6), pay("A", "C", 5), pay("C", "A", 1, tick=1), ticks=2, engine=engine)
    assert amounts(outcome) == [(0, 6), (1, 1), (1, 5)]


def test_a_position_begins_anew_each_day_and_counts_no_transfer(engine):
    banks = {"A": {**RICH, "bilateral_limits": {"B": 10}}, "B": RICH}
    transfer = once("DirectTransfer", from_agent="A", to_agent="B", amount=100)
    outcome = run(banks, transfer, pay("A", "B", 8), pay("A", "B", 7), ticks=1, days=2, engine=engine)
    assert amounts(outcome) == [(0, 8), (1, 7)]


def test_a_position_moves_as_a_payment_settles_although_credit_is_deferred(engine):
    banks = {"A": {**RICH, "bilateral_limits": {"B": 5}}, "B": RICH}
    payments = [pay("B", "A", 5, priority=9), pay("A", "B", 10, priority=1)]
    assert amounts(run(banks, *payments, deferred_crediting=True, engine=engine)) == [(0, 5), (0, 10)]


def test_a_limit_changes_in_its_tick_and_below_the_position_it_only_blocks(engine):
    banks = {"A": {**RICH, "bilateral_limits": {"B": 5}}, "B": RICH}
    changes = [
        once("LimitChange", 1, agent="A", counterparty="B", limit=20),
        once("LimitChange", 2, agent="A", limit=3),
        once("LimitChange", 3, agent="A", limit=13),
    ]
    payments = [pay("A", "B", 12), *(pay("A", "B", 1, tick=tick) for tick in (2, 3))]
    outcome = run(banks, *payments, *changes, ticks=4, engine=engine)
    assert amounts(outcome) == [(1, 12), (3, 1)]
    assert [row[2:] for row in happened(outcome, "LimitChanged")] == [("A", "B", 20), ("A", None, 3), ("A", None, 13)]


def test_an_offset_is_tested_on_the_position_after_all_of_it(engine):
    """A may owe B 4 more than B owes A: 10 against 6 settle, 10 against 5 do not, and A's last is left out."""
    banks = {"A": {"unsecured_cap": 100, "bilateral_limits": {"B": 4}}, "B": {}}
    lsm = {"enable_bilateral": True}
    assert amounts(run(banks, pay("A", "B", 10), pay("B", "A", 6), lsm=lsm, engine=engine)) == [(0, 10), (0, 6)]
    assert amounts(run(banks, pay("A", "B", 10), pay("B", "A", 5), lsm=lsm, engine=engine)) == []
    three = [pay("A", "B", 7), pay("A", "B", 5), pay("B", "A", 5)]
    assert amounts(run(banks, *three, lsm=lsm, engine=engine)) == [(0, 7), (0, 5)]


def test_a_cycle_settles_within_the_limits_of_each_of_its_banks(engine):
    ring = [pay("A", "B", 5), pay("B", "C", 5), pay("C", "A", 5)]
    lsm = {"enable_cycles": True}
    for limit, value in ((5, 15), (4, 0)):
        banks = {"A": {}, "B": {"bilateral_limits": {"C": limit}}, "C": {}}
        assert run(banks, *ring, lsm=lsm, engine=engine).settled_value == value


# Reservations


def test_normal_payments_use_what_is_not_left_for_urgent_ones(engine):
    """100 cents, of which 60 are for urgent payments: 40 settle, then not one more; 20 urgent leave 40 reserved."""
    banks = {"A": {"opening_balance": 100, "reservations": {"urgent": 60}}, "B": {}}
    payments = [pay("A", "B", 40), pay("A", "B", 1, tick=1), pay("A", "B", 20, tick=2, priority=8)]
    assert amounts(run(banks, *payments, ticks=3, engine=engine)) == [(0, 40), (2, 20)]


def test_low_payments_use_what_exceeds_both_reservations(engine):
    banks = {"A": {"opening_balance": 100, "reservations": {"urgent": 30, "normal": 20}}, "B": {}}
    payments = [pay("A", "B", 51, priority=3), pay("A", "B", 50, tick=1, priority=0), pay("A", "B", 20, tick=2)]
    assert amounts(run(banks, *payments, ticks=3, engine=engine)) == [(1, 50), (2, 20)]


def test_in_an_offset_the_net_is_tested_for_the_lowest_class_that_the_bank_settles(engine):
    """A would lose 5 by a normal payment, and all its 5 are reserved: nothing settles; by an urgent one it does."""
    banks = {"A": {"opening_balance": 5, "reservations": {"urgent": 5}}, "B": {}}
    lsm = {"enable_bilateral": True}
    for priority, value in ((5, 0), (8, 25)):
        payments = [pay("A", "B", 15, priority=priority), pay("B", "A", 10)]
        assert run(banks, *payments, lsm=lsm, engine=engine).settled_value == value


def test_a_reservation_is_there_again_the_next_day(engine):
    banks = {"A": {"opening_balance": 20, "reservations": {"urgent": 10}}, "B": {}}
    payments = [pay("A", "B", 10, priority=9), pay("A", "B", 10, tick=1)]
    assert amounts(run(banks, *payments, ticks=1, days=2, engine=engine)) == [(0, 10)]


# Orders of queues


@pytest.mark.parametrize(
    ("order", "first"),
    [({"queue2": {"order": "bands"}}, 7), ({"priority_mode": True}, 7), ({"priority_mode": False}, 6)],
)
def test_the_central_queue_is_in_bands_or_as_it_came(engine, order, first):
    """6 has priority 1, 7 and 8 have 4 and 7, which is one band; by priority 8 would be the first."""
    payments = [pay("A", "B", 6, priority=1), pay("A", "B", 7, priority=4), pay("A", "B", 8, priority=7)]
    outcome = run(
        {"A": {}, "B": {"opening_balance": 8}}, *payments, pay("B", "A", 8, tick=1), ticks=2, engine=engine, **order
    )
    assert amounts(outcome)[1] == (1, first)


STRICT = {"queue2": {"release": "strict"}}


def test_in_a_strict_queue_no_payment_passes_one_of_its_bank_that_stands_before_it(engine):
    banks = {"A": {"opening_balance": 5}, "B": RICH}
    payments = [
        pay("A", "B", 9, priority=6),
        pay("A", "B", 3),
        pay("A", "B", 2, tick=1),
        pay("A", "B", 1, tick=1, priority=9),
    ]
    assert amounts(run(banks, *payments, ticks=2, engine=engine)) == [(0, 3), (1, 1)]
    assert amounts(run(banks, *payments, ticks=2, engine=engine, **STRICT)) == [(1, 1)]
    refilled = run(banks, *payments, pay("B", "A", 10, tick=1), ticks=2, engine=engine, **STRICT)
    assert amounts(refilled) == [(1, 1), (1, 10), (1, 9), (1, 3), (1, 2)]


def test_a_strict_offset_takes_each_banks_queue_as_far_as_it_goes_to_the_other(engine):
    """A's queue is 5 to B, 1 to C, 5 to B: B's 10 are too many for the first alone, so B's last is left out."""
    payments = [pay("A", "B", 5), pay("A", "C", 1), pay("A", "B", 5), pay("B", "A", 5), pay("B", "A", 5)]
    banks, lsm = {"A": {}, "B": {}, "C": {}}, {"enable_bilateral": True}
    assert run(banks, *payments, lsm=lsm, engine=engine).settled_value == 20
    assert run(banks, *payments, lsm=lsm, engine=engine, **STRICT).settled_value == 10


def test_a_strict_cycle_takes_the_first_payment_of_each_bank(engine):
    payments = [pay("A", "C", 9), pay("A", "B", 5), pay("B", "C", 5), pay("C", "A", 5)]
    banks, lsm = {"A": {}, "B": {}, "C": {}}, {"enable_cycles": True}
    assert run(banks, *payments, lsm=lsm, engine=engine).settled_value == 15
    assert run(banks, *payments, lsm=lsm, engine=engine, **STRICT).settled_value == 0


def test_a_bank_looks_at_the_most_urgent_first_and_then_at_the_earliest_due(engine):
    """It may let 10 go: in the order of arrival the first, else the urgent one, of two alike the one due first."""
    buffer = {"policy": {"type": "LiquidityAware", "target_buffer": 0, "urgency_threshold": -9}, "opening_balance": 10}
    payments = [
        pay("A", "B", 8, priority=5),
        pay("A", "B", 9, priority=7, deadline=6),
        pay("A", "B", 10, priority=7, deadline=3),
    ]
    banks = {"A": buffer, "B": {}}
    assert amounts(run(banks, *payments, engine=engine)) == [(0, 8)]
    assert amounts(run(banks, *payments, engine=engine, queue1_ordering="priority_deadline")) == [(0, 10)]


# What is refused


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"bilateral_limits": {"X": 1}}, "unknown bank 'X'"),
        ({"limits": {"bilateral_limits": {"A": 1}}}, "'A' is the bank itself"),
        ({"bilateral_limits": {"B": -1}}, "bilateral_limits.B"),
        ({"limits": {"measure": "both"}}, "measure"),
        ({"limits": {}, "multilateral_limit": 1}, "stands in limits, too"),
        ({"reservations": {"urgent": -1}}, "reservations.urgent"),
    ],
)
def test_limits_and_reservations_that_cannot_be_are_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        make_scenario({"A": fields, "B": {}})


def test_two_orders_of_one_queue_are_refused():
    with pytest.raises(ValueError, match="priority_mode"):
        make_scenario({"A": {}, "B": {}}, priority_mode=True, queue2={"order": "fifo"})


def test_a_limit_that_changes_to_an_unknown_bank_is_refused():
    with pytest.raises(ValueError, match="unknown bank 'Z'"):
        make_scenario({"A": {}, "B": {}}, once("LimitChange", agent="A", counterparty="Z", limit=1))


def test_a_limit_among_the_defaults_is_of_every_other_bank():
    document = {
        "simulation": {"ticks_per_day": 1},
        "agents": [{"id": "A"}, {"id": "B"}],
        "agent_defaults": {"bilateral_limits": {"A": 3, "B": 4}},
    }
    assert [each.bilateral_limits for each in Scenario.model_validate(document).agents] == [{"B": 4}, {"A": 3}]
