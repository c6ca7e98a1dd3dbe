"""Numbers that both engines share: kinds of cost, kinds of event, reasons why an event was skipped."""

from enum import IntEnum
from typing import Literal


class Cost(IntEnum):
    """Columns of the table of costs."""

    LIQUIDITY = 0
    OVERDRAFT = 1
    COLLATERAL = 2
    DELAY = 3
    DEADLINE_PENALTY = 4
    EOD_PENALTY = 5
    EOD_BORROWING = 6
    SPLIT_FRICTION = 7


COSTS = tuple(kind.name.lower() for kind in Cost)

RATES_PER_TICK = ("liquidity_cost_per_tick_bps", "overdraft_bps_per_tick", "collateral_cost_per_tick_bps")
"""Rates of `cost_rates` in bps per tick, on money that a bank has or uses."""
RATES_PER_DAY = ("eod_borrowing_bps",)
"""Rates of `cost_rates` in bps per day, on payments that are unsettled at its end."""


class EventKind(IntEnum):
    """Rows of the event table. `agent` is the bank that pays, or that it happens to.

    `LimitBlocked` is recorded once a payment, as step 8 ends: its bank could pay it, and only a limit forbids it.
    """

    LiquidityAllocated = 0
    Arrival = 1
    Transfer = 2
    CollateralPosted = 3
    CollateralWithdrawn = 4
    EventSkipped = 5
    PolicyHold = 6
    PolicyDrop = 7
    PolicySplit = 8
    PolicyReprioritize = 9
    Submitted = 10
    SettledImmediately = 11
    Queued = 12
    SettledFromQueue = 13
    LsmBilateralOffset = 14
    LsmCycleSettlement = 15
    CreditApplied = 16
    WentOverdue = 17
    CostAccrual = 18
    EndOfDay = 19
    CreditLimitChanged = 20
    BalanceReset = 21
    OutageBegan = 22
    PriorityEscalated = 23
    LimitChanged = 24
    LimitBlocked = 25
    LsmEntryOffset = 26
    LsmMultilateralOffset = 27
    LsmBatchSettlement = 28
    PolicyWithdraw = 29
    PolicyResubmit = 30


REFERENCE_EVENTS = (EventKind.PolicyWithdraw, EventKind.PolicyResubmit)
"""Events that the reference engine alone records, of actions that it alone carries out."""


ROUTES = {
    EventKind.SettledImmediately: "at_once",
    EventKind.SettledFromQueue: "from_queue",
    EventKind.LsmEntryOffset: "on_entry",
    EventKind.LsmBilateralOffset: "bilateral",
    EventKind.LsmCycleSettlement: "cycles",
    EventKind.LsmMultilateralOffset: "multilateral",
    EventKind.LsmBatchSettlement: "batch",
}
"""The events in which payments settle, and the name of each as a way to settle."""
OFFSETS = tuple(kind for kind in ROUTES if kind not in (EventKind.SettledImmediately, EventKind.SettledFromQueue))
"""Those of them in which several payments settle at once, by their net."""

Record = bool | Literal["settlements"]
"""Which events are recorded: all, none, or those of `ROUTES`, which are about one a payment."""


class PriorityClass(IntEnum):
    """Classes of priority, the more urgent the larger: 0-3, 4-7 and 8-10."""

    LOW = 0
    NORMAL = 1
    URGENT = 2


def class_of(priority: int) -> PriorityClass:
    """The class of a priority."""
    return PriorityClass(priority // 4)


class Skipped(IntEnum):
    """Reasons why a scenario event did nothing."""

    CREDIT_FLOOR = 0
    CAPACITY = 1


class EventColumn(IntEnum):
    """Columns of a recorded event; -1 where one does not apply.

    `payment` is the payment's place in the arrivals, `piece` its place among those of a split. `note` is the kind of
    cost, the new priority, the number of the offset within the run, or why it was skipped; of an outage its ticks.
    """

    tick = 0
    event = 1
    agent = 2
    counterparty = 3
    payment = 4
    piece = 5
    amount = 6
    note = 7
