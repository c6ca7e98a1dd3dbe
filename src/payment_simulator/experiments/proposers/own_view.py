"""The flows, queue and liquidity of a bank under the policies in force, as the bank itself sees them.

Where payments are drawn, the figures are means over the first draws of the evaluation: exact, rounded half up once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.outcome import Outcome
from payment_simulator.engine.reference.banks import Bank, open_bank
from payment_simulator.engine.simulate import simulate
from payment_simulator.engine.vocabulary import ROUTES, EventColumn
from payment_simulator.experiments.evaluator import Evaluator, Profile, Purpose, mean_cents
from payment_simulator.experiments.parameters import numbers_of
from payment_simulator.scenario.arrivals import Arrivals

MAX_DRAWS = 20
"""Draws that are simulated for it, at most."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class OwnView:
    """A bank's figures by tick: cents settled out of it and into it, and what waits, in cents and payments, at its end.

    `draws` of the `of_draws` are in the means. `peak_liquidity` is the most of its own liquidity that it used, as
    `Outcome.liquidity_used`, and `most_peak_liquidity` the largest of the draws. `mean_delay` is in ticks, over what
    settled; None where nothing did. `fields` has the bank's money when the run begins, in cents, by the names that a
    decision tree asks for; `parameters` are the numbers of the policy that it has.
    """

    draws: int
    of_draws: int
    value_out: tuple[int, ...]
    value_in: tuple[int, ...]
    waiting_value: tuple[int, ...]
    waiting: tuple[float, ...]
    peak_liquidity: int
    most_peak_liquidity: int
    mean_delay: float | None
    unsettled_value: int
    fields: Mapping[str, int]
    parameters: Mapping[str, float]


def own_view(evaluator: Evaluator, profile: Profile, agent_id: str) -> OwnView:
    """Return the view that a bank has of its own day under a profile.

    Raises:
        ConfigError: a policy is invalid, or a cost could exceed the range that is counted exactly.
    """
    scenario, arrivals = evaluator.scenario, evaluator.arrivals(Purpose.EVALUATION)
    prepared, agent = evaluator.prepared(profile), next(each for each in scenario.agents if each.id == agent_id)
    bank, draws = scenario.agent_ids.index(agent_id), min(arrivals.samples, MAX_DRAWS)
    flows, peaks, delay, settled = [], [], 0, 0
    for number in range(draws):
        sample = arrivals.sample(number)
        outcome = simulate(prepared, sample, record_events=True)
        flows.append(_flows(outcome, sample, bank, scenario.simulation.ticks))
        peaks.append(int(outcome.liquidity_used[bank]))
        delay, settled = delay + int(outcome.delay_ticks[bank]), settled + int(outcome.settled[bank])
    out, into, waiting_value, waiting = np.array(flows).transpose(1, 2, 0)
    return OwnView(
        draws=draws,
        of_draws=arrivals.samples,
        value_out=_means(out),
        value_in=_means(into),
        waiting_value=_means(waiting_value),
        waiting=tuple(float(each) for each in waiting.mean(axis=-1)),
        peak_liquidity=mean_cents(np.array(peaks)),
        most_peak_liquidity=max(peaks),
        mean_delay=delay / settled if settled else None,
        unsettled_value=mean_cents(waiting_value[-1]),
        fields=_fields(open_bank(agent, prepared.policies[bank])),
        parameters=numbers_of(profile[agent_id], agent),
    )


def _means(values: Ints) -> tuple[int, ...]:
    return tuple(mean_cents(each) for each in values)


def _flows(outcome: Outcome, arrivals: Arrivals, bank: int, ticks: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return by tick: cents settled out of a bank and into it, cents that wait at its end, and payments that do."""
    rows = outcome.rows
    assert rows is not None  # noqa: S101 - events were recorded
    rows = rows[np.isin(rows[:, EventColumn.event], [*ROUTES])]
    sent, received = rows[rows[:, EventColumn.agent] == bank], rows[rows[:, EventColumn.counterparty] == bank]
    out, into = (_by_tick(each[:, EventColumn.tick], each[:, EventColumn.amount], ticks) for each in (sent, received))
    (own,) = np.nonzero(arrivals.sender == bank)
    came, amount = arrivals.tick[own], arrivals.amount[own]
    is_settled = _by_tick(sent[:, EventColumn.payment], sent[:, EventColumn.amount], len(arrivals))[own] == amount
    gone = _settled_at(sent, len(arrivals))[own][is_settled]
    value = np.cumsum(_by_tick(came, amount, ticks) - out)
    number = np.cumsum(_by_tick(came, np.ones_like(came), ticks) - _by_tick(gone, np.ones_like(gone), ticks))
    return out, into, value, number


def _by_tick(tick: Ints, value: Ints, ticks: int) -> Ints:
    """Return the sum of the values of each tick, or of whatever counts from 0."""
    found = np.zeros(ticks, np.int64)
    np.add.at(found, tick, value)
    return found


def _settled_at(sent: Ints, payments: int) -> Ints:
    """Return the tick in which the last piece of each payment settled; 0 of one that has none."""
    found = np.zeros(payments, np.int64)
    np.maximum.at(found, sent[:, EventColumn.payment], sent[:, EventColumn.tick])
    return found


def _fields(bank: Bank) -> dict[str, int]:
    """Return the money of a bank that opens, what it borrows of its pool included, by the names of the grammar."""
    return {
        "balance": bank.balance,
        "effective_liquidity": bank.spendable_liquidity,
        "credit_used": bank.credit_used,
        "unsecured_cap": bank.agent.unsecured_cap,
        "posted_collateral": bank.posted,
        "max_collateral_capacity": bank.agent.max_collateral_capacity,
        "remaining_collateral_capacity": max(bank.agent.max_collateral_capacity - bank.posted, 0),
    }
