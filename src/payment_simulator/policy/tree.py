"""Decision trees: their evaluation, and the numbers that may stand in them.

Arithmetic is IEEE double. Operands are evaluated from left to right; `and` and `or` stop at the first condition that
decides. What has no number for an answer (x / 0, inf - inf, 0 * inf, inf / inf) is 0 and counted as a fault.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from payment_simulator.policy.derived_fields import DERIVED
from payment_simulator.policy.nodes import Action, Branch, Compute, Constant, Expression, FieldValue, Node

MAX_DEPTH = 100
MAX_PIECES = 10_000
"""A split into more is a Hold: each piece is a payment of its own."""
LARGEST_WHOLE = 2**62
LARGEST_NUMBER = 1e300


def problem_of_number(value: Any) -> str | None:
    """Return the reason why a policy cannot have it as a number; None where it can."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "should be a number"
    if value != value:
        return "should be a number, which NaN is not"
    return None if abs(value) < LARGEST_NUMBER else "should be over -1e300 and under 1e300"


@dataclass
class Faults:
    """A count of operations that have no number for an answer."""

    count: int = 0

    def defined(self, answer: float) -> float:
        """Return the answer; where it is no number, count that and return 0."""
        if not math.isnan(answer):
            return answer
        self.count += 1
        return 0.0


def decide(node: Node, fields: Mapping[str, float], faults: Faults) -> tuple[Action, tuple[float, ...]]:
    """The action that a tree comes to, and its arguments; a register that is not in `fields` is 0."""
    while isinstance(node, Branch):
        node = node.on_true if evaluate(node.condition, fields, faults) else node.on_false
    return node, tuple(evaluate(argument, fields, faults) for argument in node.arguments)


def evaluate(expression: Expression, fields: Mapping[str, float], faults: Faults) -> float:
    """The value of an expression; a condition is 1 or 0."""
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, FieldValue):
        derived = DERIVED.get(expression.name)
        return fields.get(expression.name, 0.0) if derived is None else evaluate(derived.value, fields, faults)
    op = expression.op
    if op in ("and", "or"):
        wanted = op == "or"
        found = any((evaluate(each, fields, faults) != 0) == wanted for each in expression.operands)
        return float(found == wanted)
    values = [evaluate(each, fields, faults) for each in expression.operands]
    return faults.defined(float(_OPERATIONS[op](*values)))


def whole(value: float) -> int:
    """Whole cents or numbers of a value: rounded down, within what an int64 holds."""
    return math.floor(max(min(value, float(LARGEST_WHOLE)), -float(LARGEST_WHOLE)))


def _least(*values: float) -> float:
    found = values[0]
    for value in values[1:]:
        found = value if value < found else found
    return found


def _greatest(*values: float) -> float:
    found = values[0]
    for value in values[1:]:
        found = value if value > found else found
    return found


def _clamp(value: float, low: float, high: float) -> float:
    value = high if high < value else value
    return low if value < low else value


def _rounded(how: Any) -> Any:
    return lambda value: how(value) if math.isfinite(value) else value


_OPERATIONS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "not": lambda a: a == 0,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b != 0 else math.nan,
    "min": _least,
    "max": _greatest,
    "abs": abs,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "round": _rounded(round),
    "clamp": _clamp,
}


def parts_of(*trees: Node | None) -> Iterator[Node | Expression]:
    """Yield every node and every expression of some trees, once: a tree of Python may share them.

    A derived field is followed by what it stands for.
    """
    left: list[Node | Expression] = [tree for tree in trees if tree is not None]
    seen: set[int] = set()
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, Branch):
            left += [part.condition, part.on_true, part.on_false]
        elif isinstance(part, Action):
            left += part.arguments
        elif isinstance(part, Compute):
            left += part.operands
        elif isinstance(part, FieldValue) and part.name in DERIVED:
            left.append(DERIVED[part.name].value)


def names_in(*trees: Node | None) -> set[str]:
    """Return the fields, registers and actions that some trees name."""
    return {part.name for part in parts_of(*trees) if isinstance(part, FieldValue | Action)}
