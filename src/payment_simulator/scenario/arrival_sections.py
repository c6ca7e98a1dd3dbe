"""The sections of a bank that say what it sends: payments that are drawn, in one kind or by bands of priorities."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from labledger.sections import Section
from payment_simulator.scenario.distributions import (
    AmountDistribution,
    EvenPriorities,
    WeightedPriorities,
)
from payment_simulator.scenario.numbers import Flag, Priority, Share, TickRange, Weight, check_range

PRIORITY_BANDS = {"urgent": (8, 10), "normal": (4, 7), "low": (0, 3)}


class ArrivalConfig(Section):
    """The payments that a bank sends: how many, how large, to whom, until when."""

    rate_per_tick: Annotated[float, Field(ge=0, le=1e6, strict=True)] = Field(
        description="Payments per tick. Mean of a Poisson number.", examples=[0.5]
    )
    amount_distribution: AmountDistribution = Field(
        description="How large they are.", examples=[{"type": "LogNormal", "mean": 10000, "std_dev": 5000}]
    )
    counterparty_weights: dict[str, Weight] | None = Field(
        None, description="Weights. To whom it pays; default: all other banks alike.", examples=[{"BANK_B": 3}]
    )
    deadline_range: TickRange = Field(description="Ticks. From arrival, both ends included.", examples=[[3, 8]])
    deadline_share: Share | None = Field(
        None,
        description="Share. Of payments with a deadline in the range; others: their day's last tick; default: all.",
        examples=[0.1],
    )
    priority: Priority | None = Field(
        None, description="Priority. 10 is the most urgent; default: 5, in a band all of it.", examples=[5]
    )
    priority_distribution: Annotated[EvenPriorities | WeightedPriorities, Field(discriminator="type")] | None = Field(
        None,
        description="In place of `priority`: priorities that are drawn.",
        examples=[{"type": "Uniform", "min": 3, "max": 8}],
    )
    divisible: Flag = Field(False, description="Policies may split these payments.")
    profile: Annotated[list[Annotated[float, Field(ge=0, le=1e6, strict=True)]], Field(min_length=1)] | None = Field(
        None,
        description="Multipliers. Of the rate over a day, in steps of equal length; as many as ticks: one each.",
        examples=[[0.5, 1.5, 1.0]],
    )

    @model_validator(mode="after")
    def _one_priority_and_a_range(self) -> Self:
        if self.priority is not None and self.priority_distribution is not None:
            raise ValueError("priority_distribution: and priority cannot both be given")
        check_range("deadline_range", self.deadline_range)
        if self.counterparty_weights is not None and not sum(self.counterparty_weights.values()) > 0:
            raise ValueError("counterparty_weights: none is above 0")
        return self


class ArrivalBands(Section):
    """An `arrival_config` for each band of priorities, which are even over the band unless given."""

    urgent: ArrivalConfig | None = Field(None, description="Payments of priority 8 to 10.")
    normal: ArrivalConfig | None = Field(None, description="Payments of priority 4 to 7.")
    low: ArrivalConfig | None = Field(None, description="Payments of priority 0 to 3.")

    @model_validator(mode="after")
    def _priorities_in_their_bands(self) -> Self:
        for name, (low, high) in PRIORITY_BANDS.items():
            config: ArrivalConfig | None = getattr(self, name)
            found = _priorities(config) if config else []
            if outside := [priority for priority in found if not low <= priority <= high]:
                raise ValueError(f"{name}: priority {outside[0]} is not in its band, {low} to {high}")
        return self


def _priorities(config: ArrivalConfig) -> list[int]:
    chosen: Any = config.priority_distribution
    if isinstance(chosen, EvenPriorities):
        return [chosen.min, chosen.max]
    if isinstance(chosen, WeightedPriorities):
        return chosen.values
    return [] if config.priority is None else [config.priority]
