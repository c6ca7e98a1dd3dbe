"""Bounds of the liquidity that each bank needs for a day of payments."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.numbers import LARGEST_CENTS, exact, half_up

Ints = NDArray[Any]
MAX_UINT16 = 1 << 16


def liquidity_bounds(
    sender: Ints,
    receiver: Ints,
    amount: Ints,
    tick: Ints,
    banks: int,
    ticks_per_day: int,
    days: int | None = None,
) -> tuple[Ints, Ints]:
    """Return the lower and the upper bound of each bank's liquidity, in cents: two int64 arrays, days x banks.

    Payments are in sequence, a value per payment; a day has those whose `tick`, of the whole run, is in it. The lower
    bound is what a bank sends less what it receives on that day, if that is above 0: with less it cannot pay all, even
    at the day's end. The upper bound is the peak of sent less received where each payment settles at once, in sequence:
    with it a bank never waits (Leinonen and Soramäki 1999). `days` None are those up to the last payment's. All amounts
    together are at most 2^61 cents.
    """
    day = tick.astype(np.int64) // ticks_per_day
    days = (int(day[-1]) + 1 if len(day) else 1) if days is None else days
    bank = np.stack([sender, receiver], axis=1).astype(np.int64).ravel()
    moved = np.stack([amount, -amount], axis=1).ravel()
    cell = np.repeat(day, 2) * banks + bank
    net, peak = net_and_peak(cell, moved, days * banks)
    return np.maximum(net, 0).reshape(days, banks), peak.reshape(days, banks)


def net_and_peak(cell: Ints, moved: Ints, cells: int) -> tuple[Ints, Ints]:
    """Return of each cell the sum of what `moved` in it, and the most that the sum was on the way, at least 0.

    Both arguments have a value per move, in sequence; `cell` counts up to `cells`.
    """
    order = np.argsort(cell.astype(np.uint16) if cells <= MAX_UINT16 else cell, kind="stable")  # 16 bits: a radix sort
    running = np.concatenate([[0], np.cumsum(moved[order])])
    ends = np.cumsum(np.bincount(cell, minlength=cells))
    begins = np.concatenate([[0], ends[:-1]])
    peak = np.zeros(cells, dtype=np.int64)
    moves = ends > begins
    if moves.any():
        peak[moves] = np.maximum.reduceat(running[1:], begins[moves]) - running[begins[moves]]
    return running[ends] - running[begins], np.maximum(peak, 0)


def opening_balances(given: GivenPayments, level: float, ticks_per_day: int) -> dict[str, int]:
    """Return for each bank of the payments lower bound + level * (upper - lower bound), in cents, a half up.

    Of several days each bound is the largest.

    Raises:
        ConfigError: the payments are more than is counted exactly.
    """
    if float(given.amount.sum(dtype=np.float64)) > LARGEST_CENTS:
        raise ConfigError("payments: all amounts together are over 2^61 cents, more than is counted exactly")
    bounds = liquidity_bounds(given.sender, given.receiver, given.amount, given.tick, len(given.banks), ticks_per_day)
    lower, upper = (each.max(axis=0).tolist() for each in bounds)
    share = exact(level)
    needs = zip(given.banks, lower, upper, strict=True)
    return {bank: half_up(least + share * (most - least)) for bank, least, most in needs}
