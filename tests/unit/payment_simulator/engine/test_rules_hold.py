"""Limits, reservations and strict queues hold in every run, as its events alone tell."""

from collections import Counter
from itertools import groupby

import pytest
from scenarios import SETTLEMENTS, at_once, on_any_scenario, replayed

from payment_simulator.engine.vocabulary import PriorityClass, class_of
from payment_simulator.scenario.limit_sections import Limits, Reservations
from payment_simulator.scenario.numbers import exact

TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])


def days_of(drawn):
    """The events that happen at once, day by day, each with the priorities of its payments at that moment."""
    priority = {}
    moments = []
    for rows in at_once(drawn.play("kernel").events().to_pylist()):
        priority |= {row["payment"]: row["priority"] for row in rows if row["priority"] is not None}
        moments.append((rows, {row["payment"]: priority.get(row["payment"]) for row in rows}))
    ticks = drawn.scenario.simulation.ticks_per_day
    for _, found in groupby(moments, lambda moment: moment[0][0]["tick"] // ticks):
        yield [*found]


def limits_of(scenario):
    """The limits that banks begin with, by bank and counterparty, None for all; and the banks whose are gross."""
    found, gross = {}, set()
    for agent in scenario.agents:
        limits = agent.all_limits or Limits()
        found |= {(agent.id, name): limit for name, limit in limits.bilateral_limits.items()}
        if limits.multilateral_limit is not None:
            found[agent.id, None] = limits.multilateral_limit
        if limits.measure == "gross":
            gross.add(agent.id)
    return found, gross


@TIMES
def test_nothing_settles_that_raises_a_position_beyond_its_limit(times):
    @on_any_scenario(60 * times)
    def holds(drawn):
        limits, gross = limits_of(drawn.scenario)
        for day in days_of(drawn):
            position = Counter()
            for rows, _ in day:
                before = position.copy()
                for row in rows:
                    bank, other, cents = row["agent"], row["counterparty"], row["amount"]
                    if row["event"] == "LimitChanged":
                        limits[bank, other] = cents
                    elif row["event"] in SETTLEMENTS:
                        position.update({(bank, other): cents, (bank, None): cents})
                        if other not in gross:
                            position.subtract({(other, bank): cents, (other, None): cents})
                beyond = [key for key, limit in limits.items() if before[key] < position[key] > limit]
                assert beyond == []

    holds()


@TIMES
def test_nothing_settles_out_of_liquidity_that_is_reserved_for_a_higher_class(times):
    @on_any_scenario(60 * times)
    def holds(drawn):
        agents = {agent.id: agent for agent in drawn.scenario.agents}
        reserved = {name: agent.reservations or Reservations() for name, agent in agents.items()}
        moments = replayed(drawn.play("kernel").events().to_pylist(), drawn.scenario)
        before = None
        for day in days_of(drawn):
            settled = Counter()
            for rows, priority in day:
                own = [row for row in rows if row["event"] in SETTLEMENTS]
                for bank in {row["agent"] for row in own}:
                    out = sum(row["amount"] * ((row["agent"] == bank) - (row["counterparty"] == bank)) for row in own)
                    lowest = min(class_of(priority[row["payment"]]) for row in own if row["agent"] == bank)
                    left = [
                        max(reserved[bank].urgent - settled[bank, PriorityClass.URGENT], 0) * (lowest < 2),
                        max(reserved[bank].normal - settled[bank, PriorityClass.NORMAL], 0) * (lowest < 1),
                    ]
                    worth = int(before.posted[bank] * (1 - exact(agents[bank].collateral_haircut)) // 1)
                    has = before.balance[bank] + before.cap[bank] + worth
                    assert out <= max(has - sum(left), 0)
                for row in own:
                    settled[row["agent"], class_of(priority[row["payment"]])] += row["amount"]
                before = next(moments)

    holds()


@TIMES
def test_no_payment_passes_one_of_its_bank_that_stands_before_it_in_a_strict_queue(times):
    @on_any_scenario(60 * times)
    def holds(drawn):
        if drawn.scenario.queue2.release != "strict" or drawn.scenario.queue_order != "fifo":
            return
        waiting = {}
        for day in days_of(drawn):
            for rows, _ in day:
                settled = [row for row in rows if row["event"] in SETTLEMENTS]
                for row in settled:
                    waiting.get(row["agent"], set()).discard(place(row))
                for row in settled:
                    assert all(place(row) < other for other in waiting.get(row["agent"], ()))
                for row in rows:
                    if row["event"] == "Queued":
                        waiting.setdefault(row["agent"], set()).add(place(row))

    holds()


def place(row):
    """The place of a piece among all of its bank's, as they came."""
    return int(row["payment"].rpartition("-")[2]), row["piece"]
