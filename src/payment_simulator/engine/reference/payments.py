"""Payments as the reference engine moves them."""

from dataclasses import dataclass


@dataclass(eq=False)
class Payment:
    """One payment; `index` is its place in the sequence. `pieces_left` of it are unsettled."""

    index: int
    sender: int
    receiver: int
    amount: int
    priority: int
    arrival_priority: int
    arrival: int
    deadline: int
    divisible: bool
    pieces_left: int = 1
    was_held: bool = False


@dataclass(eq=False)
class Item:
    """What is settled at once: a payment, or a piece of one that was split."""

    payment: Payment
    piece: int
    amount: int
    is_overdue: bool = False

    @property
    def queue_key(self) -> tuple[int, int, int]:
        """Queue order: priority, most urgent first, then sequence, then place among the pieces."""
        return (-self.payment.priority, self.payment.index, self.piece)
