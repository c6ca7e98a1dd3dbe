"""The state of a run: its stored iterations and events, folded in their order.

A run that goes on and one that is resumed build it alike, so they decide alike.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import EventRecord
from payment_simulator.experiments.proposers.protocol import Attempt
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.policy.documents import PolicyDocument


@dataclass(frozen=True)
class Answer:
    """A proposer's answer: a policy as it is stored, or the problem with it; and its text."""

    policy: PolicyDocument | None
    problem: str | None
    words: str


def by_iteration(events: Iterable[EventRecord]) -> dict[int, list[EventRecord]]:
    """Return the events of each iteration, in their order."""
    found: dict[int, list[EventRecord]] = {}
    for event in events:
        found.setdefault(event.iteration, []).append(event)
    return found


def tokens_of(interaction: Mapping[str, Any]) -> int:
    """Return the tokens of an `llm_interaction`, prompt and completion; 0 where the provider gave none."""
    return (interaction.get("prompt_tokens") or 0) + (interaction.get("completion_tokens") or 0)


@dataclass
class ExperimentState:
    """`policies` are in force; `decided` are the banks that have decided in `iteration`, 0 before the first.

    `quiet` is True for each finished iteration in which nothing moved; `answers` are a model's for the bank that
    decides now, stored and not acted on yet.
    """

    policies: dict[str, PolicyDocument]
    optimized: Sequence[str]
    stability_threshold: float
    iteration: int = 0
    decided: set[str] = field(default_factory=set)
    quiet: list[bool] = field(default_factory=list)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)
    tokens: int = 0
    _moved: bool = False
    _evaluated: set[str] = field(default_factory=set)

    @classmethod
    def of_start(cls, config: ExperimentConfig, setup: ExperimentSetup) -> Self:
        """Return the state before the first iteration, with the scenario's own policies."""
        return cls(setup.profile(), setup.optimized(config), config.convergence.stability_threshold)

    @property
    def is_complete(self) -> bool:
        """True if every bank has decided in this iteration."""
        return self.iteration == 0 or self.decided >= set(self.optimized)

    def is_stable(self, window: int) -> bool:
        """Return True if the last `window` finished iterations were quiet."""
        return len(self.quiet) >= window and all(self.quiet[-window:])

    def begin(self, iteration: int) -> None:
        """Enter an iteration whose profile was evaluated and stored."""
        self.iteration = iteration
        self.decided.clear()
        self._evaluated.clear()
        self._moved = False

    def note(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Apply an event that was stored."""
        if event_type == "llm_interaction":
            self.tokens += tokens_of(data)
            self.answers.append(Answer(data["policy"], data["problem"], data["response"] or str(data["policy"])))
        elif event_type in ("policy_accepted", "policy_rejected"):
            self._decide(event_type == "policy_accepted", data)

    def _decide(self, accepted: bool, data: Mapping[str, Any]) -> None:
        agent_id, old, new = data["agent_id"], data["old_cost"], data["new_cost"]
        attempt = Attempt(self.iteration, data["policy"], accepted, data["reason"], old, new)
        self.attempts.setdefault(agent_id, []).append(attempt)
        if old is not None:
            self._evaluated.add(agent_id)
        if accepted:
            self.policies[agent_id] = data["policy"]
            self._moved = self._moved or old - new > self.stability_threshold * old
        if data["final"]:
            self.answers.clear()
            self.decided.add(agent_id)
            if self.is_complete:
                self.quiet.append(not self._moved and self._evaluated >= set(self.optimized))
