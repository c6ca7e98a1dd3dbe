"""The stack machine that runs compiled trees; its arithmetic is that of `policy.tree`, operation by operation."""

import math

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part
from payment_simulator.policy.compile import Op

LARGEST = 4.611686018427388e18


@part
def run_decision_tree(w, f, code, at):
    """Run from instruction `at` to an action; its number, its values from `STACK_AT` on."""
    top = L.STACK_AT
    while True:
        op, argument = code[2 * at], code[2 * at + 1]
        at += 1
        if op == Op.CONSTANT or op == Op.FIELD or op == Op.REGISTER:  # each has a place in `f`
            f[top] = f[argument]
            top += 1
        elif op == Op.JUMP:
            at = argument
        elif op == Op.JUMP_IF_FALSE or op == Op.JUMP_IF_TRUE:
            top -= 1
            if (f[top] != 0.0) == (op == Op.JUMP_IF_TRUE):
                at = argument
        elif op == Op.ACT:
            return argument
        elif _is_one_sided(op):
            f[top - 1] = _one_sided(op, f[top - 1])
        elif op == Op.CLAMP:
            top -= 2
            f[top - 1] = _clamp(f[top - 1], f[top], f[top + 1])
        else:
            top -= 1
            f[top - 1] = defined(w, _two_sided(op, f[top - 1], f[top]))


@part
def defined(w, answer):
    """Return the answer; where it is no number, count that and return 0."""
    if not math.isnan(answer):
        return answer
    w[L.FAULTS] += 1
    return 0.0


@part
def _is_one_sided(op):
    return op == Op.NOT or op == Op.ABS or op == Op.FLOOR or op == Op.CEIL or op == Op.ROUND


@part
def _clamp(value, low, high):
    if high < value:
        value = high
    return low if value < low else value


@part
def _one_sided(op, value):
    if op == Op.NOT:
        return 1.0 if value == 0.0 else 0.0
    if op == Op.ABS:
        return abs(value)
    below = math.floor(value) if abs(value) < LARGEST else value
    if op == Op.FLOOR or below == value:
        return below * 1.0
    if op == Op.CEIL:
        return below + 1.0
    half = value - below
    if half == 0.5:  # Op.ROUND: a half to the even neighbour
        return below + (below % 2)
    return below + 1.0 if half > 0.5 else below * 1.0


@part
def _two_sided(op, a, b):
    if op == Op.ADD:
        return a + b
    if op == Op.SUBTRACT:
        return a - b
    if op == Op.MULTIPLY:
        return a * b
    if op == Op.DIVIDE:
        return a / b if b != 0.0 else math.nan
    if op == Op.MIN:
        return b if b < a else a
    if op == Op.MAX:
        return b if b > a else a
    return 1.0 if _compares(op, a, b) else 0.0


@part
def _compares(op, a, b):
    if op == Op.EQ:
        return a == b
    if op == Op.NE:
        return a != b
    if op == Op.LT:
        return a < b
    if op == Op.LE:
        return a <= b
    if op == Op.GT:
        return a > b
    return op == Op.GE and a >= b


@part
def whole(value):
    """Rounded down, within what an int64 holds."""
    if value >= LARGEST:
        return 2**62
    return math.floor(value) if value > -LARGEST else -(2**62)
