"""The proposer that needs nothing: it proposes the bank's best response, as far as it is found."""

import asyncio

from payment_simulator.experiments.proposers.protocol import DecisionContext
from payment_simulator.policy.documents import PolicyDocument


class SearchProposer:
    """Searches the policy's parameters together by the routine that the Nash gap uses; always the same."""

    async def generate_policy(
        self, *, agent_id: str, prompt: str, current_policy: PolicyDocument, context: DecisionContext
    ) -> PolicyDocument:
        """The best policy found on the proposer's own draws: the current one, if none is better.

        Raises:
            ConfigError: a policy could cost more than is counted exactly.
        """
        found = None
        for found in context.best_response():  # noqa: B007 - the last is the result
            await asyncio.sleep(0)  # here an interrupt is heard
        return current_policy if found is None else found.policy

    def get_last_interaction(self) -> None:
        """No model was asked."""
        return
