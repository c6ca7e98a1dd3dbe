"""Seconds that it takes to prove which allocation costs each bank least, beside a run for each allocation, as a ratio.

    pip install -e '.[payments]'
    python benchmarks/nash_gap.py [--repeats 3]

Timed is `search_allocations` from Python for every bank of a game, the kernel warm: the best of the repeats. "Runs" is
the work that it took, in runs of the game. Below, a small game is searched beside `simulate` for each allocation of one
bank, and the two must agree.
"""

import argparse
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

from _report import machine, pressure
from engine import EXAMPLES, best_s

from payment_simulator.engine.allocation_search import AllocationSearch, search_allocations
from payment_simulator.engine.simulate import simulate
from payment_simulator.policy.policies import policies_of
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.loader import load_scenario
from payment_simulator.scenario.schema import Scenario

POOL, TICKS, BUDGET = 10**6, 100, 10**12
RATES = {"liquidity_cost_per_tick_bps": 1.0, "overdraft_bps_per_tick": 2.0, "delay_cost_per_tick_per_cent": 0.0002}
BALANCE_TREE = {
    "version": "1",
    "policy_id": "keep",
    "payment_tree": {
        "type": "condition",
        "condition": {"op": ">=", "left": {"field": "balance"}, "right": {"field": "amount"}},
        "on_true": {"type": "action", "action": "Release"},
        "on_false": {"type": "action", "action": "Hold"},
    },
}
GAMES: dict[str, dict[str, Any]] = {
    "delay alone": {},
    "credit for all of it": {"bank": {"unsecured_cap": POOL}},
    "liquidity and credit alike": {"bank": {"unsecured_cap": POOL}, "rates": {"overdraft_bps_per_tick": 1.0}},
    "liquidity free": {"rates": {"liquidity_cost_per_tick_bps": 0.0}},
    "offsets": {"lsm": {"enable_bilateral": True, "enable_cycles": True}},
    "credited after the tick": {"further": {"deferred_crediting": True}},
    "LiquidityAware": {"bank": {"policy": {"type": "LiquidityAware", "target_buffer": 100_000}}},
    "10 banks, 500 payments": {"banks": 10},
    "a tree that reads balance": {"bank": {"policy": BALANCE_TREE}, "pool": 10_000},
}


def game(
    banks: int = 2,
    pool: int = POOL,
    bank: dict[str, Any] | None = None,
    rates: dict[str, float] | None = None,
    lsm: dict[str, bool] | None = None,
    further: dict[str, Any] | None = None,
) -> Scenario:
    """Banks alike, a payment every second tick each, of a twentieth of the pool."""
    arrivals = {
        "rate_per_tick": 0.5,
        "amount_distribution": {"type": "LogNormal", "mean": pool / 20, "std_dev": pool / 20},
        "deadline_range": [2, 20],
    }
    fields = {"liquidity_pool": pool, "liquidity_allocation_fraction": 0.2, "arrival_config": arrivals, **(bank or {})}
    return Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": TICKS, "rng_seed": 1},
            "agents": [{"id": f"B{number:02d}", **fields} for number in range(banks)],
            "cost_rates": {**RATES, "deadline_penalty": 100, **(rates or {})},
            "lsm_config": lsm or {},
            **(further or {}),
        }
    )


def search_all(scenario: Scenario, arrivals: Arrivals) -> list[AllocationSearch]:
    """The search of every bank over its whole pool, the others as the scenario has them."""
    pools = [agent.liquidity_pool for agent in scenario.agents_by_id()]
    policies = policies_of(scenario)
    return [
        search_allocations(scenario, policies, arrivals, bank, range(pool + 1), budget=BUDGET, engine="kernel")
        for bank, pool in enumerate(pools)
    ]


def searches(repeats: int) -> None:
    """Games of a pool of a million cents, the examples, and trees for which every allocation is run."""
    print(
        f"every bank of a game searched    payments  allocations   seconds       runs   least costs  (ticks: {TICKS})"
    )
    games = {name: game(**options) for name, options in GAMES.items()}
    games |= {f"castro_exp{number}": load_scenario(EXAMPLES / f"castro_exp{number}.yaml") for number in (1, 3)}
    for name, scenario in games.items():
        arrivals = draw_arrivals(scenario)
        taken_s = best_s(lambda scenario=scenario, arrivals=arrivals: search_all(scenario, arrivals), repeats)
        found = search_all(scenario, arrivals)
        runs = sum(each.work for each in found) / (len(arrivals) * scenario.simulation.ticks)
        seen = sum(each.seen for each in found)
        costs = ", ".join(f"{each.cost:,}" for each in found[:2])
        incomplete = "" if all(each.is_complete for each in found) else "  NOT COMPLETE"
        print(f"{name:<30} {len(arrivals):>10} {seen:>12,} {taken_s:>9.3f} {runs:>10,.0f}   {costs}{incomplete}")


def beside_runs(repeats: int) -> None:
    """A pool of 5,000 cents, beside a run for each allocation."""
    for name in ("delay alone", "credit for all of it", "a tree that reads balance"):
        scenario = game(**{**GAMES[name], "pool": 5_000})
        arrivals, policies = draw_arrivals(scenario), policies_of(scenario)
        _ = search_all(scenario, arrivals)
        began_s = time.perf_counter()
        costs = []
        for allocation in range(5_001):
            chosen = [replace(policies[0], fraction=Fraction(allocation, 5_000)), *policies[1:]]
            costs.append(int(simulate(scenario, arrivals, chosen, engine="kernel").costs[0].sum()))
        runs_s = time.perf_counter() - began_s

        def search(scenario: Scenario = scenario, arrivals: Arrivals = arrivals) -> AllocationSearch:
            return search_allocations(
                scenario, policies_of(scenario), arrivals, 0, range(5_001), budget=BUDGET, engine="kernel"
            )

        found, searched_s = search(), best_s(search, repeats)
        if (found.cost, found.allocation) != min((cost, place) for place, cost in enumerate(costs)):
            raise SystemExit(f"{name}: {found} is not the least of all runs")
        print(
            f"{name}, a pool of 5,000 cents: a search {searched_s * 1e3:.2f} ms, a run for each allocation "
            f"{runs_s * 1e3:,.0f} ms, {runs_s / searched_s:,.0f} times; the same least cost"
        )


def main() -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(machine())
    print(f"before: {pressure()}")
    searches(repeats)
    beside_runs(repeats)
    print(f"after:  {pressure()}")


if __name__ == "__main__":
    main()
