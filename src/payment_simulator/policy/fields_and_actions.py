"""Fields that decision trees see, each with its unit, and their actions, each with its parameters."""

from enum import IntEnum
from typing import Literal, NamedTuple

TreeKind = Literal["payment_tree", "bank_tree", "collateral_tree"]
TREE_KINDS: tuple[TreeKind, ...] = ("payment_tree", "bank_tree", "collateral_tree")
STATE_PREFIX = "bank_state_"
NO_LIMIT = 2**53
"""The cents that are left of a limit that there is not; of one that is higher, no more."""


class Field(NamedTuple):
    """A field: its unit and what it is."""

    unit: str
    meaning: str


PAYMENT_FIELDS = {
    "amount": Field("cents", "of the payment"),
    "remaining_amount": Field("cents", "of it that is not settled; in Queue 1 that is all"),
    "priority": Field("0-10", "as it stands, 10 most urgent"),
    "is_divisible": Field("0 or 1", "whether it may be split"),
    "ticks_to_deadline": Field("ticks", "until its deadline; below 0 once that has passed"),
    "is_overdue": Field("0 or 1", "whether it was unsettled in an earlier tick after its deadline"),
    "arrival_tick": Field("ticks", "of the run, from 0"),
    "queue_age": Field("ticks", "since it arrived"),
    "bilateral_limit_left": Field("cents", "of the bank's limit to its receiver today; 2^53 where there is none"),
}

BANK_FIELDS = {
    "balance": Field("cents", "less what this step has released"),
    "effective_liquidity": Field("cents", "headroom: balance, credit and collateral, less what this step has released"),
    "credit_used": Field("cents", "what the balance, less this step's releases, is below 0"),
    "unsecured_cap": Field("cents", "credit without collateral"),
    "posted_collateral": Field("cents", "before the haircut"),
    "max_collateral_capacity": Field("cents", "the most that may be posted"),
    "remaining_collateral_capacity": Field("cents", "what may still be posted"),
    "queue1_total_value": Field("cents", "of the bank's own queue, before this step"),
    "queue1_size": Field("payments", "in the bank's own queue, before this step"),
    "queue2_own_value": Field("cents", "of the bank's payments in the central queue"),
    "queue2_own_size": Field("payments", "of the bank in the central queue, each piece of a split one"),
    "multilateral_limit_left": Field("cents", "of the bank's limit to all others today; 2^53 where there is none"),
}

TIME_FIELDS = {
    "current_tick": Field("ticks", "of the run, from 0"),
    "current_day": Field("days", "from 0"),
    "system_tick_in_day": Field("ticks", "of the day, from 0"),
    "ticks_remaining_in_day": Field("ticks", "after this one"),
    "day_progress_fraction": Field("share", "system_tick_in_day over ticks_per_day"),
}

COST_FIELDS = {
    "liquidity_cost_per_tick_bps": Field("bps per tick", "of the allocated pool"),
    "overdraft_bps_per_tick": Field("bps per tick", "of credit_used"),
    "collateral_cost_per_tick_bps": Field("bps per tick", "of posted collateral"),
    "delay_cost_per_tick_per_cent": Field("cents per tick and cent", "of what is unsettled"),
    "overdue_delay_multiplier": Field("times", "of delay, once overdue"),
    "deadline_penalty": Field("cents, or bps", "once, in the tick in which a payment becomes overdue"),
    "eod_penalty_per_transaction": Field("cents, or bps", "per payment unsettled at the day's end"),
    "eod_borrowing_bps": Field("bps per day", "of the value unsettled at the day's end"),
    "split_friction_cost": Field("cents", "per extra piece of a split"),
}

COMMON_FIELDS = {**BANK_FIELDS, **TIME_FIELDS, **COST_FIELDS}
FIELDS: dict[TreeKind, dict[str, Field]] = {
    "payment_tree": {**PAYMENT_FIELDS, **COMMON_FIELDS},
    "bank_tree": COMMON_FIELDS,
    "collateral_tree": COMMON_FIELDS,
}
FIELD_NUMBERS = {name: number for number, name in enumerate(FIELDS["payment_tree"])}


class ActionKind(IntEnum):
    """Every action by number, as compiled code knows it."""

    Release = 0
    Hold = 1
    Drop = 2
    Split = 3
    Reprioritize = 4
    SetReleaseBudget = 5
    SetState = 6
    AddState = 7
    NoAction = 8
    PostCollateral = 9
    WithdrawCollateral = 10
    HoldCollateral = 11


ACTIONS: dict[TreeKind, dict[str, tuple[str, ...]]] = {
    "payment_tree": {
        "Release": (),
        "Hold": (),
        "Drop": (),
        "Split": ("num_splits",),
        "Reprioritize": ("priority",),
    },
    "bank_tree": {
        "SetReleaseBudget": ("amount",),
        "SetState": ("key", "value"),
        "AddState": ("key", "value"),
        "NoAction": (),
    },
    "collateral_tree": {
        "PostCollateral": ("amount",),
        "WithdrawCollateral": ("amount",),
        "HoldCollateral": (),
    },
}
ACTION_MEANINGS = {
    "Release": "send it for settlement in this tick",
    "Hold": "keep it in the bank's own queue",
    "Drop": "never try it again; it is charged as unsettled to the end of the run",
    "Split": "release it in num_splits pieces",
    "Reprioritize": "give it another priority, 0-10, and decide again in the next tick",
    "SetReleaseBudget": "release at most so many cents, until it is set again or the day ends",
    "SetState": "give the register `key` (bank_state_...) a value",
    "AddState": "add a value to the register `key`",
    "NoAction": "do nothing",
    "PostCollateral": "post so many cents, as far as the capacity goes",
    "WithdrawCollateral": "withdraw so many cents, as far as the credit in use allows",
    "HoldCollateral": "do nothing",
}

if {name for actions in ACTIONS.values() for name in actions} ^ {*ActionKind.__members__} | {*ACTION_MEANINGS} ^ {
    *ActionKind.__members__
}:
    raise ImportError("policy/fields.py: ACTIONS, ACTION_MEANINGS and ActionKind differ; give each the same actions")

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
TWO_SIDED = ("+", "-", "*", "/")
MANY_SIDED = ("min", "max")
ONE_SIDED = ("abs", "floor", "ceil", "round")
