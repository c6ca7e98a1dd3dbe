"""The stack machine that runs compiled trees; its arithmetic is that of `policy.tree`, operation by operation."""

import math

from payment_simulator.engine.kernel.jit import part
from payment_simulator.engine.kernel.layout import FAULTS, STACK_AT

LARGEST = 4.611686018427388e18


@part
def run_tree(w, f, code, at):  # type: ignore[no-untyped-def]
    """Run from instruction `at` to an action; its number, its values from `STACK_AT` on."""
    top = STACK_AT
    while True:
        op, argument = code[2 * at], code[2 * at + 1]
        at += 1
        if op <= 2:  # all registers and constants have a place in `f`, too
            f[top] = f[argument]
            top += 1
        elif op == 3:
            at = argument
        elif op <= 5:
            top -= 1
            if (f[top] != 0.0) == (op == 5):
                at = argument
        elif op == 6:
            return argument
        elif op == 13 or (op >= 20 and op <= 23):
            f[top - 1] = _one_sided(op, f[top - 1])
        elif op == 24:
            top -= 2
            f[top - 1] = _clamp(f[top - 1], f[top], f[top + 1])
        else:
            top -= 1
            if op == 17 and f[top] == 0.0:
                w[FAULTS] += 1
            f[top - 1] = _two_sided(op, f[top - 1], f[top])


@part
def _clamp(value, low, high):  # type: ignore[no-untyped-def]
    if high < value:
        value = high
    return low if value < low else value


@part
def _one_sided(op, value):  # type: ignore[no-untyped-def]
    if op == 13:
        return 1.0 if value == 0.0 else 0.0
    if op == 20:
        return abs(value)
    below = math.floor(value) if abs(value) < LARGEST else value
    if op == 21 or below == value:
        return below * 1.0
    if op == 22:
        return below + 1.0
    half = value - below
    if half == 0.5:
        return below + (below % 2)
    return below + 1.0 if half > 0.5 else below * 1.0


@part
def _two_sided(op, a, b):  # type: ignore[no-untyped-def]
    if op <= 12:
        return 1.0 if _compares(op, a, b) else 0.0
    if op == 14:
        return a + b
    if op == 15:
        return a - b
    if op == 16:
        return a * b
    if op == 17:
        return a / b if b != 0.0 else 0.0
    if op == 18:
        return b if b < a else a
    return b if b > a else a


@part
def _compares(op, a, b):  # type: ignore[no-untyped-def]
    if op == 7:
        return a == b
    if op == 8:
        return a != b
    if op == 9:
        return a < b
    if op == 10:
        return a <= b
    return a > b if op == 11 else a >= b


@part
def whole(value):  # type: ignore[no-untyped-def]
    """Rounded down, within what an int64 holds; 0 of what is no number."""
    if math.isnan(value):
        return 0
    if value >= LARGEST:
        return 2**62
    return math.floor(value) if value > -LARGEST else -(2**62)
