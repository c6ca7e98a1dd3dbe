"""The figures of a run by name, plain values: what `payment-sim run` prints, and a kept day holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from payment_simulator.days.reality import reality_of

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome


def report_of(
    outcome: "Outcome", *, scenario: str, seed: int | None, ticks: int, timing: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return the figures of one run of the scenario in the file `scenario`. Money in cents, timing in seconds.

    Indicators, and the comparison with the settlement times of a file that has them, are there if events were recorded.
    """
    agents = outcome.agents()
    further: dict[str, Any] = {}
    if outcome.rows is not None:
        further["indicators"] = outcome.indicators.to_dict()
        further |= {} if (reality := reality_of(outcome)) is None else {"reality": reality}
    arrived, settled = int(outcome.arrived.sum()), int(outcome.settled.sum())
    return {
        "scenario": scenario,
        "seed": seed,
        "agents": agents,
        "total_cost": sum(agent["total_cost"] for agent in agents.values()),
        "arrived": arrived,
        "settled": settled,
        "settlement_rate": settled / arrived if arrived else None,
        "settled_value": int(outcome.settled_value),
        "lsm_share": outcome.lsm_share,
        "liquidity_used": int(outcome.liquidity_used.sum()),
        "policy_faults": int(outcome.policy_faults),
        "cycle_search_cuts": int(outcome.cycle_search_cuts),
        "ticks": ticks,
        "engine": outcome.engine,
        "timing": dict(timing or {}),
        **further,
    }
