"""Scenario events: payments, transfers, collateral, credit, outages, and changes of what is drawn from."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labledger.sections import Section
from labledger.yaml_files import Location
from payment_simulator.scenario.numbers import (
    DEFAULT_PRIORITY,
    Amount,
    Cents,
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
    tick: Tick = Field(description="Tick. Of the whole run, counted from 0.", examples=[10])

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which the event happens."""
        return range(self.tick, min(self.tick + 1, total))


class Repeating(Section):
    """A schedule that repeats at equal intervals, from a tick on."""

    type: Literal["Repeating"]
    start_tick: Tick = Field(description="Tick. The first, of the whole run, counted from 0.", examples=[0])
    interval: Positive = Field(description="Ticks. From one to the next.", examples=[5])

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which the event happens."""
        return range(self.start_tick, total, self.interval)


class Event(Section):
    """Something that happens to the banks, in ticks of the whole run."""

    schedule: Annotated[OneTime | Repeating, Field(discriminator="type")] = Field(
        description="When it happens.", examples=[{"type": "OneTime", "tick": 10}]
    )

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which it happens."""
        return self.schedule.ticks(total)


class CustomTransactionArrival(Event):
    """A payment that is not drawn."""

    type: Literal["CustomTransactionArrival"]
    from_agent: str = Field(description="The bank that pays.", examples=["BANK_A"])
    to_agent: str = Field(description="The bank that is paid.", examples=["BANK_B"])
    amount: Amount = Field(description="Cents. What is paid.", examples=[15000])
    priority: Priority = Field(DEFAULT_PRIORITY, description="Priority. 10 is the most urgent.")
    deadline: Tick = Field(description="Ticks. From arrival: the last in which it is not overdue.", examples=[20])
    is_divisible: Flag = Field(False, description="Policies may split it.")


class DirectTransfer(Event):
    """Money moves at once, without a queue; one that would break a credit floor is skipped."""

    type: Literal["DirectTransfer"]
    from_agent: str = Field(description="The bank that pays.", examples=["BANK_A"])
    to_agent: str = Field(description="The bank that is paid.", examples=["BANK_B"])
    amount: Amount = Field(description="Cents. What moves.", examples=[15000])


class CollateralAdjustment(Event):
    """Collateral is posted (above 0) or withdrawn; what breaks the credit floor or the capacity is skipped."""

    type: Literal["CollateralAdjustment"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    delta: Annotated[int, Field(ge=-(2**62), le=2**62, strict=True)] = Field(
        description="Cents. Posted; below 0: withdrawn.", examples=[-50000]
    )


class CreditLimitChange(Event):
    """A bank has this much credit without collateral from this tick on; a balance below it stays as it is."""

    type: Literal["CreditLimitChange"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    unsecured_cap: Cents = Field(description="Cents. Its credit without collateral from then on.", examples=[200000])


class LimitChange(Event):
    """A bank's limit to a counterparty, or to all, is this from this tick on; a position beyond it only blocks."""

    type: Literal["LimitChange"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    counterparty: str | None = Field(None, description="The other bank; default: all of them.", examples=["BANK_B"])
    limit: Cents = Field(description="Cents. The most of the position from then on.", examples=[20000])


class BalanceReset(Event):
    """A bank's balance becomes this opening balance and its allocation; days that are reset later begin with it."""

    type: Literal["BalanceReset"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    opening_balance: Cents = Field(description="Cents. What it begins with from then on.", examples=[500000])


class Outage(Section):
    """A bank cannot send, from one tick to another; without `incoming` no payment to it is tried either."""

    type: Literal["Outage"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    start_tick: Tick = Field(description="Tick. The first of it, of the whole run.", examples=[10])
    end_tick: Tick = Field(description="Tick. The last of it, of the whole run.", examples=[40])
    incoming: Flag = Field(True, description="Payments to the bank settle; false: they are not tried.")

    @model_validator(mode="after")
    def _begins_first(self) -> Self:
        if self.start_tick > self.end_tick:
            raise ValueError(f"end_tick: {self.end_tick} is before start_tick {self.start_tick}")
        return self

    def ticks(self, total: int) -> range:
        """Return the ticks of a run of `total` ticks in which it lasts."""
        return range(self.start_tick, min(self.end_tick + 1, total))


class OutageResponse(Section):
    """The other banks' answer to an outage: they hold payments to the bank, until it ends."""

    stop_sending_after: Tick = Field(description="Ticks. From the outage's beginning; 0: at once.", examples=[5])


class GlobalArrivalRateChange(Event):
    """Every bank sends `multiplier` times its base rate, from this tick on."""

    type: Literal["GlobalArrivalRateChange"]
    multiplier: Annotated[float, Field(ge=0, le=1e6, strict=True)] = Field(
        description="Factor. Of the base rate.", examples=[1.5]
    )


class AgentArrivalRateChange(Event):
    """One bank sends `multiplier` times its base rate from this tick on; it replaces an earlier change."""

    type: Literal["AgentArrivalRateChange"]
    agent: str = Field(description="The bank.", examples=["BANK_A"])
    multiplier: Annotated[float, Field(ge=0, le=1e6, strict=True)] = Field(
        description="Factor. Of the base rate.", examples=[1.5]
    )


class CounterpartyWeightChange(Event):
    """A bank pays a counterparty with this weight, from this tick on."""

    type: Literal["CounterpartyWeightChange"]
    agent: str = Field(description="The bank that pays.", examples=["BANK_A"])
    counterparty: str = Field(description="The bank that is paid.", examples=["BANK_B"])
    weight: Weight = Field(description="Weight. In proportion to those of its other counterparties.", examples=[2])


class DeadlineWindowChange(Event):
    """From this tick on a bank's payments (all banks', if none is named) have this range of deadlines."""

    type: Literal["DeadlineWindowChange"]
    agent: str | None = Field(None, description="The bank; default: all.", examples=["BANK_A"])
    deadline_range: TickRange = Field(description="Ticks. From arrival, both ends included.", examples=[[2, 4]])

    @model_validator(mode="after")
    def _range(self) -> Self:
        check_range("deadline_range", self.deadline_range)
        return self


ScenarioEvent = Annotated[
    CustomTransactionArrival
    | DirectTransfer
    | CollateralAdjustment
    | CreditLimitChange
    | LimitChange
    | BalanceReset
    | Outage
    | GlobalArrivalRateChange
    | AgentArrivalRateChange
    | CounterpartyWeightChange
    | DeadlineWindowChange,
    Field(discriminator="type"),
]


def late_events(events: Sequence[ScenarioEvent], total: int) -> Iterator[tuple[Location, str]]:
    """Yield the place and the problem of each event that is never, or not to its end, in a run of `total` ticks."""
    for index, event in enumerate(events):
        last = event.end_tick if isinstance(event, Outage) else 0
        if last >= total or not event.ticks(total):
            place = ("scenario_events", index, "end_tick" if last else "schedule")
            yield place, f"it is past the end: the run has {total} ticks, counted from 0"


def outages_at_once(events: Sequence[ScenarioEvent]) -> Iterator[tuple[Location, str]]:
    """Yield the place and the problem of each outage of a bank that is out already."""
    outages = [(event, index) for index, event in enumerate(events) if isinstance(event, Outage)]
    last: dict[str, Outage] = {}
    for event, index in sorted(outages, key=lambda each: (each[0].start_tick, each[1])):
        before = last.get(event.agent)
        if before is not None and event.start_tick <= before.end_tick:
            already = f"agent {event.agent} is out from tick {before.start_tick} to {before.end_tick} already"
            yield ("scenario_events", index, "start_tick"), f"{already}: make it one outage"
        if before is None or event.end_tick > before.end_tick:
            last[event.agent] = event
