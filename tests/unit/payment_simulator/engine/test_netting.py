"""Netting of the whole queue, in any tick and in batches, and offsets on entry, each with its cents by hand."""

import json
from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scenarios import act, charged, make_scenario, pay, play, released, settled

from payment_simulator.cli.run_printing import print_report
from payment_simulator.days.report import report_of
from payment_simulator.engine.allocation_search import may_step
from payment_simulator.engine.simulate import prepare
from properties import examples

NET = {"enable_multilateral": True}
ENTRY = {"entry_disposition_offsetting": True}
NOBODY_HAS_MONEY = {name: {} for name in "ABC"}


def largest_set(queue, liquidity):
    """How many payments each bank settles in the largest set that settles at once, of each bank its first.

    By trying every such set. `queue` has sender, receiver and amount of each, in queue order.
    """
    of = {bank: [row for row in queue if row[0] == bank] for bank in sorted({row[0] for row in queue})}
    if settles(queue, liquidity):
        return {bank: len(rows) for bank, rows in of.items()}
    sets = [
        counts
        for counts in product(*(range(len(rows) + 1) for rows in of.values()))
        if settles([row for rows, count in zip(of.values(), counts, strict=True) for row in rows[:count]], liquidity)
    ]
    best = max(map(sum, sets))
    [found] = [counts for counts in sets if sum(counts) == best]  # there is one
    return {bank: count for bank, count in zip(of, found, strict=True) if count}


def settles(rows, liquidity):
    """True where every bank can pay its net."""
    left = Counter(liquidity)
    for sender, receiver, amount in rows:
        left[sender] -= amount
        left[receiver] += amount
    return min(left.values(), default=0) >= 0


def test_the_whole_queue_settles_where_no_pair_and_no_short_cycle_does(engine):
    """Each bank's net: -2+2+1, 2-3-1+2, 3-5+2-2, 5-6+1, 6-2-1-2-1: all 0."""
    rows = [(1, 2, 2), (2, 3, 3), (3, 4, 5), (4, 5, 6), (5, 1, 2), (5, 2, 1), (5, 3, 2), (5, 4, 1)]
    payments = [pay(f"B{one}", f"B{two}", amount) for one, two, amount in rows]
    banks = {f"B{number}": {} for number in range(1, 6)}
    others = {"enable_bilateral": True, "enable_cycles": True, "max_cycle_length": 5}
    assert play(make_scenario(banks, *payments, lsm={}), engine).settled.sum() == 0
    outcome = play(make_scenario(banks, *payments, lsm=NET), engine)
    assert outcome.settled.tolist() == [1, 1, 1, 1, 4]
    assert [row[1] for row in settled(outcome)] == ["LsmMultilateralOffset"] * 8
    assert outcome.final_balance.tolist() == [0] * 5
    assert outcome.indicators.system.share_by_route["multilateral"] == 1
    assert outcome.lsm_value == outcome.settled_value == 22
    assert play(make_scenario(banks, *payments, lsm=NET | others), engine).settled.sum() == 8


def test_a_bank_that_cannot_pay_its_net_leaves_its_last_payment_out(engine):
    """A pays 7 + 4, gets 5 + 3 and has 2: it lacks 1, and its 4 go out; C, which now gets nothing, leaves out its 3.

    A pays 7 then, gets 5 and has 2: it lacks nothing.
    """
    banks = {"A": {"opening_balance": 2}, "B": {}, "C": {}}
    payments = [pay("A", "B", 7), pay("A", "C", 4), pay("B", "A", 5), pay("C", "A", 3)]
    outcome = play(make_scenario(banks, *payments, lsm=NET), engine)
    assert settled(outcome) == [(0, "LsmMultilateralOffset", *row) for row in [("A", "B", 7), ("B", "A", 5)]]
    assert outcome.final_balance.tolist() == [0, 2, 0]
    assert outcome.final_queue2.tolist() == [1, 0, 1]


def test_payments_that_settle_before_the_netting_may_cost_it_its_best(engine):
    """B has 5: netted, its 6 to C and C's 3 settle; but its first 3 to A fit alone, and 2 are left for a net of 3."""
    banks = {"A": {}, "B": {"opening_balance": 5}, "C": {}}
    rows = [("B", "C", 6), ("C", "B", 3), ("B", "A", 3), ("B", "A", 6)]
    payments = [pay(*row) for row in rows]
    outcome = play(make_scenario(banks, *payments, lsm=NET), engine)
    assert settled(outcome) == [(0, "SettledImmediately", "B", "A", 3)]
    assert largest_set([rows[0], rows[1], rows[3]], {"A": 3, "B": 2}) == {}
    assert largest_set(rows, {"B": 5}) == {"B": 1, "C": 1}
    batch = play(make_scenario(banks, *payments, netting_batches=[0], rtgs=False), engine)
    assert settled(batch) == [(0, "LsmBatchSettlement", *row) for row in rows[:2]]


def test_a_broken_limit_to_a_bank_takes_out_the_payment_to_it_alone(engine):
    banks = NOBODY_HAS_MONEY | {"A": {"limits": {"bilateral_limits": {"B": 0}}}}
    payments = [pay("A", "B", 5), pay("A", "C", 1), pay("A", "C", 1), pay("C", "A", 2)]
    outcome = play(make_scenario(banks, *payments, lsm=NET), engine)
    rows = [("A", "C", 1), ("A", "C", 1), ("C", "A", 2)]
    assert settled(outcome) == [(0, "LsmMultilateralOffset", *row) for row in rows]
    strict = make_scenario(banks, *payments, lsm=NET, queue2={"release": "strict"})
    assert settled(play(strict, engine)) == []


def test_a_reservation_and_a_limit_to_all_take_out_last_payments(engine):
    """A has 10, all of it reserved for urgent payments: its normal net outflow must be 0, so the 3 to C go out."""
    banks = NOBODY_HAS_MONEY | {"A": {"opening_balance": 10, "reservations": {"urgent": 10}}}
    payments = [pay("A", "B", 12), pay("A", "C", 3), pay("B", "A", 12), pay("C", "B", 1)]
    outcome = play(make_scenario(banks, *payments, lsm=NET), engine)
    assert settled(outcome) == [(0, "LsmMultilateralOffset", *row) for row in [("A", "B", 12), ("B", "A", 12)]]
    banks["A"] = {"opening_balance": 10, "multilateral_limit": 2}
    assert settled(play(make_scenario(banks, *payments, lsm=NET), engine)) == settled(outcome)


def test_payments_to_a_closed_bank_are_not_netted(engine):
    outage = {"type": "Outage", "agent": "B", "start_tick": 0, "end_tick": 0, "incoming": False}
    ring = [pay("A", "B", 4), pay("B", "A", 4)]
    outcome = play(make_scenario(NOBODY_HAS_MONEY, *ring, outage, lsm=NET, ticks=2), engine)
    assert [row[0] for row in settled(outcome)] == [1, 1]


def test_credits_that_are_deferred_do_not_count_in_the_netting_of_their_tick(engine):
    banks = {"A": {"opening_balance": 5}, "B": {}, "C": {}}
    payments = [pay("A", "B", 5), pay("B", "C", 9), pay("C", "B", 4)]
    late = make_scenario(banks, *payments, lsm=NET, ticks=2, deferred_crediting=True)
    assert [row[:2] for row in settled(play(late, engine))] == [(0, "SettledImmediately")] + [
        (1, "LsmMultilateralOffset")
    ] * 2
    soon = make_scenario(banks, *payments, lsm=NET, ticks=2)
    assert {row[0] for row in settled(play(soon, engine))} == {0}


CASES = Path(__file__).parents[5] / "shared" / "data" / "ubin_queues.json"


def ubin_cases():
    """Queues that were published for tests of netting in Project Ubin: name, balances, and debtor, creditor, amount."""
    if not CASES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(f"{CASES.name} is not there"))]
    return [pytest.param(case, id=case["name"]) for case in json.loads(CASES.read_text()) if case["queue"]]


@pytest.mark.parametrize("case", ubin_cases())
def test_of_a_published_queue_as_much_settles_as_the_largest_set(case):
    rows = [(row["debtor"], row["creditor"], row["amount"]) for row in case["queue"]]
    names = sorted({name for row in rows for name in row[:2]} | case["balances"].keys())
    banks = {name: {"opening_balance": case["balances"].get(name, 0)} for name in names}
    dice = Random(case["name"])  # noqa: S311
    for is_mixed in (False, True, True):
        priorities = [dice.randint(0, 10) if is_mixed else 5 for _ in rows]
        payments = [pay(*row, priority=urgency) for row, urgency in zip(rows, priorities, strict=True)]
        ordered = [row for _, row in sorted(zip(priorities, rows, strict=True), key=lambda each: -each[0])]
        best = sum(largest_set(ordered, case["balances"]).values())
        strict, batch = {"lsm": NET, "queue2": {"release": "strict"}}, {"netting_batches": [0], "rtgs": False}
        counts = [play(make_scenario(banks, *payments, **way)).settled.sum() for way in (strict, batch, {"lsm": NET})]
        assert counts[:2] == [best, best]
        assert counts[2] >= best  # small payments pass large ones
        assert best == len(rows) or case["name"] not in ("Scenario 5_2", "Scenario E8_1")


AMOUNT = st.integers(1, 6)
QUEUES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), AMOUNT, st.integers(0, 10)), max_size=9)


@examples(150)
@given(QUEUES, st.lists(st.integers(0, 3), min_size=4, max_size=4), st.booleans())
def test_what_is_netted_is_the_largest_set_under_each_banks_order(rows, money, is_urgent):
    names = "ABCD"
    queue = [(names[one], names[(one + step) % 4], amount, priority) for one, step, amount, priority in rows]
    banks = {name: {"opening_balance": cents} for name, cents in zip(names, money, strict=True)}
    payments = [pay(*row[:3], **({"priority": row[3]} if is_urgent else {})) for row in queue]
    scenario = make_scenario(banks, *payments, netting_batches=[0], rtgs=False)
    outcome = play(scenario)
    ordered = sorted(queue, key=lambda row: -row[3]) if is_urgent else queue
    expected = largest_set([row[:3] for row in ordered], dict(zip(names, money, strict=True)))
    assert Counter(row[2] for row in settled(outcome)) == expected


# Batches


def test_a_batch_nets_what_was_queued_and_nothing_settles_between(engine):
    """A has 10 and pays 10 at tick 0; nothing moves until tick 2, which nets 10 against 8, and again the next day."""
    banks = {"A": {"opening_balance": 10}, "B": {}}
    payments = [pay("A", "B", 10), pay("B", "A", 8, tick=1), pay("B", "A", 2, tick=3), pay("A", "B", 99, tick=3)]
    settings = {"netting_batches": [2], "rtgs": False, "lsm": {"enable_bilateral": True}, "ticks": 4, "days": 2}
    outcome = play(make_scenario(banks, *payments, **settings), engine)
    first = [(2, "LsmBatchSettlement", "A", "B", 10), (2, "LsmBatchSettlement", "B", "A", 8)]
    assert settled(outcome) == [*first, (6, "LsmBatchSettlement", "B", "A", 2)]
    assert outcome.final_balance.tolist() == [10, 0]
    assert [row["offset"] for row in outcome.events().to_pylist() if row["event"] == "LsmBatchSettlement"] == [0, 0, 1]
    table = outcome.payments().to_pylist()
    assert [row["route"] for row in table] == ["batch", "batch", "batch", None]
    assert outcome.indicators.system.unsettled == 99


def test_what_no_batch_settled_is_unsettled_at_the_end_of_the_day(engine):
    costs = {"eod_penalty_per_transaction": 7}
    payments = [pay("A", "B", 5), pay("A", "B", 6, tick=3)]
    scenario = make_scenario(
        {"A": {"opening_balance": 50}, "B": {}}, *payments, netting_batches=[1], rtgs=False, ticks=4, costs=costs
    )
    outcome = play(scenario, engine)
    assert settled(outcome) == [(1, "LsmBatchSettlement", "A", "B", 5)]
    assert charged(outcome, "A", "eod_penalty") == {3: 7}


def test_beside_gross_settlement_a_batch_takes_the_place_of_other_offsets(engine):
    payments = [pay(*banks, 5, tick) for tick in (0, 1) for banks in ("AB", "BA")]
    scenario = make_scenario(
        {"A": {}, "B": {}}, *payments, netting_batches=[1], lsm={"enable_bilateral": True}, ticks=2
    )
    kinds = [row[:2] for row in settled(play(scenario, engine))]
    assert kinds == [(0, "LsmBilateralOffset")] * 2 + [(1, "LsmBatchSettlement")] * 2


# Offsets on entry


def test_a_release_that_does_not_fit_settles_with_as_few_payments_back_as_both_bear(engine):
    """A's 3, 2 and 4 queue. B's 5 lack 2 with the first of them, and nothing with two; the third waits on."""
    queued = [pay("A", "B", amount) for amount in (3, 2, 4)]
    scenario = make_scenario({"A": {}, "B": {}}, *queued, pay("B", "A", 5, tick=1), ticks=2, lsm=ENTRY)
    outcome = play(scenario, engine)
    assert settled(outcome) == [(1, "LsmEntryOffset", *row) for row in [("B", "A", 5), ("A", "B", 3), ("A", "B", 2)]]
    assert outcome.final_queue2.tolist() == [1, 0]
    assert outcome.balances().to_pylist()[2]["queue2_value"] == 4
    assert outcome.indicators.system.share_by_route["on_entry"] == 1
    top = make_scenario(
        {"A": {}, "B": {}}, *queued, pay("B", "A", 5, tick=1), ticks=2, entry_disposition_offsetting=True
    )
    assert settled(play(top, engine)) == settled(outcome)


def test_a_release_joins_the_queue_where_no_number_of_payments_back_helps(engine):
    banks = {"A": {}, "B": {"opening_balance": 1}}
    scenario = make_scenario(banks, pay("A", "B", 9), pay("B", "A", 5), lsm=ENTRY)
    assert settled(play(scenario, engine)) == []  # A cannot pay its net of 4
    limited = {"A": {}, "B": {"opening_balance": 9, "bilateral_limits": {"A": 0}}}
    free = make_scenario({"A": {}, "B": {}}, pay("A", "B", 5), pay("B", "A", 5), lsm=ENTRY)
    assert len(settled(play(free, engine))) == 2
    bound = make_scenario(limited, pay("A", "B", 5), pay("B", "A", 6), lsm=ENTRY)
    assert settled(play(bound, engine)) == []  # B has 9, and a net of 1 is beyond its limit


def test_in_a_strict_queue_only_first_payments_offset_a_release(engine):
    payments = [pay("A", "C", 1), pay("A", "B", 5), pay("B", "A", 5)]
    strict = {"queue2": {"release": "strict"}}
    assert settled(play(make_scenario(NOBODY_HAS_MONEY, *payments, lsm=ENTRY, **strict), engine)) == []
    assert len(settled(play(make_scenario(NOBODY_HAS_MONEY, *payments, lsm=ENTRY), engine))) == 2


def test_pieces_of_a_release_settle_on_entry_one_after_another(engine):
    """7 in halves of 3 and 4 meet 4: the 3 do not fit, and the 4, which would, stay behind them."""
    splits = {"policy": {"version": "1", "policy_id": "a", "payment_tree": act("Split", num_splits=2)}}
    scenario = make_scenario(
        {"A": splits, "B": {}}, pay("B", "A", 4), pay("A", "B", 7, tick=1, is_divisible=True), ticks=2, lsm=ENTRY
    )
    assert settled(play(scenario, engine)) == []
    even = make_scenario(
        {"A": splits, "B": {}}, pay("B", "A", 3), pay("A", "B", 7, tick=1, is_divisible=True), ticks=2, lsm=ENTRY
    )
    outcome = play(even, engine)
    assert settled(outcome) == [(1, "LsmEntryOffset", "A", "B", 3), (1, "LsmEntryOffset", "B", "A", 3)]
    assert released(outcome)[-2:] == [(1, 3), (1, 4)]


# The cap of edges


@pytest.mark.parametrize(("edges", "cuts", "count"), [(2, 2, 0), (3, 0, 3), (10_000, 0, 3)])
def test_the_outcome_counts_the_ticks_in_which_a_cap_cut_the_search_for_cycles(engine, edges, cuts, count):
    """A ring has three edges: the third closes it."""
    ring = [pay("A", "B", 5), pay("B", "C", 5), pay("C", "A", 5)]
    lsm = {"enable_cycles": True, "max_cycle_edges": edges}
    outcome = play(make_scenario(NOBODY_HAS_MONEY, *ring, ticks=2, lsm=lsm), engine)
    assert (outcome.cycle_search_cuts, len(settled(outcome))) == (cuts, count)


def test_a_report_of_a_run_says_in_how_many_ticks_the_search_for_cycles_was_cut(capsys):
    ring = [pay("A", "B", 5), pay("B", "C", 5), pay("C", "A", 5)]
    lsm = {"enable_cycles": True, "max_cycle_edges": 2}
    outcome = play(make_scenario(NOBODY_HAS_MONEY, *ring, ticks=2, lsm=lsm))
    print_report(report_of(outcome, scenario="ring.yaml", seed=0, ticks=2))
    assert "cut short in 2 of 2 ticks: raise lsm_config.max_cycle_edges" in capsys.readouterr().out


# What is refused


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"netting_batches": [1, 4]}, "netting_batches.1: tick 4 is past the day's last, 3"),
        ({"netting_batches": [1, 2, 1]}, "netting_batches.2: tick 1 stands twice"),
        ({"rtgs": False}, "rtgs: false: nothing would settle; say when, as netting_batches: [3]"),
        ({"rtgs": False, "netting_batches": []}, "rtgs: false: nothing would settle"),
        ({"netting_batches": [-1]}, "netting_batches.0"),
        ({"lsm": {"enable_multilateral": None}}, "lsm_config.enable_multilateral"),
        ({"lsm": {"max_cycle_edges": 0}}, "lsm_config.max_cycle_edges"),
        ({"lsm": ENTRY, "entry_disposition_offsetting": True}, "entry_disposition_offsetting: stands in lsm_config"),
    ],
)
def test_a_wrong_setting_of_netting_is_refused_with_its_place(keys, problem):
    with pytest.raises(ValidationError) as refused:
        make_scenario({"A": {}, "B": {}}, ticks=4, **keys)
    assert problem in str(refused.value)


@pytest.mark.parametrize("keys", [{"lsm": NET}, {"lsm": ENTRY}, {"netting_batches": [0]}])
def test_an_allocation_is_not_stepped_over_where_payments_are_netted(keys):
    assert may_step(prepare(make_scenario({"A": {}, "B": {}})), 0)
    assert not may_step(prepare(make_scenario({"A": {}, "B": {}}, **keys)), 0)
