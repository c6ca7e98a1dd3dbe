"""The policies that need no tree."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from payment_simulator.policy.fields_and_actions import TREE_KINDS


@dataclass(frozen=True)
class Policy:
    """The policy of a bank. `fraction` is the share of its pool that it borrows; None leaves that to the bank."""

    fraction: Fraction | None = None


@dataclass(frozen=True)
class Fifo(Policy):
    """Releases everything."""


@dataclass(frozen=True)
class Deadline(Policy):
    """Releases what has at most `urgency_threshold` ticks left."""

    urgency_threshold: int = 3


@dataclass(frozen=True)
class LiquidityAware(Policy):
    """Releases what leaves `target_buffer` of the balance, and what has at most `urgency_threshold` ticks left."""

    target_buffer: int = 0
    urgency_threshold: int = 3


@dataclass(frozen=True)
class Trees(Policy):
    """Decides by decision trees, nodes of `policy.tree`; a tree that is None does nothing."""

    payment_tree: Any = None
    bank_tree: Any = None
    collateral_tree: Any = None
    end_of_tick_collateral_tree: Any = None


def trees_of(policy: Policy) -> list[Any]:
    """The decision trees of a policy; none of another kind."""
    found = [getattr(policy, kind) for kind in TREE_KINDS] if isinstance(policy, Trees) else []
    return [tree for tree in found if tree is not None]
