"""Replay: every figure of a stored run computed again, from the database alone, and compared."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from labledger.errors import ConfigError
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose, mean_cents
from payment_simulator.experiments.nash_gap import GAP_COLUMNS, gap_columns
from payment_simulator.experiments.persistence import EventRecord, IterationRecord
from payment_simulator.experiments.runner import ExperimentState
from payment_simulator.experiments.runner.ending import final_ending, gap_of
from payment_simulator.experiments.runner.starts import start_profile
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.experiments.stored_run import VERDICTS, StoredRun

Part = Literal["costs", "policies", "Nash gap", "decisions", "course"]
TAKEN_FROM_THE_CLOCK = ("completed_at", "total_duration_seconds")
FINAL_GAP = tuple(f"final_{name}" for name in GAP_COLUMNS)
PART_OF_FIELD: dict[str, Part] = {
    "final_cost": "costs",
    "final_costs_by_agent": "costs",
    "final_policies": "policies",
    **dict.fromkeys(FINAL_GAP, "Nash gap"),
}
"""The parts that fields of an ending belong to; all others are of the course."""
OLD_VERSION = 1
"""The version of the database that a run began in, if it may have gaps and an ending by the older rules."""
OLD_GAP = "an older version searched it among 21 values of each parameter, one at a time"
OLD_ENDING = "the run ended by the rules of an older version"
JUDGED = ("converged", "convergence_reason")
"""The fields of an ending of the older version that depend on the rules by which a run ends."""


@dataclass(frozen=True)
class Check:
    """A value as it is stored, and as it was computed again; `iteration` is None for the run as a whole.

    `not_computed` is the reason why it was not, where no rule of this version gives it.
    """

    iteration: int | None
    part: Part
    name: str
    stored: Any
    found: Any
    not_computed: str | None = None

    @property
    def is_same(self) -> bool | None:
        """True if both are equal; None if it was not computed again."""
        return None if self.not_computed else bool(self.stored == self.found)


def replay(run: StoredRun) -> Iterator[Check]:
    """Yield each stored value with the value computed again.

    The profile of the first iteration is the scenario's own, that of a later start is chosen anew; those that follow,
    and the final one, are what the stored decisions make of it. They are evaluated on the draws that were used. Gaps
    and endings that an older version stored by other rules are not computed again.

    Raises:
        UnreadableFileError: what is stored cannot be run at all.
    """
    config, setup = run.setting
    replayed = _Replay(run, config, setup, setup.evaluator(config))
    numbers = [iteration.iteration_number for iteration in run.iterations]
    yield Check(None, "course", "experiment_name", run.record.experiment_name, config.name)
    yield Check(None, "course", "iterations", numbers, list(range(1, len(numbers) + 1)))
    state = ExperimentState.of_start(config, setup)
    try:
        state = ExperimentState.of_start(config, setup, run.events)
        for iteration in run.iterations:
            yield from replayed.iteration(iteration, state)
        yield from replayed.ending(state)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error) if isinstance(error, ConfigError) else repr(error)
        raise run.unreadable(f"what is stored after iteration {state.iteration} cannot be run: {reason}") from error


@dataclass(frozen=True)
class _Replay:
    run: StoredRun
    config: ExperimentConfig
    setup: ExperimentSetup
    evaluator: Evaluator

    @property
    def may_be_old(self) -> bool:
        """True if an older version may have stored a part of the run."""
        return self.run.record.schema_version == OLD_VERSION

    def iteration(self, iteration: IterationRecord, state: ExperimentState) -> Iterator[Check]:
        number = iteration.iteration_number
        yield Check(number, "policies", "policies", iteration.policies, dict(state.policies))
        costs = self.evaluator.costs(state.policies, Purpose.EVALUATION)
        totals = self.evaluator.totals(costs)
        yield Check(number, "costs", "per_agent_costs", iteration.per_agent_costs, totals)
        yield Check(number, "costs", "total_cost", iteration.total_cost, sum(totals.values()))
        yield Check(number, "course", "start", iteration.start, state.start)
        yield from self._gap(iteration, state)
        state.begin(number)
        for event in self.run.events_of(number):
            if event.event_type == "evaluation":
                stored_costs = event.event_data.get("costs")
                yield Check(number, "costs", "costs by kind", stored_costs, self.evaluator.means(costs))
            yield from self._decision(event, state)
            yield from self._start(event, state)
            state.note(event.event_type, event.event_data)

    def ending(self, state: ExperimentState) -> Iterator[Check]:
        """Yield the checks of the ending, if the run is completed by its events, whatever its row says."""
        record = self.run.record
        if not any(event.event_type == "experiment_completed" for event in self.run.events):
            yield Check(None, "course", "status", record.status, record.status.replace("completed", "not completed"))
            return
        yield Check(None, "course", "status", record.status, "completed")
        if self.may_be_old and record.refused_proposals is None:
            yield from self._old_ending(state)
            return
        with_gap = self.config.nash_gap != "off" or record.final_nash_gap is not None
        found = final_ending(self.config, self.evaluator, state, with_gap=with_gap)
        for field in fields(found):
            if field.name in TAKEN_FROM_THE_CLOCK or (field.name in FINAL_GAP and not with_gap):
                continue
            part = PART_OF_FIELD.get(field.name, "course")
            yield Check(None, part, field.name, getattr(record, field.name), getattr(found, field.name))

    def _old_ending(self, state: ExperimentState) -> Iterator[Check]:
        """Yield the checks of an ending of the older version, whose result was the last profile, cycle or not."""
        record = self.run.record
        costs = self.evaluator.totals(self.evaluator.costs(state.policies, Purpose.FINAL))
        yield Check(None, "course", "num_iterations", record.num_iterations, state.iteration)
        yield Check(None, "costs", "final_cost", record.final_cost, sum(costs.values()))
        yield Check(None, "costs", "final_costs_by_agent", record.final_costs_by_agent, costs)
        yield Check(None, "policies", "final_policies", record.final_policies, dict(state.policies))
        for name in JUDGED:
            yield Check(None, "course", name, getattr(record, name), None, OLD_ENDING)
        if record.final_nash_gap is not None:
            yield Check(None, "Nash gap", "final_nash_gap", record.final_nash_gap, None, OLD_GAP)

    def _gap(self, iteration: IterationRecord, state: ExperimentState) -> Iterator[Check]:
        if self.config.nash_gap != "every" and iteration.nash_gap is None:
            return
        number, stored = iteration.iteration_number, {name: getattr(iteration, name) for name in GAP_COLUMNS}
        if self.may_be_old and iteration.nash_gap is not None and iteration.nash_gap_kind is None:
            yield Check(number, "Nash gap", "nash_gap", iteration.nash_gap, None, OLD_GAP)
            return
        found = gap_columns(gap_of(self.config, self.evaluator, state))
        for name, value in stored.items():
            yield Check(number, "Nash gap", name, value, found[name])

    def _start(self, event: EventRecord, state: ExperimentState) -> Iterator[Check]:
        """Yield the checks of a start that begins: the one before it has ended, and the profile is the one chosen."""
        if event.event_type == "start_begun":
            start, policies = event.event_data["start"], event.event_data["policies"]
            number = None if state.halt() is None else state.start + 1
            yield Check(event.iteration, "course", "next start", start, number)
            found = start_profile(self.config, self.setup, start)
            yield Check(event.iteration, "policies", f"policies of start {start}", policies, found)

    def _decision(self, event: EventRecord, state: ExperimentState) -> Iterator[Check]:
        data = event.event_data
        if event.event_type not in VERDICTS or data["old_cost"] is None:
            return
        agent_id, policies = data["agent_id"], [state.policies[data["agent_id"]], data["policy"]]
        costs = self.evaluator.own_costs(state.policies, agent_id, policies, Purpose.ACCEPTANCE, event.iteration)
        stored, found = [data["old_cost"], data["new_cost"]], [mean_cents(each) for each in costs]
        yield Check(event.iteration, "decisions", f"decision of {agent_id}", stored, found)
