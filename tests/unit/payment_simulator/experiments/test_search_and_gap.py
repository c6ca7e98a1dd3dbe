"""The saving that is left to each bank alone: the Nash gap, and the search that closes it."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_simulator import load_scenario
from payment_simulator.experiments.config import AllowedParameter, Evaluation, PolicyConstraints
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import NashGap, find_nash_gap
from payment_simulator.experiments.parameters import ANY_FRACTION, grid, value_of, with_value
from payment_simulator.experiments.proposers.protocol import DecisionContext
from payment_simulator.experiments.proposers.search import SearchProposer
from payment_simulator.policy.policies import read_policy

EXAMPLES = Path(__file__).parents[4] / "examples" / "payments"
FRACTION = "initial_liquidity_fraction"
BANKS = ["BANK_A", "BANK_B"]
TREES = {
    "version": "1",
    "policy_id": "waits",
    "parameters": {"reserve": 5},
    "payment_tree": {
        "type": "condition",
        "condition": {"op": ">=", "left": {"field": "balance"}, "right": {"param": "reserve"}},
        "on_true": {"type": "action", "action": "Release"},
        "on_false": {"type": "action", "action": "Hold"},
    },
}


def borrow(fraction):
    return {"type": "Fifo", "parameters": {FRACTION: fraction}}


def evaluator_of(name, **evaluation):
    return Evaluator(load_scenario(EXAMPLES / f"{name}.yaml"), Evaluation.model_validate(evaluation), 42)


@pytest.mark.parametrize(
    ("name", "fractions", "cents"),
    [
        ("castro_exp1", (0.0, 0.2), 0),
        ("castro_exp1", (0.5, 0.5), 5_000),
        ("castro_exp1", (0.0, 0.0), 9_000),
        ("castro_exp3", (0.2, 0.2), 0),
        ("castro_exp3", (0.5, 0.5), 2_997),
    ],
)
def test_the_gap_is_the_most_that_one_bank_could_save_alone(name, fractions, cents):
    profile = dict(zip(BANKS, map(borrow, fractions), strict=True))
    gap = find_nash_gap(evaluator_of(name), profile, BANKS, [ANY_FRACTION], 0.95)
    assert gap == NashGap(cents, 0)


def test_the_gap_is_over_the_banks_and_the_range_that_are_asked_for():
    evaluator, profile = evaluator_of("castro_exp1"), dict.fromkeys(BANKS, borrow(0.5))
    assert find_nash_gap(evaluator, profile, ["BANK_B"], [ANY_FRACTION], 0.95) == NashGap(3_000, 0)
    narrow = AllowedParameter(name=FRACTION, min_value=0.4, max_value=0.5)
    assert find_nash_gap(evaluator, profile, BANKS, [narrow], 0.95) == NashGap(1_000, 0)
    outside = AllowedParameter(name=FRACTION, min_value=0.9, max_value=1.0)
    assert find_nash_gap(evaluator, profile, BANKS, [outside], 0.95) == NashGap(0, 0)
    other = AllowedParameter(name="reserve", min_value=0, max_value=9)
    assert find_nash_gap(evaluator, profile, BANKS, [other], 0.95) is None


def test_when_sampled_the_best_response_is_chosen_on_one_half_of_the_draws_and_evaluated_on_the_other():
    evaluator = evaluator_of("castro_exp2", mode="monte_carlo", num_samples=40)
    profile = dict.fromkeys(BANKS, borrow(0.11))
    gap = find_nash_gap(evaluator, profile, ["BANK_A"], [ANY_FRACTION], 0.95)
    tried = [borrow(0.11), *(borrow(step / 20) for step in range(21))]
    costs = evaluator.own_costs(profile, "BANK_A", tried, Purpose.NASH_GAP)
    best = int(np.argmin(costs[:, :20].mean(axis=1)))
    savings = costs[0, 20:] - costs[best, 20:]
    assert gap.cents == max(int(np.floor(savings.mean() + 0.5)), 0)
    assert gap.half_width == pytest.approx(2.093 * savings.std(ddof=1) / np.sqrt(20), rel=0.01, abs=1)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_grid_has_21_equally_spaced_values_from_end_to_end(low, width):
    parameter = AllowedParameter(name="x", min_value=low, max_value=low + width)
    values = grid(parameter)
    assert values[0] == pytest.approx(low)
    assert values[-1] == pytest.approx(low + width)
    assert len(values) <= 21
    assert values == sorted(values)


def test_a_whole_parameter_has_whole_values_and_a_list_only_its_own():
    assert grid(AllowedParameter(name="x", param_type="int", min_value=1, max_value=5)) == [1, 2, 3, 4, 5]
    assert grid(AllowedParameter(name="x", allowed_values=[3.5, 1, 3.5])) == [1, 3.5]
    assert grid(ANY_FRACTION)[3] == 0.15


@pytest.mark.parametrize(
    ("policy", "name", "now"),
    [
        ({}, FRACTION, 0.5),
        (borrow(0.25), FRACTION, 0.25),
        ({"type": "Deadline"}, "urgency_threshold", 3),
        ({"type": "Deadline", "urgency_threshold": 7}, "urgency_threshold", 7),
        ({"type": "LiquidityAware", "parameters": {"target_buffer": 9}}, "target_buffer", 9),
        (TREES, "reserve", 5),
        ({"type": "FromJson", "document": TREES}, "reserve", 5),
        ({"type": "FromJson", "document": TREES, "parameters": {"reserve": 8}}, "reserve", 8),
        (TREES, FRACTION, 0.5),
    ],
)
def test_a_parameter_is_read_and_set_wherever_a_policy_has_it(policy, name, now):
    agent = load_scenario(EXAMPLES / "castro_exp1.yaml").agents[0]
    assert value_of(policy, agent, name) == now
    changed = with_value(policy, name, 1)
    assert read_policy(changed)[1] == []
    assert value_of(changed, agent, name) == 1
    assert value_of(policy, agent, name) == now
    assert value_of(policy, agent, "nosuch") is None


def found_by_search(evaluator, profile, agent_id, **constraints):
    def evaluate(policies):
        return evaluator.own_costs(profile, agent_id, policies, Purpose.PROPOSER, 1).mean(axis=1).tolist()

    context = DecisionContext(
        agent_id=agent_id,
        iteration=1,
        scenario=evaluator.scenario,
        constraints=PolicyConstraints.model_validate(constraints),
        policies=profile,
        costs={},
        evaluate=evaluate,
    )
    search = SearchProposer()
    answer = search.generate_policy(agent_id=agent_id, prompt="", current_policy=profile[agent_id], context=context)
    return asyncio.run(answer)


def test_a_search_finds_the_best_response_and_keeps_what_is_best():
    evaluator = evaluator_of("castro_exp1")
    half = dict.fromkeys(BANKS, borrow(0.5))
    assert found_by_search(evaluator, half, "BANK_A") == borrow(0.0)
    best = {"BANK_A": borrow(0.0), "BANK_B": borrow(0.2)}
    assert found_by_search(evaluator, best, "BANK_B") == best["BANK_B"]


def test_a_search_looks_closer_around_the_best_of_its_grid():
    """Between the grid's values the cost falls further."""
    evaluator = evaluator_of("castro_exp2", mode="monte_carlo", num_samples=60)
    half = dict.fromkeys(BANKS, borrow(0.5))
    found = found_by_search(evaluator, half, "BANK_A")
    assert found == found_by_search(evaluator, half, "BANK_A")
    costs = evaluator.own_costs(
        half, "BANK_A", [found, *(borrow(step / 20) for step in range(21))], Purpose.PROPOSER, 1
    )
    assert costs[0].mean() < costs[1:].mean(axis=1).min()


def test_a_search_stays_in_the_range_and_passes_over_what_the_policy_has_not():
    evaluator = evaluator_of("castro_exp1")
    half = dict.fromkeys(BANKS, borrow(0.5))
    allowed = [
        {"name": "reserve", "min_value": 0, "max_value": 9},
        {"name": FRACTION, "min_value": 0.3, "max_value": 0.6},
    ]
    assert found_by_search(evaluator, half, "BANK_A", allowed_parameters=allowed) == borrow(0.3)
