"""Days for the benchmarks of the settlement engine: banks alike, payments drawn; and how a day is timed."""

import time
from collections.abc import Callable
from typing import Any

from payment_simulator.engine.simulate import Prepared, prepare
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.schema import Scenario

AMPLE, TIGHT = 10**9, 20_000


def scenario(
    banks: int,
    rate: float,
    ticks: int,
    balance: int,
    offsets: bool,
    *,
    of_payments: dict[str, Any] | None = None,
    of_banks: dict[str, Any] | None = None,
    **sections: Any,
) -> Scenario:
    """Banks alike, payments of log-normal amounts with a mean of 10,000, with further keys of payments and of banks."""
    arrivals = {
        "rate_per_tick": rate,
        "amount_distribution": {"type": "LogNormal", "mean": 10_000, "std_dev": 5_000},
        "deadline_range": [5, 50],
        **(of_payments or {}),
    }
    given = {"opening_balance": balance, "arrival_config": arrivals, **(of_banks or {})}
    return Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": ticks, "rng_seed": 1},
            "lsm_config": {"enable_bilateral": offsets, "enable_cycles": offsets},
            "cost_rates": {"overdraft_bps_per_tick": 1, "delay_cost_per_tick_per_cent": 0.0001},
            "agent_defaults": given,
            "agents": [{"id": name} for name in bank_names(banks)],
            **sections,
        }
    )


def bank_names(banks: int) -> list[str]:
    """Return their ids."""
    return [f"B{number:03d}" for number in range(banks)]


def ready(made: Scenario, samples: int = 1) -> tuple[Prepared, Arrivals]:
    """A scenario and its arrivals, in the form that the kernel takes."""
    arrivals = draw_arrivals(made, samples=samples)
    _ = arrivals.table
    return prepare(made), arrivals


def cpu_s(work: Callable[[], object], times: int = 1) -> float:
    """Return the processor's seconds that the work takes, the mean of so many times: no wait for a core is in it."""
    began_s = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began_s) / times
