"""Ticks and payments per second of the settlement engine, beside its own definition in plain Python, as ratios.

    pip install -e '.[payments]'
    python benchmarks/engine.py [--repeats 20]

Timed is `simulate` on a prepared scenario with arrivals drawn, the outcome included, the kernel warm; the best of
the repeats, for other work on the machine only ever adds. "Ample" banks can pay everything as it arrives, "tight" ones
begin with two mean payments.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from _report import machine, pressure

from payment_simulator.engine.simulate import Prepared, prepare, simulate, simulate_batch
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.loader import load_scenario
from payment_simulator.scenario.schema import Scenario

EXAMPLES = Path(__file__).parents[1] / "examples" / "payments"
AMPLE, TIGHT = 10**9, 20_000


def scenario(banks: int, rate: float, ticks: int, balance: int, offsets: bool, **further: Any) -> Scenario:
    """Banks alike, payments of log-normal amounts with a mean of 10,000; `further` are keys of banks and sections."""
    arrivals = {
        "rate_per_tick": rate,
        "amount_distribution": {"type": "LogNormal", "mean": 10_000, "std_dev": 5_000},
        "deadline_range": [5, 50],
    }
    of_banks = {key: further.pop(key) for key in [*further] if key in Agent.model_fields}
    agents = [
        {"id": f"B{n:03d}", "opening_balance": balance, "arrival_config": arrivals, **of_banks} for n in range(banks)
    ]
    if "lsm_config" in further:
        further["lsm_config"] = {"enable_bilateral": offsets, "enable_cycles": offsets, **further["lsm_config"]}
    return Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": ticks, "rng_seed": 1},
            "lsm_config": {"enable_bilateral": offsets, "enable_cycles": offsets},
            "cost_rates": {"overdraft_bps_per_tick": 1, "delay_cost_per_tick_per_cent": 0.0001},
            "agents": agents,
            **further,
        }
    )


def best_s(work: Callable[[], object], repeats: int) -> float:
    """The least time, after a first run that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times)


def ready(made: Scenario, samples: int = 1) -> tuple[Prepared, Arrivals]:
    """A scenario and its arrivals, in the form that the kernel takes."""
    arrivals = draw_arrivals(made, samples=samples)
    _ = arrivals.table
    return prepare(made), arrivals


def ten_banks(repeats: int) -> None:
    """10 banks, one payment per tick each."""
    head = f"{'10 banks, 1 payment per tick each':<33} {'ticks/s':>9}"
    print(f"{head}   {'payments/s':>11} {'reference':>11}   {'ratio':>7}")
    for ticks in (100, 1_000):
        for name, balance in (("ample", AMPLE), ("tight", TIGHT)):
            for offsets in (False, True):
                prepared, arrivals = ready(scenario(10, 1, ticks, balance, offsets))
                kernel = ticks / best_s(partial(simulate, prepared, arrivals, engine="kernel"), repeats)
                plain = ticks / best_s(partial(simulate, prepared, arrivals, engine="reference"), 1)
                what = f"{ticks:,} ticks, {name}, LSM {'on' if offsets else 'off'}"
                payments = kernel * len(arrivals) / ticks
                print(f"{what:<33} {kernel:>9,.0f}   {payments:>11,.0f} {plain:>11,.0f}   {kernel / plain:>7,.0f}")


def episodes(repeats: int) -> None:
    """The second experiment of Castro et al., many samples at once."""
    made = load_scenario(EXAMPLES / "castro_exp2.yaml")
    prepared, arrivals = ready(made, samples=10_000)
    few = draw_arrivals(made, samples=100)
    plain_us = best_s(partial(simulate_batch, prepared, few, engine="reference"), 1) / few.samples * 1e6
    drawn_us = best_s(partial(draw_arrivals, made, samples=arrivals.samples), repeats) / arrivals.samples * 1e6
    print(f"castro_exp2, its payments drawn: {drawn_us:.2f} us per episode")
    for threads in (1, 2):
        batch = best_s(partial(simulate_batch, prepared, arrivals, engine="kernel", threads=threads), repeats)
        us = batch / arrivals.samples * 1e6
        print(
            f"castro_exp2, a batch, {threads} thread(s): {us:.2f} us per episode ({1 / us:.2f} million/s); "
            f"reference {plain_us:,.0f} us, {plain_us / us:,.0f} times"
        )


def growth(repeats: int) -> None:
    """200 banks, 100 payments per tick: what a payment costs as the run grows longer."""
    for name, balance, lengths in (("ample", AMPLE, (100, 1_000, 10_000)), ("tight", TIGHT, (1_000, 10_000))):
        costs = []
        for ticks in lengths:
            prepared, arrivals = ready(scenario(200, 0.5, ticks, balance, offsets=False))
            taken_s = best_s(partial(simulate, prepared, arrivals, engine="kernel"), max(repeats // 5, 1))
            costs.append(taken_s / len(arrivals) * 1e9)
        figures = ", ".join(f"{ns:.0f} ns at {ticks:,} ticks" for ns, ticks in zip(costs, lengths, strict=True))
        print(
            f"growth, 200 banks, 100 payments per tick, {name}: a payment {figures}: {costs[-1] / costs[0]:.2f} times"
        )


def fedwire_day(repeats: int) -> None:
    """200 banks, a million payments, offsets on."""
    began_s = time.perf_counter()
    made = load_scenario(EXAMPLES / "fedwire_day.yaml")
    read_s = time.perf_counter()
    prepared, arrivals = ready(made)
    drawn_s = time.perf_counter()
    taken_s = best_s(partial(simulate, prepared, arrivals, engine="kernel"), max(repeats // 5, 1))
    outcome = simulate(prepared, arrivals, engine="kernel")
    print(
        f"fedwire_day, {len(arrivals):,} payments, LSM on: simulated in {taken_s:.2f} s "
        f"(read {read_s - began_s:.2f} s, drawn {drawn_s - read_s:.2f} s); "
        f"{outcome.settled.sum() / outcome.arrived.sum():.2%} settled"
    )


MECHANICS: dict[str, dict[str, Any]] = {
    "none": {},
    "limits": {"multilateral_limit": TIGHT // 2},
    "reservations": {"reservations": {"urgent": TIGHT // 4, "normal": TIGHT // 4}},
    "queue2 in bands": {"queue2": {"order": "bands"}},
    "strict queue2": {"queue2": {"release": "strict"}},
    "escalation": {"priority_escalation": {}},
    "offsets on entry": {"entry_disposition_offsetting": True},
    "multilateral netting": {"lsm_config": {"enable_multilateral": True}},
    "batches every 10 ticks": {"netting_batches": list(range(9, 1_000, 10))},
}
"""Keys that turn on each of the field's mechanics."""


def mechanics(repeats: int) -> None:
    """Fifty tight banks for 1,000 ticks, offsets on: what each mechanic costs where it is on, measured in turns."""
    days = {name: ready(scenario(50, 0.5, 1_000, TIGHT, offsets=True, **keys)) for name, keys in MECHANICS.items()}
    best = dict.fromkeys(days, math.inf)
    for _ in range(repeats):
        for name, (prepared, arrivals) in days.items():
            best[name] = min(best[name], best_s(partial(simulate, prepared, arrivals, engine="kernel"), 1))
    print(f"{'50 banks, tight, LSM on, and':<33} {'payments/s':>11}   {'time':>7} {'settled':>9}")
    for name, (prepared, arrivals) in days.items():
        outcome = simulate(prepared, arrivals, engine="kernel")
        share = outcome.settled.sum() / outcome.arrived.sum()
        print(f"{name:<33} {len(arrivals) / best[name]:>11,.0f}   {best[name] / best['none']:>6.2f}x {share:>9.2%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    print(machine())
    print(f"before: {pressure()}")
    ten_banks(repeats)
    episodes(repeats)
    growth(repeats)
    fedwire_day(repeats)
    mechanics(repeats)
    print(f"after:  {pressure()}")


if __name__ == "__main__":
    main()
