"""The values that a search gives to each parameter of a policy: one for all that do the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.allocation_search import reads_fraction
from payment_simulator.experiments.parameters import fitted, range_of, value_of, with_value
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.policy.builtin import Trees
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import FRACTION, read_policy
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.numbers import exact
from payment_simulator.scenario.scenario_events import BalanceReset, DirectTransfer
from payment_simulator.scenario.schema import Scenario

LEVELS = 10_000
"""Equal parts of a range without end, beyond which no search looks closer."""
MAX_DIGITS = 15
"""A decimal of so many digits is the double that is nearest to it, written."""
LARGEST_POOL = 10**MAX_DIGITS
"""Up to it each cent of a pool has a fraction of so many digits."""
ROUNDING: dict[str, Callable[[Fraction], int]] = {"urgency_threshold": floor, "target_buffer": ceil}
"""The whole number that the engine makes of a built-in policy's parameter."""

Bounds = Callable[[str], tuple[int, int]]


@dataclass(frozen=True)
class ValueRange:
    """The values of one parameter, by number from 0 to `size` - 1, rising.

    `is_whole` is True where any value that is allowed does the same as one of them. `allocations` are the cents of the
    pool that they stand for, where nothing else follows from them.
    """

    name: str
    size: int
    value: Callable[[int], float]
    is_whole: bool
    allocations: Sequence[int] | None = None


def value_ranges(
    held: PolicyDocument, parameters: Sequence[AllowedParameter], scenario: Scenario, agent_id: str, arrivals: Arrivals
) -> list[ValueRange]:
    """Return the range of each of `parameters` that the policy has; one without an allowed value is left out."""
    agent = next(each for each in scenario.agents if each.id == agent_id)
    had = [each for each in parameters if value_of(held, agent, each.name) is not None]
    found = [_value_range(held, each, agent, partial(_bounds, scenario, agent, arrivals)) for each in had]
    return [each for each in found if each.size]


def fraction_of(allocation: int, pool: int, low: Fraction, high: Fraction) -> float:
    """Return the shortest decimal from `low` to `high` that allocates so many cents of `pool`; of several the least.

    The engine takes floor(pool x decimal) of the decimal as it is written, so it is one of those in
    [allocation / pool, (allocation + 1) / pool). Where 15 digits do not reach into the part of it that is allowed, that
    is the written `low` or `high`, one of which then lies in it.
    """
    least = max(low, Fraction(allocation, pool)) if pool else low
    for digits in range(MAX_DIGITS + 1):
        found = Fraction(ceil(least * 10**digits), 10**digits)
        if found <= high and pool * found // 1 == allocation:
            return float(found)
    return float(low if pool * low // 1 == allocation else high)


def _value_range(held: PolicyDocument, parameter: AllowedParameter, agent: Agent, bounds: Bounds) -> ValueRange:
    policy, name = read_policy(held)[0], parameter.name
    if name == FRACTION and not reads_fraction(policy):
        is_countable = agent.liquidity_pool <= LARGEST_POOL
        return _allocations(parameter, agent.liquidity_pool) if is_countable else _values(parameter)
    if isinstance(policy, Trees):
        found = _values(parameter)
        return found if _is_read(held, parameter) else replace(found, size=min(found.size, 1), is_whole=True)
    return _of_effects(parameter, ROUNDING[name], *bounds(name))


def _allocations(parameter: AllowedParameter, pool: int) -> ValueRange:
    """Return the fractions that allocate different cents: all whole ones from the range's least to its most."""
    low, high = map(exact, range_of(parameter))
    if parameter.allowed_values is not None or parameter.param_type == "int":
        by_cents = {int(pool * exact(each) // 1): each for each in reversed(_allowed(parameter))}
        cents = sorted(by_cents)
        return _listed(parameter.name, [by_cents[each] for each in cents], cents)
    found = range(int(pool * low // 1), int(pool * high // 1) + 1)
    return ValueRange(
        parameter.name, len(found), lambda number: fraction_of(found[number], pool, low, high), True, found
    )


def _of_effects(
    parameter: AllowedParameter, rounding: Callable[[Fraction], int], least: int | None = None, most: int | None = None
) -> ValueRange:
    """Return a value for each whole number that the engine makes of an allowed one.

    All numbers up to `least` do the same, and all from `most` on.
    """

    def effect(number: int) -> int:
        number = number if least is None else max(number, least)
        return number if most is None else min(number, most)

    if parameter.allowed_values is not None:
        by_effect = {effect(rounding(exact(each))): each for each in reversed(_allowed(parameter))}
        return _listed(parameter.name, [by_effect[each] for each in sorted(by_effect)])
    low, high = map(exact, range_of(parameter))
    first, last = (ceil(low), floor(high)) if parameter.param_type == "int" else (rounding(low), rounding(high))
    if first > last:
        return _listed(parameter.name, [])
    ends = (effect(first), effect(last))
    begin = min(max(ends[0], first), last)
    size = ends[1] - ends[0] + 1
    return ValueRange(parameter.name, size, lambda number: float(min(max(Fraction(begin + number), low), high)), True)


def _values(parameter: AllowedParameter) -> ValueRange:
    """Return the values themselves, of which each may do something else; of a range without an end of them `LEVELS`."""
    if parameter.allowed_values is not None:
        return _listed(parameter.name, _allowed(parameter))
    if parameter.param_type == "int":
        return _of_effects(parameter, floor)
    low, high = range_of(parameter)

    def value(number: int) -> float:
        return min(max(fitted(parameter, low + (high - low) * number / LEVELS), low), high)

    return ValueRange(parameter.name, LEVELS + 1 if low < high else 1, value, low == high)


def _listed(name: str, values: Sequence[float], allocations: Sequence[int] | None = None) -> ValueRange:
    return ValueRange(name, len(values), lambda number: values[number], True, allocations)


def _allowed(parameter: AllowedParameter) -> list[float]:
    """Return the values that are listed, or all whole numbers of a range, rising."""
    low, high = range_of(parameter)
    values = parameter.allowed_values or [float(each) for each in range(ceil(low), floor(high) + 1)]
    return sorted({each for each in values if parameter.param_type == "float" or each == floor(each)})


def _is_read(held: PolicyDocument, parameter: AllowedParameter) -> bool:
    """Return True where the trees of a policy differ with the parameter's value."""
    (one, problems), (other, more) = (read_policy(with_value(held, parameter.name, value)) for value in (0.25, 0.75))
    return bool(problems or more) or replace(one, fraction=None) != replace(other, fraction=None)


def _bounds(scenario: Scenario, agent: Agent, arrivals: Arrivals, name: str) -> tuple[int, int]:
    """Return a number up to which all do the same in a built-in policy, and one from which on they do.

    urgency_threshold: a payment is released where its ticks to the deadline are at most the threshold. They are most as
    it arrives, and least in the last tick. target_buffer: one is released where the balance, less what is released in
    this step, less its amount of a cent at least, is at least the buffer. The balance never exceeds what the bank has
    at first, or is given anew, its pool and all that it is ever paid; the difference is never below what it has at
    first, or is given anew, less all that it ever pays, for each payment is settled, released or decided on once.
    Neither depends on what any bank does.
    """
    bank = scenario.agent_ids.index(agent.id)
    own = arrivals.sender == bank
    if name == "urgency_threshold":
        if not own.any():
            return 0, 0
        left = arrivals.deadline[own].astype(np.int64)
        return int(left.min()) - scenario.simulation.ticks, int((left - arrivals.tick[own]).max())
    paid, received = _most_of_a_sample(arrivals, own), _most_of_a_sample(arrivals, arrivals.receiver == bank)
    openings = [agent.opening_balance]
    for event in scenario.scenario_events:
        if isinstance(event, BalanceReset) and event.agent == agent.id:
            openings.append(event.opening_balance)
        elif isinstance(event, DirectTransfer):
            cents = event.amount * len(event.ticks(scenario.simulation.ticks))
            paid += cents * (event.from_agent == agent.id)
            received += cents * (event.to_agent == agent.id)
    return min(openings) - paid, max(openings) + agent.liquidity_pool + received


def _most_of_a_sample(arrivals: Arrivals, chosen: NDArray[np.bool_]) -> int:
    sums = np.concatenate([[0], np.cumsum(np.where(chosen, arrivals.amount, 0))])
    return int(np.diff(sums[arrivals.bounds]).max())
