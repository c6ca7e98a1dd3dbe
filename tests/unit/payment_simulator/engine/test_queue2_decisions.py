"""Decisions about payments in the central queue (step 6b), and payments that are split and released by and by."""

import pytest
from scenarios import act, ask, happened, make_scenario, pay, play, settled, trees

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, simulate
from payment_simulator.policy.policies import read_policy

RICH = {"opening_balance": 1_000}


def queued(then, otherwise=None):
    """A policy that does this with payments in the central queue, and releases those in its own, or else."""
    return trees(ask("is_in_queue2", "==", 1, then, otherwise or act("Release")))


def run(banks, *payments, ticks=1, **further):
    return play(make_scenario(banks, *payments, ticks=ticks, **further))


def amounts(outcome, *kinds):
    return [(row[0], row[4]) for row in (happened(outcome, *kinds) if kinds else settled(outcome))]


def test_a_withdrawn_payment_is_back_in_its_banks_queue_and_decided_again_in_the_next_tick():
    banks = {"A": {"policy": queued(act("WithdrawFromRtgs"))}, "B": RICH}
    outcome = run(banks, pay("A", "B", 5), pay("B", "A", 5, tick=1), ticks=3)
    assert amounts(outcome, "Submitted") == [(0, 5), (1, 5), (2, 5)]
    assert amounts(outcome, "PolicyWithdraw") == [(1, 5)]
    assert amounts(outcome) == [(1, 5), (2, 5)]


def test_a_payment_that_is_submitted_again_stands_behind_all_that_have_its_new_priority():
    """4 and 6 have priority 5; in tick 1 the first goes behind the second, and B's 6 let that one go."""
    again = ask(
        "arrival_tick",
        "==",
        0,
        ask("amount", "==", 4, act("ResubmitToRtgs", rtgs_priority="Normal"), act("Hold")),
        act("Hold"),
    )
    banks = {"A": {"policy": queued(again)}, "B": RICH}
    payments = [pay("A", "B", 4), pay("A", "B", 6), pay("B", "A", 6, tick=1)]
    outcome = run(banks, *payments, ticks=2)
    assert amounts(outcome) == [(1, 6), (1, 6)]
    assert [
        (row["tick"], row["priority"]) for row in outcome.events().to_pylist() if row["event"] == "PolicyResubmit"
    ] == [(1, 5)]


@pytest.mark.parametrize(("word", "priority"), [("HighlyUrgent", 10), ("Urgent", 8), ("Normal", 5)])
def test_a_payment_that_is_submitted_again_has_the_priority_of_the_word(word, priority):
    banks = {"A": {"policy": queued(act("ResubmitToRtgs", rtgs_priority=word))}, "B": {}}
    rows = run(banks, pay("A", "B", 4, priority=1), ticks=2).events().to_pylist()
    assert [row["priority"] for row in rows if row["event"] == "PolicyResubmit"] == [priority]


def test_a_payment_that_comes_later_stands_behind_one_that_was_submitted_again():
    banks = {
        "A": {
            "policy": queued(ask("current_tick", "==", 1, act("ResubmitToRtgs", rtgs_priority="Normal"), act("Hold")))
        }
    }
    payments = [pay("A", "B", 4), pay("A", "B", 5, tick=2), pay("B", "A", 5, tick=3)]
    assert amounts(run({**banks, "B": RICH}, *payments, ticks=4)) == [(3, 5), (3, 4)]


def test_any_other_action_leaves_a_payment_where_it_is_and_both_are_a_hold_in_a_banks_own_queue():
    banks = {"A": {"policy": queued(act("Drop"), act("WithdrawFromRtgs"))}, "B": {}}
    assert amounts(run(banks, pay("A", "B", 4)), "PolicyHold") == [(0, 4)]
    banks = {"A": {"policy": queued(act("Drop"))}, "B": {}}
    outcome = run(banks, pay("A", "B", 4), ticks=3)
    assert (outcome.final_queue2.tolist(), amounts(outcome, "PolicyDrop")) == ([1, 0], [])


def test_a_tree_that_does_not_name_it_is_not_asked_about_the_central_queue():
    dividing = trees(ask("ticks_to_deadline", ">", 1_000, act("Hold"), act("Release")))
    assert run({"A": {"policy": dividing}, "B": {}}, pay("A", "B", 4), ticks=3).final_queue2.tolist() == [1, 0]


def stagger(n, first, gap, boost=0):
    names = ("num_splits", "stagger_first_now", "stagger_gap_ticks", "priority_boost_children")
    return trees(act("StaggerSplit", **dict(zip(names, (n, first, gap, boost), strict=True))))


def split(*numbers, ticks=6, banks=None, **further):
    """The settlements of 10 cents that A splits so; each extra piece costs 7."""
    payment = pay("A", "B", 10, is_divisible=True)
    banks = banks or {"A": {**RICH, "policy": stagger(*numbers)}, "B": {}}
    return run(banks, payment, ticks=ticks, costs={"split_friction_cost": 7}, **further)


def test_the_first_pieces_are_released_now_and_one_more_each_gap():
    outcome = split(4, 2, 2)
    assert amounts(outcome) == [(0, 2), (0, 2), (2, 2), (4, 4)]
    assert outcome.costs[0].sum() == 3 * 7


def test_with_no_gap_all_pieces_are_released_at_once_and_with_none_now_the_first_waits_a_gap():
    assert amounts(split(3, 1, 0)) == [(0, 3), (0, 3), (0, 4)]
    assert amounts(split(2, 0, 3)) == [(3, 5)]
    assert amounts(split(2, 0, 3, ticks=7)) == [(3, 5), (6, 5)]


def test_pieces_are_released_over_midnight():
    assert amounts(split(2, 1, 3, ticks=2, days=2)) == [(0, 5), (3, 5)]


def test_pieces_are_more_urgent_than_their_parent_by_the_boost_and_at_most_10():
    rows = split(2, 1, 1, 9).events().to_pylist()
    assert [row["priority"] for row in rows if row["event"] == "PolicyReprioritize"] == [10]


def test_a_piece_does_not_pass_an_earlier_one_of_its_payment_that_waits():
    """A has 5 in tick 1, when its second piece comes: the first settles, which was released before it."""
    banks = {"A": {"policy": stagger(2, 1, 1)}, "B": RICH}
    outcome = run(banks, pay("A", "B", 10, is_divisible=True), pay("B", "A", 5, tick=1), ticks=2)
    pieces = [(row["tick"], row["piece"]) for row in outcome.events().to_pylist() if row["event"] == "SettledFromQueue"]
    assert pieces == [(1, 0)]


@pytest.mark.parametrize("numbers", [(4, 5, 1), (4, -1, 1), (4, 1, -1), (1, 1, 1), (11, 1, 1)])
def test_a_staggered_split_that_cannot_be_is_a_hold(numbers):
    assert amounts(split(*numbers), "PolicyHold", "Submitted") == [(0, 10)]


def test_a_payment_that_cannot_be_split_is_held():
    banks = {"A": {**RICH, "policy": stagger(2, 1, 1)}, "B": {}}
    assert amounts(run(banks, pay("A", "B", 10)), "PolicyHold", "Submitted") == [(0, 10)]


def test_what_waits_to_be_released_stands_in_the_banks_queue_and_is_charged(engine):
    if engine == "kernel":
        pytest.skip("the kernel refuses it, see below")
    outcome = split(2, 1, 5, ticks=3)
    assert outcome.final_queue1.tolist() == [1, 0]


def test_the_kernel_refuses_what_only_the_reference_does_and_auto_takes_the_reference():
    scenario = make_scenario({"A": {"policy": stagger(2, 1, 1)}, "B": {}}, pay("A", "B", 10, is_divisible=True))
    arrivals = draw_arrivals(scenario)
    with pytest.raises(ConfigError, match="engine: kernel has no StaggerSplit; take reference, or auto"):
        simulate(scenario, arrivals, engine="kernel")
    assert simulate(scenario, arrivals).engine == "reference"


def test_a_word_that_is_none_is_refused_with_those_that_there_are():
    _, problems = read_policy(trees(act("ResubmitToRtgs", rtgs_priority="urgent")))
    assert [text for _, text in problems] == ["should be one of HighlyUrgent, Urgent, Normal, found 'urgent'"]
