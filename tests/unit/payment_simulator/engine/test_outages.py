"""Outages: a bank that is out decides nothing, and its payments wait; each worked by hand, in both engines."""

import pytest
from pydantic import ValidationError
from scenarios import act, agents, ask, charged, happened, make_scenario, once, pay, play, released, settled, trees

from payment_simulator import ExperimentConfig
from payment_simulator.experiments.setup import first_ticks

A_CENT = {"delay_cost_per_tick_per_cent": 0.01}
RICH = {"opening_balance": 1_000}


def outage(bank, first, last, **further):
    return {"type": "Outage", "agent": bank, "start_tick": first, "end_tick": last, **further}


def respond(ticks):
    return {"outage_response": {"stop_sending_after": ticks}}


@pytest.mark.parametrize(
    "policy", [{}, {"type": "Deadline", "urgency_threshold": 999}, {"type": "LiquidityAware"}, trees()]
)
def test_what_a_bank_has_to_send_waits_accrues_and_leaves_when_the_outage_ends(policy, engine):
    """100 and 200 cents wait from tick 1 and 2 to tick 3: a cent a tick for each 100."""
    banks = {"A": {"policy": policy, **RICH}, "B": RICH}
    payments = [pay("A", "B", 50), pay("A", "B", 100, 1), pay("A", "B", 200, 2), pay("B", "A", 7, 2)]
    outcome = play(make_scenario(banks, *payments, outage("A", 1, 3), ticks=6, costs=A_CENT), engine)
    assert settled(outcome) == [
        (0, "SettledImmediately", "A", "B", 50),
        (2, "SettledImmediately", "B", "A", 7),
        (4, "SettledImmediately", "A", "B", 100),
        (4, "SettledImmediately", "A", "B", 200),
    ]
    assert charged(outcome, "A", "delay") == {1: 1, 2: 3, 3: 3}
    assert happened(outcome, "PolicyHold", "OutageBegan") == [
        (1, "OutageBegan", "A", None, 0),
        (1, "PolicyHold", "A", "B", 100),
        (2, "PolicyHold", "A", "B", 200),
    ]
    (began,) = [row for row in outcome.events().to_pylist() if row["event"] == "OutageBegan"]
    assert began["count"] == 3


def test_trees_of_a_bank_that_is_out_do_not_run(engine):
    counts = trees(
        act("Drop"),
        bank_tree=act("SetReleaseBudget", amount=0),
        collateral_tree=act("PostCollateral", amount=1),
    )
    banks = agents(counts, max_collateral_capacity=10)
    outcome = play(make_scenario(banks, pay("A", "B", 5), outage("A", 0, 1), ticks=3), engine)
    assert happened(outcome, "CollateralPosted", "PolicyDrop") == [
        (2, "CollateralPosted", "A", None, 1),
        (2, "PolicyDrop", "A", "B", 5),
    ]


def test_a_queued_payment_of_a_bank_that_is_out_settles_and_offsets_as_ever(engine):
    """A's 60 waits in Queue 2 when A goes out; at tick 1 it is offset with C's 60, its 30 settles from what B paid."""
    banks = {"A": {}, "B": {"opening_balance": 30}, "C": {}}
    payments = [pay("A", "C", 60), pay("A", "B", 30), pay("C", "A", 60, 1), pay("B", "A", 30, 2)]
    lsm = {"enable_bilateral": True}
    outcome = play(make_scenario(banks, *payments, outage("A", 1, 3), ticks=4, lsm=lsm), engine)
    assert settled(outcome) == [
        (1, "LsmBilateralOffset", "A", "C", 60),
        (1, "LsmBilateralOffset", "C", "A", 60),
        (2, "SettledImmediately", "B", "A", 30),
        (2, "SettledFromQueue", "A", "B", 30),
    ]


def test_payments_to_a_bank_that_lets_none_in_queue_untried_until_it_is_back(engine):
    """B could pay A at once, the cycle of A, B and C would need nothing: neither is tried before tick 3."""
    banks = {"A": {}, "B": {"opening_balance": 10}, "C": {}}
    payments = [
        pay("A", "B", 40),
        pay("B", "C", 40, 1),
        pay("C", "A", 40, 1),
        pay("B", "A", 10, 1),
        once("DirectTransfer", 1, from_agent="B", to_agent="A", amount=3),
    ]
    lsm = {"enable_cycles": True, "enable_bilateral": True}
    scenario = make_scenario(banks, *payments, outage("A", 1, 2, incoming=False), ticks=5, lsm=lsm)
    outcome = play(scenario, engine)
    assert happened(outcome, "Queued", "Transfer") == [
        (0, "Queued", "A", "B", 40),
        (1, "Transfer", "B", "A", 3),
        (1, "Queued", "B", "C", 40),
        (1, "Queued", "C", "A", 40),
        (1, "Queued", "B", "A", 10),
    ]
    assert [row[:2] for row in settled(outcome)] == [(3, "LsmCycleSettlement")] * 3
    assert outcome.final_balance.tolist() == [3, 7, 0]


@pytest.mark.parametrize(
    "policy", [{}, {"type": "Deadline", "urgency_threshold": 999}, {"type": "LiquidityAware"}, trees()]
)
def test_after_the_response_begins_others_hold_what_they_would_send_until_the_outage_ends(policy, engine):
    """A is out in ticks 1 to 4, and from tick 3 on B sends it nothing, but C its due; 100 of B wait two ticks."""
    banks = {"A": {}, "B": {"policy": policy, **RICH}, "C": {}}
    payments = [pay("B", "A", 10, 2), pay("B", "A", 100, 3), pay("B", "C", 20, 3), pay("B", "A", 30, 4)]
    scenario = make_scenario(banks, *payments, outage("A", 1, 4), ticks=6, costs=A_CENT, **respond(2))
    outcome = play(scenario, engine)
    assert settled(outcome) == [
        (2, "SettledImmediately", "B", "A", 10),
        (3, "SettledImmediately", "B", "C", 20),
        (5, "SettledImmediately", "B", "A", 100),
        (5, "SettledImmediately", "B", "A", 30),
    ]
    assert charged(outcome, "B", "delay") == {3: 1, 4: 1}  # 100 and 130 cents: 1 and 1.3
    assert happened(outcome, "PolicyHold") == [(3, "PolicyHold", "B", "A", 100), (4, "PolicyHold", "B", "A", 30)]


def test_the_response_leaves_queued_payments_to_the_bank_untried_until_the_outage_ends(engine):
    """B's 50 to A waits since tick 0; money comes in tick 1, when the response has begun, and A is back in tick 3."""
    banks = {"A": {}, "B": {}, "C": RICH}
    payments = [pay("B", "A", 50), pay("C", "B", 50, 1)]
    outcome = play(make_scenario(banks, *payments, outage("A", 0, 2), ticks=4, **respond(1)), engine)
    assert settled(outcome) == [(1, "SettledImmediately", "C", "B", 50), (3, "SettledFromQueue", "B", "A", 50)]


def test_a_held_release_uses_no_budget_and_no_part_of_a_buffer(engine):
    """The budget of 60 is B's 60 to C, after 50 to A that is held; a buffer of 40 leaves 60 of 100 for C alike."""
    payments = [pay("B", "A", 50), pay("B", "C", 60)]
    budget = trees(act("Release"), bank_tree=act("SetReleaseBudget", amount=60))
    buffer = {"type": "LiquidityAware", "target_buffer": 40, "urgency_threshold": -1}
    for policy in (budget, buffer):
        banks = {"A": {}, "B": {"policy": policy, "opening_balance": 100}, "C": {}}
        outcome = play(make_scenario(banks, *payments, outage("A", 0, 0), ticks=1, **respond(0)), engine)
        assert settled(outcome) == [(0, "SettledImmediately", "B", "C", 60)]


def test_a_tree_may_drop_or_reprioritize_what_it_may_not_send(engine):
    tree = ask("amount", ">", 50, act("Drop"), ask("priority", "<", 9, act("Reprioritize", priority=9), act("Release")))
    banks = {"A": {}, "B": {"policy": trees(tree), **RICH}}
    payments = [pay("B", "A", 60), pay("B", "A", 40)]
    outcome = play(make_scenario(banks, *payments, outage("A", 0, 1), ticks=3, **respond(0)), engine)
    assert happened(outcome, "PolicyDrop", "PolicyReprioritize", "PolicyHold", "Submitted") == [
        (0, "PolicyDrop", "B", "A", 60),
        (0, "PolicyReprioritize", "B", "A", 40),
        (1, "PolicyHold", "B", "A", 40),
        (2, "Submitted", "B", "A", 40),
    ]


def test_several_banks_may_be_out_at_once_and_one_again_at_once_after_its_outage(engine):
    banks = {"A": RICH, "B": RICH}
    payments = [pay("A", "B", 1), pay("B", "A", 2), pay("A", "B", 3, 3)]
    outages = [outage("A", 0, 1), outage("B", 1, 2), outage("A", 2, 3)]
    outcome = play(make_scenario(banks, *payments, *outages, ticks=6), engine)
    assert released(outcome) == [(0, 2), (4, 1), (4, 3)]


def test_an_outage_lasts_over_midnight(engine):
    outcome = play(make_scenario({"A": RICH, "B": {}}, pay("A", "B", 5), outage("A", 0, 2), ticks=2, days=2), engine)
    assert released(outcome) == [(3, 5)]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([outage("A", 1, 4)], "it is past the end: the run has 4 ticks, counted from 0"),
        ([outage("A", 3, 2)], "end_tick: 2 is before start_tick 3"),
        ([outage("X", 1, 2)], "unknown bank 'X'"),
        ([outage("A", 1, 2), outage("A", 2, 3)], "A is out from tick 1 to 2 already: make it one outage"),
        ([outage("A", 2, 3), outage("A", 0, 2)], "A is out from tick 0 to 2 already: make it one outage"),
        ([{**outage("A", 1, 2), "schedule": {"type": "OneTime", "tick": 1}}], "Extra inputs are not permitted"),
    ],
)
def test_an_outage_that_cannot_be_is_refused(events, told):
    with pytest.raises(ValidationError) as refused:
        make_scenario({"A": {}, "B": {}}, *events, ticks=4)
    assert told in str(refused.value)


def test_an_experiment_on_the_first_days_has_an_outage_as_far_as_they_go():
    scenario = make_scenario({"A": {}, "B": {}}, outage("A", 1, 5), outage("B", 4, 5), ticks=2, days=3)
    config = ExperimentConfig.model_construct(evaluation=type("Wanted", (), {"ticks": 4}))
    (left,) = first_ticks(scenario, config).scenario_events
    assert (left.start_tick, left.end_tick) == (1, 3)
