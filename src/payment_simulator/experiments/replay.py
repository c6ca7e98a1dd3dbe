"""Replay: every figure of a stored run computed again, from the database alone, and compared."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from labledger.errors import ConfigError
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose, mean_cents
from payment_simulator.experiments.persistence import EventRecord, IterationRecord
from payment_simulator.experiments.runner import ExperimentState
from payment_simulator.experiments.runner.ending import final_ending, gap_of
from payment_simulator.experiments.stored_run import VERDICTS, StoredRun

Part = Literal["costs", "policies", "Nash gap", "decisions", "course"]
TAKEN_FROM_THE_CLOCK = ("completed_at", "total_duration_seconds")
FINAL_GAP = ("final_nash_gap", "final_nash_gap_half_width")
PART_OF_FIELD: dict[str, Part] = {
    "final_cost": "costs",
    "final_costs_by_agent": "costs",
    "final_policies": "policies",
    **dict.fromkeys(FINAL_GAP, "Nash gap"),
}
"""The parts that fields of an ending belong to; all others are of the course."""


@dataclass(frozen=True)
class Check:
    """A value as it is stored, and as it was computed again; `iteration` is None for the run as a whole."""

    iteration: int | None
    part: Part
    name: str
    stored: Any
    found: Any

    @property
    def is_same(self) -> bool:
        """True if both are equal."""
        return bool(self.stored == self.found)


def replay(run: StoredRun) -> Iterator[Check]:
    """Yield each stored value with the value computed again.

    The profile of the first iteration is the scenario's own; those that follow, and the final one, are what the
    stored decisions make of it. They are evaluated on the draws that were used.

    Raises:
        UnreadableFileError: what is stored cannot be run at all.
    """
    config, setup = run.setting
    replayed = _Replay(run, config, setup.evaluator(config))
    state = ExperimentState.of_start(config, setup)
    numbers = [iteration.iteration_number for iteration in run.iterations]
    yield Check(None, "course", "experiment_name", run.record.experiment_name, config.name)
    yield Check(None, "course", "iterations", numbers, list(range(1, len(numbers) + 1)))
    try:
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
    evaluator: Evaluator

    def iteration(self, iteration: IterationRecord, state: ExperimentState) -> Iterator[Check]:
        number = iteration.iteration_number
        yield Check(number, "policies", "policies", iteration.policies, dict(state.policies))
        costs = self.evaluator.costs(state.policies, Purpose.EVALUATION)
        totals = self.evaluator.totals(costs)
        yield Check(number, "costs", "per_agent_costs", iteration.per_agent_costs, totals)
        yield Check(number, "costs", "total_cost", iteration.total_cost, sum(totals.values()))
        if self.config.nash_gap == "every" or iteration.nash_gap is not None:
            gap = gap_of(self.config, self.evaluator, state)
            yield Check(number, "Nash gap", "nash_gap", iteration.nash_gap, gap.cents if gap else None)
            found = gap.half_width if gap else None
            yield Check(number, "Nash gap", "nash_gap_half_width", iteration.nash_gap_half_width, found)
        state.begin(number)
        for event in self.run.events_of(number):
            if event.event_type == "evaluation":
                stored_costs = event.event_data.get("costs")
                yield Check(number, "costs", "costs by kind", stored_costs, self.evaluator.means(costs))
            yield from self._decision(event, state)
            state.note(event.event_type, event.event_data)

    def ending(self, state: ExperimentState) -> Iterator[Check]:
        """Yield the checks of the ending, if the run is completed by its events, whatever its row says."""
        record = self.run.record
        if not any(event.event_type == "experiment_completed" for event in self.run.events):
            yield Check(None, "course", "status", record.status, record.status.replace("completed", "not completed"))
            return
        yield Check(None, "course", "status", record.status, "completed")
        with_gap = self.config.nash_gap != "off" or record.final_nash_gap is not None
        found = final_ending(self.config, self.evaluator, state, with_gap=with_gap)
        for field in fields(found):
            if field.name in TAKEN_FROM_THE_CLOCK or (field.name in FINAL_GAP and not with_gap):
                continue
            part = PART_OF_FIELD.get(field.name, "course")
            yield Check(None, part, field.name, getattr(record, field.name), getattr(found, field.name))

    def _decision(self, event: EventRecord, state: ExperimentState) -> Iterator[Check]:
        data = event.event_data
        if event.event_type not in VERDICTS or data["old_cost"] is None:
            return
        agent_id, policies = data["agent_id"], [state.policies[data["agent_id"]], data["policy"]]
        costs = self.evaluator.own_costs(state.policies, agent_id, policies, Purpose.ACCEPTANCE, event.iteration)
        stored, found = [data["old_cost"], data["new_cost"]], [mean_cents(each) for each in costs]
        yield Check(event.iteration, "decisions", f"decision of {agent_id}", stored, found)
