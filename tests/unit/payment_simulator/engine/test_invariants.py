"""Invariants of every run: money is conserved, floors hold, and the events record all of it."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from scenarios import NETTED, SETTLEMENTS, on_any_scenario, replayed

from payment_simulator.engine.vocabulary import COSTS
from payment_simulator.scenario.numbers import exact

TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])


def events_of(drawn, engine="kernel"):
    return drawn.play(engine).events().to_pylist()


def floor_of(agent, cap, posted):
    """The least that a balance may become."""
    return -cap - int(posted * (1 - exact(agent.collateral_haircut)) // 1)


def moments(drawn):
    return list(replayed(events_of(drawn), drawn.scenario))


@TIMES
def test_money_is_conserved_in_every_tick(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        outcome = drawn.play("kernel")
        events = outcome.events().to_pylist()
        lent = sum(row["amount"] for row in events if row["event"] == "LiquidityAllocated")
        money = lent + sum(agent.opening_balance for agent in drawn.scenario.agents)
        reset = Counter({-1: money})
        for row in events:
            if row["event"] == "BalanceReset":
                reset[row["tick"]] += row["amount"]
        at_the_end_of = {moment.tick: sum(moment.balance.values()) for moment in replayed(events, drawn.scenario)}
        for tick, found in at_the_end_of.items():
            assert found == sum(cents for when, cents in reset.items() if when <= tick)
        assert outcome.final_balance.sum() == reset.total()

    holds()


@TIMES
def test_no_balance_falls_below_its_credit_floor(times):
    """One that is below it, because the floor was raised, only rises."""

    @on_any_scenario(40 * times)
    def holds(drawn):
        agents = {agent.id: agent for agent in drawn.scenario.agents}
        below = [
            (moment.tick, name)
            for before, moment in pairwise(moments(drawn))
            for name, agent in agents.items()
            if moment.balance[name] < before.balance[name]
            and moment.balance[name] < floor_of(agent, moment.cap[name], moment.posted[name])
        ]
        assert below == []

    holds()


@TIMES
def test_the_events_replayed_give_the_balances_and_the_costs(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        outcome = drawn.play("kernel")
        events = outcome.events().to_pylist()
        opening = [agent.opening_balance for agent in drawn.scenario.agents_by_id()]
        balances = [[moment.balance[name] for name in outcome.agent_ids] for moment in replayed(events, drawn.scenario)]
        assert [opening, *balances][-1] == outcome.final_balance.tolist()
        costs = Counter()
        for row in events:
            if row["event"] == "CostAccrual":
                costs[row["agent"], row["cost"]] += row["amount"]
        assert [[costs[name, kind] for kind in COSTS] for name in outcome.agent_ids] == outcome.costs.tolist()

    holds()


@TIMES
def test_each_payment_is_settled_at_most_once_and_only_whole_ones_are_counted(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        outcome = drawn.play("kernel")
        owed, paid, pieces = {}, defaultdict(int), Counter()
        for row in outcome.events().to_pylist():
            if row["event"] == "Arrival":
                owed[row["payment"]] = (row["agent"], row["amount"])
            elif row["event"] in SETTLEMENTS:
                paid[row["payment"]] += row["amount"]
                pieces[row["payment"], row["piece"]] += 1
        assert set(pieces.values()) <= {1}
        assert all(paid[name] <= amount for name, (_, amount) in owed.items())
        whole = Counter(bank for name, (bank, amount) in owed.items() if paid[name] == amount)
        assert [whole[name] for name in outcome.agent_ids] == outcome.settled.tolist()
        assert sum(paid.values()) == outcome.settled_value

    holds()


@TIMES
def test_no_cost_is_ever_negative(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        outcome = drawn.play("kernel")
        assert (outcome.costs >= 0).all()
        assert all(row["amount"] > 0 for row in outcome.events().to_pylist() if row["event"] == "CostAccrual")
        assert np.array_equal(outcome.costs.sum(axis=1), outcome.total_cost)

    holds()


@TIMES
def test_an_offset_always_settles_value_and_is_part_of_what_settled(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        outcome = drawn.play("kernel")
        offsets = [row for row in outcome.events().to_pylist() if row["offset"] is not None]
        senders = defaultdict(set)
        for row in offsets:
            if row["event"] not in NETTED:  # what one bank alone can pay is netted, too
                senders[row["offset"]].add(row["agent"])
        assert all(row["amount"] > 0 for row in offsets)
        assert all(len(banks) >= 2 for banks in senders.values())
        assert sum(row["amount"] for row in offsets) == outcome.lsm_value <= outcome.settled_value

    holds()
