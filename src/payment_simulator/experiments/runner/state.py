"""The state of a run: its stored iterations and events, folded in their order.

A run that goes on, one that is resumed and one that is replayed build it alike, so they decide and end alike.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from payment_simulator.experiments.config import Convergence, ExperimentConfig
from payment_simulator.experiments.persistence import EventRecord
from payment_simulator.experiments.proposers.protocol import Attempt
from payment_simulator.experiments.runner.halting import MAX_ITERATIONS, Course, FinishedIteration, Halt, halt_of
from payment_simulator.experiments.runner.profiles import Agents, is_same_policy
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.policy.documents import PolicyDocument

SEARCH = "search"
"""The name in `experiment_started` and `experiment_resumed` of the proposer that decides by the profile alone."""


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


BYTES_COUNT = "a token is counted for each byte of question and answer"


def is_counted(interaction: Mapping[str, Any]) -> bool:
    """True where the provider gave both counts of tokens of an `llm_interaction`."""
    return interaction.get("prompt_tokens") is not None and interaction.get("completion_tokens") is not None


def most_tokens_of(interaction: Mapping[str, Any]) -> int:
    """Return the tokens of an `llm_interaction`; where a count is unknown, one for each byte that went and came.

    A token stands for a byte or more of text, so what is seen of an answer has no more of them; of what a model thinks
    and does not show nothing is known.
    """
    if is_counted(interaction):
        return tokens_of(interaction)
    texts = (interaction.get("prompt"), interaction.get("response"))
    return max(tokens_of(interaction), sum(len(text.encode(errors="replace")) for text in texts if text))


@dataclass
class ExperimentState:
    """`policies` are in force; `decided` are the banks that have decided in `iteration`, 0 before the first.

    `start` counts the profiles that the run begins from; `finished` are the iterations of this start, `halts` the ends
    of those before it. `attempts` are of all starts. `answers` are a model's for the bank that decides now, stored and
    not acted on yet. `tokens` are those that providers counted, `spent` those and the most of the `uncounted` answers,
    not all of whose tokens are known.
    `refused` counts the answers that could not be evaluated; `refusals` has each bank's first.
    """

    policies: dict[str, PolicyDocument]
    optimized: Sequence[str]
    agents: Agents
    rules: Convergence
    is_search: bool
    is_sampled: bool
    iteration: int = 0
    start: int = 1
    decided: set[str] = field(default_factory=set)
    finished: list[FinishedIteration] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)
    tokens: int = 0
    spent: int = 0
    uncounted: int = 0
    refused: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    _before: int = 0
    _profile: dict[str, PolicyDocument] = field(default_factory=dict)
    _moved: bool = False
    _answered: set[str] = field(default_factory=set)
    _kept: set[str] = field(default_factory=set)
    _withheld: set[str] = field(default_factory=set)

    @classmethod
    def of_start(cls, config: ExperimentConfig, setup: ExperimentSetup, events: Iterable[EventRecord] = ()) -> Self:
        """Return the state before the first iteration, with the scenario's own policies.

        Of the stored `events` of a run, those from before its first iteration are applied.
        """
        state = cls(
            setup.profile(),
            setup.optimized(config),
            {agent.id: agent for agent in setup.scenario.agents},
            config.convergence,
            is_search=config.proposer == SEARCH,
            is_sampled=config.evaluation.mode != "deterministic",
        )
        for event in events:
            if event.iteration == 0:
                state.note(event.event_type, event.event_data)
        return state

    @property
    def is_complete(self) -> bool:
        """True if every bank has decided in this iteration."""
        return self.iteration == 0 or self.decided >= set(self.optimized)

    @property
    def proposed(self) -> dict[str, list[PolicyDocument]]:
        """The policies that were proposed and could be evaluated so far, by bank, in their order."""
        return {
            agent_id: [each.policy for each in attempts if each.policy is not None and each.new_cost is not None]
            for agent_id, attempts in self.attempts.items()
        }

    @property
    def first_refusal(self) -> str | None:
        """The bank, iteration and problem of the run's first refused answer; None without one."""
        return next(iter(self.refusals.values()), None)

    def history(self, agent_id: str) -> list[Attempt]:
        """Return a bank's attempts of this start; a start knows nothing of those before it."""
        return [each for each in self.attempts.get(agent_id, ()) if each.iteration > self._before]

    def halt(self) -> Halt | None:
        """Return the end of this start; None if it goes on.

        It is looked for when a profile is evaluated and nobody has decided, and after the last iteration.
        """
        is_last = self.is_complete and len(self.finished) >= self.rules.max_iterations
        if not is_last and (self.is_complete or self.decided):
            return None
        course = Course(self.finished, dict(self.policies), self.optimized, self.is_search, self.is_sampled)
        return halt_of(course, self.rules, is_last=is_last)

    def all_halts(self) -> list[Halt]:
        """Return the end of each start so far; `max_iterations` of the present one if it could go on."""
        return [*self.halts, self.halt() or Halt(MAX_ITERATIONS, (dict(self.policies),))]

    def begin(self, iteration: int) -> None:
        """Enter an iteration whose profile was evaluated and stored."""
        self.iteration = iteration
        self.decided.clear()
        self._profile = dict(self.policies)
        self._answered.clear()
        self._kept.clear()
        self._withheld.clear()
        self._moved = False

    def note(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Apply an event that was stored."""
        if event_type == "llm_interaction":
            self.tokens += tokens_of(data)
            self.spent += most_tokens_of(data)
            self.uncounted += not is_counted(data)
            self.answers.append(Answer(data["policy"], data["problem"], data["response"] or str(data["policy"])))
        elif event_type in ("policy_accepted", "policy_rejected"):
            self._decide(event_type == "policy_accepted", data)
        elif event_type == "start_begun":
            self._begin_start(data)
        elif event_type == "experiment_started" and "proposer" in data:  # else it is the configuration's
            self.is_search = data["proposer"] == SEARCH
        elif event_type == "experiment_resumed":
            self.is_search = self.is_search and data.get("proposer", SEARCH) == SEARCH

    def _begin_start(self, data: Mapping[str, Any]) -> None:
        self.halts = self.all_halts()
        self.start = data["start"]
        self.policies = dict(data["policies"])
        self.finished = []
        self.decided = set(self.optimized)  # the next step is an evaluation
        self._before = self.iteration

    def _decide(self, accepted: bool, data: Mapping[str, Any]) -> None:
        agent_id, old, new = data["agent_id"], data["old_cost"], data["new_cost"]
        attempt = Attempt(self.iteration, data["policy"], accepted, data["reason"], old, new)
        self.attempts.setdefault(agent_id, []).append(attempt)
        if old is None:
            self.refused += 1
            self.refusals.setdefault(agent_id, f"{agent_id} in iteration {self.iteration}: {data['reason']}")
        else:
            self._answered.add(agent_id)
            if is_same_policy(data["policy"], self.policies[agent_id], self.agents[agent_id]):
                self._kept.add(agent_id)
        is_move = old is not None and old - new > self.rules.stability_threshold * old
        if accepted:
            self.policies[agent_id] = data["policy"]
            self._moved = self._moved or is_move
        elif is_move and _is_sure(data):
            self._withheld.add(agent_id)
        if data["final"]:
            self.answers.clear()
            self.decided.add(agent_id)
            if self.is_complete:
                self._finish()

    def _finish(self) -> None:
        banks = (frozenset(each) for each in (self._answered, self._kept, self._withheld))
        self.finished.append(FinishedIteration(self.iteration, self._profile, self._moved, *banks))


def _is_sure(verdict: Mapping[str, Any]) -> bool:
    """Return True if the saving of a verdict is above 0 whatever was drawn: its interval is, or it has none."""
    interval = verdict.get("saving_interval")
    return interval is None or interval[0] > 0
