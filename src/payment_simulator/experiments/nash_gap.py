"""The Nash gap, a profile's distance from an equilibrium: the most that one bank could still save by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from labledger.intervals import mean_interval
from payment_simulator.experiments.config import AllowedParameter
from payment_simulator.experiments.evaluator import Cents, Evaluator, Profile, Purpose, mean_cents
from payment_simulator.experiments.parameters import grid, value_of, with_value
from payment_simulator.policy.documents import PolicyDocument


@dataclass(frozen=True, order=True)
class NashGap:
    """Cents; `half_width` is that of the interval of `cents`, 0 where nothing is sampled."""

    cents: int
    half_width: int


def find_nash_gap(
    evaluator: Evaluator, profile: Profile, agents: Sequence[str], parameters: Sequence[AllowedParameter], level: float
) -> NashGap | None:
    """Return the largest over `agents` of own cost less its least over a grid, the others' policies fixed; cents.

    The grid is of 21 values of each parameter, one parameter at a time, and what it is now. When sampled, the best
    response is chosen on the first half of the draws and evaluated on the other: on the same draws it would look better
    than it is. None where no bank's policy has any of the parameters.
    """
    gaps = []
    for agent_id in agents:
        others = list(_deviations(evaluator, profile, agent_id, parameters))
        if others:
            costs = evaluator.own_costs(profile, agent_id, [profile[agent_id], *others], Purpose.NASH_GAP)
            gaps.append(_gap(costs, level) if evaluator.is_sampled else NashGap(int(costs[0, 0] - costs.min()), 0))
    return max(gaps, default=None)


def _deviations(
    evaluator: Evaluator, profile: Profile, agent_id: str, parameters: Sequence[AllowedParameter]
) -> Iterator[PolicyDocument]:
    agent = next(each for each in evaluator.scenario.agents if each.id == agent_id)
    for parameter in parameters:
        now = value_of(profile[agent_id], agent, parameter.name)
        if now is not None:
            yield from (with_value(profile[agent_id], parameter.name, value) for value in grid(parameter))


def _gap(costs: Cents, level: float) -> NashGap:
    half = costs.shape[1] // 2
    best = int(np.argmin(costs[:, :half].sum(axis=1)))
    savings = costs[0, half:] - costs[best, half:]
    interval = mean_interval(savings.tolist(), level=level)
    return NashGap(max(mean_cents(savings), 0), int(np.ceil((interval.high - interval.low) / 2)))
