"""The JSON Schema of a policy's file, from the words that trees are read by."""

from typing import Any

from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.fields_and_actions import (
    ACTION_MEANINGS,
    ACTIONS,
    COMPARISONS,
    FURTHER_PARAMETERS,
    MANY_SIDED,
    ONE_SIDED,
    STATE_PREFIX,
    TREE_KINDS,
    TWO_SIDED,
    WORDS,
    TreeKind,
)
from payment_simulator.policy.policies import BUILTIN_PARAMETERS, FRACTION

Schema = dict[str, Any]

NUMBERS: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
SHARE: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "Share of the pool that its bank borrows.",
}


def policy_schema() -> Schema:
    """Return the JSON Schema of a policy: a built-in one, or a document of trees."""
    definitions: Schema = {}
    for kind in TREE_KINDS:
        definitions |= _of_tree(kind)
    trees: Schema = {kind: {"$ref": f"#/$defs/{kind}"} for kind in TREE_KINDS}
    document = _section(
        {
            "type": {"const": "FromJson"},
            "version": {"type": ["string", "number"]},
            "policy_id": {"type": "string"},
            "description": {"type": "string"},
            "parameters": {**NUMBERS, "properties": {FRACTION: SHARE}},
            **trees,
        },
        ["payment_tree"],
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy",
        "description": "A bank's policy: a built-in one, or decision trees.",
        "anyOf": [document, *(_of_builtin(kind, names) for kind, names in BUILTIN_PARAMETERS.items())],
        "$defs": definitions,
    }


def _of_builtin(kind: str, names: tuple[str, ...]) -> Schema:
    own: Schema = {name: {"type": "number"} for name in names}
    parameters = {"type": "object", "properties": {**own, FRACTION: SHARE}, "additionalProperties": False}
    return _section({"type": {"const": kind}, **own, "parameters": parameters}, ["type"])


def _of_tree(kind: TreeKind) -> Schema:
    node, condition, value = ({"$ref": f"#/$defs/{name}"} for name in (kind, f"{kind}_condition", f"{kind}_value"))
    branch = _section(
        {
            "type": {"const": "condition"},
            "node_id": {"type": "string"},
            "condition": condition,
            "on_true": node,
            "on_false": node,
        },
        ["type", "condition", "on_true", "on_false"],
    )
    return {
        kind: {"anyOf": [branch, *(_of_action(name, names, value) for name, names in ACTIONS[kind].items())]},
        f"{kind}_condition": {
            "anyOf": [
                _operation(COMPARISONS, {"left": value, "right": value}),
                _operation(("and", "or"), {"conditions": {"type": "array", "minItems": 1, "items": condition}}),
                _operation(("not",), {"condition": condition}),
            ]
        },
        f"{kind}_value": {"anyOf": [{"type": "number"}, *_values(kind, value)]},
    }


def _of_action(name: str, parameters: tuple[str, ...], value: Schema) -> Schema:
    register = {"type": "string", "pattern": f"^{STATE_PREFIX}."}
    given = {each: register if each == "key" else _of_parameter(each, value) for each in parameters}
    further = {each: _of_parameter(each, value) for each in FURTHER_PARAMETERS.get(name, ())}
    needed = [] if name == "SetReleaseBudget" else list(given)  # one of two amounts
    head = {"type": {"const": "action"}, "node_id": {"type": "string"}, "action": {"const": name}}
    required = ["type", "action", *(["parameters"] if given else [])]
    return _section({**head, "parameters": _section({**given, **further}, needed)}, required) | {
        "description": ACTION_MEANINGS[name]
    }


def _of_parameter(name: str, value: Schema) -> Schema:
    if name == "focus_counterparties":
        return {"type": "array", "items": {"type": "string"}}
    return {"enum": list(WORDS[name])} if name in WORDS else value


def _values(kind: TreeKind, value: Schema) -> list[Schema]:
    names = {"anyOf": [{"enum": known_fields(kind)}, {"type": "string", "pattern": f"^{STATE_PREFIX}."}]}
    computations = [
        _operation(TWO_SIDED, {"left": value, "right": value}),
        _operation(MANY_SIDED, {"values": {"type": "array", "minItems": 1, "items": value}}),
        _operation(ONE_SIDED, {"value": value}),
        _operation(("clamp",), {"value": value, "min": value, "max": value}),
    ]
    alone = {
        "field": names,
        "param": {"type": "string"},
        "value": {"type": "number"},
        "compute": {"anyOf": computations},
    }
    return [_section({key: inside}, [key]) for key, inside in alone.items()]


def _operation(names: tuple[str, ...], operands: Schema) -> Schema:
    return _section({"op": {"enum": list(names)}, **operands}, ["op", *operands])


def _section(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
