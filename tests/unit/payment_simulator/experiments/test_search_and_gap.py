"""The saving that is left to each bank alone: the Nash gap, and the search that closes it."""

import asyncio
from pathlib import Path

import pytest
from contexts import make_context
from gaps import find_nash_gap

from payment_simulator import load_scenario
from payment_simulator.experiments.best_response import search_rounds
from payment_simulator.experiments.config import Evaluation
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import NashGap
from payment_simulator.experiments.parameters import ANY_FRACTION, declared, value_of, with_value
from payment_simulator.experiments.policy_constraints import AllowedParameter, PolicyConstraints
from payment_simulator.experiments.proposers.protocol import DecisionContext
from payment_simulator.experiments.proposers.search import SearchProposer
from payment_simulator.policy.policies import read_policy

EXAMPLES = Path(__file__).parents[4] / "examples" / "payments"
HERE = Path(__file__).parent
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


def gap_of(evaluator, profile, banks=BANKS, parameters=(ANY_FRACTION,), **further):
    return find_nash_gap(evaluator, profile, banks, parameters, **{"level": 0.95, "budget": 10**7, **further})


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
    gap = gap_of(evaluator_of(name), profile)
    assert gap == NashGap(cents, "exact", 0, 2 * 100_001)
    assert gap.words == f"{cents:,} (exact)"


def test_the_gap_is_over_the_banks_and_the_range_that_are_asked_for():
    evaluator, profile = evaluator_of("castro_exp1"), dict.fromkeys(BANKS, borrow(0.5))
    assert gap_of(evaluator, profile, ["BANK_B"]) == NashGap(3_000, "exact", 0, 100_001)
    narrow = AllowedParameter(name=FRACTION, min_value=0.4, max_value=0.5)
    assert gap_of(evaluator, profile, parameters=[narrow]) == NashGap(1_000, "exact", 0, 2 * 10_001)
    outside = AllowedParameter(name=FRACTION, min_value=0.9, max_value=1.0)
    assert gap_of(evaluator, profile, parameters=[outside]) == NashGap(0, "exact", 0, 2 * 10_001)
    other = AllowedParameter(name="reserve", min_value=0, max_value=9)
    assert gap_of(evaluator, profile, parameters=[other]) is None


def test_a_gap_is_exact_where_21_values_save_nothing_and_one_between_them_does():
    scenario = load_scenario(HERE / "between_the_grid.yaml")
    evaluator = Evaluator(scenario, Evaluation(), 42)
    profile = {agent.id: agent.policy for agent in scenario.agents}
    grid_costs = evaluator.own_costs(
        profile, "BANK_A", [profile["BANK_A"], *(borrow(step / 20) for step in range(21))], Purpose.NASH_GAP
    )
    assert grid_costs[0, 0] == grid_costs.min() == 70
    assert gap_of(evaluator, profile) == NashGap(7, "exact", 0, 2 * 100_001)
    assert found_by_search(evaluator, profile, "BANK_A") == borrow(0.021)
    assert gap_of(evaluator, dict.fromkeys(BANKS, borrow(0.021))) == NashGap(0, "exact", 0, 2 * 100_001)


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
    allowed = PolicyConstraints.model_validate(constraints)
    context = DecisionContext(
        agent_id=agent_id,
        iteration=1,
        scenario=evaluator.scenario,
        constraints=allowed,
        policies=profile,
        costs={},
        evaluate=lambda policies: [0.0 for _ in policies],
        best_response=lambda: search_rounds(
            evaluator,
            profile,
            agent_id,
            declared(allowed),
            purpose=Purpose.PROPOSER,
            iteration=1,
            level=0.95,
            budget=10**7,
        ),
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


def test_a_search_finds_more_than_a_grid_of_21_values():
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


def test_an_interrupt_is_heard_between_the_rounds_of_a_search():
    rounds = []

    def endless():
        while True:
            rounds.append(None)
            yield None

    context = make_context(best_response=endless)

    async def interrupted():
        search = SearchProposer()
        task = asyncio.create_task(
            search.generate_policy(agent_id="A", prompt="", current_policy=borrow(0.5), context=context)
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    assert len(rounds) == 1


def test_an_interrupt_is_heard_while_a_gap_is_sought():
    """asyncio cancels the task on Ctrl-C; a gap is sought without an await."""
    evaluator, half = evaluator_of("castro_exp1"), dict.fromkeys(BANKS, borrow(0.5))

    async def interrupted():
        asyncio.current_task().cancel()
        gap_of(evaluator, half)
        pytest.fail("the gap was found all the same")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert gap_of(evaluator, half).cents == 5_000
