"""The interface of a proposer, and the data that the loop gives to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from labledger.errors import LabledgerError
from payment_simulator.experiments.best_response import BestResponse
from payment_simulator.experiments.policy_constraints import PolicyConstraints
from payment_simulator.experiments.proposers.own_view import OwnView
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.schema import Scenario


class UnusableAnswerError(LabledgerError):
    """An answer that is no policy: its problems go back to the proposer."""


class EndpointError(LabledgerError):
    """The model's server cannot be used: unreachable, misconfigured, or failing again and again."""


@dataclass(frozen=True)
class Interaction:
    """One answer of a model: its text, its cost and its latency. Tokens are the provider's count, None without one.

    `uncounted` is the reason why a count is None, where it is known.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    latency_seconds: float
    model: str | None = None
    prompt: str | None = None
    response: str | None = None
    uncounted: str | None = None


@dataclass(frozen=True)
class Attempt:
    """An earlier proposal for a bank and its verdict; costs in cents, None where it was not evaluated."""

    iteration: int
    policy: PolicyDocument | None
    accepted: bool
    reason: str
    old_cost: int | None = None
    new_cost: int | None = None


@dataclass(frozen=True)
class DecisionContext:
    """The facts that a proposer may use as it decides for one bank. Costs are means over the draws, in cents.

    `evaluate` gives the bank's own cost of each of several policies, the other banks' fixed, on draws that are the
    proposer's own. `costs` has them by kind, for every bank, under the policies in force. `rejected` are the
    answers to this very question that were refused, oldest first, each with the reason. `best_response` searches on the
    proposer's own draws for the parameters that cost the bank least: it yields None after each round, and at last the
    best that was found, or None where the policy has no parameter to vary. `own_view` simulates the policies in force
    and returns what the bank sees of its own payments, queue and liquidity.
    """

    agent_id: str
    iteration: int
    scenario: Scenario
    constraints: PolicyConstraints
    policies: Mapping[str, PolicyDocument]
    costs: Mapping[str, Mapping[str, int]]
    evaluate: Callable[[Sequence[PolicyDocument]], list[float]]
    best_response: Callable[[], Iterator[BestResponse | None]] = lambda: iter(())
    own_view: Callable[[], OwnView] | None = None
    history: Sequence[Attempt] = ()
    rejected: Sequence[tuple[str, str]] = field(default=())

    @property
    def bank(self) -> Agent:
        """The bank that decides, with the policy that it has now."""
        agent = next(each for each in self.scenario.agents if each.id == self.agent_id)
        return agent.model_copy(update={"policy": self.policies[self.agent_id]})


class Proposer(Protocol):
    """Proposes a policy that lowers one bank's own cost."""

    async def generate_policy(
        self, *, agent_id: str, prompt: str, current_policy: PolicyDocument, context: DecisionContext
    ) -> Any:
        """A policy: a document, or a `Policy`.

        Raises:
            UnusableAnswerError: the answer is none; the proposer is asked again, with the reason.
            EndpointError: there will be no answer.
        """
        ...

    def get_last_interaction(self) -> Interaction | None:
        """Return the cost and text of the last answer; None where no model was asked."""
        ...
