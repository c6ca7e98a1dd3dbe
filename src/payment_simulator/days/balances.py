"""Balances of two days, tick by tick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.days.loading import Day

Ints = NDArray[Any]


@dataclass(frozen=True)
class BalanceDifference:
    """The first tick after which balances differ, the bank furthest apart, and both in cents; None where none differ.

    Of the `ticks` that both days have, `ticks_that_differ` have a bank with another balance, in `cells` cases in all.
    """

    ticks: int
    ticks_that_differ: int
    cells: int
    tick: int | None
    bank: str | None
    first: int | None
    second: int | None


def balance_difference(first: Day, second: Day, banks: Sequence[str]) -> BalanceDifference:
    """Return where the balances of these banks differ, over the ticks that both days have.

    Raises:
        UnreadableFileError: a table has not the columns of balances, or not each bank in each tick.
    """
    one, other = (day.by_tick("balances", "balance", banks) for day in (first, second))
    ticks = min(len(one), len(other))
    differ = one[:ticks] != other[:ticks]
    of_tick = differ.any(axis=1)
    cells = int(differ.sum())
    if not cells:
        return BalanceDifference(ticks, 0, 0, None, None, None, None)
    tick = int(of_tick.argmax())
    apart = np.where(differ[tick], np.abs(one[tick] - other[tick]), -1)
    bank = int(apart.argmax())
    values = int(one[tick, bank]), int(other[tick, bank])
    return BalanceDifference(ticks, int(of_tick.sum()), cells, tick, banks[bank], *values)
