"""One pass over the central queue a tick, and penalties of a day's end on what is overdue alone, by hand."""

import pytest
from scenarios import act, make_scenario, once, pay, play, settled, trees

ENGINES = pytest.mark.parametrize("engine", ["reference", "kernel"])
BANKS = {"A": {}, "B": {}, "C": {"opening_balance": 100}}
DEBTS = (pay("A", "B", 100, priority=9), pay("B", "A", 100, priority=5))
FUNDS = once("DirectTransfer", 1, from_agent="C", to_agent="B", amount=100)


@ENGINES
@pytest.mark.parametrize(("passes", "ticks"), [("until_nothing_fits", [1, 1]), ("once", [1, 2])])
def test_one_pass_leaves_what_a_later_payment_of_the_queue_makes_fit_for_the_next_tick(engine, passes, ticks):
    scenario = make_scenario(BANKS, *DEBTS, FUNDS, ticks=3, queue2_passes=passes)
    found = settled(play(scenario, engine))
    assert [(row[2], row[0]) for row in found] == list(zip("BA", ticks, strict=True))


@ENGINES
def test_one_pass_tries_what_follows_in_the_queue_with_the_money_that_came_before(engine):
    later = (pay("A", "B", 100, priority=3), pay("B", "A", 100, priority=5))
    scenario = make_scenario(BANKS, *later, FUNDS, ticks=2, queue2_passes="once")
    assert [(row[0], row[2]) for row in settled(play(scenario, engine))] == [(1, "B"), (1, "A")]


@ENGINES
def test_one_pass_settles_the_pieces_of_a_split_payment_in_their_order(engine):
    split = trees(act("Split", num_splits=3))
    scenario = make_scenario(
        {**BANKS, "A": {"policy": split}},
        pay("A", "B", 90, is_divisible=True),
        once("DirectTransfer", 1, from_agent="C", to_agent="A", amount=70),
        ticks=2,
        queue2_passes="once",
    )
    assert [(row[0], row[4]) for row in settled(play(scenario, engine))] == [(1, 30), (1, 30)]


@ENGINES
@pytest.mark.parametrize(
    ("penalty", "scope", "cents"),
    [
        (7, "unsettled", 14),
        (7, "overdue", 7),
        ({"mode": "rate", "bps_per_event": 100}, "unsettled", 15),
        ({"mode": "rate", "bps_per_event": 100}, "overdue", 10),
    ],
)
@pytest.mark.parametrize("rounding", ["nearest", "carry"])
def test_a_day_ends_with_penalties_on_what_is_unsettled_or_on_what_is_overdue(engine, penalty, scope, cents, rounding):
    costs = {"eod_penalty_per_transaction": penalty, "eod_penalty_scope": scope}
    payments = (pay("A", "B", 1000, deadline=0), pay("A", "B", 500, deadline=5))
    scenario = make_scenario({"A": {}, "B": {}}, *payments, ticks=2, costs=costs, cost_rounding=rounding)
    assert play(scenario, engine).agents()["A"]["costs"]["eod_penalty"] == cents


@ENGINES
def test_a_payment_that_settles_overdue_costs_no_penalty_at_the_day_end(engine):
    costs = {"eod_penalty_per_transaction": 7, "eod_penalty_scope": "overdue"}
    funds = once("DirectTransfer", 2, from_agent="C", to_agent="A", amount=100)
    scenario = make_scenario(BANKS, pay("A", "B", 100, deadline=0), funds, ticks=3, costs=costs)
    assert play(scenario, engine).agents()["A"]["costs"]["eod_penalty"] == 0
