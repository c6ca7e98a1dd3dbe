"""Who settles, when, and in which order: releases, the central queue, offsets, transfers and collateral."""

import pytest
from scenarios import SETTLEMENTS, act, ask, happened, make_scenario, once, pay, play, settled

BILATERAL = {"enable_bilateral": True}
CYCLES = {"enable_cycles": True}
BOTH = {"enable_bilateral": True, "enable_cycles": True}


def banks(**balances):
    return {name: {"opening_balance": balance} for name, balance in balances.items()}


def holds_until(tick):
    """A policy that releases from that tick on."""
    tree = ask("current_tick", ">=", tick, act("Release"), act("Hold"))
    return {"version": "1", "policy_id": "waits", "payment_tree": tree}


def kinds_and_amounts(outcome):
    return [(kind, amount) for _, kind, _, _, amount in settled(outcome)]


# The central queue


def test_releases_are_tried_by_priority_and_then_in_sequence(engine):
    events = [
        pay("A", "B", 60, priority=5),
        pay("A", "B", 61, priority=9),
        pay("A", "B", 62, priority=9),
        pay("A", "B", 63, priority=0),
    ]
    outcome = play(make_scenario(banks(A=1_000, B=0), *events), engine)
    assert [row[4] for row in happened(outcome, "Submitted")] == [61, 62, 60, 63]


def test_the_queue_is_ordered_by_priority_over_all_banks(engine):
    waiting = [pay("B", "C", 50, priority=7), pay("A", "C", 50, priority=9), pay("B", "C", 40, priority=9)]
    transfers = [once("DirectTransfer", 1, from_agent="C", to_agent=bank, amount=100) for bank in ("A", "B")]
    outcome = play(make_scenario(banks(A=0, B=0, C=200), *waiting, *transfers, ticks=2), engine)
    assert [(row[2], row[4]) for row in settled(outcome)] == [("A", 50), ("B", 40), ("B", 50)]


def test_a_more_urgent_payment_passes_an_older_one_in_the_queue(engine):
    events = [pay("A", "B", 50, priority=5), pay("A", "B", 51, tick=1, priority=9)]
    transfer = once("DirectTransfer", 2, from_agent="B", to_agent="A", amount=60)
    outcome = play(make_scenario(banks(A=0, B=60), *events, transfer, ticks=3), engine)
    assert settled(outcome) == [(2, "SettledFromQueue", "A", "B", 51)]


def test_a_large_payment_does_not_block_the_small_ones_behind_it(engine):
    events = [pay("A", "B", 500, priority=9), pay("A", "B", 40), pay("A", "B", 50)]
    transfer = once("DirectTransfer", 1, from_agent="B", to_agent="A", amount=60)
    outcome = play(make_scenario(banks(A=0, B=60), *events, transfer, ticks=2), engine)
    # 60 pays the 40; the 50 behind it and the 500 before it wait.
    assert settled(outcome) == [(1, "SettledFromQueue", "A", "B", 40)]
    assert outcome.final_queue2.tolist() == [2, 0]


def test_money_that_arrives_in_a_tick_pays_what_waited_before_it(engine):
    events = [pay("A", "B", 100), pay("C", "A", 100, tick=1)]
    outcome = play(make_scenario(banks(A=0, B=0, C=100), *events, ticks=2), engine)
    assert settled(outcome) == [
        (1, "SettledImmediately", "C", "A", 100),
        (1, "SettledFromQueue", "A", "B", 100),
    ]


def test_one_settlement_makes_room_for_another_in_the_same_tick(engine):
    events = [pay("C", "D", 100), pay("B", "C", 100), pay("A", "B", 100)]
    transfer = once("DirectTransfer", 1, from_agent="D", to_agent="A", amount=100)
    outcome = play(make_scenario(banks(A=0, B=0, C=0, D=100), *events, transfer, ticks=2), engine)
    assert [(row[0], row[2], row[3]) for row in settled(outcome)] == [(1, "A", "B"), (1, "B", "C"), (1, "C", "D")]


def test_a_new_release_may_pass_an_older_payment_in_the_queue(engine):
    events = [
        pay("A", "B", 100, priority=9),
        pay("A", "B", 80, tick=1, priority=0),
        once("DirectTransfer", 1, from_agent="B", to_agent="A", amount=100),
    ]
    outcome = play(make_scenario(banks(A=0, B=100), *events, ticks=2), engine)
    assert settled(outcome) == [(1, "SettledImmediately", "A", "B", 80)]


def test_a_reprioritised_payment_keeps_its_place_in_sequence(engine):
    tree = ask("amount", "==", 60, ask("priority", "==", 5, act("Reprioritize", priority=9), act("Release")), {})
    tree["on_false"] = ask("current_tick", "==", 0, act("Hold"), act("Release"))
    policy = {"version": "1", "policy_id": "raises", "payment_tree": tree}
    agents = {"A": {"opening_balance": 1_000, "policy": policy}, "B": {}}
    events = [pay("A", "B", 50), pay("A", "B", 60), pay("A", "B", 70, priority=9)]
    outcome = play(make_scenario(agents, *events, ticks=2), engine)
    assert [(row[0], row[4]) for row in happened(outcome, "Submitted")] == [(1, 60), (1, 70), (1, 50)]
    assert happened(outcome, "PolicyReprioritize") == [(0, "PolicyReprioritize", "A", "B", 60)]


# Deferred crediting


def test_deferred_credit_is_usable_in_the_next_tick_only(engine):
    events = [pay("A", "B", 100), pay("B", "C", 100)]
    agents = banks(A=100, B=0, C=0)
    now = play(make_scenario(agents, *events, ticks=2), engine)
    later = play(make_scenario(agents, *events, ticks=2, deferred_crediting=True), engine)
    assert [row[0] for row in settled(now)] == [0, 0]
    assert [row[0] for row in settled(later)] == [0, 1]
    assert happened(later, "CreditApplied") == [
        (0, "CreditApplied", "B", None, 100),
        (1, "CreditApplied", "C", None, 100),
    ]


def test_deferred_credit_is_there_before_costs_accrue(engine):
    agents = {"A": {"unsecured_cap": 100}, "B": {"opening_balance": 100}}
    events = [pay("A", "B", 100), pay("B", "A", 100)]
    scenario = make_scenario(agents, *events, costs={"overdraft_bps_per_tick": 100}, deferred_crediting=True)
    outcome = play(scenario, engine)
    assert outcome.final_balance.tolist() == [0, 100]
    assert outcome.total_cost.tolist() == [0, 0]


def test_a_direct_transfer_is_deferred_too(engine):
    events = [once("DirectTransfer", 0, from_agent="A", to_agent="B", amount=100), pay("B", "A", 100)]
    outcome = play(make_scenario(banks(A=100, B=0), *events, ticks=2, deferred_crediting=True), engine)
    assert settled(outcome) == [(1, "SettledFromQueue", "B", "A", 100)]


# Bilateral offsets


def test_two_banks_settle_what_they_owe_each_other_by_the_net(engine):
    events = [pay("A", "B", 1_000), pay("B", "A", 900)]
    outcome = play(make_scenario(banks(A=100, B=0), *events, lsm=BILATERAL), engine)
    assert kinds_and_amounts(outcome) == [("LsmBilateralOffset", 1_000), ("LsmBilateralOffset", 900)]
    assert outcome.final_balance.tolist() == [0, 100]
    assert (outcome.lsm_value, outcome.lsm_share) == (1_900, 1.0)


def test_an_infeasible_offset_settles_nothing_and_is_no_event(engine):
    events = [pay("A", "B", 1_000), pay("B", "A", 900)]  # A's net is 100, and it has 99
    outcome = play(make_scenario(banks(A=99, B=0), *events, ticks=3, lsm=BILATERAL), engine)
    assert settled(outcome) == []
    assert outcome.final_balance.tolist() == [99, 0]
    assert (outcome.lsm_value, outcome.lsm_share) == (0, None)


def test_nothing_is_offset_where_offsets_are_off(engine):
    events = [pay("A", "B", 1_000), pay("B", "A", 1_000)]
    assert settled(play(make_scenario(banks(A=0, B=0), *events, ticks=2), engine)) == []
    assert settled(play(make_scenario(banks(A=0, B=0), *events, ticks=2, lsm=CYCLES), engine)) == []


def test_the_last_payment_of_the_net_payer_is_left_out_while_it_is_short(engine):
    events = [pay("A", "B", 300), pay("A", "B", 200, priority=9), pay("A", "B", 100, priority=1), pay("B", "A", 450)]
    outcome = play(make_scenario(banks(A=50, B=0), *events, lsm=BILATERAL), engine)
    # In queue order A owes 200, 300, 100: 600 less 450 is 150, and it has 50. Without the 100, the net is 50.
    assert sorted(kinds_and_amounts(outcome)) == [("LsmBilateralOffset", cents) for cents in (200, 300, 450)]
    assert outcome.final_balance.tolist() == [0, 50]
    assert outcome.final_queue2.tolist() == [1, 0]


def test_leaving_out_may_make_the_other_bank_the_net_payer(engine):
    events = [pay("A", "B", 100, priority=9), pay("A", "B", 500), pay("B", "A", 300), pay("B", "A", 130, priority=8)]
    # 600 to 430: A is short by 170. Without the 500, B owes 330 net, and is short. Without its 300: 30 net.
    rich = play(make_scenario(banks(A=0, B=30), *events, lsm=BILATERAL), engine)
    assert sorted(amount for _, amount in kinds_and_amounts(rich)) == [100, 130]
    assert rich.final_balance.tolist() == [30, 0]
    poor = play(make_scenario(banks(A=0, B=29), *events, lsm=BILATERAL), engine)
    assert settled(poor) == []


def test_credit_counts_in_an_offset(engine):
    agents = {"A": {"unsecured_cap": 60, "posted_collateral": 100, "collateral_haircut": 0.6}, "B": {}}
    events = [pay("A", "B", 1_000), pay("B", "A", 900)]
    outcome = play(make_scenario(agents, *events, lsm=BILATERAL), engine)
    assert outcome.final_balance.tolist() == [-100, 100]


def test_pairs_are_offset_in_the_order_of_ids(engine):
    events = [pay("A", "C", 110), pay("C", "A", 100), pay("A", "B", 110), pay("B", "A", 100)]
    # A has 10: enough for either net, not for both; B stands before C.
    outcome = play(make_scenario(banks(C=0, B=0, A=10), *events, lsm=BILATERAL), engine)
    assert {frozenset(row[2:4]) for row in settled(outcome)} == {frozenset("AB")}


def test_the_queue_is_not_retried_after_offsets(engine):
    events = [pay("B", "C", 50), pay("A", "B", 1_000), pay("B", "A", 950)]
    outcome = play(make_scenario(banks(A=50, B=0, C=0), *events, ticks=2, lsm=BILATERAL), engine)
    assert [(row[0], row[1]) for row in settled(outcome)] == [
        (0, "LsmBilateralOffset"),
        (0, "LsmBilateralOffset"),
        (1, "SettledFromQueue"),
    ]


def test_a_deferred_offset_moves_only_each_banks_net(engine):
    events = [pay("A", "B", 1_000), pay("B", "A", 900)]
    scenario = make_scenario(banks(A=100, B=0), *events, lsm=BILATERAL, deferred_crediting=True)
    outcome = play(scenario, engine)
    assert happened(outcome, "CreditApplied") == [(0, "CreditApplied", "B", None, 100)]
    assert outcome.final_balance.tolist() == [0, 100]


# Cycles


def ring(names, amounts):
    return [pay(one, other, amount) for one, other, amount in zip(names, names[1:] + names[:1], amounts, strict=True)]


def test_a_ring_settles_where_every_member_covers_its_net(engine):
    # A pays 120 and gets 100: a net of 20. B gets 120 and pays 110, C gets 110 and pays 100.
    feasible = play(make_scenario(banks(A=20, B=0, C=0), *ring("ABC", [120, 110, 100]), lsm=CYCLES), engine)
    assert kinds_and_amounts(feasible) == [("LsmCycleSettlement", cents) for cents in (120, 110, 100)]
    assert feasible.final_balance.tolist() == [0, 10, 10]


def test_an_infeasible_ring_settles_nothing_and_is_no_event(engine):
    outcome = play(make_scenario(banks(A=19, B=0, C=0), *ring("ABC", [120, 110, 100]), ticks=3, lsm=CYCLES), engine)
    assert settled(outcome) == []
    assert outcome.lsm_value == 0


def test_a_deferred_ring_moves_only_each_banks_net(engine):
    scenario = make_scenario(banks(A=20, B=0, C=0), *ring("ABC", [120, 110, 100]), lsm=CYCLES, deferred_crediting=True)
    outcome = play(scenario, engine)
    assert [row[2::2] for row in happened(outcome, "CreditApplied")] == [("B", 10), ("C", 10)]


@pytest.mark.parametrize(("longest", "settles"), [(3, 0), (4, 4), (5, 4)])
def test_a_ring_may_be_no_longer_than_is_allowed(longest, settles, engine):
    lsm = {**CYCLES, "max_cycle_length": longest}
    outcome = play(make_scenario(banks(A=0, B=0, C=0, D=0), *ring("ABCD", [100] * 4), lsm=lsm), engine)
    assert len(settled(outcome)) == settles


def test_a_ring_of_five_needs_five(engine):
    agents = banks(A=0, B=0, C=0, D=0, E=0)
    assert settled(play(make_scenario(agents, *ring("ABCDE", [9] * 5), lsm=CYCLES), engine)) == []
    five = {**CYCLES, "max_cycle_length": 5}
    assert len(settled(play(make_scenario(agents, *ring("ABCDE", [9] * 5), lsm=five), engine))) == 5


def test_two_banks_are_no_ring(engine):
    outcome = play(make_scenario(banks(A=0, B=0), *ring("AB", [100] * 2), ticks=2, lsm=CYCLES), engine)
    assert settled(outcome) == []


def test_each_edge_of_a_ring_is_its_first_payment_in_queue_order(engine):
    events = [pay("A", "B", 90), *ring("ABC", [100, 100, 100]), pay("C", "A", 80, priority=9)]
    outcome = play(make_scenario(banks(A=10, B=10, C=20), *events, lsm=CYCLES), engine)
    # A to B 90, B to C 100, C to A 80: B's net is 10, A's 10. Then A to B 100 and C to A 100 find no edge from B to C.
    assert kinds_and_amounts(outcome) == [("LsmCycleSettlement", cents) for cents in (90, 100, 80)]


def test_after_a_settlement_the_same_start_begins_again_until_the_limit(engine):
    events = ring("ABC", [100] * 3) * 4
    agents = banks(A=0, B=0, C=0)
    limits = {limit: {**CYCLES, "max_cycles_per_tick": limit} for limit in (1, 3, 10)}
    ticks_of = {
        limit: [row[0] for row in settled(play(make_scenario(agents, *events, ticks=4, lsm=lsm), engine))]
        for limit, lsm in limits.items()
    }
    assert ticks_of == {1: [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3, 3: [0] * 9 + [1] * 3, 10: [0] * 12}


def test_a_ring_is_closed_at_its_smallest_id_and_searched_by_id_depth_first(engine):
    events = [*ring("ADB", [100] * 3), *ring("ACB", [100] * 3)]
    # Of the start A, C stands before D; either ring uses the one payment that is needed of B.
    lsm = {**CYCLES, "max_cycles_per_tick": 1}
    outcome = play(make_scenario(banks(A=0, B=0, C=0, D=0), *events, lsm=lsm), engine)
    assert [row[2] for row in settled(outcome)] == ["A", "C", "B"]


def test_a_ring_is_not_closed_at_a_higher_id_when_that_is_what_makes_it_feasible(engine):
    events = [
        pay("B", "C", 50, priority=9),
        pay("B", "C", 100),
        pay("C", "A", 100),
        pay("A", "B", 90),
        pay("C", "D", 30),
        pay("D", "B", 60),
    ]
    outcome = play(make_scenario(banks(A=0, B=0, C=0, D=30), *events, ticks=2, lsm=CYCLES), engine)
    # From A: B to C is 50, and C, who pays 100, has nothing. From B: C, D, 50, 30, 60, which leaves B 10.
    # Now A, B, C with 100, 100, 90 would do, but the start A is past: it does in the next tick.
    assert [(row[0], row[2], row[4]) for row in settled(outcome)] == [
        (0, "B", 50),
        (0, "C", 30),
        (0, "D", 60),
        (1, "A", 90),
        (1, "B", 100),
        (1, "C", 100),
    ]


def test_bilateral_offsets_go_before_rings(engine):
    events = [*ring("ABC", [100] * 3), pay("B", "A", 100)]
    outcome = play(make_scenario(banks(A=0, B=0, C=0), *events, lsm=BOTH), engine)
    assert kinds_and_amounts(outcome) == [("LsmBilateralOffset", 100)] * 2


# Transfers and collateral


def test_a_transfer_moves_money_at_once_and_is_no_payment(engine):
    events = [once("DirectTransfer", 0, from_agent="A", to_agent="B", amount=60), pay("B", "A", 50)]
    outcome = play(make_scenario(banks(A=60, B=0), *events), engine)
    assert outcome.final_balance.tolist() == [50, 10]
    assert (outcome.arrived.tolist(), outcome.settled_value) == ([0, 1], 50)
    assert happened(outcome, "Transfer") == [(0, "Transfer", "A", "B", 60)]


def test_a_transfer_that_would_break_the_credit_floor_is_skipped_with_an_event(engine):
    agents = {"A": {"opening_balance": 50, "unsecured_cap": 10}, "B": {}}
    events = [once("DirectTransfer", tick, from_agent="A", to_agent="B", amount=61 - tick) for tick in (0, 1)]
    outcome = play(make_scenario(agents, *events, ticks=2), engine)
    assert happened(outcome, "EventSkipped", "Transfer") == [
        (0, "EventSkipped", "A", "B", 61),
        (1, "Transfer", "A", "B", 60),
    ]
    assert outcome.events().to_pylist()[0]["reason"] == "credit_floor"
    assert outcome.final_balance.tolist() == [-10, 60]


def test_collateral_that_is_needed_cannot_be_withdrawn(engine):
    agents = {"A": {"posted_collateral": 1_000, "collateral_haircut": 0.5}, "B": {}}
    changes = [(1, -401), (2, -400), (3, -1)]
    events = [once("CollateralAdjustment", tick, agent="A", delta=delta) for tick, delta in changes]
    outcome = play(make_scenario(agents, pay("A", "B", 300), *events, ticks=4), engine)
    # 300 are used: half of 600 covers them, half of 599 does not.
    assert happened(outcome, "EventSkipped", "CollateralWithdrawn") == [
        (1, "EventSkipped", "A", None, -401),
        (2, "CollateralWithdrawn", "A", None, 400),
        (3, "EventSkipped", "A", None, -1),
    ]


@pytest.mark.parametrize("delta", [501, -501])
def test_collateral_beyond_the_capacity_or_beyond_what_is_posted_is_skipped(delta, engine):
    agents = {"A": {"posted_collateral": 500, "max_collateral_capacity": 1_000}}
    outcome = play(make_scenario(agents, once("CollateralAdjustment", 0, agent="A", delta=delta)), engine)
    (skipped,) = [row for row in outcome.events().to_pylist() if row["event"] == "EventSkipped"]
    assert (skipped["amount"], skipped["reason"]) == (delta, "capacity")


def test_collateral_that_is_posted_frees_what_waits_in_the_queue(engine):
    agents = {"A": {"max_collateral_capacity": 200, "collateral_haircut": 0.5}, "B": {}}
    events = [pay("A", "B", 100), once("CollateralAdjustment", 2, agent="A", delta=200)]
    outcome = play(make_scenario(agents, *events, ticks=3), engine)
    assert settled(outcome) == [(2, "SettledFromQueue", "A", "B", 100)]


def test_events_of_a_tick_happen_in_the_order_of_the_file(engine):
    transfers = [
        once("DirectTransfer", 0, from_agent=one, to_agent=other, amount=100) for one, other in ("BC", "AB", "BC")
    ]
    outcome = play(make_scenario(banks(A=100, B=0, C=0), *transfers), engine)
    assert [row[1] for row in happened(outcome, "Transfer", "EventSkipped")] == ["EventSkipped", "Transfer", "Transfer"]


def test_an_event_may_repeat(engine):
    event = {
        "type": "DirectTransfer",
        "from_agent": "A",
        "to_agent": "B",
        "amount": 1,
        "schedule": {"type": "Repeating", "start_tick": 1, "interval": 3},
    }
    outcome = play(make_scenario(banks(A=100, B=0), event, ticks=4, days=2), engine)
    assert [row[0] for row in happened(outcome, "Transfer")] == [1, 4, 7]


def test_payments_carry_over_midnight_in_both_queues(engine):
    agents = {"A": {"policy": holds_until(3), "opening_balance": 10}, "B": {}, "C": {"opening_balance": 70}}
    events = [pay("A", "B", 10), pay("B", "C", 70), once("DirectTransfer", 2, from_agent="C", to_agent="B", amount=60)]
    outcome = play(make_scenario(agents, *events, ticks=2, days=2), engine)
    assert settled(outcome) == [(3, "SettledImmediately", "A", "B", 10), (3, "SettledFromQueue", "B", "C", 70)]
    assert [row[0] for row in happened(outcome, *SETTLEMENTS)] == [3, 3]
