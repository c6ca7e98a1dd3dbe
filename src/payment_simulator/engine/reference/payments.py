"""Payments as the reference engine moves them, and what else happens, by tick."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from payment_simulator.engine.vocabulary import class_of
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.scenario_events import (
    BalanceReset,
    CollateralAdjustment,
    CreditLimitChange,
    DirectTransfer,
    LimitChange,
    Outage,
)
from payment_simulator.scenario.schema import Scenario


@dataclass(eq=False)
class Payment:
    """One payment; `index` is its place among the arrivals. `pieces_left` of it are unsettled.

    `sequence` orders the central queue: that of its arrival, or, where a policy submitted it again, of that moment.
    """

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
    was_blocked: bool = False
    is_split: bool = False
    sequence: int = 0
    arrival_sequence: int = 0


@dataclass(eq=False)
class Item:
    """A unit of settlement: a payment, or a piece of one that was split."""

    payment: Payment
    piece: int
    amount: int
    is_overdue: bool = False
    release_tick: int | None = None
    """The tick in which a piece that is held back is released, whatever the policy says."""


@dataclass(frozen=True)
class QueueOrder:
    """Queue order: priority or its class, most urgent first, or neither; then sequence, then place among the pieces."""

    by: Literal["priority", "bands", "fifo"]

    def key(self, item: Item) -> tuple[int, int, int]:
        """A key by which items sort."""
        return (-self.urgency(item.payment.priority), item.payment.sequence, item.piece)

    def urgency(self, priority: int) -> int:
        """The urgency of a priority in this order; the more, the earlier."""
        if self.by == "priority":
            return priority
        return int(class_of(priority)) if self.by == "bands" else 0


def payments_by_tick(arrivals: Arrivals) -> dict[int, list[Payment]]:
    """The payments of one sample, in sequence."""
    found: dict[int, list[Payment]] = defaultdict(list)
    columns = (arrivals.sender, arrivals.receiver, arrivals.amount, arrivals.priority, arrivals.tick, arrivals.deadline)
    rows: Iterable[tuple[int, ...]] = zip(*(column.tolist() for column in columns), strict=True)
    for index, (row, divisible) in enumerate(zip(rows, arrivals.divisible.tolist(), strict=True)):
        sender, receiver, amount, priority, tick, deadline = row
        payment = Payment(index, sender, receiver, amount, priority, priority, tick, deadline, divisible)
        found[tick].append(payment)
    return found


Happening = DirectTransfer | CollateralAdjustment | CreditLimitChange | LimitChange | BalanceReset | Outage


def events_by_tick(scenario: Scenario) -> dict[int, list[Happening]]:
    """The scenario events that are no payments and no change of what is drawn, in file order; outages as they begin."""
    found: dict[int, list[Happening]] = defaultdict(list)
    for event in scenario.scenario_events:
        if isinstance(event, Happening):
            ticks = event.ticks(scenario.simulation.ticks)
            for tick in ticks[:1] if isinstance(event, Outage) else ticks:
                found[tick].append(event)
    return found
