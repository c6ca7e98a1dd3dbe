"""The values that a search gives to a parameter, and the points that fill a space of them."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import act, make_scenario, pay, trees

from payment_simulator import draw_arrivals
from payment_simulator.engine.reference.banks import allocation
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.experiments.space_filling import design, first_step, halton, refined
from payment_simulator.experiments.value_ranges import value_ranges
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.numbers import exact

FRACTION = "initial_liquidity_fraction"
SHARES = st.floats(0, 1)


def ranges_of(policy, *parameters, pool=0, events=()):
    scenario = make_scenario({"A": {"liquidity_pool": pool, "policy": policy}, "B": {}}, *events, ticks=4)
    allowed = [AllowedParameter.model_validate(each) for each in parameters]
    return scenario, value_ranges(policy, allowed, scenario, "A", draw_arrivals(scenario))


def values_of(policy, parameter, **further):
    _, found = ranges_of(policy, parameter, **further)
    return [[each.value(number) for number in range(each.size)] for each in found]


def decimals(value):
    """The digits behind the point of a number as it is written."""
    return max(-Decimal(repr(value)).normalize().as_tuple().exponent, 0)


@given(st.integers(1, 10**7), st.tuples(SHARES, SHARES).map(sorted), st.integers(0, 2**32))
def test_every_allocation_has_the_shortest_decimal_that_comes_back_to_it_exactly(pool, ends, seed):
    parameter = {"name": FRACTION, "min_value": ends[0], "max_value": ends[1]}
    scenario, (found,) = ranges_of({"type": "Fifo"}, parameter, pool=pool)
    agent, (low, high) = scenario.agents[0], map(exact, ends)
    assert (found.allocations[0], found.allocations[-1]) == (int(pool * low // 1), int(pool * high // 1))
    assert (found.is_whole, found.size) == (True, len(found.allocations))
    numbers = np.random.default_rng(seed).integers(0, found.size, 20).tolist()
    for number in {0, found.size - 1, *numbers}:
        value, cents = found.value(number), found.allocations[number]
        policy, problems = read_policy({"type": "Fifo", "parameters": {FRACTION: value}})
        assert (problems, allocation(agent, policy)) == ([], cents)
        assert low <= exact(value) <= high
        if 0 < (digits := decimals(value)) <= 15:
            unit = 10 ** (digits - 1)
            shorter = Fraction(ceil(max(low, Fraction(cents, pool)) * unit), unit)
            assert shorter > high or pool * shorter // 1 != cents


def test_every_allocation_of_a_small_pool_comes_back():
    for pool in (0, 1, 3, 7, 97, 1_000):
        scenario, (found,) = ranges_of({}, {"name": FRACTION, "min_value": 0, "max_value": 1}, pool=pool)
        policies = [read_policy({"parameters": {FRACTION: found.value(each)}})[0] for each in range(found.size)]
        assert [allocation(scenario.agents[0], policy) for policy in policies] == list(range(pool + 1))


@pytest.mark.parametrize(
    ("policy", "parameter", "values"),
    [
        ({}, {"name": FRACTION, "allowed_values": [0.5, 0, 0.55, 1]}, [0, 0.5, 1]),
        ({}, {"name": FRACTION, "min_value": 0, "max_value": 1, "param_type": "int"}, [0, 1]),
        ({}, {"name": FRACTION, "min_value": 0.15, "max_value": 0.35}, [0.15, 0.2, 0.3]),
        ({"type": "Deadline"}, {"name": "urgency_threshold", "min_value": -99, "max_value": 99}, [-2, -1, 0, 1, 2]),
        ({"type": "Deadline"}, {"name": "urgency_threshold", "min_value": 0.5, "max_value": 1.5}, [0.5, 1]),
        ({"type": "Deadline"}, {"name": "urgency_threshold", "min_value": 50, "max_value": 99}, [50]),
        ({"type": "Deadline"}, {"name": "urgency_threshold", "allowed_values": [9, 1, 1.5, 7]}, [1, 7]),
        ({"type": "LiquidityAware"}, {"name": "target_buffer", "min_value": 0.5, "max_value": 2.5}, [1, 2, 2.5]),
        ({"type": "LiquidityAware"}, {"name": "target_buffer", "min_value": -99, "max_value": -50}, [-50]),
        ({"type": "Deadline"}, {"name": "nosuch", "min_value": 0, "max_value": 1}, None),
        (
            {"type": "Deadline"},
            {"name": "urgency_threshold", "min_value": 0.2, "max_value": 0.8, "param_type": "int"},
            None,
        ),
        (trees(parameters={"spare": 1}), {"name": "spare", "min_value": 0, "max_value": 1}, [0]),
    ],
)
def test_values_that_do_the_same_stand_for_one_another(policy, parameter, values):
    """A pays 3 cents, at most 2 ticks before the deadline, and has a pool of 10."""
    found = values_of(policy, parameter, pool=10, events=[pay("A", "B", 3, tick=0, deadline=2)])
    assert found == ([] if values is None else [values])


def test_a_parameter_that_trees_read_has_each_of_its_values():
    policy = trees(
        {
            "type": "condition",
            "condition": {"op": "<", "left": {"field": "amount"}, "right": {"param": "least"}},
            "on_true": act("Hold"),
            "on_false": act("Release"),
        },
        parameters={"least": 5},
    )
    limits = {"name": "least", "min_value": 0, "max_value": 9}
    _, (whole,) = ranges_of(policy, {**limits, "param_type": "int"})
    _, (any_number,) = ranges_of(policy, limits)
    assert [whole.value(each) for each in range(whole.size)] == list(range(10))
    assert (whole.is_whole, any_number.is_whole) == (True, False)
    assert (any_number.value(0), any_number.value(any_number.size - 1)) == (0, 9)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=3), st.integers(9, 500))
def test_a_grid_is_from_end_to_end_of_each_dimension_and_has_few_points(sizes, points):
    found = design(sizes, points, 1)
    assert len(set(found)) == len(found) <= points
    for axis, size in enumerate(sizes):
        assert (min(each[axis] for each in found), max(each[axis] for each in found)) == (0, size - 1)


def test_two_dimensions_have_21_values_each_and_a_small_one_leaves_its_points_to_the_other():
    assert [len({point[axis] for point in design((1_000, 1_000), 441, 1)}) for axis in (0, 1)] == [21, 21]
    assert len(design((3, 1_000), 441, 1)) == 3 * 147


def test_a_design_of_many_dimensions_fills_each_evenly_and_is_the_same_for_a_seed():
    found = halton(500, 8, 42)
    assert (found == halton(500, 8, 42)).all()
    assert (found != halton(500, 8, 43)).any()
    assert (halton(200, 8, 42) == found[:200]).all()
    counts = [np.histogram(found[:, axis], bins=10, range=(0, 1))[0] for axis in range(8)]
    assert np.abs(np.array(counts) - 50).max() <= 12
    assert np.abs(np.corrcoef(found.T) - np.eye(8)).max() < 0.2


def test_coordinate_steps_come_to_the_bottom_of_a_bowl():
    sizes, bottom = (10_001, 10_001), (3_333, 7_777)

    def costs(points):
        return [sum(abs(at - wanted) for at, wanted in zip(point, bottom, strict=True)) for point in points]

    start = (3_500, 7_500)
    seen = {}

    def remembered(points):
        seen.update(zip(points, costs(points), strict=True))
        return costs(points)

    assert sum(1 for _ in refined(sizes, start, costs([start])[0], first_step(sizes, 441), remembered)) > 0
    assert min(seen, key=seen.get) == bottom
    assert len(seen) < 50
