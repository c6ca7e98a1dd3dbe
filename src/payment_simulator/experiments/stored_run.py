"""A run read from a database: its record, iterations, decisions and events."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError, UnreadableFileError
from labledger.lookup import by_prefix
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.observed_day import OneDay, one_day
from payment_simulator.experiments.parameters import numbers_of, written
from payment_simulator.experiments.persistence import (
    EventRecord,
    ExperimentRecord,
    ExperimentRepository,
    IterationRecord,
)
from payment_simulator.experiments.runner.state import by_iteration, is_counted, tokens_of
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.experiments.stored_values import refuse_odd_values
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.banks import Agent

LATEST = "latest"
VERDICTS = {"policy_accepted": True, "policy_rejected": False}


@dataclass(frozen=True)
class Decision:
    """A proposal for a bank, and the verdict. Costs are its own, in cents, None where it was not evaluated.

    `policy` is None of an answer that was no policy.
    """

    iteration: int
    agent_id: str
    policy: PolicyDocument | None
    accepted: bool
    reason: str
    old_cost: int | None
    new_cost: int | None


@dataclass(frozen=True)
class StoredRun:
    """One run: its record, its iterations, its events."""

    record: ExperimentRecord
    iterations: list[IterationRecord]
    events: list[EventRecord]

    @classmethod
    def load(cls, repository: ExperimentRepository, target: str) -> "StoredRun":
        """The run that `target` names: an id, the start of one alone, or `latest`, the last to be started.

        Raises:
            ConfigError: none is named so, or more than one.
            DatabaseError: it could not be read.
            UnreadableFileError: a value in it is one that no run stores.
        """
        record = named_run(repository, target)
        # Of a run that goes on: no event is of an iteration that is not there yet.
        events = repository.get_events(record.experiment_id)
        iterations = repository.get_iterations(record.experiment_id)
        refuse_odd_values(record, iterations, events)
        return cls(record, iterations, events)

    @property
    def agent_ids(self) -> list[str]:
        """Its banks, as far as they are known: before the first iteration, those of its scenario."""
        if self.iterations:
            return sorted(self.iterations[0].per_agent_costs)
        if self.record.final_policies is not None:
            return sorted(self.record.final_policies)
        try:
            return self.setting[1].scenario.agent_ids
        except UnreadableFileError:
            return []

    @cached_property
    def banks(self) -> list[str]:
        """Its banks, which its scenario and all that is stored of it name alike; none before its first iteration.

        Raises:
            UnreadableFileError: as `setting`, or something stored is of another bank, or not of each.
        """
        if not self.iterations and self.record.final_policies is None:
            return []
        banks = self.setting[1].scenario.agent_ids
        if odd := sorted({*self.agent_ids} ^ {*banks}):
            raise self.unreadable(f"its costs and its scenario differ in the bank {odd[0]!r}; `replay` checks them")
        if odd := [each.agent_id for each in self.decisions if each.agent_id not in self._agents]:
            raise self.unreadable(f"a proposal is for the bank {odd[0]!r}, which its scenario does not have")
        return banks

    @cached_property
    def decisions(self) -> list[Decision]:
        """Every proposal and what came of it, in order."""
        return [_decision(event) for event in self.events if event.event_type in VERDICTS]

    @property
    def refusals(self) -> list[Decision]:
        """The answers that were refused, in order: they could not be evaluated."""
        return [each for each in self.decisions if each.old_cost is None]

    def decisions_of(self, iteration: int, agent_id: str) -> list[Decision]:
        """Those of an iteration for a bank, in order."""
        return self._decisions_by_bank.get((iteration, agent_id), [])

    @cached_property
    def _decisions_by_bank(self) -> dict[tuple[int, str], list[Decision]]:
        found: dict[tuple[int, str], list[Decision]] = {}
        for each in self.decisions:
            found.setdefault((each.iteration, each.agent_id), []).append(each)
        return found

    def events_of(self, iteration: int) -> list[EventRecord]:
        """Those of an iteration, in order."""
        return self._by_iteration.get(iteration, [])

    @cached_property
    def _by_iteration(self) -> dict[int, list[EventRecord]]:
        return by_iteration(self.events)

    @property
    def tokens(self) -> int:
        """The tokens of its models, prompt and completion."""
        return sum(map(tokens_of, self._interactions))

    @property
    def uncounted(self) -> int:
        """The answers of its models whose tokens are not all known."""
        return sum(not is_counted(each) for each in self._interactions)

    @property
    def token_counts(self) -> tuple[int, int]:
        """The tokens of its models: of prompts, and of answers."""
        counts = (
            [each.get(name) or 0 for each in self._interactions] for name in ("prompt_tokens", "completion_tokens")
        )
        prompts, answers = map(sum, counts)
        return prompts, answers

    @property
    def _interactions(self) -> list[dict[str, Any]]:
        return [event.event_data for event in self.events if event.event_type == "llm_interaction"]

    @property
    def budgets(self) -> list[tuple[int, int | None]]:
        """The budgets of tokens that it had before the present one, each with its last iteration; None is no limit."""
        changed = [each for each in self.events if "max_total_tokens_before" in each.event_data]
        return [(each.iteration, each.event_data["max_total_tokens_before"]) for each in changed]

    @cached_property
    def setting(self) -> tuple[ExperimentConfig, ExperimentSetup]:
        """Its configuration and setup, from the database alone.

        Raises:
            UnreadableFileError: it was stored without them, or they are invalid.
        """
        try:
            config = ExperimentConfig.model_validate(self.record.config)
            return config, ExperimentSetup.from_dict(self.record.scenario or {})
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3])
            raise self.unreadable(f"its configuration or scenario is invalid: {found}") from error
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            reason = "is not stored" if self.record.scenario is None else f"is invalid: {error!r}"
            raise self.unreadable(f"its scenario {reason}") from error

    @cached_property
    def day(self) -> OneDay | None:
        """The one day that its costs are of; None where there is none, or its scenario is not stored.

        Raises:
            ConfigError: it cannot be drawn.
        """
        return one_day(*self.setting) if self.record.scenario is not None else None

    @property
    def unlike_draws(self) -> str | None:
        """The line of `unlike_draws`, of a run that is completed; None where its draws are alike."""
        completed = [each.event_data for each in self.events if each.event_type == "experiment_completed"]
        return completed[-1].get("unlike_draws") if completed else None

    def unreadable(self, problem: str) -> UnreadableFileError:
        """Return the error of a run that cannot be used."""
        return UnreadableFileError(f"{self.record.experiment_id}: {problem}")

    def parameters(self, agent_id: str, policy: PolicyDocument) -> dict[str, float]:
        """Return the numbers of a bank's policy, the share of its pool that it borrows first.

        Raises:
            UnreadableFileError: as `setting`, or the policy is invalid.
        """
        if problems := read_policy(policy)[1]:
            problem = ": ".join(filter(None, problems[0]))
            raise self.unreadable(f"a policy of {agent_id} is invalid: {problem}; `replay` shows which one")
        return numbers_of(policy, self._agents[agent_id])

    @cached_property
    def _agents(self) -> dict[str, Agent]:
        return {agent.id: agent for agent in self.setting[1].scenario.agents}


def policy_text(policy: PolicyDocument) -> str:
    """Return a policy in a few words: its kind and its numbers, not its trees."""
    inside = policy.get("document", policy)
    kind = policy.get("type", "FromJson" if "version" in inside else "Fifo")
    name = [str(inside["policy_id"])] if "policy_id" in inside else []
    numbers = {name: value for _, name, value in written(policy)}
    return ", ".join([str(kind), *name, *(f"{key} {value}" for key, value in numbers.items())])


def named_run(repository: ExperimentRepository, target: str) -> ExperimentRecord:
    """Return the record of the run that `target` names, as `StoredRun.load` has it.

    Raises:
        ConfigError: none is named so, or more than one.
        DatabaseError: it could not be read.
    """
    known = repository.experiment_ids()
    if target == LATEST and known and LATEST not in known:
        return repository.load_experiment(known[0])
    return repository.load_experiment(by_prefix(known, target, id_of=str, kind="run", where=repository.path))


def _decision(event: EventRecord) -> Decision:
    data: dict[str, Any] = event.event_data
    return Decision(
        iteration=event.iteration,
        agent_id=str(data.get("agent_id")),
        policy=data.get("policy"),
        accepted=VERDICTS[event.event_type],
        reason=str(data.get("reason", "")),
        old_cost=data.get("old_cost"),
        new_cost=data.get("new_cost"),
    )
