"""The section of a scenario that says which offsets the central queue looks for, and the checks of its batches."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from labledger.sections import Section
from labledger.yaml_files import Location
from payment_simulator.scenario.numbers import Flag


class LsmConfig(Section):
    """Liquidity-saving mechanism: the offsets that the central queue looks for."""

    enable_bilateral: Flag = Field(False, description="Payments of two banks to each other settle by their net.")
    enable_cycles: Flag = Field(False, description="Rings of three banks or more settle by their net.")
    enable_multilateral: Flag = Field(
        False, description="After these, as much of the whole queue as every bank can bear settles by its net."
    )
    algorithm_sequencing: Flag = Field(
        True, description="Bilateral, then cycles, then multilateral: the order in any case, named by other simulators."
    )
    entry_disposition_offsetting: Flag = Field(
        False, description="What does not fit as it is released settles by its net with payments the other way."
    )
    max_cycle_length: Annotated[int, Field(ge=3, le=5, strict=True)] = Field(
        4, description="Banks. In a cycle, at most."
    )
    max_cycles_per_tick: Annotated[int, Field(ge=1, le=10_000, strict=True)] = Field(
        10, description="Cycles. That settle in a tick, at most."
    )
    max_cycle_edges: Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)] = Field(
        10_000, description="Looks. At payments as edges of cycles in a tick, at most; the outcome counts the cuts."
    )


def problems_of_batches(batches: Sequence[int], ticks_per_day: int, *, rtgs: bool) -> Iterator[tuple[Location, str]]:
    """Yield the place and the problem of each batch that no day has, or has already; and of a day without any."""
    for index, tick in enumerate(batches):
        if tick >= ticks_per_day:
            yield ("netting_batches", index), f"tick {tick} is past the day's last, {ticks_per_day - 1}"
        elif tick in batches[:index]:
            yield ("netting_batches", index), f"tick {tick} stands twice"
    if not rtgs and not batches:
        problem = f"false: nothing would settle; say when, as netting_batches: [{ticks_per_day - 1}]"
        yield ("rtgs",), problem
