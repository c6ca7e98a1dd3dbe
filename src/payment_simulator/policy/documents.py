"""Policies as documents, and a `Policy` that was built in Python as one."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from payment_simulator.policy.builtin import Deadline, Fifo, LiquidityAware, Policy, Trees
from payment_simulator.policy.fields_and_actions import (
    ACTIONS,
    COMPARISONS,
    FURTHER_ACTIONS,
    MANY_SIDED,
    ONE_SIDED,
    TREE_KINDS,
    WORDS,
)
from payment_simulator.policy.nodes import Action, Branch, Compute, Constant, FieldValue
from payment_simulator.policy.policies import BUILTIN_PARAMETERS, FRACTION
from payment_simulator.policy.tree import LARGEST_NUMBER, MAX_DEPTH

PolicyDocument = dict[str, Any]
"""A policy as a scenario writes it: `{type: Fifo, parameters: {…}}`, or a document of decision trees."""


def document_of(policy: Policy) -> Any:
    """The document of `policy`, as a scenario would write it; what is no policy comes back as it is."""
    parameters = {} if policy.fraction is None else {"parameters": {FRACTION: _number(policy.fraction)}}
    if isinstance(policy, Trees):
        found = {kind: getattr(policy, kind) for kind in TREE_KINDS}
        written: dict[int, Any] = {}
        trees = {kind: _written_node(node, written) for kind, node in found.items() if node is not None}
        return {"version": "1", **parameters, **trees}
    if not isinstance(policy, Fifo | Deadline | LiquidityAware):
        return policy
    kind = type(policy).__name__
    return {"type": kind, **{name: getattr(policy, name) for name in BUILTIN_PARAMETERS[kind]}, **parameters}


def _number(fraction: Any) -> Any:
    return float(fraction) if isinstance(fraction, Fraction) and abs(fraction) < LARGEST_NUMBER else fraction


def _written_node(node: Any, written: dict[int, Any], depth: int = 1) -> Any:
    """A node or an expression in JSON; one that stands in several places is written once, and shared."""
    if depth > MAX_DEPTH + 1:
        return None
    if id(node) not in written:
        written[id(node)] = _json_of(node, lambda inside: _written_node(inside, written, depth + 1))
    return written[id(node)]


def _json_of(node: Any, write: Callable[[Any], Any]) -> Any:
    if isinstance(node, Branch):
        condition, on_true, on_false = map(write, (node.condition, node.on_true, node.on_false))
        return {"type": "condition", "condition": condition, "on_true": on_true, "on_false": on_false}
    if isinstance(node, Action):
        return _action(node, [write(each) for each in node.arguments])
    if isinstance(node, Compute):
        return _operation(node.op, [write(each) for each in node.operands])
    if isinstance(node, Constant | FieldValue):
        return {"value": node.value} if isinstance(node, Constant) else {"field": node.name}
    return node


def _action(node: Action, values: list[Any]) -> dict[str, Any]:
    name = next((first for first, further in FURTHER_ACTIONS.items() if further == node.name), node.name)
    names = [each for each in next((known[name] for known in ACTIONS.values() if name in known), ()) if each != "key"]
    if node.name == "ReleaseAt":
        names = ["priority_flag"]
    elif node.name == "PostCollateralFor":
        names = ["amount", "auto_withdraw_after_ticks"]
    elif node.name == "SetBudgetOfTick":
        names = ["amount" if values[2] != {"value": 0.0} else "max_value_to_release", "max_per_counterparty"]
        names, values = (names, values[:2]) if values[1] != {"value": -1.0} else (names[:1], values[:1])
    parameters = {key: _word(key, value) for key, value in zip(names, values, strict=False)}
    more: dict[str, Any] = {"focus_counterparties": list(node.banks)} if node.banks else {}
    more |= {} if node.key is None else {"key": node.key}
    return {"type": "action", "action": name, "parameters": {**more, **parameters}}


def _word(name: str, value: Any) -> Any:
    """A number that a word stands for, as that word."""
    return next((word for word, number in WORDS.get(name, {}).items() if value == {"value": float(number)}), value)


def _operation(op: str, operands: list[Any]) -> dict[str, Any]:
    if op in ("and", "or"):
        return {"op": op, "conditions": operands}
    if op in MANY_SIDED:
        return {"compute": {"op": op, "values": operands}}
    names = {"not": ("condition",), "clamp": ("value", "min", "max"), **dict.fromkeys(ONE_SIDED, ("value",))}
    found = {"op": op, **dict(zip(names.get(op, ("left", "right")), operands, strict=False))}
    return found if op == "not" or op in COMPARISONS else {"compute": found}
