"""The best response of one bank, beside brute force: all allocations, several parameters together, sampled games."""

import asyncio
import json
import random
from itertools import product
from math import ceil, floor

import numpy as np
import pytest
from gaps import find_nash_gap
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import act, ask, make_scenario, on_any_scenario, pay, trees

from payment_simulator import ExperimentConfig, ExperimentRunner, Scenario
from payment_simulator.experiments.best_response import BestResponse, find_best_response
from payment_simulator.experiments.config import Evaluation
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import NashGap
from payment_simulator.experiments.parameters import ANY_FRACTION
from payment_simulator.experiments.policy_constraints import AllowedParameter

FRACTION = "initial_liquidity_fraction"
THRESHOLD, BUFFER = "urgency_threshold", "target_buffer"
COSTS = {"liquidity_cost_per_tick_bps": 100, "delay_cost_per_tick_per_cent": 0.2}


def evaluator_of(scenario, **evaluation):
    return Evaluator(scenario, Evaluation.model_validate(evaluation), 42)


def own_policies(scenario):
    return {agent.id: dict(agent.policy) or {"type": "Fifo"} for agent in scenario.agents_by_id()}


def respond(scenario, bank, *parameters, evaluation=None, budget=2 * 10**7, **further):
    """The best response to the scenario's own policies, and the evaluator."""
    evaluator = evaluator_of(scenario, **(evaluation or {}))
    allowed = [AllowedParameter.model_validate(each) for each in parameters] or [ANY_FRACTION]
    chosen = {"purpose": Purpose.NASH_GAP, "level": 0.95, "budget": budget, **further}
    return find_best_response(evaluator, own_policies(scenario), bank, allowed, **chosen), evaluator


def between(name, low, high, kind="float"):
    return {"name": name, "min_value": low, "max_value": high, "param_type": kind}


def brute_force(evaluator, profile, bank):
    """The least own cost over all allocations of the pool, each by a fraction in the middle of its cent."""
    pool = next(agent.liquidity_pool for agent in evaluator.scenario.agents if agent.id == bank)
    policies = [_with_fraction(profile[bank], min((cents + 0.5) / max(pool, 1), 1.0)) for cents in range(pool + 1)]
    return int(evaluator.own_costs(profile, bank, policies, Purpose.EVALUATION).min())


def _with_fraction(policy, fraction):
    return {**policy, "parameters": {**policy.get("parameters", {}), FRACTION: fraction}}


def run_and_check(document, folder):
    """One iteration of an experiment: its final gap is exact, and what brute force over every allocation finds."""
    (folder / "game.yaml").write_text(json.dumps(document))
    config = ExperimentConfig.model_validate(
        {"name": "game", "scenario": "game.yaml", "convergence": {"max_iterations": 1}}
    )
    result = asyncio.run(ExperimentRunner(config, config_dir=folder).run())
    evaluator = evaluator_of(scenario_of(document))
    profile = result.final_policies
    own = evaluator.totals(evaluator.costs(profile, Purpose.EVALUATION))
    most = max(own[bank] - brute_force(evaluator, profile, bank) for bank in own)
    assert (result.final_nash_gap, result.final_nash_gap_kind) == (most, "exact")


def scenario_of(document):
    return Scenario.model_validate(document)


# All allocations


def random_game(seed, largest_pool):
    """Two or three banks with any built-in policy or a tree, pools up to `largest_pool`, overdrafts, LSM, days."""
    dice = random.Random(seed)  # noqa: S311 - a game, not a key
    names, ticks, days = ["A", "B", "C"][: dice.choice([2, 3])], dice.randint(2, 8), dice.choice([1, 1, 2])
    pool = round(largest_pool ** dice.uniform(0.3, 1))
    policies = [
        {"type": "Fifo"},
        {"type": "Deadline", "urgency_threshold": dice.randint(0, 4)},
        {"type": "LiquidityAware", "target_buffer": dice.randint(0, pool), "urgency_threshold": dice.randint(0, 3)},
        trees(ask("ticks_to_deadline", "<=", 1, act("Release"), act("Hold"))),
        trees(ask("balance", ">=", dice.randint(0, pool), act("Release"), act("Hold"))),
    ]
    agents = [
        {
            "id": name,
            "liquidity_pool": dice.randint(pool // 2, pool),
            "liquidity_allocation_fraction": dice.choice([0, 0.3, 0.5, 1]),
            "opening_balance": dice.choice([0, 0, pool // 10]),
            "unsecured_cap": dice.choice([0, pool // 5, pool]),
            "posted_collateral": dice.choice([0, pool // 8]),
            "collateral_haircut": 0.1,
            "policy": dice.choice(policies),
        }
        for name in names
    ]
    events = []
    for _ in range(dice.choice([2, 5, 15])):
        sender, receiver = dice.sample(names, 2)
        amount, priority = dice.randint(1, max(pool // 2, 1)), dice.randint(0, 10)
        tick, deadline = dice.randrange(ticks * days), dice.randint(0, 5)
        events.append(pay(sender, receiver, amount, tick, deadline, priority=priority))
    return {
        "simulation": {"ticks_per_day": ticks, "num_days": days},
        "agents": agents,
        "scenario_events": events,
        "deferred_crediting": dice.random() < 0.5,
        "lsm_config": {"enable_bilateral": dice.random() < 0.5, "enable_cycles": dice.random() < 0.5},
        "cost_rates": {
            "liquidity_cost_per_tick_bps": dice.choice([0, 50, 100, 500, 33.3]),
            "overdraft_bps_per_tick": dice.choice([0, 100, 700]),
            "delay_cost_per_tick_per_cent": dice.choice([0, 0.01, 0.2]),
            "eod_borrowing_bps": dice.choice([0, 2000]),
            "deadline_penalty": dice.choice([0, 50]),
        },
    }


@pytest.mark.parametrize("seed", range(10))
def test_an_exact_gap_of_an_experiment_is_that_of_brute_force_over_every_allocation(seed, tmp_path):
    run_and_check(random_game(seed, 40), tmp_path)


@pytest.mark.slow
def test_the_exact_gaps_of_500_experiments_are_those_of_brute_force(tmp_path):
    for seed in range(500):
        run_and_check(random_game(1_000 + seed, 20_000 if seed % 20 == 0 else 1_500), tmp_path)


@on_any_scenario(2)
def test_an_exact_saving_in_any_scenario_is_that_of_brute_force(drawn):
    evaluator, profile = evaluator_of(drawn.scenario), own_policies(drawn.scenario)
    bank = drawn.scenario.agent_ids[0]
    own = int(evaluator.own_costs(profile, bank, [profile[bank]], Purpose.NASH_GAP)[0, 0])
    found, _ = respond(drawn.scenario, bank)
    most = own - brute_force(evaluator, profile, bank)
    assert (found.kind, found.saving, found.most_saving) == ("exact", most, most)
    again = evaluator.own_costs(profile, bank, [found.policy], Purpose.NASH_GAP)
    assert own - int(again[0, 0]) == most


def waiting_game(**fields):
    """A pays 1,000 in the first of four ticks, for which a pool of 5,000 is there; it waits until the deadline."""
    policy = {"type": "Deadline", "urgency_threshold": 0, "parameters": {FRACTION: 0}}
    agents = {"A": {"liquidity_pool": 5_000, "policy": policy, **fields}, "B": {}}
    return make_scenario(
        agents, pay("A", "B", 1_000, deadline=3), ticks=4, costs={**COSTS, "liquidity_cost_per_tick_bps": 520}
    )


@st.composite
def budgets(draw):
    return draw(st.integers(0, 2**32)), draw(st.integers(1, 30_000))


@settings(max_examples=8)
@given(budgets())
def test_a_bound_is_true_and_what_is_proposed_costs_what_is_said(drawn):
    seed, budget = drawn
    scenario = scenario_of(random_game(seed, 300))
    found, evaluator = respond(scenario, "A", budget=budget)
    profile = own_policies(scenario)
    own, least = (
        int(evaluator.own_costs(profile, "A", [profile["A"]], Purpose.NASH_GAP)[0, 0]),
        brute_force(evaluator, profile, "A"),
    )
    assert found.kind in ("exact", "bounded")
    assert found.saving <= own - least <= found.most_saving
    assert own - int(evaluator.own_costs(profile, "A", [found.policy], Purpose.NASH_GAP)[0, 0]) == found.saving
    assert found.kind == "bounded" or found.saving == found.most_saving


def test_a_search_whose_budget_ends_gives_a_bound_and_proposes_the_best_of_a_grid():
    scenario = waiting_game(policy=trees(ask("balance", ">=", 1_000, act("Release"), act("Hold"))))
    everything, _ = respond(scenario, "A")
    part, _ = respond(scenario, "A", budget=10_000)
    assert everything.kind == "exact"
    assert part.kind == "bounded"
    assert 0 < part.saving <= everything.saving <= part.most_saving


def test_what_holds_outside_of_the_range_stays_where_nothing_in_it_is_better():
    scenario = waiting_game(policy={"type": "Fifo", "parameters": {FRACTION: 0.2}})
    found, _ = respond(scenario, "A", between(FRACTION, 0.5, 1))
    assert (found.policy, found.saving, found.kind) == (own_policies(scenario)["A"], 0, "exact")


def test_of_several_best_allocations_the_least_is_proposed_as_the_shortest_decimal():
    free = make_scenario(
        {"A": {"liquidity_pool": 3_000}, "B": {}},
        pay("A", "B", 1_000),
        costs={**COSTS, "liquidity_cost_per_tick_bps": 0},
        ticks=2,
    )
    held = {**own_policies(free)["A"], "parameters": {FRACTION: 0}}
    evaluator = evaluator_of(free)
    profile = {**own_policies(free), "A": held}
    chosen = {"purpose": Purpose.PROPOSER, "level": 0.95, "budget": 10**7}
    found = find_best_response(evaluator, profile, "A", [ANY_FRACTION], **chosen)
    assert found.policy["parameters"] == {FRACTION: 0.3334}


def test_trees_that_read_their_fraction_are_searched_and_listed_ones_are_exact():
    asks = {"op": ">=", "left": {"param": FRACTION}, "right": {"value": 0.2}}
    tree = {"type": "condition", "condition": asks, "on_true": act("Release"), "on_false": act("Hold")}
    scenario = waiting_game(policy=trees(tree, parameters={FRACTION: 0}))
    found, _ = respond(scenario, "A")
    assert (found.kind, found.values >= 441) == ("searched", True)
    listed, _ = respond(scenario, "A", {"name": FRACTION, "allowed_values": [0, 0.1, 0.2, 0.9]})
    assert (listed.kind, listed.policy["parameters"], listed.values) == ("exact", {FRACTION: 0.2}, 4)
    assert found.saving <= listed.saving


# Several parameters


def test_a_saving_of_two_parameters_together_is_found_where_neither_saves_alone():
    scenario = waiting_game()
    for alone in (between(FRACTION, 0, 1), between(THRESHOLD, 0, 10)):
        assert respond(scenario, "A", alone)[0].saving == 0
    found, _ = respond(scenario, "A", between(FRACTION, 0, 1), between(THRESHOLD, 0, 10, "int"))
    assert (found.kind, found.saving > 500) == ("exact", True)
    assert found.policy == {"type": "Deadline", "urgency_threshold": 3, "parameters": {FRACTION: 0.2}}


def wide_brute_force(scenario, bank, thresholds, buffers):
    evaluator, profile = evaluator_of(scenario), own_policies(scenario)
    chosen = [
        {"type": "LiquidityAware", THRESHOLD: threshold, BUFFER: buffer, "parameters": {FRACTION: 0.5}}
        for threshold, buffer in product(thresholds, buffers)
    ]
    return int(evaluator.own_costs(profile, bank, chosen, Purpose.NASH_GAP).min())


@settings(max_examples=3)
@given(st.integers(0, 2**32))
def test_whole_parameters_are_capped_where_nothing_changes_any_more(seed):
    """The wide ranges are far beyond any balance and any deadline."""
    dice = random.Random(seed)  # noqa: S311 - a game, not a key
    held = {"type": "LiquidityAware", BUFFER: 3, THRESHOLD: 1, "parameters": {FRACTION: 0.5}}
    agents = {"A": {"liquidity_pool": 10, "policy": held, "unsecured_cap": 8}, "B": {"opening_balance": 9}}
    payments = [
        pay(*dice.sample("AB", 2), dice.randint(1, 7), tick=dice.randrange(2), deadline=dice.randint(0, 2))
        for _ in range(dice.randint(1, 3))
    ]
    scenario = make_scenario(agents, *payments, ticks=3, costs={**COSTS, "overdraft_bps_per_tick": 2_000})
    wide = [between(THRESHOLD, -(10**9), 10**9), between(BUFFER, -(10**12), 10**12)]
    found, evaluator = respond(scenario, "A", *wide)
    own = int(evaluator.own_costs(own_policies(scenario), "A", [held], Purpose.NASH_GAP)[0, 0])
    least = wide_brute_force(scenario, "A", range(-6, 6, 1), range(-30, 50))
    assert (found.kind, own - found.saving) == ("exact", min(least, own))


def test_a_parameter_in_cents_beside_the_fraction_is_searched_on_a_joint_grid():
    scenario = waiting_game(policy={"type": "LiquidityAware", BUFFER: 5_000, THRESHOLD: 0, "parameters": {FRACTION: 0}})
    found, _ = respond(scenario, "A", between(FRACTION, 0, 1), between(BUFFER, 0, 10_000), budget=10**7)
    assert found.kind == "searched"
    assert found.values >= 441
    assert found.saving == respond(waiting_game(), "A", between(FRACTION, 0, 1), between(THRESHOLD, 3, 3))[0].saving


def test_four_parameters_are_searched_by_a_design_that_is_the_same_each_time():
    names = ["p", "q", "r"]
    node = act("Release")
    for name in names:
        asks = {"op": "<=", "left": {"field": "ticks_to_deadline"}, "right": {"param": name}}
        node = {"type": "condition", "condition": asks, "on_true": node, "on_false": act("Hold")}
    scenario = waiting_game(policy=trees(node, parameters={**dict.fromkeys(names, 0), FRACTION: 0}))
    allowed = [between(FRACTION, 0, 1), *(between(name, 0.0, 9.5) for name in names)]
    found, _ = respond(scenario, "A", *allowed, budget=3 * 10**6)
    assert (found.kind, found.saving > 500) == ("searched", True)
    assert found == respond(scenario, "A", *allowed, budget=3 * 10**6)[0]


def test_a_parameter_that_no_tree_reads_leaves_the_gap_exact():
    scenario = waiting_game(policy=trees(parameters={"spare": 1, FRACTION: 0}))
    found, _ = respond(scenario, "A", between(FRACTION, 0, 1), between("spare", 0.0, 1.0))
    assert (found.kind, found.values) == ("exact", 5_001)


def test_values_that_a_tree_refuses_are_passed_over():
    tree = {"type": "action", "action": "Split", "parameters": {"num_splits": {"param": "pieces"}}}
    scenario = waiting_game(policy=trees(tree, parameters={"pieces": 2}))
    found, _ = respond(scenario, "A", between("pieces", 1, 10_000, "int"))
    assert found.saving >= 0


def test_a_proposal_of_another_kind_that_saves_more_is_among_the_candidates():
    scenario = waiting_game()
    other = {"type": "Fifo", "parameters": {FRACTION: 0.2}}
    found, _ = respond(scenario, "A", between(FRACTION, 0, 1), candidates=[other, other])
    assert (found.policy, found.kind, found.saving > 500) == (other, "searched", True)
    assert found.most_saving == found.saving
    worse, _ = respond(scenario, "A", between(FRACTION, 0, 1), candidates=[{"type": "Fifo"}])
    assert (worse.kind, worse.saving) == ("exact", 0)


# Sampled games


def stream(**fields):
    config = {
        "rate_per_tick": 1,
        "amount_distribution": {"type": "LogNormal", "mean": 100, "std_dev": 50},
        "deadline_range": [1, 4],
    }
    agents = {name: {"liquidity_pool": 10_000, "arrival_config": config, **fields} for name in "AB"}
    return make_scenario(agents, ticks=6, costs=COSTS)


@pytest.mark.parametrize("samples", [4, 5, 40])
def test_a_sampled_saving_is_evaluated_on_draws_that_did_not_choose(samples):
    scenario = stream()
    found, evaluator = respond(scenario, "A", evaluation={"mode": "monte_carlo", "num_samples": samples})
    profile, half = own_policies(scenario), samples // 2
    held, best = evaluator.own_costs(profile, "A", [profile["A"], found.policy], Purpose.NASH_GAP)
    savings = (held - best)[half:]
    assert found.kind == "estimated"
    assert found.saving == max(floor(savings.mean() + 0.5), 0) > 0
    assert found.values >= 241
    if samples == 40:
        assert found.half_width == pytest.approx(2.093 * savings.std(ddof=1) / np.sqrt(20), rel=0.01, abs=1)


def test_a_sampled_search_of_two_parameters_is_joint_and_hears_of_proposals():
    scenario = stream(policy={"type": "Deadline", "urgency_threshold": 0, "parameters": {FRACTION: 1}})
    sampled = {"mode": "monte_carlo", "num_samples": 20}
    allowed = (between(FRACTION, 0, 1), between(THRESHOLD, 0, 10))
    found, _ = respond(scenario, "A", *allowed, evaluation=sampled)
    alone, _ = respond(scenario, "A", allowed[0], evaluation=sampled)
    assert found.saving > alone.saving
    better, _ = respond(scenario, "A", allowed[0], evaluation=sampled, candidates=[found.policy])
    assert better.policy == found.policy


def test_a_sampled_game_with_nothing_to_save_has_a_gap_of_0_with_an_interval():
    silent = make_scenario({"A": {"liquidity_pool": 100}, "B": {}}, ticks=2)
    found, _ = respond(silent, "A", evaluation={"mode": "monte_carlo", "num_samples": 8})
    assert found == BestResponse(own_policies(silent)["A"], 0, "estimated", 0, 0, found.values)


# The gap of several banks


def test_a_gap_is_exact_only_where_no_bank_could_save_more():
    scenario = make_scenario(
        {name: {"liquidity_pool": 5_000, "policy": {"type": "Fifo", "parameters": {FRACTION: 0}}} for name in "AB"},
        pay("A", "B", 1_000, deadline=0),
        pay("B", "A", 900, deadline=0),
        ticks=4,
        costs=COSTS,
    )
    evaluator, profile = evaluator_of(scenario), own_policies(scenario)
    banks = [respond(scenario, bank)[0] for bank in "AB"]
    gap = find_nash_gap(evaluator, profile, ["A", "B"], [ANY_FRACTION], level=0.95, budget=10**7)
    assert gap == NashGap(max(each.saving for each in banks), "exact", 0, sum(each.values for each in banks))
    other = {"B": [{"type": "Fifo", "parameters": {FRACTION: 1}}]}
    again = find_nash_gap(evaluator, profile, ["A", "B"], [ANY_FRACTION], level=0.95, budget=10**7, candidates=other)
    assert (again.cents, again.kind) == (gap.cents, "exact")
    assert ceil(gap.cents) == gap.cents


@settings(max_examples=6)
@given(st.integers(0, 2**32), st.integers(0, 3), st.booleans())
def test_exact_over_two_parameters_is_brute_force_over_both(seed, most, is_listed):
    document = random_game(seed, 40)
    held = {"type": "Deadline", THRESHOLD: 1, "parameters": {FRACTION: 0.4}}
    document["agents"][0]["policy"] = held
    scenario = scenario_of(document)
    shares = [0.1, 0.55, 0.56, 1.0]
    fraction = {"name": FRACTION, "allowed_values": shares} if is_listed else between(FRACTION, 0, 1)
    found, evaluator = respond(scenario, "A", fraction, between(THRESHOLD, -1, most, "int"))
    pool = scenario.agents_by_id()[0].liquidity_pool
    tried = shares if is_listed else [min((cents + 0.5) / pool, 1.0) for cents in range(pool + 1)]
    policies = [
        {**held, THRESHOLD: threshold, "parameters": {FRACTION: share}}
        for threshold, share in product(range(-1, most + 1), tried)
    ]
    own, *costs = evaluator.own_costs(own_policies(scenario), "A", [held, *policies], Purpose.NASH_GAP)[:, 0].tolist()
    assert (found.kind, found.saving) == ("exact", max(own - min(costs), 0))
    assert int(evaluator.own_costs(own_policies(scenario), "A", [found.policy], Purpose.NASH_GAP)[0, 0]) == (
        own - found.saving
    )
