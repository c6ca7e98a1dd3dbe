"""The section of a scenario that lets the priority of a payment rise towards its deadline."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from labledger.sections import Section
from payment_simulator.scenario.numbers import Flag, Positive
from payment_simulator.scenario.other_names import with_own_names

MOST_URGENT = 10


class PriorityEscalation(Section):
    """Waiting payments become more urgent, step by step, as their deadline comes near."""

    enabled: Flag = Field(True, description="false: the section means nothing.")
    curve: Literal["linear"] = Field("linear", description="linear: the boost grows by the same part each tick.")
    start_escalating_at_ticks: Positive = Field(20, description="Ticks. Before the deadline, from which on it grows.")
    max_boost: Annotated[int, Field(ge=0, le=MOST_URGENT, strict=True)] = Field(
        3, description="Priorities. The boost at the deadline, and after it."
    )

    @model_validator(mode="before")
    @classmethod
    def _own_names(cls, data: Any) -> Any:
        return with_own_names(data, {"threshold_ticks": "start_escalating_at_ticks"})
