"""Published games: their costs at given choices, and which choices are an equilibrium."""

from functools import cache
from pathlib import Path

import pytest
from scenarios import make_scenario, pay

from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.policy.builtin import Fifo
from payment_simulator.scenario.numbers import exact

EXAMPLES = Path(__file__).parents[4] / "examples" / "payments"
GRID = [step / 20 for step in range(21)]

TWO_TICKS = [
    pay("BANK_A", "BANK_B", 15_000, tick=1, deadline=0),
    pay("BANK_B", "BANK_A", 15_000, tick=0, deadline=1),
    pay("BANK_B", "BANK_A", 5_000, tick=1, deadline=0),
]
THREE_TICKS = [
    pay(sender, receiver, 20_000, tick=tick, deadline=2 - tick)
    for sender, receiver in (("BANK_A", "BANK_B"), ("BANK_B", "BANK_A"))
    for tick in (0, 1)
]


def game_of(ticks, *, deferred=True, borrowing_bps=None):
    """Castro et al. (2025): two ticks at r_c = 0.1 a day, or three at 333 bps per tick; r_d = 0.2."""
    bps = {2: 500, 3: 333}[ticks]
    borrowing = {2: 2000, 3: 0}[ticks] if borrowing_bps is None else borrowing_bps
    costs = {
        "liquidity_cost_per_tick_bps": bps,
        "delay_cost_per_tick_per_cent": 0.2,
        "eod_borrowing_bps": borrowing,
    }
    agents = {name: {"liquidity_pool": 100_000} for name in ("BANK_A", "BANK_B")}
    events = {2: TWO_TICKS, 3: THREE_TICKS}[ticks]
    return make_scenario(agents, *events, ticks=ticks, costs=costs, deferred_crediting=deferred)


def costs_at(scenario, fractions, engine):
    """Return the costs of both banks when they borrow these shares of their pools."""
    policies = [Fifo(exact(share)) for share in fractions]
    return tuple(simulate(scenario, draw_arrivals(scenario), policies, engine=engine).total_cost.tolist())


def equilibria(scenario, engine):
    """The profiles of the grid from which neither bank gains by moving alone."""
    costs = {(a, b): costs_at(scenario, (a, b), engine) for a in GRID for b in GRID}
    least_of_a = {b: min(costs[a, b][0] for a in GRID) for b in GRID}
    least_of_b = {a: min(costs[a, b][1] for b in GRID) for a in GRID}
    return [(a, b) for (a, b), found in costs.items() if found == (least_of_a[b], least_of_b[a])]


@pytest.mark.parametrize(
    ("fractions", "costs"),
    [
        # At (0.5, 0.5) each borrows 50,000: 500 bps of it is 2,500 a tick, for two ticks.
        ((0.5, 0.5), (5_000, 5_000)),
        ((0.2, 0.3), (2_000, 3_000)),
        # A borrows nothing and waits for B's 15,000; B borrows 20,000: 1,000 a tick, for two ticks.
        ((0, 0.2), (0, 2_000)),
        # A: 0.2 x 15,000 in tick 1, and at the day's end. B: 0.2 x 15,000 + 0.2 x 20,000, and 0.2 x 20,000.
        ((0, 0), (6_000, 11_000)),
    ],
)
def test_two_ticks_cost_what_the_paper_says(fractions, costs, engine):
    assert costs_at(game_of(2), fractions, engine) == costs


@pytest.mark.parametrize(
    ("fractions", "costs"),
    [((0.5, 0.5), (5_000, 5_000)), ((0.2, 0.3), (2_000, 3_000)), ((0, 0.2), (0, 2_000)), ((0, 0), (3_000, 7_000))],
)
def test_without_borrowing_at_the_days_end_two_ticks_cost_their_delay(fractions, costs, engine):
    assert costs_at(game_of(2, borrowing_bps=0), fractions, engine) == costs


@pytest.mark.parametrize(
    ("fractions", "costs"),
    [
        # 333 bps of 50,000 is 1,665 a tick, for three ticks.
        ((0.5, 0.5), (4_995, 4_995)),
        ((0.3, 0.4), (2_997, 3_996)),
        # Of 20,000 in tick 0, of 40,000 in ticks 1 and 2: 0.2 x 100,000.
        ((0, 0), (20_000, 20_000)),
    ],
)
def test_three_ticks_cost_what_the_paper_says(fractions, costs, engine):
    assert costs_at(game_of(3), fractions, engine) == costs


@pytest.mark.parametrize(
    ("ticks", "deferred", "found"),
    [
        (2, True, [(0, 0.2)]),
        (2, False, [(0, 0.15)]),
        (3, True, [(0.2, 0.2)]),
        (3, False, [(0, 0.2), (0.2, 0)]),
    ],
    ids=["two ticks, deferred", "two ticks, immediate", "three ticks, deferred", "three ticks, immediate"],
)
def test_a_grid_of_21_by_21_finds_the_equilibria_and_no_other(ticks, deferred, found, engine):
    assert equilibria(game_of(ticks, deferred=deferred), engine) == found


@cache
def example(name):
    return load_scenario(EXAMPLES / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "ticks", "costs"), [("castro_exp1", 2, (5_000, 5_000)), ("castro_exp3", 3, (4_995, 4_995))]
)
def test_the_examples_are_the_papers_games_at_a_half(name, ticks, costs, engine):
    scenario = example(name)
    assert [agent.liquidity_allocation_fraction for agent in scenario.agents] == [0.5, 0.5]
    assert scenario.cost_rates == game_of(ticks).cost_rates
    assert scenario.scenario_events == game_of(ticks).scenario_events
    assert tuple(simulate(scenario, draw_arrivals(scenario), engine=engine).total_cost.tolist()) == costs


def test_the_second_experiment_is_twelve_ticks_of_two_banks():
    scenario = example("castro_exp2")
    config = scenario.agents[0].arrival_config
    assert (scenario.simulation.ticks, len(scenario.agents), scenario.deferred_crediting) == (12, 2, True)
    assert (config.rate_per_tick, config.deadline_range) == (2, (3, 8))
    assert (config.amount_distribution.mean, config.amount_distribution.std_dev) == (10_000, 5_000)
    assert {agent.liquidity_pool for agent in scenario.agents} == {1_000_000}
    assert {agent.liquidity_allocation_fraction for agent in scenario.agents} == {0.5}
    assert scenario.cost_rates.liquidity_cost_per_tick_bps == 83
    # 83 bps of 500,000 is 4,150 a tick; with so much liquidity nothing waits.
    assert simulate(scenario, draw_arrivals(scenario)).total_cost.tolist() == [49_800, 49_800]


def test_gridlock_is_resolved_by_a_cycle_and_by_nothing_else(engine):
    scenario = example("gridlock")
    outcome = simulate(scenario, draw_arrivals(scenario), engine=engine)
    assert (outcome.settled.tolist(), outcome.lsm_share) == ([1, 1, 1], 1.0)
    gross = scenario.model_copy(update={"lsm_config": scenario.lsm_config.model_copy(update={"enable_cycles": False})})
    assert simulate(gross, draw_arrivals(gross), engine=engine).settled.tolist() == [0, 0, 0]


def test_a_day_of_a_large_system_is_a_million_payments_of_two_hundred_banks():
    scenario = example("fedwire_day")
    rates = [agent.arrival_config.rate_per_tick for agent in scenario.agents]
    assert (len(rates), scenario.simulation.ticks, scenario.lsm_config.enable_cycles) == (200, 10_000, True)
    assert sum(rates) * scenario.simulation.ticks == pytest.approx(1_000_000)


@pytest.mark.slow
def test_a_day_of_a_large_system_runs():
    scenario = example("fedwire_day")
    outcome = simulate(scenario, draw_arrivals(scenario), engine="kernel")
    assert outcome.arrived.sum() == pytest.approx(1_000_000, rel=0.01)
    assert outcome.settled.sum() > 0.9 * outcome.arrived.sum()
