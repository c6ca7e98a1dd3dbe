"""A proposer's answer is stored as a policy, or refused with a reason."""

import json
import time
from fractions import Fraction

import pytest
from contexts import FRACTION, constrained
from hypothesis import example, given
from hypothesis import strategies as st
from scenarios import POLICIES, act, ask

from labledger.errors import ConfigError
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.proposers.constraints import MAX_VALUES, stored_policy
from payment_simulator.experiments.proposers.protocol import UnusableAnswerError
from payment_simulator.policy.builtin import Deadline, Fifo, LiquidityAware, Policy, Trees
from payment_simulator.policy.nodes import Action, Branch, Compute, Constant, FieldValue
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.banks import Agent
from properties import examples

FREE = constrained()
FRACTIONS = {"allowed_parameters": [{"name": FRACTION, "min_value": 0.1, "max_value": 0.6}]}
URGENT = ask("ticks_to_deadline", "<=", 2, act("Release"), act("Hold"))


def trees(payment_tree, **further):
    return {"version": "1", "policy_id": "p", "payment_tree": payment_tree, **further}


def stored(answer, constraints, policy=None, **bank):
    """The answer as it is stored; the bank has Fifo unless told otherwise."""
    bank = Agent(
        **{"id": "A", "liquidity_pool": 1_000, "liquidity_allocation_fraction": 0.5, **bank}, policy=policy or {}
    )
    return stored_policy(answer, constraints, bank)


def refused(answer, policy=None, **constraints):
    """The lines of the refusal."""
    with pytest.raises(UnusableAnswerError) as raised:
        stored(answer, constrained(**constraints), policy)
    return str(raised.value).splitlines()


# Parameters


def test_a_parameter_in_its_range_is_stored_as_it_is():
    for value in (0.1, 0.35, 0.6):
        answer = {"type": "Fifo", "parameters": {FRACTION: value}}
        assert stored(answer, constrained(**FRACTIONS)) == answer


@pytest.mark.parametrize("value", [0.09, 0.61, 0, 1])
def test_a_parameter_out_of_its_range_is_refused_with_the_range(value):
    answer = {"type": "Fifo", "parameters": {FRACTION: value}}
    assert refused(answer, **FRACTIONS) == [f"parameters.{FRACTION}: should be from 0.1 to 0.6, found {value}"]


def test_a_parameter_that_is_not_among_its_values_is_refused_with_them():
    allowed = {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0, 0.5, 1]}]}
    answer = {"type": "Fifo", "parameters": {FRACTION: 0.25}}
    assert refused(answer, **allowed) == [f"parameters.{FRACTION}: should be one of 0, 0.5, 1, found 0.25"]
    assert stored({"type": "Fifo", "parameters": {FRACTION: 1.0}}, constrained(**allowed))


def test_a_whole_number_is_asked_for_where_the_parameter_is_one():
    allowed = {
        "allowed_parameters": [{"name": "urgency_threshold", "param_type": "int", "min_value": 0, "max_value": 9}]
    }
    assert refused({"type": "Deadline", "urgency_threshold": 2.5}, **allowed) == [
        "urgency_threshold: should be a whole number, found 2.5"
    ]
    assert stored({"type": "Deadline", "urgency_threshold": 2}, constrained(**allowed))


def test_a_types_own_parameters_count_wherever_they_stand_and_by_default_too():
    allowed = {"allowed_parameters": [{"name": "urgency_threshold", "min_value": 5, "max_value": 9}]}
    assert refused({"type": "Deadline", "urgency_threshold": 4}, **allowed) == [
        "urgency_threshold: should be from 5 to 9, found 4"
    ]
    assert refused({"type": "Deadline", "parameters": {"urgency_threshold": 4}}, **allowed) == [
        "parameters.urgency_threshold: should be from 5 to 9, found 4"
    ]
    assert refused({"type": "Deadline"}, **allowed) == [
        "urgency_threshold: should be from 5 to 9, found 3, which it is by default; write it"
    ]


def test_parameters_that_are_not_allowed_are_refused_with_the_nearest_that_is():
    answers = [
        ({"type": "Deadline", "urgency_threshold": 3}, "urgency_threshold: the parameter 'urgency_threshold'"),
        (trees(act("Release"), parameters={"limit": 1}), "parameters.limit: the parameter 'limit'"),
        ({"type": "FromJson", "document": trees(act("Hold"), parameters={"x": 1})}, "document.parameters.x: the"),
    ]
    for answer, begin in answers:
        (line,) = refused(answer, **FRACTIONS)
        assert line.startswith(begin)
        assert line.endswith(f"is not allowed (known: {FRACTION})")


# Fields and actions


def test_a_field_that_is_not_allowed_is_refused_wherever_it_stands():
    sum_of = {"compute": {"op": "max", "values": [{"field": "balance"}, {"field": "amount"}]}}
    both = {"op": "and", "conditions": [{"op": ">", "left": sum_of, "right": 1}]}
    tree = {"type": "condition", "condition": both, "on_true": act("Split", num_splits={"field": "priority"})}
    budget = act("SetReleaseBudget", amount={"field": "balance"})
    answer = trees({**tree, "on_false": act("Hold")}, bank_tree=budget)
    assert refused(answer, allowed_fields=["amount", "queue1_size"]) == [
        "payment_tree.condition.conditions.0.left.compute.values.0.field: the field 'balance' is not allowed "
        "(known: amount, queue1_size)",
        "payment_tree.on_true.parameters.num_splits.field: the field 'priority' is not allowed "
        "(known: amount, queue1_size)",
        "bank_tree.parameters.amount.field: the field 'balance' is not allowed (known: amount, queue1_size)",
    ]
    assert stored(answer, constrained(allowed_fields=["amount", "balance", "priority"])) == answer


def test_registers_are_allowed_one_by_one_or_all():
    answer = trees(ask("bank_state_a", ">", 0, act("Release"), act("Hold")))
    assert stored(answer, constrained(allowed_fields=["bank_state_a"]))
    assert stored(answer, constrained(allowed_fields=["bank_state_*"]))
    assert refused(answer, allowed_fields=["bank_state_b"])


def test_an_action_that_is_not_allowed_is_refused_in_its_kind_of_tree():
    answer = {"type": "FromJson", "document": trees(URGENT, bank_tree=act("NoAction"))}
    actions = {"payment_tree": ["Release", "Split"], "bank_tree": []}
    assert refused(answer, allowed_actions=actions) == [
        "document.payment_tree.on_false.action: the action 'Hold' is not allowed (known: Release, Split)",
        "document.bank_tree.action: the action 'NoAction' is not allowed",
    ]
    assert stored(answer, constrained(allowed_actions={"payment_tree": ["Release", "Hold"]})) == answer


def test_every_violation_is_reported_at_once_those_of_the_grammar_too():
    tree = ask("ballance", "<", 0, act("Relese"), act("Drop"))
    lines = refused(
        trees(tree, parameters={FRACTION: 0.9, "x": 1}, verison="1"),
        **FRACTIONS,
        allowed_fields=["amount"],
        allowed_actions={"payment_tree": ["Release", "Hold"]},
    )
    assert lines == [
        "verison: unknown key (did you mean version?)",
        "payment_tree.condition.left.field: unknown field 'ballance' of a payment_tree (did you mean balance?)",
        "payment_tree.on_true.action: unknown action 'Relese' of a payment_tree (did you mean Release?)",
        f"parameters.{FRACTION}: should be from 0.1 to 0.6, found 0.9",
        f"parameters.x: the parameter 'x' is not allowed (known: {FRACTION})",
        "payment_tree.on_false.action: the action 'Drop' is not allowed (known: Release, Hold)",
    ]


@pytest.mark.parametrize(("levels", "is_allowed"), [(98, True), (99, False)])
def test_a_tree_may_be_as_deep_as_one_that_can_be_run(levels, is_allowed):
    number = {"value": 2}
    for _ in range(levels):
        number = {"compute": {"op": "max", "values": [number]}}
    answer = trees(act("Split", num_splits=number))
    assert (read_policy(answer)[1] == []) is is_allowed
    if is_allowed:
        assert stored(answer, FREE) == answer
    else:
        assert refused(answer)[0].endswith("deeper than 100")


def test_without_constraints_every_policy_that_can_be_run_is_allowed():
    for answer in ({}, {"type": "LiquidityAware", "target_buffer": 5}, trees(URGENT, parameters={"x": 3})):
        assert stored(answer, FREE) == answer


# What a bank has is kept


def wait_for(right):
    condition = {"op": ">=", "left": {"field": "balance"}, "right": right}
    return {"type": "condition", "condition": condition, "on_true": act("Release"), "on_false": act("Hold")}


WAITS = {"type": "FromJson", "document": trees(wait_for({"param": "limit"}), parameters={"limit": 5})}
BUFFERED = {"type": "LiquidityAware", "target_buffer": 1_000}
NARROW = {
    **FRACTIONS,
    "allowed_fields": ["amount"],
    "allowed_actions": {"payment_tree": ["Drop"], "bank_tree": [], "collateral_tree": []},
}


@examples(60)
@given(POLICIES)
def test_a_bank_may_keep_any_policy_whatever_is_allowed(policy):
    assert stored(policy, constrained(**NARROW), policy) == policy
    none = constrained(**NARROW | {"allowed_parameters": [{"name": "other", "allowed_values": [1]}]})
    assert stored(policy, none, policy) == policy


@pytest.mark.parametrize("policy", [BUFFERED, WAITS, WAITS["document"], {"type": "Deadline", "urgency_threshold": 9}])
def test_a_bank_may_change_what_is_allowed_and_keep_the_rest(policy):
    answer = {**policy, "parameters": {**policy.get("parameters", {}), FRACTION: 0.3}}
    assert stored(answer, constrained(**NARROW), policy) == answer
    (line,) = refused({**answer, "parameters": {**answer["parameters"], FRACTION: 0.9}}, policy, **NARROW)
    assert line == f"parameters.{FRACTION}: should be from 0.1 to 0.6, found 0.9"


def test_a_parameter_that_is_not_allowed_is_kept_only_as_it_is():
    keep = f"(known: {FRACTION}); it is 1000 now, and may stay so"
    assert refused({**BUFFERED, "target_buffer": 999}, BUFFERED, **FRACTIONS) == [
        f"target_buffer: the parameter 'target_buffer' is not allowed {keep}"
    ]
    assert refused({"type": "LiquidityAware"}, BUFFERED, **FRACTIONS) == [
        "target_buffer: the parameter 'target_buffer' is not allowed to change from 1000 to its default; write it"
    ]
    overridden = {**WAITS, "parameters": {"limit": 7}}
    assert stored({**overridden, "document": WAITS["document"]}, constrained(**FRACTIONS), overridden) == overridden
    (line,) = refused(WAITS, overridden, **FRACTIONS)
    assert line.startswith("document.parameters.limit: the parameter 'limit' is not allowed")


def test_a_share_of_the_pool_that_is_not_allowed_is_the_banks_own_wherever_it_stands():
    limit = {"allowed_parameters": [{"name": "urgency_threshold", "min_value": 0, "max_value": 9}]}
    held = {"type": "Deadline", "parameters": {FRACTION: 0.2}}
    for answer in (held, {**held, "urgency_threshold": 4}):
        assert stored(answer, constrained(**limit), held) == answer
    assert stored({"type": "Fifo", "parameters": {FRACTION: 0.5}}, constrained(**limit))  # as the scenario has it
    assert refused({"type": "Deadline"}, held, **limit) == [
        f"{FRACTION}: the parameter '{FRACTION}' is not allowed to change from 0.2 to its default; write it"
    ]


def test_a_new_field_or_action_must_be_allowed_in_its_kind_of_tree():
    tree = {**wait_for({"field": "priority"}), "on_false": act("Split", num_splits=2)}
    lines = refused(trees(tree, bank_tree=act("NoAction")), WAITS, **NARROW)
    assert [line.partition(" (known")[0] for line in lines] == [
        "payment_tree.condition.right.field: the field 'priority' is not allowed",
        "payment_tree.on_false.action: the action 'Split' is not allowed",
        "bank_tree.action: the action 'NoAction' is not allowed",
    ]


# Answers of all kinds


def test_what_is_stored_is_the_answers_own_no_longer():
    answer = trees(URGENT, parameters={FRACTION: 0.5})
    found = stored(answer, FREE)
    answer["payment_tree"]["on_true"]["action"] = "Drop"
    assert found["payment_tree"]["on_true"]["action"] == "Release"


EVERY_OPERATION = Branch(
    Compute(
        "or",
        (
            Compute("not", (Compute("<", (FieldValue("amount"), Constant(3.0))),)),
            Compute("and", (Compute("==", (FieldValue("bank_state_x"), Constant(0.0))),)),
        ),
    ),
    Action("Split", (Compute("clamp", (FieldValue("priority"), Constant(2.0), Constant(4.0))),)),
    Branch(
        Compute(">=", (Compute("min", (Constant(1.0), Compute("abs", (Constant(-1.0),)))), Constant(0.5))),
        Action("Reprioritize", (Compute("+", (FieldValue("priority"), Constant(1.0))),)),
        Action("Hold"),
    ),
)


@pytest.mark.parametrize(
    "policy",
    [
        Fifo(),
        Fifo(Fraction(29, 100)),
        Deadline(Fraction(0), 7),
        LiquidityAware(None, 50_000, 2),
        Trees(None, Action("Release")),
        Trees(
            Fraction(1, 4),
            EVERY_OPERATION,
            Action("AddState", (Constant(1.0),), "bank_state_x"),
            Action("HoldCollateral"),
        ),
    ],
)
def test_a_policy_that_was_built_in_python_is_stored_as_a_scenario_says_it(policy):
    found = stored(policy, FREE)
    assert read_policy(json.loads(json.dumps(found))) == (policy, [])


@examples(100)
@given(POLICIES)
def test_any_policy_that_can_be_run_is_stored_as_it_is_and_as_built_in_python(answer):
    assert stored(answer, FREE) == answer
    policy, _ = read_policy(answer)
    assert read_policy(stored(policy, FREE)) == (policy, [])


def test_constraints_hold_for_a_policy_that_was_built_in_python():
    assert refused(Fifo(Fraction(9, 10)), **FRACTIONS) == [
        f"parameters.{FRACTION}: should be from 0.1 to 0.6, found 0.9"
    ]
    tree = Branch(Compute("<", (FieldValue("balance"), Constant(0.0))), Action("Release"), Action("Hold"))
    assert refused(Trees(None, tree), allowed_fields=["amount"])


# Hostile answers


def nested(depth, key="on_true"):
    found = {}
    for _ in range(depth):
        found = {key: found}
    return found


def endless():
    node = {"type": "condition", "condition": {"op": "not"}}
    node["on_true"] = node["on_false"] = node["condition"]["condition"] = node
    return node


def endless_node():
    node = Branch(Compute("<", (Constant(0.0), Constant(1.0))), Action("Hold"), Action("Hold"))
    object.__setattr__(node, "on_true", node)
    object.__setattr__(node, "on_false", node)
    return node


TYPO = {"op": "==", "left": {"field": "balanc"}, "right": {"compute": {"op": "plus", "left": 1}}}
HOSTILE = {
    "nested 10,000 deep": lambda: trees(nested(10_000)),
    "nested where no tree is": lambda: {"type": "Fifo", "version": nested(10_000)},
    "lists nested 10,000 deep": lambda: {"version": json.loads("[" * 900 + "]" * 900)},
    "inside itself": lambda: trees(endless()),
    "a tree inside itself": lambda: Trees(None, endless_node()),
    "a million keys": lambda: {str(number): number for number in range(1_000_000)},
    "a million items": lambda: trees({"op": "and", "conditions": [0] * 1_000_000}),
    "10 MB of text": lambda: {"type": "x" * 10_000_000},
    "10 MB in a key": lambda: {"x" * 10_000_000: 1},
    "many long keys": lambda: {f"{number:099}": number for number in range(MAX_VALUES - 1)},
    "as many mistakes as fit": lambda: trees(
        {"type": "condition", "condition": {"op": "and", "conditions": [TYPO] * 500}, "on_true": {}, "on_false": {}}
    ),
    "a number past every float": lambda: {"type": "Fifo", "parameters": {FRACTION: 10**5000}},
    "a threshold past every float": lambda: {"type": "Deadline", "urgency_threshold": -(10**5000)},
    "a version past every float": lambda: {"type": "FromJson", "version": 10**5000},
    "infinity": lambda: json.loads('{"type": "Fifo", "parameters": {"initial_liquidity_fraction": 1e400}}'),
    "no number": lambda: trees(act("Release"), version=float("nan")),
    "a fraction past every float": lambda: Fifo(Fraction(10**5000)),
    "unknown actions": lambda: trees(act("StealEverything")),
    "an unknown type": lambda: {"type": "Robbery"},
    "a type that is a list": lambda: {"type": ["Fifo"]},
    "a type that is a section": lambda: {"type": {"Fifo": 1}},
    "keys that are no text": lambda: {"type": "Fifo", "parameters": {1: 2}},
    "keys that cannot be printed": lambda: trees(act("Release"), parameters={"\x1b[2J": 1}),
    "half a surrogate pair": lambda: trees(act("Release"), policy_id="\ud800"),
    "bytes": lambda: {"type": b"Fifo"},
    "a set": lambda: {"type": {"Fifo"}},
    "a policy of no type": lambda: Policy(),
    "a class": lambda: Policy,
    "nothing": lambda: None,
    "text": lambda: "Fifo",
    "a list": lambda: [{"type": "Fifo"}],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_at_once_in_few_words(name):
    answer = HOSTILE[name]()
    began_s = time.process_time()
    with pytest.raises(UnusableAnswerError) as raised:
        stored(answer, constrained(**FRACTIONS, allowed_fields=["amount"]))
    assert time.process_time() - began_s < 0.5
    assert 0 < len(str(raised.value)) < 20_000


WORDS = ["type", "Fifo", "Deadline", "FromJson", "document", "parameters", "payment_tree", "condition", "action", "op"]
WORDS += [
    "on_true",
    "on_false",
    "field",
    "value",
    "compute",
    "conditions",
    "and",
    "not",
    "<",
    "Hold",
    "Release",
    FRACTION,
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
JSON_LIKE = st.recursive(
    SCALARS,
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inside, max_size=5)
    ),
    max_leaves=25,
)


@examples(150)
@given(st.dictionaries(st.sampled_from(WORDS), JSON_LIKE, max_size=6) | JSON_LIKE)
@example({"type": "Fifo", "parameters": {FRACTION: True}})
@example({"type": "FromJson", "document": {"parameters": {FRACTION: 0.2}, "payment_tree": act("Hold")}})
def test_anything_at_all_is_a_policy_that_can_be_run_or_refused(answer):
    limits = constrained(**FRACTIONS, allowed_fields=["amount"], allowed_actions={"payment_tree": ["Hold"]})
    for constraints in (FREE, limits):
        try:
            found = stored(answer, constraints)
        except UnusableAnswerError:
            continue
        assert found == answer
        assert read_policy(json.loads(json.dumps(found, allow_nan=False)))[1] == []


# The constraints themselves


def test_unknown_names_in_constraints_are_reported_with_their_lines_when_an_experiment_is_read(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(
        "name: e\nscenario: s.yaml\npolicy_constraints:\n"
        "  allowed_parameters:\n"
        "    - {name: initial_liquidity_fraction, min_value: 0, max_value: 2}\n"
        "    - {name: initial_liquidity_fraction, allowed_values: [0.5]}\n"
        "  allowed_fields:\n    - ballance\n    - amount\n    - bank_state_x\n    - bank_state_*\n"
        "  allowed_actions:\n    payment_tree: [Relase, Hold]\n    bank_tree: [Hold]\n"
    )
    with pytest.raises(ConfigError) as raised:
        ExperimentConfig.from_yaml(file)
    where = "policy_constraints"
    assert str(raised.value).splitlines() == [
        f"{file}:5: {where}.allowed_parameters.0: {FRACTION} is from 0 to 1",
        f"{file}:6: {where}.allowed_parameters.1.name: '{FRACTION}' stands twice",
        f"{file}:8: {where}.allowed_fields.0: unknown field 'ballance' (did you mean balance?)",
        f"{file}:13: {where}.allowed_actions.payment_tree.0: unknown action 'Relase' of a payment_tree "
        "(did you mean Release?)",
        f"{file}:14: {where}.allowed_actions.bank_tree.0: unknown action 'Hold' of a bank_tree "
        "(known: SetReleaseBudget, SetState, AddState, NoAction)",
    ]


def test_a_kind_of_tree_that_is_not_known_is_reported(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("name: e\nscenario: s.yaml\npolicy_constraints: {allowed_actions: {payments_tree: [Hold]}}\n")
    with pytest.raises(ConfigError, match=r"unknown key \(did you mean payment_tree\?\)"):
        ExperimentConfig.from_yaml(file)


@pytest.mark.parametrize(
    ("settings_", "problem"),
    [
        ("{model: 'anthropic:c', base_url: 'http://h/v1'}", "base_url: is of an OpenAI-compatible server"),
        ("{model: 'openai:c', base_url: 'http://me:hunter2@h/v1'}", "base_url: holds a password in a URL"),
        ("{model: 'openai:c', base_url: 'http://h/v1?key=hunter2'}", "base_url: should have no user, key or query"),
        ("{model: 'openai:c', base_url: 'http://h:port/v1'}", "base_url: is not an address"),
        ("{model: 'openai:c', base_url: 'http://[h/v1'}", "base_url: is not an address"),
        ("{model: 'openai:c', base_url: 'http:///v1'}", "base_url: is not an address"),
    ],
)
def test_a_models_address_is_checked_when_an_experiment_is_read_and_has_no_key_in_it(settings_, problem, tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(f"name: e\nscenario: s.yaml\nllm: {settings_}\n")
    with pytest.raises(ConfigError) as raised:
        ExperimentConfig.from_yaml(file)
    assert problem in str(raised.value)
    assert "hunter2" not in str(raised.value)
