"""The payments that a scenario makes a bank expect: their number and their value, in the mean over all draws."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from payment_simulator.scenario.bank_arrivals import MAX_DRAWN_AMOUNT, BankArrivals
from payment_simulator.scenario.distributions import (
    AmountDistribution,
    Empirical,
    Exponential,
    LogNormal,
    Normal,
    Uniform,
)
from payment_simulator.scenario.scenario_events import CustomTransactionArrival
from payment_simulator.scenario.schema import Scenario

CENT_BY_CENT = 1_000
"""Cents up to which the rounding of amounts to whole cents is worked out, where their mean is below it."""


@dataclass(frozen=True)
class ExpectedPayments:
    """Mean and standard deviation, over the draws of a run, of the number and the value in cents of a bank's payments.

    Numbers are Poisson, rate by rate as scenario events change it; a sum of N such amounts X has the variance
    E[N] E[X^2]. Payments that scenario events name, or that are given, are in every draw, and in both means.
    """

    number: float
    number_std: float
    value: float
    value_std: float


def expected_payments(scenario: Scenario) -> dict[str, ExpectedPayments]:
    """Return what each bank is expected to send in a run, by id."""
    numbers, values = given_totals(scenario)
    found = {}
    for sender, agent in enumerate(scenario.agents_by_id()):
        written = list(_written(scenario, agent.id))
        always = (len(written) + numbers[sender], sum(written) + values[sender])
        found[agent.id] = _expected(BankArrivals(scenario, sender, agent), *always)
    return found


def given_totals(scenario: Scenario) -> tuple[list[int], list[int]]:
    """Return number and value, in cents, of the given payments that each bank sends, in the order of their ids."""
    number, value = np.zeros((2, len(scenario.agents)), dtype=np.int64)
    if (given := scenario.given_payments) is not None:
        np.add.at(number, given.sender, 1)
        np.add.at(value, given.sender, given.amount)
    return number.tolist(), value.tolist()


def draws_payments(scenario: Scenario) -> bool:
    """Return True if payments of the scenario are drawn: its events and its file do not name all of them."""
    return any(config.rate_per_tick > 0 for agent in scenario.agents for _, config in agent.arrivals())


def amount_moments(amounts: AmountDistribution) -> tuple[float, float]:
    """Return E[X] and E[X^2] of an amount as it is drawn, in cents: of less than 1 cent, 1 is drawn.

    Amounts are rounded to whole cents. Where their mean is small that is worked out cent by cent, up to 1,000 cents;
    beyond, and of a larger mean, it is left out: it moves a mean by less than half a cent. So is what lies over 2^53
    cents, which no draw gives.
    """
    first, second = _moments(amounts)
    return min(first, MAX_DRAWN_AMOUNT), min(second, MAX_DRAWN_AMOUNT**2)


def _moments(amounts: AmountDistribution) -> tuple[float, float]:
    if isinstance(amounts, Uniform):
        low, high = amounts.min, amounts.max
        mean, steps = (low + high) / 2, high - low + 1
        return mean, mean**2 + (steps**2 - 1) / 12
    if isinstance(amounts, Empirical):
        values = amounts.values or [1]
        return sum(values) / len(values), sum(value * value for value in values) / len(values)
    if isinstance(amounts, Exponential):
        return _rounded(_of_exponential(amounts), amounts.mean)
    if isinstance(amounts, Normal):
        return _rounded(_of_normal(amounts), amounts.mean) if amounts.std_dev else _always(amounts.mean)
    mean, square = amounts.moments
    spread = math.sqrt(amounts.log_scale[1])
    if spread == 0:
        return _always(mean)
    if not spread < math.inf:  # a spread that no double holds
        return max(mean, 1.0), max(square, 1.0)
    return _rounded(_of_log_normal(amounts), mean)


def _always(cents: float) -> tuple[float, float]:
    """Return the moments of an amount that is always the same."""
    only = max(math.floor(cents + 0.5), 1.0)
    return only, only**2


_Beyond = Callable[[float], tuple[float, float, float]]
"""For an amount X that is not rounded, and a limit of 1 or more: P(X > limit), E[max(X - limit, 0)], and
E[max(X^2 - limit^2, 0)].
"""


def _rounded(beyond: _Beyond, mean: float) -> tuple[float, float]:
    """Return E[N] and E[N^2] of N = max(round(X), 1): 1 + sum over k >= 1 of P(N > k), and of (2k + 1) P(N > k).

    N is above k where X is above k + 1/2. From the last whole cent on, sums are integrals.
    """
    last = CENT_BY_CENT if mean < CENT_BY_CENT else 1
    above = [beyond(cents + 0.5)[0] for cents in range(1, last)]
    _, first, second = beyond(last)
    squares = ((2 * cents + 1) * share for cents, share in enumerate(above, start=1))
    return 1 + math.fsum(above) + first, 1 + math.fsum(squares) + second


def _of_exponential(amounts: Exponential) -> _Beyond:
    mean = amounts.mean

    def beyond(limit: float) -> tuple[float, float, float]:
        above = math.exp(-limit / mean)
        return above, mean * above, 2 * mean * (limit + mean) * above

    return beyond


def _of_normal(amounts: Normal) -> _Beyond:
    mean, std = amounts.mean, amounts.std_dev

    def beyond(limit: float) -> tuple[float, float, float]:
        at = (mean - limit) / std
        above, density = _phi(at), math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
        first = (mean - limit) * above + std * density
        return above, first, (mean * mean - limit * limit + std * std) * above + std * (mean + limit) * density

    return beyond


def _of_log_normal(amounts: LogNormal) -> _Beyond:
    location, variance = amounts.log_scale
    (mean, square), scale = amounts.moments, math.sqrt(variance)

    def beyond(limit: float) -> tuple[float, float, float]:
        at = location - math.log(limit)
        above = _phi(at / scale)
        first = mean * _phi((at + variance) / scale) - limit * above
        return above, first, square * _phi((at + 2 * variance) / scale) - limit * limit * above

    return beyond


def _phi(at: float) -> float:
    """Return the standard normal distribution function."""
    return math.erfc(-at / math.sqrt(2)) / 2


def _expected(bank: BankArrivals, always: int, cents: int) -> ExpectedPayments:
    """Return what is expected of a bank with so many payments, of `cents` together, in every draw."""
    number = value = variance = 0.0
    for config, count in bank.expected_numbers:
        mean, square = amount_moments(config.amount_distribution)
        number, value, variance = number + count, value + count * mean, variance + count * square
    return ExpectedPayments(always + number, math.sqrt(number), cents + value, math.sqrt(variance))


def _written(scenario: Scenario, agent_id: str) -> Iterator[int]:
    """Yield the amount of each payment of the bank that scenario events name."""
    for event in scenario.scenario_events:
        if isinstance(event, CustomTransactionArrival) and event.from_agent == agent_id:
            yield from [event.amount] * len(event.ticks(scenario.simulation.ticks))
