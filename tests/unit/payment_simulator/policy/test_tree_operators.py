"""Every operator of decision trees has its value, in both engines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import act, agents, computed, make_scenario, pay, play, released, trees

from properties import examples


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (computed("+", 1.5, 2), 3.5),
        (computed("-", 1, 2.5), -1.5),
        (computed("*", 3, -2), -6),
        (computed("/", 1, 4), 0.25),
        (computed("/", 1, 0), 0),
        (computed("min", values=[3, 1, 2]), 1),
        (computed("max", values=[3, 1, 4, 2]), 4),
        (computed("abs", -2.5), 2.5),
        (computed("floor", -2.5), -3),
        (computed("ceil", -2.5), -2),
        (computed("round", 2.5), 2),
        (computed("round", 3.5), 4),
        (computed("round", -0.5), 0),
        (computed("clamp", value=5, min=1, max=3), 3),
        (computed("clamp", value=0, min=1, max=3), 1),
        (computed("clamp", value=2, min=1, max=3), 2),
        (computed("+", {"param": "p"}, {"value": 1}), 3.25),
        (computed("+", 0.1, 0.2), 0.1 + 0.2),
    ],
    ids=str,
)
def test_a_computation_has_its_value(expression, value, engine):
    condition = {"op": "==", "left": expression, "right": {"value": value}}
    tree = {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}
    policy = trees(tree, parameters={"p": 2.25})
    outcome = play(make_scenario(agents(policy), pay("A", "B", 10)), engine)
    assert released(outcome) == [(0, 10)]


def is_true(yes):
    return {"op": "==", "left": 1, "right": 1 if yes else 0}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        *[
            ({"op": op, "left": left, "right": 2}, eval(f"{left} {op} 2"))  # noqa: S307
            for op in ("==", "!=", "<", "<=", ">", ">=")
            for left in (1, 2, 3)
        ],
        ({"op": "and", "conditions": [is_true(True), is_true(True)]}, True),
        ({"op": "and", "conditions": [is_true(True), is_true(False)]}, False),
        ({"op": "or", "conditions": [is_true(False), is_true(True)]}, True),
        ({"op": "or", "conditions": [is_true(False)]}, False),
        ({"op": "not", "condition": is_true(False)}, True),
        ({"op": "not", "condition": is_true(True)}, False),
    ],
    ids=str,
)
def test_a_condition_holds_or_not(condition, holds, engine):
    tree = {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}
    outcome = play(make_scenario(agents(trees(tree)), pay("A", "B", 10)), engine)
    assert released(outcome) == ([(0, 10)] if holds else [])


def test_a_division_by_zero_is_counted_once_each_time_it_is_made(engine):
    fault = {"op": "==", "left": computed("/", 1, {"field": "balance"}), "right": 0}
    never = {"op": "and", "conditions": [is_true(False), fault]}
    tree = {"type": "condition", "condition": fault, "on_true": act("Hold"), "on_false": act("Release")}
    outer = {"type": "condition", "condition": never, "on_true": act("Release"), "on_false": tree}
    outcome = play(make_scenario(agents(trees(outer)), pay("A", "B", 10), pay("A", "B", 20), ticks=3), engine)
    assert outcome.policy_faults == 6  # two payments, three ticks; `and` stops before the first


INFINITE = computed("*", 1e299, 1e299)


@pytest.mark.parametrize(
    ("expression", "value", "faults"),
    [
        (computed("-", INFINITE, INFINITE), 0, 1),
        (computed("+", INFINITE, computed("-", 0, INFINITE)), 0, 1),
        (computed("*", 0, INFINITE), 0, 1),
        (computed("/", INFINITE, INFINITE), 0, 1),
        (computed("/", 0, 0), 0, 1),
        (computed("+", 7, computed("-", INFINITE, INFINITE)), 7, 1),
        (computed("-", computed("/", 1, 0), computed("-", INFINITE, INFINITE)), 0, 2),
        (computed("min", values=[INFINITE, 3]), 3, 0),
        (computed("/", 3, INFINITE), 0, 0),
        (computed("clamp", value=INFINITE, min=0, max=4), 4, 0),
    ],
    ids=str,
)
def test_what_has_no_number_for_an_answer_is_0_and_is_counted(expression, value, faults, engine):
    condition = {"op": "==", "left": expression, "right": value}
    tree = {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}
    outcome = play(make_scenario(agents(trees(tree)), pay("A", "B", 10)), engine)
    assert released(outcome) == [(0, 10)]
    assert outcome.policy_faults == faults


def test_a_register_to_which_the_opposite_infinity_is_added_is_0_and_that_is_counted(engine):
    """Tick by tick it is inf, 0 (inf - inf), -inf."""
    sign = computed("-", 1, {"field": "current_tick"})
    bank_tree = act("AddState", key="bank_state_x", value=computed("*", INFINITE, computed("-", sign, 0.5)))
    condition = {"op": "==", "left": {"field": "bank_state_x"}, "right": 0}
    tree = {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}
    outcome = play(make_scenario(agents(trees(tree, bank_tree=bank_tree)), pay("A", "B", 10), ticks=3), engine)
    assert (released(outcome), outcome.policy_faults) == ([(1, 10)], 1)


LEAVES = st.sampled_from([0, 1, -1, 0.5, 7, 1e299, -1e299]) | st.sampled_from(
    [{"field": name} for name in ("balance", "queue1_size", "current_tick", "bank_state_x")]
)
ARITHMETIC = st.sampled_from(["+", "-", "*", "*", "/"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(computed, ARITHMETIC, inner, inner)
        | st.builds(computed, st.sampled_from(["abs", "floor", "ceil", "round"]), inner)
        | st.builds(lambda values: computed("max", values=values), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda one, low, high: computed("clamp", value=one, min=low, max=high), inner, inner, inner)
    ),
    max_leaves=12,
)


@examples(60)
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_both_engines_agree_on_any_arithmetic_and_on_what_of_it_is_a_fault(left, right, value, op):
    tree = {
        "type": "condition",
        "condition": {"op": op, "left": left, "right": right},
        "on_true": act("Reprioritize", priority=value),
        "on_false": act("Split", num_splits=computed("max", values=[2, computed("min", values=[9, left])])),
    }
    policy = trees(tree, bank_tree=act("AddState", key="bank_state_x", value=value))
    payments = [pay("A", "B", amount, is_divisible=True) for amount in (10, 25)]
    scenario = make_scenario(agents(policy, opening_balance=12), *payments, ticks=4)
    one, other = play(scenario, "reference"), play(scenario, "kernel")
    assert one.policy_faults == other.policy_faults
    assert np.array_equal(one.rows, other.rows)
