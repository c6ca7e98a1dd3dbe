"""The sections of a scenario that say what liquidity and delay cost."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from labledger.sections import Section
from payment_simulator.scenario.numbers import Cents, Rate
from payment_simulator.scenario.other_names import with_own_names

OTHER_NAMES = {"eod_penalty": "eod_penalty_per_transaction"}
"""Keys of `cost_rates` by names that other programs have for them."""


class FixedPenalty(Section):
    """A penalty of a fixed number of cents."""

    mode: Literal["fixed"]
    amount: Cents = Field(description="Cents. The penalty.", examples=[500])


class RatePenalty(Section):
    """A penalty in proportion to the payment."""

    mode: Literal["rate"]
    bps_per_event: Rate = Field(description="Basis points. Of the payment's amount.", examples=[50])


def _penalty_kind(value: Any) -> str:
    if isinstance(value, int):
        return "cents"
    return str(value.get("mode") if isinstance(value, dict) else getattr(value, "mode", None))


Penalty = Annotated[
    Annotated[Cents, Tag("cents")] | Annotated[FixedPenalty, Tag("fixed")] | Annotated[RatePenalty, Tag("rate")],
    Discriminator(
        _penalty_kind,
        custom_error_type="penalty",
        custom_error_message="Input should be cents, {mode: fixed, amount} or {mode: rate, bps_per_event}",
    ),
]


class PriorityMultipliers(Section):
    """Multipliers of the cost of delay for priorities 8-10, 4-7 and 0-3."""

    urgent_multiplier: Rate = Field(1.0, description="Factor. Of payments that arrived with priority 8 to 10.")
    normal_multiplier: Rate = Field(1.0, description="Factor. Of payments that arrived with priority 4 to 7.")
    low_multiplier: Rate = Field(1.0, description="Factor. Of payments that arrived with priority 0 to 3.")


class CostRates(Section):
    """The costs of liquidity and delay, in cents or basis points per tick unless the name has another unit."""

    liquidity_cost_per_tick_bps: Rate = Field(
        0.0, description="Basis points per tick. Of the part of the pool that was borrowed.", examples=[83]
    )
    overdraft_bps_per_tick: Rate = Field(
        0.0, description="Basis points per tick. Of what the balance is below 0.", examples=[12.5]
    )
    collateral_cost_per_tick_bps: Rate = Field(
        0.0, description="Basis points per tick. Of posted collateral, before the haircut.", examples=[3]
    )
    delay_cost_per_tick_per_cent: Rate = Field(
        0.0, description="Cents per cent and tick. Of every payment that is unsettled.", examples=[0.2]
    )
    priority_delay_multipliers: PriorityMultipliers = Field(
        default_factory=PriorityMultipliers, description="Of the cost of delay, by the priority of arrival."
    )
    overdue_delay_multiplier: Rate = Field(
        1.0, description="Factor. Of the cost of delay of a payment that is overdue.", examples=[5]
    )
    deadline_penalty: Penalty = Field(
        0, description="Cents. Once for each payment that becomes overdue.", examples=[500]
    )
    eod_penalty_per_transaction: Penalty = Field(
        0,
        description="Cents. For each payment that is unsettled at a day's end.",
        examples=[{"mode": "fixed", "amount": 500}],
    )
    eod_penalty_scope: Literal["unsettled", "overdue"] = Field(
        "unsettled", description="overdue: that penalty is charged only on payments that are past their deadline."
    )
    eod_borrowing_bps: Rate = Field(
        0.0, description="Basis points per day. Of the value that is unsettled at the day's end.", examples=[2000]
    )
    split_friction_cost: Cents = Field(0, description="Cents. For each piece of a split but the first.", examples=[10])

    @model_validator(mode="before")
    @classmethod
    def _own_names(cls, data: Any) -> Any:
        return with_own_names(data, OTHER_NAMES)
