"""Polls of a sensor that publishes a new value now and then, and the changes that they saw."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


class Polls(NamedTuple):
    """The polls of one quantity in order of time: the clock before and after each, and its value; n of each."""

    before_s: Reals
    after_s: Reals
    values: Reals


class Changes(NamedTuple):
    """The polls that saw a new value: from the poll before to that one, and the row of that one."""

    earliest_s: Reals
    latest_s: Reals
    row: NDArray[np.int64]

    @classmethod
    def of(cls, polls: Polls) -> Self:
        """Return the changes in polls; the first value is none."""
        row = np.flatnonzero(np.diff(polls.values) != 0) + 1
        return cls(polls.before_s[row - 1], polls.after_s[row], row)

    @property
    def middle_s(self) -> Reals:
        """The middle of each bracket."""
        return (self.earliest_s + self.latest_s) / 2

    @property
    def width_s(self) -> Reals:
        """The width of each bracket."""
        return self.latest_s - self.earliest_s
