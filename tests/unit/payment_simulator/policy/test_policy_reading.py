"""Policies are read from documents, and every error is listed with its path."""

import json

import pytest
from scenarios import act, agents, ask, computed, make_scenario, pay, play, released, trees

from labledger.errors import ConfigError
from payment_simulator import load_scenario
from payment_simulator.policy.policies import load_policy, policies_of, read_policy


def test_parameters_beside_a_document_override_its_own(tmp_path, engine):
    document = trees(ask("amount", ">", 0, act("Release"), act("Hold")), parameters={"least": 50})
    document["payment_tree"]["condition"]["right"] = {"param": "least"}
    (tmp_path / "policy.json").write_text(json.dumps(document))
    (tmp_path / "scenario.yaml").write_text(
        "simulation: {ticks_per_day: 1}\n"
        "agents:\n"
        "  - {id: A, policy: {type: FromJson, json_path: policy.json, parameters: {least: 10}}}\n"
        "  - {id: B, policy: {type: FromJson, json_path: policy.json}}\n"
        "scenario_events:\n"
        "  - {type: CustomTransactionArrival, from_agent: A, to_agent: B, amount: 20, deadline: 1,\n"
        "     schedule: {type: OneTime, tick: 0}}\n"
        "  - {type: CustomTransactionArrival, from_agent: B, to_agent: A, amount: 21, deadline: 1,\n"
        "     schedule: {type: OneTime, tick: 0}}\n"
    )
    assert released(play(load_scenario(tmp_path / "scenario.yaml"), engine)) == [(0, 20)]


def test_every_error_of_a_policy_is_listed_at_once_with_its_path():
    inner = ask("amuont", ">", 1, act("Relase"), act("Split"))
    inner["on_false"]["parameters"]["parts"] = 2
    document = trees(inner, bank_tree=act("SetState", key="x", value={"param": "q"}), colour="red")
    assert read_policy(document)[1] == [
        ("colour", "unknown key (known: version, policy_id, description, parameters, payment_tree, bank_tree, "
         "collateral_tree, end_of_tick_collateral_tree, type)"),
        ("payment_tree.condition.left.field", "unknown field 'amuont' of a payment_tree (did you mean amount?)"),
        ("payment_tree.on_true.action", "unknown action 'Relase' of a payment_tree (did you mean Release?)"),
        ("payment_tree.on_false.parameters.parts", "unknown key (known: num_splits)"),
        ("payment_tree.on_false.parameters.num_splits", "required, and missing"),
        ("bank_tree.parameters.key", "should be the name of a register, bank_state_..., found 'x'"),
        ("bank_tree.parameters.value.param", "unknown parameter 'q' of this policy"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"type": "Fito"}, ("type", "unknown policy 'Fito' (did you mean Fifo?)")),
        ({"type": "Fifo", "urgency_threshold": 2}, ("urgency_threshold", "unknown key")),
        ({"type": "Deadline", "urgency_treshold": 2}, ("urgency_treshold", "unknown key (did you mean")),
        ({"type": "Deadline", "urgency_threshold": "soon"}, ("urgency_threshold", "should be a number, found 'soon'")),
        ({"type": "Deadline", "urgency_threshold": -1e300},
         ("urgency_threshold", "should be over -1e300 and under 1e300, found '-1e+300'")),
        (
            trees(ask("balance", "<", 1e300, act("Hold"), act("Hold"))),
            ("payment_tree.condition.right.value", "should be over -1e300 and under 1e300, found 1e+300"),
        ),
        ({"type": "Deadline", "urgency_threshold": True}, ("urgency_threshold", "should be a number, found 'True'")),
        (
            {"type": "Deadline", "urgency_threshold": 1, "parameters": {"urgency_threshold": 2}},
            ("urgency_threshold", "stands in parameters, too"),
        ),
        (
            {"parameters": {"initial_liquidity_fraction": 1.5}},
            ("parameters.initial_liquidity_fraction", "should be from 0 to 1, found 1.5"),
        ),
        (
            {"type": "FromJson", "document": trees(parameters={"initial_liquidity_fraction": 2})},
            ("document.parameters.initial_liquidity_fraction", "should be from 0 to 1, found 2"),
        ),
        (trees(version=True), ("version", "should be text or a number, found 'True'")),
        (trees(version=["1"]), ("version", "should be text or a number")),
        (trees(policy_id=7), ("policy_id", "should be text, found '7'")),
        (trees({**act("Hold"), "node_id": 7}), ("payment_tree.node_id", "should be text, found 7")),
        (
            trees(ask("balance", "<", True, act("Hold"), act("Hold"))),
            ("payment_tree.condition.right.value", "should be a number, found True"),
        ),
        (
            trees(act("Split", num_splits=True)),
            ("payment_tree.parameters.num_splits", "should be a number, found True"),
        ),
        ({"policy_id": "x"}, ("payment_tree", "required, and missing")),
        ({"type": "FromJson", "document": 3}, ("document", "should be a section with keys")),
        (trees({"type": "leaf"}), ("payment_tree.type", "should be condition or action, found 'leaf'")),
        (trees([1]), ("payment_tree", "should be a section with keys, found [1]")),
        (
            trees(ask("balance", "<", "1", act("Hold"), act("Hold"))),
            ("payment_tree.condition.right.value", "should be a number"),
        ),
        (trees(bank_tree=ask("amount", "<", 1, act("NoAction"), act("NoAction"))), ("bank_tree.condition.left.field",
         "unknown field 'amount' of a bank_tree")),
        (trees(act("NoAction")), ("payment_tree.action", "unknown action 'NoAction' of a payment_tree")),
        (trees(collateral_tree=act("PostCollateral", amount={"field": "x", "value": 1})),
         ("collateral_tree.parameters.amount", "should have one of field, param, value, compute")),
        (trees(act("Reprioritize", priority=computed("max", values=[]))),
         ("payment_tree.parameters.priority.compute.values", "should be a list that is not empty")),
    ],
    ids=lambda each: str(each)[:60],
)  # fmt: skip
def test_a_problem_of_a_policy_is_named_with_its_path(policy, problem):
    (found,) = read_policy(policy)[1]
    assert found[0] == problem[0]
    assert found[1].startswith(problem[1])


def test_an_unknown_operator_hides_no_other_error():
    assert len(read_policy(trees(ask("amuont", "=>", 1, act("Hold"), act("Hold"))))[1]) == 2


def test_an_unknown_word_anywhere_hides_no_error_beside_it():
    wrong = {"field": "amuont"}
    many = {"op": "nand", "conditions": [{"op": "==", "left": wrong, "right": 1}, {"op": "<", "left": 1}]}
    condition = {"op": "nor", "condition": many}
    computed = {"compute": {"op": "avg", "values": [wrong, {"compute": {"left": 1, "right": {"param": "q"}}}]}}
    on_false = {"type": "action", "action": "Splitt", "parameters": {"num_splits": computed}}
    tree = {"type": "cond", "condition": condition, "on_true": act("Hodl"), "on_false": on_false}
    assert [path for path, _ in read_policy(trees(tree))[1]] == [
        "payment_tree.type",
        "payment_tree.on_true.action",
        "payment_tree.on_false.action",
        "payment_tree.on_false.parameters.num_splits.compute.op",
        "payment_tree.on_false.parameters.num_splits.compute.values.0.field",
        "payment_tree.on_false.parameters.num_splits.compute.values.1.compute.op",
        "payment_tree.on_false.parameters.num_splits.compute.values.1.compute.right.param",
        "payment_tree.condition.op",
        "payment_tree.condition.condition.op",
        "payment_tree.condition.condition.conditions.0.left.field",
        "payment_tree.condition.condition.conditions.1.right",
    ]


def test_a_document_with_a_key_twice_is_refused(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"payment_tree": {"type": "action", "action": "Hold", "action": "Release"}}')
    with pytest.raises(ConfigError, match=r"policy\.json: the key 'action' stands twice"):
        load_policy(path)


def test_more_pieces_than_anyone_means_are_refused_where_their_number_is_written():
    for pieces, parameters in ((10_001, {}), ({"param": "n"}, {"n": 1e9})):
        problems = read_policy(trees(act("Split", num_splits=pieces), parameters=parameters))[1]
        assert [path for path, _ in problems] == ["payment_tree.parameters.num_splits"]
    assert read_policy(trees(act("Split", num_splits=10_000)))[1] == []


def deep(levels):
    tree = act("Hold")
    for _ in range(levels):
        tree = ask("balance", "<", 1, act("Hold"), tree)
    return tree


def test_a_tree_may_be_a_hundred_deep_and_no_deeper(engine):
    condition = {"op": "==", "left": 1, "right": 2}
    tree = act("Release")
    for _ in range(98):  # its comparison is at depth 99, the sides of that at depth 100
        tree = {"type": "condition", "condition": condition, "on_true": act("Hold"), "on_false": tree}
    assert read_policy(trees(tree))[1] == []
    assert released(play(make_scenario(agents(trees(tree)), pay("A", "B", 10)), engine)) == [(0, 10)]
    problems = read_policy(trees(deep(100)))[1]
    assert any(text == "deeper than 100" for _, text in problems)
    assert read_policy(trees(deep(900)))[1] != []


def test_a_deep_sum_is_computed(engine):
    total = {"value": 1}
    for _ in range(45):
        total = {"compute": {"op": "+", "left": 1, "right": total}}
    condition = {"op": "==", "left": total, "right": 46}
    tree = {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}
    assert read_policy(trees(tree))[1] == []
    assert released(play(make_scenario(agents(trees(tree)), pay("A", "B", 10)), engine)) == [(0, 10)]


def test_a_tree_of_ten_thousand_levels_is_refused(tmp_path):
    head = '{"type": "condition", "condition": {"op": "<", "left": 1, "right": 2}, "on_true": '
    tail = ', "on_false": {"type": "action", "action": "Hold"}}'
    leaf = '{"type": "action", "action": "Hold"}'
    path = tmp_path / "deep.json"
    path.write_text(f'{{"policy_id": "deep", "payment_tree": {head * 10_000}{leaf}{tail * 10_000}}}')
    with pytest.raises(ConfigError, match=r"deep.json: nested over 400 deep"):
        load_policy(path)


def test_policies_are_in_the_order_of_ids():
    scenario = make_scenario({"B": {"policy": {"type": "Deadline"}}, "A": {"policy": {"type": "LiquidityAware"}}})
    assert [type(policy).__name__ for policy in policies_of(scenario)] == ["LiquidityAware", "Deadline"]
