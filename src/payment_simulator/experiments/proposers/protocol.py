"""What the loop asks of a proposer, and what it tells one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from labledger.errors import LabledgerError
from payment_simulator.experiments.config import PolicyConstraints
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.scenario.schema import Scenario


class UnusableAnswerError(LabledgerError):
    """An answer that is no policy: what is wrong with it goes back to the proposer."""


class EndpointError(LabledgerError):
    """The model's server cannot be used: unreachable, misconfigured, or failing again and again."""


@dataclass(frozen=True)
class Interaction:
    """One answer of a model: what it cost, and what was said. Tokens as the provider counts them, None if silent."""

    prompt_tokens: int | None
    completion_tokens: int | None
    latency_seconds: float
    model: str | None = None
    prompt: str | None = None
    response: str | None = None


@dataclass(frozen=True)
class Attempt:
    """What was proposed for a bank before, and what came of it; costs in cents, None where it was not priced."""

    iteration: int
    policy: PolicyDocument | None
    accepted: bool
    reason: str
    old_cost: int | None = None
    new_cost: int | None = None


@dataclass(frozen=True)
class DecisionContext:
    """What a proposer may know as it decides for one bank. Costs are means over the draws, in cents.

    `price` gives the bank's own cost of each of several policies, the other banks' fixed, on draws that are the
    proposer's own. `costs` has them by kind, for every bank, under the policies that hold now. `rejected` are the
    answers to this very question that were refused, oldest first, each with the reason.
    """

    agent_id: str
    iteration: int
    scenario: Scenario
    constraints: PolicyConstraints
    policies: Mapping[str, PolicyDocument]
    costs: Mapping[str, Mapping[str, int]]
    price: Callable[[Sequence[PolicyDocument]], list[float]]
    history: Sequence[Attempt] = ()
    rejected: Sequence[tuple[str, str]] = field(default=())


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
        """What the last answer cost; None where no model was asked."""
        ...
