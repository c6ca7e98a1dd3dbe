"""The parts of decision trees."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Constant:
    """A number; `parameter` is the policy's parameter that it was written as, if any."""

    value: float
    parameter: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class FieldValue:
    """A field, or a register (its name begins with `bank_state_`)."""

    name: str


@dataclass(frozen=True)
class Compute:
    """An operation on numbers, or on conditions (and, or, not), or a comparison."""

    op: str
    operands: tuple["Expression", ...]


Expression = Constant | FieldValue | Compute


@dataclass(frozen=True)
class Action:
    """A leaf; `key` is the register that it names, `banks` are those that it is about, all where it names none."""

    name: str
    arguments: tuple[Expression, ...] = ()
    key: str | None = None
    banks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Branch:
    """A question, and where each answer leads."""

    condition: Expression
    on_true: "Node"
    on_false: "Node"


Node = Action | Branch
