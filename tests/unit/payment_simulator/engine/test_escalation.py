"""Escalation: what waits near its deadline becomes more urgent, before banks decide."""

import pytest
from scenarios import act, happened, make_scenario, pay, play, settled, trees


def escalations(outcome):
    """Every one: (tick, amount, new priority)."""
    rows = outcome.events().to_pylist()
    return [(row["tick"], row["amount"], row["priority"]) for row in rows if row["event"] == "PriorityEscalated"]


def test_the_boost_grows_linearly_to_the_deadline_and_no_priority_passes_10(engine):
    """With 4 ticks and 3: at 4, 3, 2, 1, 0 ticks left 0, 0.75, 1.5, 2.25, 3, which are 0, 1, 2, 2, 3."""
    rule = {"start_escalating_at_ticks": 4, "max_boost": 3}
    payments = [pay("A", "B", 10, deadline=6, priority=2), pay("A", "B", 5, deadline=2, priority=9)]
    outcome = play(make_scenario({"A": {}, "B": {}}, *payments, ticks=9, priority_escalation=rule), engine)
    assert escalations(outcome) == [(0, 5, 10), (3, 10, 3), (4, 10, 4), (6, 10, 5)]


def test_what_is_past_its_deadline_keeps_the_whole_boost(engine):
    rule = {"start_escalating_at_ticks": 1, "max_boost": 4}
    late = pay("A", "B", 10, deadline=0, priority=1)
    outcome = play(make_scenario({"A": {}, "B": {}}, late, ticks=4, priority_escalation=rule), engine)
    assert escalations(outcome) == [(0, 10, 5)]


def test_an_escalated_payment_passes_one_that_was_before_it_in_the_central_queue(engine):
    """B pays A 10 in tick 3: then the payment of 10 that was less urgent has priority 8, and settles first."""
    payments = [
        pay("A", "B", 10, priority=6, deadline=50),
        pay("A", "C", 10, priority=3, deadline=3),
        pay("B", "A", 10, tick=3),
    ]
    banks = {"A": {}, "B": {"opening_balance": 10}, "C": {}}
    rule = {"start_escalating_at_ticks": 3, "max_boost": 5}
    without = play(make_scenario(banks, *payments, ticks=4), engine)
    escalated = play(make_scenario(banks, *payments, ticks=4, priority_escalation=rule), engine)
    assert settled(without)[1] == (3, "SettledFromQueue", "A", "B", 10)
    assert settled(escalated)[1] == (3, "SettledFromQueue", "A", "C", 10)


def test_a_bilateral_offset_leaves_out_the_last_in_the_order_that_escalation_made(engine):
    payments = [
        pay("A", "B", 30, priority=6, deadline=50),
        pay("A", "B", 20, priority=3, deadline=3),
        pay("B", "A", 20, tick=3),
    ]
    rule = {"start_escalating_at_ticks": 3, "max_boost": 5}
    lsm = {"enable_bilateral": True}
    found = play(make_scenario({"A": {}, "B": {}}, *payments, ticks=4, lsm=lsm, priority_escalation=rule), engine)
    assert [row[4] for row in settled(found)] == [20, 20]


def test_escalation_comes_before_the_policy_and_is_not_undone_by_it(engine):
    lowers = trees(act("Reprioritize", priority=0))
    rule = {"start_escalating_at_ticks": 2, "max_boost": 2}
    scenario = make_scenario(
        {"A": {"policy": lowers}, "B": {}}, pay("A", "B", 7, deadline=1, priority=3), ticks=3, priority_escalation=rule
    )
    outcome = play(scenario, engine)
    assert escalations(outcome) == [(0, 7, 4), (1, 7, 5), (2, 7, 5)]
    assert len(happened(outcome, "PolicyReprioritize")) == 3


def test_a_section_that_is_not_enabled_changes_nothing(engine):
    payment = pay("A", "B", 10, deadline=0)
    outcome = play(make_scenario({"A": {}, "B": {}}, payment, priority_escalation={"enabled": False}), engine)
    assert escalations(outcome) == []


@pytest.mark.parametrize("key", [{"max_boost": 11}, {"start_escalating_at_ticks": 0}, {"curve": "steep"}])
def test_an_escalation_that_cannot_be_is_refused(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        make_scenario({"A": {}, "B": {}}, priority_escalation=key)
