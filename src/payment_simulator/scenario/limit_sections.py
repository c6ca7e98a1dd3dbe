"""The sections of a bank that say how much it lets go: limits to others, and liquidity reserved for what is urgent."""

from typing import Literal

from pydantic import Field

from labledger.sections import Section
from payment_simulator.scenario.numbers import Cents


class Limits(Section):
    """The most that a bank's position may be, to another bank and to all of them: what it has sent that day."""

    bilateral_limits: dict[str, Cents] = Field(
        default_factory=dict,
        description="Cents. By bank: the most of the position to it.",
        examples=[{"BANK_B": 50000}],
    )
    multilateral_limit: Cents | None = Field(
        None, description="Cents. The most of the position to all others. Default: no limit.", examples=[200000]
    )
    measure: Literal["net", "gross"] = Field(
        "net", description="net: a position is what was sent less what was received; gross: what was sent."
    )


class Reservations(Section):
    """Liquidity that less urgent payments may not use, until as much of that class has settled that day."""

    urgent: Cents = Field(0, description="Cents. For payments of priority 8 to 10.", examples=[100000])
    normal: Cents = Field(0, description="Cents. For payments of priority 4 to 7.", examples=[50000])


class Queue2(Section):
    """The order of the central queue, and whether a payment may pass those of its bank that stand before it."""

    order: Literal["priority", "bands", "fifo"] | None = Field(
        None, description="bands: urgent, normal, low, each as it came; fifo: as it came; default: priority."
    )
    release: Literal["bypass", "strict"] = Field(
        "bypass", description="strict: a payment settles only with, or after, its bank's earlier ones."
    )
