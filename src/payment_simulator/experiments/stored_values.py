"""The values in the records of a run that commands and charts read: of the types in which a runner stores them.

A database may have come from anybody. What it says may be false, as `replay` shows; but no reader has to take a list
for a policy. A value that is not there is no problem here.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from labledger.errors import UnreadableFileError
from payment_simulator.experiments.persistence import EventRecord, ExperimentRecord, IterationRecord

Policies = dict[str, dict[str, Any]]


class _Data(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Decision(_Data):
    agent_id: str = ""
    policy: dict[str, Any] | None = None
    reason: str = ""
    old_cost: int | None = None
    new_cost: int | None = None
    saving_interval: list[float] | None = None
    final: bool = False


class _Interaction(_Data):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    uncounted: str | None = None
    policy: dict[str, Any] | None = None
    problem: str | None = None
    response: str | None = None


class _Start(_Data):
    start: int = 0
    policies: Policies = {}


class _Course(_Data):
    proposer: str = ""
    message: str | None = None
    max_total_tokens: int | None = None
    max_total_tokens_before: int | None = None
    unlike_draws: str | None = None


KINDS: dict[str, Any] = {
    "policy_accepted": _Decision,
    "policy_rejected": _Decision,
    "llm_interaction": _Interaction,
    "start_begun": _Start,
    "experiment_started": _Course,
    "experiment_resumed": _Course,
    "experiment_completed": _Course,
    "experiment_failed": _Course,
    "experiment_interrupted": _Course,
}


def refuse_odd_values(
    record: ExperimentRecord, iterations: Iterable[IterationRecord], events: Iterable[EventRecord]
) -> None:
    """Refuse a run with a value that no runner stores.

    Raises:
        UnreadableFileError: there is one; the message names it.
    """
    problem = next(_problems(record, list(iterations), events), None)
    if problem is not None:
        raise UnreadableFileError(f"{record.experiment_id}: {problem}; it was not stored by a run")


def _problems(
    record: ExperimentRecord, iterations: list[IterationRecord], events: Iterable[EventRecord]
) -> Iterator[str]:
    banks: set[str] | None = None
    for each in iterations:
        where = f"iteration {each.iteration_number}"
        banks = set(each.per_agent_costs) if banks is None else banks
        if set(each.per_agent_costs) != banks or set(each.policies) != banks:
            yield f"{where}: costs or policies are of other banks than in the first"
        yield from _unfit(Policies, each.policies, f"{where}: policies")
    if record.final_policies is not None:
        if banks is not None and set(record.final_policies) != banks:
            yield "final_policies are of other banks than those of the iterations"
        yield from _unfit(Policies, record.final_policies, "final_policies")
    for event in events:
        if event.event_type in KINDS:
            yield from _unfit(KINDS[event.event_type], event.event_data, f"event {event.event_id} ({event.event_type})")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _unfit(kind: Any, value: Any, where: str) -> Iterator[str]:
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        yield f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
