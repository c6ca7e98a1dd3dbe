"""The proposer that needs nothing: it tries values of the policy's parameters, and proposes the best that it found."""

import asyncio
from collections.abc import Iterable, Iterator

from payment_simulator.experiments.config import AllowedParameter
from payment_simulator.experiments.parameters import declared, fitted, grid, range_of, value_of, with_value
from payment_simulator.experiments.proposers.protocol import DecisionContext
from payment_simulator.policy.documents import PolicyDocument

COARSEST, FINEST = 40, 1_000
"""Around the best of the grid it is searched in steps of these parts of the range: from half the grid's on, halved."""


class SearchProposer:
    """Evaluates a grid of each parameter, one at a time, then closer and closer around the best; always the same."""

    async def generate_policy(
        self, *, agent_id: str, prompt: str, current_policy: PolicyDocument, context: DecisionContext
    ) -> PolicyDocument:
        """The best policy found on the proposer's own draws: the current one, if none is better.

        Raises:
            ConfigError: a policy could cost more than is counted exactly.
        """
        agent = next(each for each in context.scenario.agents if each.id == agent_id)
        best, least = current_policy, context.evaluate([current_policy])[0]
        for parameter in declared(context.constraints):
            values: Iterable[float] = grid(parameter)
            for step in _steps(parameter):
                await asyncio.sleep(0)  # here an interrupt is heard
                at = value_of(best, agent, parameter.name)
                if at is None:
                    break
                if step is not None:
                    low, high = range_of(parameter)
                    values = [fitted(parameter, each) for each in (at - step, at + step) if low <= each <= high]
                policies = [with_value(best, parameter.name, value) for value in values]
                costs = context.evaluate(policies)
                if costs and min(costs) < least:
                    least = min(costs)
                    best = policies[costs.index(least)]
        return best

    def get_last_interaction(self) -> None:
        """No model was asked."""
        return


def _steps(parameter: AllowedParameter) -> Iterator[float | None]:
    """None for the grid, then each step that is tried either way."""
    yield None
    low, high = range_of(parameter)
    part = COARSEST
    while parameter.allowed_values is None and high > low and part <= FINEST:
        yield (high - low) / part
        part *= 2
