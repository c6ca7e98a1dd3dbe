"""Compiling of decision trees to a program for a stack machine: numbers in arrays, which compiled code can run.

An instruction is an operation and an argument. Conditions leave 1 or 0; `and` and `or` jump past what is not asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from payment_simulator.policy.builtin import Trees
from payment_simulator.policy.derived_fields import DERIVED
from payment_simulator.policy.fields_and_actions import FIELD_NUMBERS, TREE_KINDS, ActionKind
from payment_simulator.policy.nodes import Branch, Compute, Constant, Expression, FieldValue, Node


class Op(IntEnum):
    """Operations on the stack; `engine.kernel.policy_vm` carries them out."""

    CONSTANT = 0
    FIELD = 1
    REGISTER = 2
    JUMP = 3
    JUMP_IF_FALSE = 4
    JUMP_IF_TRUE = 5
    ACT = 6
    EQ = 7
    NE = 8
    LT = 9
    LE = 10
    GT = 11
    GE = 12
    NOT = 13
    ADD = 14
    SUBTRACT = 15
    MULTIPLY = 16
    DIVIDE = 17
    MIN = 18
    MAX = 19
    ABS = 20
    FLOOR = 21
    CEIL = 22
    ROUND = 23
    CLAMP = 24


_OPS = {
    "==": Op.EQ,
    "!=": Op.NE,
    "<": Op.LT,
    "<=": Op.LE,
    ">": Op.GT,
    ">=": Op.GE,
    "not": Op.NOT,
    "+": Op.ADD,
    "-": Op.SUBTRACT,
    "*": Op.MULTIPLY,
    "/": Op.DIVIDE,
    "min": Op.MIN,
    "max": Op.MAX,
    "abs": Op.ABS,
    "floor": Op.FLOOR,
    "ceil": Op.CEIL,
    "round": Op.ROUND,
    "clamp": Op.CLAMP,
}


@dataclass
class Program:
    """Instructions and constants of all trees; `registers` counts those of all banks, whose numbers are `banks`."""

    code: list[tuple[int, int]] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    registers: int = 0
    banks: Mapping[str, int] = field(default_factory=dict)

    def add(self, policy: Trees) -> list[int]:
        """Compile one bank's trees, with registers of its own; where each kind begins, -1 for one it does not have."""
        writer = _Writer(self)
        starts = []
        for kind in TREE_KINDS:
            tree: Node | None = getattr(policy, kind)
            starts.append(-1 if tree is None else len(self.code))
            if tree is not None:
                writer.node(tree)
        return starts


@dataclass
class _Writer:
    program: Program
    names: dict[str, int] = field(default_factory=dict)

    def node(self, node: Node) -> None:
        if isinstance(node, Branch):
            self.expression(node.condition)
            to_false = self._emit(Op.JUMP_IF_FALSE)
            self.node(node.on_true)
            self._land([to_false])
            self.node(node.on_false)
            return
        for argument in node.arguments:
            self.expression(argument)
        if node.key is not None:
            self._emit(Op.CONSTANT, self._constant(self._register(node.key)))
        if node.name == "SetBudgetOfTick":
            self._emit(Op.CONSTANT, self._constant(self._list(node.banks)))
        self._emit(Op.ACT, ActionKind[node.name])

    def expression(self, expression: Expression) -> None:
        if isinstance(expression, Constant):
            self._emit(Op.CONSTANT, self._constant(expression.value))
        elif isinstance(expression, FieldValue):
            self._field(expression.name)
        elif expression.op in ("and", "or"):
            self._shortcut(expression)
        else:
            self._compute(expression)

    def _field(self, name: str) -> None:
        if name in DERIVED:
            self.expression(DERIVED[name].value)
            return
        number = FIELD_NUMBERS.get(name)
        if number is None:
            self._emit(Op.REGISTER, self._register(name))
        else:
            self._emit(Op.FIELD, number)

    def _compute(self, expression: Compute) -> None:
        op, operands = _OPS[expression.op], expression.operands
        self.expression(operands[0])
        if op in (Op.MIN, Op.MAX):
            for operand in operands[1:]:
                self.expression(operand)
                self._emit(op)
            return
        for operand in operands[1:]:
            self.expression(operand)
        self._emit(op)

    def _shortcut(self, expression: Compute) -> None:
        leave = Op.JUMP_IF_TRUE if expression.op == "or" else Op.JUMP_IF_FALSE
        jumps = []
        for operand in expression.operands:
            self.expression(operand)
            jumps.append(self._emit(leave))
        self._emit(Op.CONSTANT, self._constant(float(expression.op == "and")))
        over = self._emit(Op.JUMP)
        self._land(jumps)
        self._emit(Op.CONSTANT, self._constant(float(expression.op == "or")))
        self._land([over])

    def _emit(self, op: Op, argument: int = 0) -> int:
        self.program.code.append((int(op), argument))
        return len(self.program.code) - 1

    def _land(self, jumps: Sequence[int]) -> None:
        """Make `jumps` lead here."""
        for place in jumps:
            self.program.code[place] = (self.program.code[place][0], len(self.program.code))

    def _constant(self, value: float) -> int:
        self.program.constants.append(float(value))
        return len(self.program.constants) - 1

    def _list(self, banks: Sequence[str]) -> int:
        """The place among the constants of the count of some banks, and then their numbers; -1 for none."""
        numbers = [self.program.banks.get(name, -1) for name in banks]
        places = [self._constant(each) for each in (len(numbers), *numbers)] if numbers else [-1]
        return places[0]

    def _register(self, name: str) -> int:
        if name not in self.names:
            self.names[name] = self.program.registers
            self.program.registers += 1
        return self.names[name]
