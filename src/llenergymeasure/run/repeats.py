"""The order of repeated runs: rounds of one run of each configuration, every second round backwards.

Runs that are compared with each other are then neighbours in time, and what drifts (clock, temperature, other work)
favours none of them: in rounds that all have the same order it would.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple


class PlannedRun(NamedTuple):
    """Run `number` of all: `configuration` (from 0 on) in round `round_number`; both numbers count from 1."""

    number: int
    round_number: int
    configuration: int


def rounds(configurations: int, repeats: int) -> Iterator[PlannedRun]:
    """Yield the runs of `repeats` rounds in order: of A and B AB, BA, AB, ...; of three ABC, CBA, ABC, ..."""
    numbers = count(1)
    for round_number in range(1, repeats + 1):
        forwards = range(configurations)
        for configuration in forwards if round_number % 2 else reversed(forwards):
            yield PlannedRun(next(numbers), round_number, configuration)
