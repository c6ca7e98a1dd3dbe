"""Ticks in which payments settled in the simulation, beside those in reality, as their file has them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.recorded import recorded_settlements
from payment_simulator.scenario.given_payments import NEVER

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome

Ints = NDArray[Any]


def reality_of(outcome: "Outcome") -> dict[str, Any] | None:
    """Return the comparison of a run with the settlement times of its file; None where the file has none.

    Of the file's payments: how many settled in both, in one alone, in neither; over those that settled in both the mean
    of the simulated tick minus the file's, and the share with the same tick; the cents that settled in each tick; and
    the tick after which the values settled until then lie furthest apart.
    """
    given = None if outcome.scenario is None else outcome.scenario.given_payments
    arrivals = outcome.arrivals
    if given is None or given.settled is None or arrivals is None or arrivals.given is None:
        return None
    of_file = arrivals.given != NEVER
    simulated = recorded_settlements(outcome).settled_tick[of_file]
    real = given.settled[arrivals.given[of_file]].astype(np.int64)
    return compared(arrivals.amount[of_file], simulated, real)


def compared(amount: Ints, simulated: Ints, real: Ints) -> dict[str, Any]:
    """Return the comparison of ticks in which payments settled, `NEVER` where one did not."""
    both = (simulated != NEVER) & (real != NEVER)
    difference = (simulated - real)[both]
    settled = int(both.sum())
    by_tick = _by_tick(amount, simulated, real)
    return {
        "payments": len(amount),
        "settled_in_both": settled,
        "settled_only_simulated": int(((simulated != NEVER) & (real == NEVER)).sum()),
        "settled_only_in_file": int(((simulated == NEVER) & (real != NEVER)).sum()),
        "settled_in_neither": int(((simulated == NEVER) & (real == NEVER)).sum()),
        "mean_difference_ticks": int(difference.sum()) / settled if settled else None,
        "mean_absolute_difference_ticks": int(np.abs(difference).sum()) / settled if settled else None,
        "same_tick": int((difference == 0).sum()),
        "same_tick_share": int((difference == 0).sum()) / settled if settled else None,
        "furthest_apart": _furthest(by_tick),
        "value_by_tick": by_tick,
    }


def _by_tick(amount: Ints, simulated: Ints, real: Ints) -> list[dict[str, int]]:
    """Return the cents that settled in each tick, without ticks in which none did."""
    ticks = np.unique(np.concatenate([simulated, real]))
    ticks = ticks[ticks != NEVER]
    sums = {}
    for name, settled in (("simulated", simulated), ("file", real)):
        is_settled = settled != NEVER
        sums[name] = np.zeros(len(ticks), dtype=np.int64)
        np.add.at(sums[name], np.searchsorted(ticks, settled[is_settled]), amount[is_settled])
    rows = zip(ticks.tolist(), sums["simulated"].tolist(), sums["file"].tolist(), strict=True)
    return [{"tick": tick, "simulated": one, "file": other} for tick, one, other in rows]


def _furthest(by_tick: list[dict[str, int]]) -> dict[str, int] | None:
    """Return the tick after which the values that settled until then lie furthest apart, and those."""
    furthest, sums = None, {"simulated": 0, "file": 0}
    for row in by_tick:
        sums = {name: value + row[name] for name, value in sums.items()}
        apart = abs(sums["simulated"] - sums["file"])
        if furthest is None or apart > abs(furthest["simulated"] - furthest["file"]):
            furthest = {"tick": row["tick"], **sums}
    return furthest
