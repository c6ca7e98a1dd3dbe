"""Every operator of decision trees has its value, in both engines."""

import pytest
from scenarios import act, agents, computed, make_scenario, pay, play, released, trees


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
