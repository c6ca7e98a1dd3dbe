"""The dialect `simcash` charges what that simulator's own engine charged, kind by kind, to the cent.

Its costs are read from a file beside this repository. Rates that a game leaves out were written as 0 for it.
"""

import json
from pathlib import Path

import pytest
from scenarios import pay

from payment_simulator import Scenario, draw_arrivals, load_scenario, simulate
from payment_simulator.policy.policies import read_policy

SIMCASH = Path(__file__).parents[4].parent / "shared" / "data" / "simcash"
PEER = SIMCASH / "peer_costs.json"
pytestmark = pytest.mark.skipif(not PEER.exists(), reason=f"{PEER} is not here: the peer's costs are kept beside it")

KINDS = (
    ("liquidity",),
    ("delay",),
    ("deadline_penalty", "eod_penalty"),
    ("overdraft",),
    ("collateral",),
    ("split_friction",),
)


def _peer():
    return json.loads(PEER.read_text())


def _allocating(fraction):
    policy, problems = read_policy({"type": "Fifo", "parameters": {"initial_liquidity_fraction": fraction}})
    assert not problems
    return policy


def _charged(scenario, arrivals, fractions, engine="reference"):
    """The costs of each bank, in the columns of the file."""
    outcome = simulate(scenario, arrivals, [_allocating(fraction) for fraction in fractions], engine=engine)
    costs = [bank["costs"] for bank in outcome.agents().values()]
    return [[sum(each[kind] for kind in kinds) for kinds in KINDS] for each in costs]


@pytest.mark.parametrize("game", ["exp1_2period", "exp3_joint"])
def test_all_441_points_of_a_published_game_cost_what_the_other_simulator_charges(game):
    points = _peer()["games"][game]
    scenario = load_scenario(SIMCASH / "experiments" / f"{game}.yaml", ["dialect=simcash"])
    arrivals = draw_arrivals(scenario)
    assert len(points) == 441
    assert [[a, b, _charged(scenario, arrivals, (a, b))] for a, b, _ in points] == points


@pytest.mark.parametrize("engine", ["reference", "kernel"])
def test_all_100_episodes_of_twelve_ticks_cost_what_the_other_simulator_charges(engine):
    episodes = _peer()["exp2_12period"]
    assert len(episodes) == 100
    for episode in episodes:
        scenario = _episode(episode["arrivals"])
        found = _charged(scenario, draw_arrivals(scenario), [episode["fraction"]] * 2, engine)
        assert found == episode["costs"], (episode["fraction"], episode["seed"])


def _episode(payments):
    """The game of twelve ticks with these payments, whose deadlines are ticks of the day."""
    events = [
        pay(sender, receiver, amount, tick, deadline - tick, priority=priority)
        for tick, sender, receiver, amount, deadline, priority in payments
    ]
    return Scenario.model_validate(
        {
            "dialect": "simcash",
            "simulation": {"ticks_per_day": 12},
            "deferred_crediting": True,
            "lsm_config": {"enable_bilateral": False, "enable_cycles": False},
            "cost_rates": {
                "liquidity_cost_per_tick_bps": 83,
                "delay_cost_per_tick_per_cent": 0.2,
                "overdraft_bps_per_tick": 0,
                "collateral_cost_per_tick_bps": 0,
                "eod_penalty_per_transaction": 100_000,
                "deadline_penalty": 50_000,
                "split_friction_cost": 0,
            },
            "agents": [{"id": bank, "liquidity_pool": 1_000_000} for bank in ("BANK_A", "BANK_B")],
            "scenario_events": events,
        }
    )
