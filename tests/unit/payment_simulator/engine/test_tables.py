"""The outcome of a run as tables: what they say is what the events, replayed in plain Python, say."""

import numpy as np
import pyarrow as pa
import pytest
from scenarios import SETTLEMENTS, make_scenario, on_any_scenario, pay, play, replayed, trees
from scenarios import act as action

from payment_simulator.engine.vocabulary import COSTS, ROUTES
from payment_simulator.scenario.given_payments import GivenPayments

NAMES = {kind.name: route for kind, route in ROUTES.items()}


def by_cell(table, *columns):
    return {(row["tick"], row["bank"]): [row[name] for name in columns] for row in table.to_pylist()}


def test_balances_and_collateral_after_each_tick_are_those_of_the_events_replayed():
    @on_any_scenario(6)
    def holds(drawn):
        outcome = drawn.play("reference")
        found = by_cell(outcome.balances(), "balance", "credit_used", "posted_collateral")
        balance = {agent.id: agent.opening_balance for agent in drawn.scenario.agents}
        posted = {agent.id: agent.posted_collateral for agent in drawn.scenario.agents}
        moments = {moment.tick: moment for moment in replayed(outcome.events().to_pylist(), drawn.scenario)}
        for tick in range(drawn.scenario.simulation.ticks):
            if tick in moments:
                balance, posted = moments[tick].balance, moments[tick].posted
            for bank in outcome.agent_ids:
                assert found[tick, bank] == [balance[bank], max(0, -balance[bank]), posted[bank]]

    holds()


def test_queues_hold_what_is_unsettled_and_not_dropped():
    @on_any_scenario(6)
    def holds(drawn):
        outcome = drawn.play("reference")
        last, a_day = drawn.scenario.simulation.ticks - 1, drawn.scenario.simulation.ticks_per_day
        queues = ("queue1_value", "queue2_value", "queue1_payments", "queue2_payments")
        found = by_cell(outcome.balances(), *queues)
        events = outcome.events().to_pylist()
        for number, bank in enumerate(outcome.agent_ids):
            _, _, *counts = found[last, bank]
            assert counts == [outcome.final_queue1[number], outcome.final_queue2[number]]
            for tick in range(a_day - 1, last + 1, a_day):
                mine = [row for row in events if row["agent"] == bank]
                gone = [row for row in mine if row["event"] == "PolicyDrop" and row["tick"] <= tick]
                (end,) = (row for row in mine if row["event"] == "EndOfDay" and row["tick"] == tick)
                value1, value2, count1, count2 = found[tick, bank]
                assert value1 + value2 + sum(row["amount"] for row in gone) == end["amount"]
                assert count1 + count2 + len(gone) == end["count"]

    holds()


def test_a_row_per_payment_says_what_its_events_say():
    @on_any_scenario(6)
    def holds(drawn):
        outcome = drawn.play("reference")
        of_payment = {}
        for row in outcome.events().to_pylist():
            if row["payment"] is not None:
                of_payment.setdefault(row["payment"], []).append(row)
        rows = outcome.payments().to_pylist()
        assert [row["payment"] for row in rows] == [*of_payment]
        for row in rows:
            events = of_payment[row["payment"]]
            arrival, pieces = events[0], [each for each in events if each["event"] in SETTLEMENTS]
            assert [row[name] for name in ("sender", "receiver", "amount", "priority", "deadline", "divisible")] == [
                arrival[name] for name in ("agent", "counterparty", "amount", "priority", "deadline", "divisible")
            ]
            assert row["arrived"] == arrival["tick"]
            assert {row["released"]} >= {each["tick"] for each in events if each["event"] == "Submitted"}
            assert row["settled_value"] == sum(each["amount"] for each in pieces)
            is_whole = row["settled_value"] == row["amount"]
            assert row["settled"] == (pieces[-1]["tick"] if is_whole else None)
            assert row["delay"] == (pieces[-1]["tick"] - arrival["tick"] if is_whole else None)
            ways = {NAMES[each["event"]] for each in pieces}
            assert row["route"] == ("mixed" if len(ways) > 1 else next(iter(ways), None))
            kinds = {each["event"] for each in events}
            assert (row["dropped"], row["overdue"]) == ("PolicyDrop" in kinds, "WentOverdue" in kinds)
        delays = [sum(row["delay"] or 0 for row in rows if row["sender"] == bank) for bank in outcome.agent_ids]
        assert delays == outcome.delay_ticks.tolist()

    holds()


def test_costs_by_tick_add_up_to_the_costs_of_the_run():
    scenario = make_scenario({"A": {"liquidity_pool": 90}, "B": {}}, pay("A", "B", 500), ticks=2, costs=RATES)
    outcome = play(scenario)
    rows = outcome.costs_by_tick().to_pylist()
    assert rows[0] == {"tick": 0, "bank": "A", "cost": "liquidity", "amount": 1}
    found = np.zeros_like(outcome.costs)
    for row in rows:
        found[outcome.agent_ids.index(row["bank"]), COSTS.index(row["cost"])] += row["amount"]
    assert found.tolist() == outcome.costs.tolist()


RATES = {"liquidity_cost_per_tick_bps": 100, "delay_cost_per_tick_per_cent": 0.1, "eod_penalty_per_transaction": 7}


def test_a_payment_whose_pieces_settle_in_several_ways_is_told_as_mixed():
    split = {"policy": trees(action("Split", num_splits=2)), "opening_balance": 50}
    later = pay("B", "A", 50, tick=1)
    agents = {"A": split, "B": {"opening_balance": 50}}
    scenario = make_scenario(agents, pay("A", "B", 100, is_divisible=True), later, ticks=2)
    row = play(scenario).payments().to_pylist()[0]
    assert (row["route"], row["released"], row["settled"], row["settled_value"]) == ("mixed", 0, 1, 100)


def with_file(ids=None, settled=None):
    """A scenario with a payment of its own before the two that a file gives it."""
    columns = {
        "tick": [0, 1],
        "sender": [0, 1],
        "receiver": [1, 0],
        "amount": [10, 20],
        "priority": [5, 5],
        "deadline": [3, 3],
        "divisible": [False, False],
    }
    given = GivenPayments(
        banks=("A", "B"),
        **{name: np.array(values) for name, values in columns.items()},
        ticks_per_day=4,
        num_days=1,
        ids=None if ids is None else pa.array(ids),
        settled=None if settled is None else np.array(settled),
    )
    agents = {"A": {"opening_balance": 99}, "B": {"opening_balance": 99}}
    return make_scenario(agents, pay("A", "B", 1), ticks=4).with_payments(given)


def test_payments_of_a_file_have_its_names_and_the_ticks_in_which_they_settled_there():
    table = play(with_file(["x", None], [2, -1])).payments()
    assert table["id"].to_pylist() == ["A-0", "x", "B-0"]
    assert table["payment"].to_pylist() == ["A-0", "A-1", "B-0"]
    assert table["settled_in_file"].to_pylist() == [None, 2, None]
    without = play(with_file()).payments()
    assert without["id"].to_pylist() == ["A-0", "A-1", "B-0"]
    assert without["settled_in_file"].null_count == 3


def test_a_frame_has_whole_numbers_also_where_some_are_missing():
    pytest.importorskip("pandas")
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 5), ticks=2)
    outcome = play(scenario)
    frame = outcome.to_pandas()
    assert str(frame["settled"].dtype) == "Int32"
    assert frame["settled"].isna().all()
    assert frame["amount"].tolist() == [5]
    lengths = [len(outcome.to_pandas(name)) for name in ("balances", "costs_by_tick", "events", "indicators")]
    assert lengths == [4, 0, outcome.events().num_rows, 6]


def test_the_events_say_what_balances_began_with_and_when_credits_count():
    scenario = make_scenario({"A": {"opening_balance": 7}, "B": {}}, pay("A", "B", 5), deferred_crediting=True)
    metadata = play(scenario).events().schema.metadata
    assert metadata[b"opening_balances"] == b'{"A": 7, "B": 0}'
    assert metadata[b"deferred_crediting"] == b"true"
