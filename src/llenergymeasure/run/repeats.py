"""The order of repeated runs: rounds of one run of each configuration, and when a configuration is given up.

Runs that are compared with each other are neighbours in time, and what drifts (clock, temperature, other work) favours
none of them: every second round goes backwards. In rounds that all have the same order it would.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from llenergymeasure.config.study.sections import Order

FAILURES_IN_A_ROW = 2
"""A configuration that fails so often one run after another is not run again: it would fail every time."""


class PlannedRun(NamedTuple):
    """Run `number` of all: `configuration` (from 0 on) in round `round_number`; both numbers count from 1."""

    number: int
    round_number: int
    configuration: int


def rounds(configurations: int, repeats: int, order: Order = "alternating", seed: int = 0) -> Iterator[PlannedRun]:
    """Yield the runs of `repeats` rounds in order: of A and B AB, BA, AB, ...; of three ABC, CBA, ABC, ...

    `shuffled`: every second round has an order of its own, drawn by `seed`, and the one after it goes backwards, so
    that none is ahead of another more often, as it would be by chance. `blocks`: all runs of A, then all of B.
    """
    numbers = count(1)
    if order == "blocks":
        for configuration in range(configurations):
            for round_number in range(1, repeats + 1):
                yield PlannedRun(next(numbers), round_number, configuration)
        return
    for round_number in range(1, repeats + 1):
        for configuration in in_order(range(configurations), round_number, order, seed):
            yield PlannedRun(next(numbers), round_number, configuration)


def in_order(configurations: Iterable[int], round_number: int, order: Order, seed: int) -> list[int]:
    """Return configurations in the order that they have in one round.

    A shuffled round is sorted by the SHA-256 of `SEED/ROUND/CONFIGURATION` in decimal digits: the same with every
    version of Python and on every machine, and further configurations leave the order of the others as it is.
    """
    goes_back = round_number % 2 == 0
    first_of_two = round_number - goes_back

    def drawn(configuration: int) -> bytes:
        return hashlib.sha256(f"{seed}/{first_of_two}/{configuration}".encode()).digest()

    if order == "shuffled":
        return sorted(configurations, key=drawn, reverse=goes_back)
    return sorted(configurations, reverse=order == "alternating" and goes_back)


class Failures:
    """Counts, for each configuration, of failures one run after another."""

    def __init__(self) -> None:
        self._in_a_row = Counter[int]()

    def add(self, configuration: int, *, failed: bool) -> None:
        """Record how a run of a configuration has ended."""
        self._in_a_row[configuration] = self._in_a_row[configuration] + 1 if failed else 0

    def is_given_up(self, configuration: int) -> bool:
        """Return True if a configuration is not run again."""
        return self._in_a_row[configuration] >= FAILURES_IN_A_ROW
