"""Scenario events: payments, transfers, collateral, and changes of the distributions that are drawn from."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labledger.sections import Section
from labledger.yaml_files import Location
from payment_simulator.scenario.numbers import (
    DEFAULT_PRIORITY,
    Amount,
    Flag,
    Positive,
    Priority,
    Tick,
    TickRange,
    Weight,
    check_range,
)


class OneTime(Section):
    """In one tick."""

    type: Literal["OneTime"]
    tick: Tick

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which the event happens."""
        return range(self.tick, min(self.tick + 1, total))


class Repeating(Section):
    """A schedule that repeats at equal intervals, from a tick on."""

    type: Literal["Repeating"]
    start_tick: Tick
    interval: Positive

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which the event happens."""
        return range(self.start_tick, total, self.interval)


class Event(Section):
    """Something that happens to the banks, in ticks of the whole run."""

    schedule: Annotated[OneTime | Repeating, Field(discriminator="type")]


class CustomTransactionArrival(Event):
    """A payment that is not drawn."""

    type: Literal["CustomTransactionArrival"]
    from_agent: str
    to_agent: str
    amount: Amount
    priority: Priority = DEFAULT_PRIORITY
    deadline: Tick
    is_divisible: Flag = False


class DirectTransfer(Event):
    """Money moves at once, without a queue; one that would break a credit floor is skipped."""

    type: Literal["DirectTransfer"]
    from_agent: str
    to_agent: str
    amount: Amount


class CollateralAdjustment(Event):
    """Collateral is posted (above 0) or withdrawn; what breaks the credit floor or the capacity is skipped."""

    type: Literal["CollateralAdjustment"]
    agent: str
    delta: Annotated[int, Field(ge=-(2**62), le=2**62, strict=True)]


class GlobalArrivalRateChange(Event):
    """Every bank sends `multiplier` times its base rate, from this tick on."""

    type: Literal["GlobalArrivalRateChange"]
    multiplier: Annotated[float, Field(ge=0, le=1e6, strict=True)]


class AgentArrivalRateChange(Event):
    """One bank sends `multiplier` times its base rate from this tick on; it replaces an earlier change."""

    type: Literal["AgentArrivalRateChange"]
    agent: str
    multiplier: Annotated[float, Field(ge=0, le=1e6, strict=True)]


class CounterpartyWeightChange(Event):
    """A bank pays a counterparty with this weight, from this tick on."""

    type: Literal["CounterpartyWeightChange"]
    agent: str
    counterparty: str
    weight: Weight


class DeadlineWindowChange(Event):
    """From this tick on a bank's payments (all banks', if none is named) have this range of deadlines."""

    type: Literal["DeadlineWindowChange"]
    agent: str | None = None
    deadline_range: TickRange

    @model_validator(mode="after")
    def _range(self) -> Self:
        check_range("deadline_range", self.deadline_range)
        return self


ScenarioEvent = Annotated[
    CustomTransactionArrival
    | DirectTransfer
    | CollateralAdjustment
    | GlobalArrivalRateChange
    | AgentArrivalRateChange
    | CounterpartyWeightChange
    | DeadlineWindowChange,
    Field(discriminator="type"),
]


def late_events(events: Sequence[ScenarioEvent], total: int) -> Iterator[tuple[Location, str]]:
    """Yield the place and the problem of each event that is never, in a run of `total` ticks."""
    for index, event in enumerate(events):
        if not event.schedule.ticks(total):
            place = ("scenario_events", index, "schedule")
            yield place, f"it is past the end: the run has {total} ticks, counted from 0"
