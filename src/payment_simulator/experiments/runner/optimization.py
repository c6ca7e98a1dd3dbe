"""The loop: evaluate the profile, store it, stop if nothing moves any more, else let each bank decide in turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from labledger.errors import ConfigError, LabledgerError
from labledger.notices import notify
from payment_simulator.experiments.best_response import search_rounds
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Purpose, mean_cents
from payment_simulator.experiments.nash_gap import gap_columns
from payment_simulator.experiments.parameters import declared
from payment_simulator.experiments.persistence import EventRecord, ExperimentRepository, IterationRecord
from payment_simulator.experiments.proposers.constraints import stored_policy
from payment_simulator.experiments.proposers.own_view import own_view
from payment_simulator.experiments.proposers.prompt import prompt_for
from payment_simulator.experiments.proposers.protocol import (
    DecisionContext,
    Interaction,
    Proposer,
    UnusableAnswerError,
)
from payment_simulator.experiments.proposers.search import SearchProposer
from payment_simulator.experiments.runner.ending import gap_of
from payment_simulator.experiments.runner.starts import start_profile
from payment_simulator.experiments.runner.state import BYTES_COUNT, Answer, ExperimentState
from payment_simulator.experiments.runner.verbose import RunLog
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.policy.documents import PolicyDocument

RETRIES = 3
"""Number of retries of a proposer that is not a configured model."""

MAX_WORDS = 2_000
"""Characters of a refused answer that is shown again."""

Events = list[tuple[str, dict[str, Any]]]


class TokensSpentError(LabledgerError):
    """The model may not be asked any more, unless its budget is raised."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a proposal by the acceptance draws: its bank's own costs in cents, and whether it is accepted."""

    old_cost: int
    new_cost: int
    accepted: bool
    reason: str
    interval: tuple[float, float] | None


class OptimizationLoop:
    """Runs the iterations of one experiment, from wherever its state stands."""

    def __init__(
        self,
        config: ExperimentConfig,
        setup: ExperimentSetup,
        proposer: Proposer,
        state: ExperimentState,
        repository: ExperimentRepository | None,
        experiment_id: str,
        log: RunLog,
    ) -> None:
        self._config = config
        self._setup = setup
        self._evaluator = setup.evaluator(config)
        self._proposer = proposer
        self._state = state
        self._repository = repository
        self._experiment_id = experiment_id
        self._log = log
        self._is_uncounted_told = False
        self._retries = config.llm.max_retries if config.llm else RETRIES

    async def run(self) -> None:
        """Go on until every start has ended, by the rule in `halting`.

        Raises:
            TokensSpentError: the budget of a model is spent.
            LabledgerError: a proposer cannot be used, a profile cannot be evaluated, or a step cannot be stored.
        """
        state = self._state
        while True:
            if state.is_complete and state.halt() is None:
                await self._evaluate()
            if state.halt() is None:
                for agent_id in state.optimized:
                    if agent_id not in state.decided:
                        await self._decide(agent_id)
            elif state.start < self._config.convergence.starts:
                self._begin_start(state.start + 1)
            else:
                return

    def _begin_start(self, start: int) -> None:
        """Begin once more, from another profile."""
        policies = start_profile(self._config, self._setup, start)
        self._store([("start_begun", {"start": start, "policies": policies})])

    async def _evaluate(self) -> None:
        """Evaluate the profile and store it with its costs (steps 1 and 2)."""
        await asyncio.sleep(0)  # here an interrupt is heard
        state, number = self._state, self._state.iteration + 1
        self._log.working(state, "costs and Nash gap" if self._config.nash_gap == "every" else "costs")
        costs = self._evaluator.costs(state.policies, Purpose.EVALUATION)
        totals = self._evaluator.totals(costs)
        gap = gap_of(self._config, self._evaluator, state) if self._config.nash_gap == "every" else None
        if self._repository is not None:
            record = IterationRecord(
                self._experiment_id,
                number,
                sum(totals.values()),
                totals,
                dict(state.policies),
                _now(),
                start=state.start,
                **gap_columns(gap),
            )
            events = self._records([("evaluation", {"costs": self._evaluator.means(costs)})], number)
            self._repository.save_step(record, events)
        state.begin(number)
        self._log.iteration(state, totals, gap)

    async def _decide(self, agent_id: str) -> None:
        """Decide for one bank (step 4): ask until a policy can be evaluated, evaluate it, and store the verdict."""
        self._log.working(self._state, agent_id)
        events: Events = []
        rejected: list[tuple[str, str]] = []
        for _ in range(self._retries + 1):
            answer = await self._answer(agent_id, rejected)
            problem = answer.problem or ""
            if answer.policy is not None:
                events.append(("policy_proposed", {"agent_id": agent_id, "policy": answer.policy}))
                try:
                    verdict = self._evaluated(agent_id, answer.policy)
                except ConfigError as error:
                    problem = str(error)
                else:
                    name = "policy_accepted" if verdict.accepted else "policy_rejected"
                    events.append((name, _decision(agent_id, answer.policy, verdict.reason, verdict)))
                    break
            events.append(("policy_rejected", _decision(agent_id, answer.policy, problem, final=False)))
            rejected.append((answer.words[:MAX_WORDS], problem))
        events[-1][1]["final"] = True
        self._store(events)
        kind, data = events[-1]
        self._log.decision(agent_id, kind == "policy_accepted", data["reason"])

    async def _answer(self, agent_id: str, rejected: Sequence[tuple[str, str]]) -> Answer:
        """Return a stored answer that was not acted on, else a new one; a model's is stored before it is acted on.

        It is a policy as it is stored, or a problem.
        """
        if self._state.answers:
            return self._state.answers.popleft()
        self._check_budget()
        context = self._context(agent_id, rejected)
        is_search = isinstance(self._proposer, SearchProposer)
        prompt = "" if is_search else prompt_for(context, self._config.prompt_customization)
        if not is_search:
            self._log.asked(agent_id, len(rejected))
        try:
            given = await self._proposer.generate_policy(
                agent_id=agent_id, prompt=prompt, current_policy=self._state.policies[agent_id], context=context
            )
            found = Answer(stored_policy(given, context.constraints, context.bank), None, str(given))
        except UnusableAnswerError as error:
            found = Answer(None, str(error), "")
        if (interaction := self._proposer.get_last_interaction()) is None:
            return found
        self._store([("llm_interaction", _interaction_event(agent_id, interaction, found))])
        self._tell_uncounted(getattr(interaction, "uncounted", None))
        self._log.answered(self._state, agent_id, interaction, found.problem, len(rejected))
        return self._state.answers.pop()

    def _check_budget(self) -> None:
        most = self._config.llm.max_total_tokens if self._config.llm else None
        state = self._state
        if most is not None and state.spent >= most:
            rest = f", {BYTES_COUNT} in {state.uncounted:,} of the answers" if state.uncounted else ""
            raise TokensSpentError(
                f"llm.max_total_tokens: {state.spent:,} tokens of {most:,} are spent{rest}; what was found until then "
                "is kept, and can be gone on with by a larger budget"
            )

    def _tell_uncounted(self, reason: str | None) -> None:
        """Tell once how the budget counts, where the tokens of an answer are not known."""
        most = self._config.llm.max_total_tokens if self._config.llm else None
        if most is None or not self._state.uncounted or self._is_uncounted_told:
            return
        self._is_uncounted_told = True
        told = reason or "an answer came without counts of tokens"
        notify(f"{told}: for llm.max_total_tokens {BYTES_COUNT}")

    def _context(self, agent_id: str, rejected: Sequence[tuple[str, str]]) -> DecisionContext:
        state, number = self._state, self._state.iteration

        def evaluate(policies: Sequence[PolicyDocument]) -> list[float]:
            costs = self._evaluator.own_costs(state.policies, agent_id, policies, Purpose.PROPOSER, number)
            return [float(each) for each in costs.mean(axis=1)] if len(policies) else []

        return DecisionContext(
            agent_id=agent_id,
            iteration=number,
            scenario=self._evaluator.scenario,
            constraints=self._config.policy_constraints,
            policies=dict(state.policies),
            costs=self._evaluator.means(self._evaluator.costs(state.policies, Purpose.EVALUATION)),
            evaluate=evaluate,
            best_response=partial(
                search_rounds,
                self._evaluator,
                dict(state.policies),
                agent_id,
                declared(self._config.policy_constraints),
                purpose=Purpose.PROPOSER,
                iteration=number,
                level=self._config.evaluation.acceptance.confidence,
                budget=self._config.evaluation.nash_gap_budget,
            ),
            own_view=partial(own_view, self._evaluator, dict(state.policies), agent_id),
            history=tuple(state.history(agent_id)),
            rejected=tuple(rejected),
        )

    def _evaluated(self, agent_id: str, policy: PolicyDocument) -> Verdict:
        """Return the verdict on a policy, old and new evaluated on the same draws."""
        held = self._state.policies[agent_id]
        old, new = self._evaluator.own_costs(
            self._state.policies, agent_id, [held, policy], Purpose.ACCEPTANCE, self._state.iteration
        )
        saving, enough = float((old - new).mean()), self._config.convergence.improvement_threshold * float(old.mean())
        level = self._config.evaluation.acceptance.confidence
        is_sampled = self._evaluator.is_sampled
        interval = self._evaluator.interval(old - new, level) if is_sampled else None
        reason = f"saves {saving:,.0f} cents" if saving >= 0 else f"costs {-saving:,.0f} cents more"
        if is_sampled and interval is None:
            reason += f" on each of {len(old):,} draws alike"
        elif interval is not None:
            low, high = (interval.low, interval.high) if saving >= 0 else (-interval.high, -interval.low)
            reason += f" ({level:.0%} interval {low:,.0f} to {high:,.0f})"
        accepted = saving > enough and (interval is None or interval.low > 0)
        if policy == held:
            reason = "it is the policy that holds"
        elif saving > enough and not accepted:
            reason += ": it may as well save nothing"
        elif saving > 0 and not accepted:
            reason += f": not more than {enough:,.0f}, the improvement_threshold"
        ends = None if interval is None else (interval.low, interval.high)
        return Verdict(mean_cents(old), mean_cents(new), accepted, reason, ends)

    def _store(self, events: Events) -> None:
        if self._repository is not None:
            self._repository.save_step(None, self._records(events, self._state.iteration))
        for event_type, data in events:
            self._state.note(event_type, data)

    def _records(self, events: Events, iteration: int) -> list[EventRecord]:
        return [EventRecord(self._experiment_id, iteration, kind, data, _now()) for kind, data in events]


def _decision(
    agent_id: str, policy: PolicyDocument | None, reason: str, verdict: Verdict | None = None, *, final: bool = True
) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "policy": policy,
        "reason": reason,
        "old_cost": verdict.old_cost if verdict else None,
        "new_cost": verdict.new_cost if verdict else None,
        "saving_interval": list(verdict.interval) if verdict and verdict.interval else None,
        "final": final,
    }


def _interaction_event(agent_id: str, interaction: Interaction, answer: Answer) -> dict[str, Any]:
    """Return the data of an `llm_interaction`; a custom client has at least the counts and the latency."""
    uncounted = getattr(interaction, "uncounted", None)
    words = {name: getattr(interaction, name, None) for name in ("model", "prompt", "response")}
    return {
        "agent_id": agent_id,
        **{name: value if isinstance(value, str) else None for name, value in words.items()},
        "prompt_tokens": interaction.prompt_tokens,
        "completion_tokens": interaction.completion_tokens,
        **({} if uncounted is None else {"uncounted": uncounted}),
        "latency_seconds": interaction.latency_seconds,
        "policy": answer.policy,
        "problem": answer.problem,
    }


def _now() -> datetime:
    return datetime.now(UTC)
