"""The warning that rounding has changed what a bank pays by more than it may."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from payment_simulator.engine.vocabulary import COSTS

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome

LARGEST_SHARE = 0.01
"""The share of a bank's exact cost beyond which what rounding changes is told."""
LEAST_CENTS = 1.0
"""A bank that owes less than a cent cannot be charged it."""


def rounding_by_bank(outcome: "Outcome") -> dict[str, dict[str, float]]:
    """Return exact cost minus what was charged in one run, in cents, by bank and kind of cost, where it is not 0."""
    return {
        bank: {kind: cents for kind, cents in zip(COSTS, row, strict=True) if cents}
        for bank, row in zip(outcome.agent_ids, outcome.rounding.tolist(), strict=True)
    }


def rounding_warnings(outcome: "Outcome") -> Iterator[str]:
    """Yield a line for the bank and the kind of cost of one run that rounding has changed most, if that is too much.

    Too much is over 1 % of what the bank's costs are exactly, and a cent or more.
    """
    rounding = outcome.rounding
    due = outcome.total_cost + rounding.sum(axis=1)
    worst = None
    banks = 0
    for bank, row in enumerate(rounding.tolist()):
        kind = max(range(len(COSTS)), key=lambda kind: abs(row[kind]))
        size = abs(row[kind])
        if size >= LEAST_CENTS and size > LARGEST_SHARE * due[bank]:
            banks += 1
            share = size / due[bank] if due[bank] > 0 else 1.0
            worst = max(worst or (0.0, 0, 0), (share, bank, kind))
    if worst is None:
        return
    share, bank, kind = worst
    charged = int(outcome.costs[bank, kind])
    exact = charged + rounding[bank, kind]
    others = f", and of {banks - 1:,} more banks" if banks > 1 else ""
    yield (
        f"rounding to whole cents in every tick changes the cost of {outcome.agent_ids[bank]}{others} by over 1 %: "
        f"{COSTS[kind]} {charged:,} cents where {exact:,.2f} were due; take coarser ticks, or cost_rounding: carry"
    )
