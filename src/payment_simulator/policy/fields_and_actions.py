"""Fields that decision trees see, each with its unit, and their actions, each with its parameters."""

from enum import IntEnum
from typing import Literal, NamedTuple

TreeKind = Literal["payment_tree", "bank_tree", "collateral_tree", "end_of_tick_collateral_tree"]
TREE_KINDS: tuple[TreeKind, ...] = ("payment_tree", "bank_tree", "collateral_tree", "end_of_tick_collateral_tree")
TREE_ALIASES: dict[str, TreeKind] = {"strategic_collateral_tree": "collateral_tree"}
"""Other names of trees."""
COMMENTS = ("description", "reason", "comment", "hold_reason", "name")
"""Keys of documents, nodes and parameters that mean nothing, as do those that begin with `_`."""
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
    "arrival_priority": Field("0-10", "with which it arrived"),
    "my_q2_out_value_to_counterparty": Field("cents", "of the bank's payments to its receiver in the central queue"),
    "my_q2_in_value_from_counterparty": Field("cents", "of its receiver's payments to the bank in the central queue"),
    "my_bilateral_net_q2": Field("cents", "my_q2_out_value_to_counterparty - my_q2_in_value_from_counterparty"),
    "is_in_queue2": Field("0 or 1", "whether it is in the central queue, which the tree walks too where it names this"),
}

IN_QUEUE2 = "is_in_queue2"
BETWEEN = ("my_q2_out_value_to_counterparty", "my_q2_in_value_from_counterparty", "my_bilateral_net_q2")

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
    "excess_collateral": Field("cents", "what may be withdrawn: posted, and not needed for the credit in use"),
    "my_throughput_fraction_today": Field("share", "of what was to settle today until now: what did; 1 of nothing"),
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

SCENARIO_FIELDS = {
    "urgent_multiplier": Field("times", "of delay, of payments that arrived with priority 8 to 10"),
    "normal_multiplier": Field("times", "of delay, of payments that arrived with priority 4 to 7"),
    "low_multiplier": Field("times", "of delay, of payments that arrived with priority 0 to 3"),
    "deadline_penalty_cents": Field("cents", "deadline_penalty where it is fixed, else 0"),
    "deadline_penalty_bps": Field("bps", "deadline_penalty where it is a rate, else 0"),
    "eod_rush_threshold": Field("share", "of the day, from which on is_eod_rush is 1"),
}
"""Fields beside `COST_FIELDS` that do not change in a run."""
REFERENCE_FIELDS = ("is_in_queue2",)
"""Fields that the reference engine alone knows."""
FIXED_FIELDS = {**COST_FIELDS, **SCENARIO_FIELDS}

COMMON_FIELDS = {**BANK_FIELDS, **TIME_FIELDS, **FIXED_FIELDS}
FIELDS: dict[TreeKind, dict[str, Field]] = {
    "payment_tree": {**PAYMENT_FIELDS, **COMMON_FIELDS},
    "bank_tree": COMMON_FIELDS,
    "collateral_tree": COMMON_FIELDS,
    "end_of_tick_collateral_tree": COMMON_FIELDS,
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
    StaggerSplit = 12
    WithdrawFromRtgs = 13
    ResubmitToRtgs = 14
    ReleaseAt = 15
    PostCollateralFor = 16
    SetBudgetOfTick = 17


QUEUE2_ACTIONS = ("WithdrawFromRtgs", "ResubmitToRtgs")
"""Actions on payments in the central queue; a tree that names one of them, or `is_in_queue2`, walks it."""
REFERENCE_ACTIONS = ("StaggerSplit", *QUEUE2_ACTIONS)
"""Actions that the reference engine alone carries out."""


ACTIONS: dict[TreeKind, dict[str, tuple[str, ...]]] = {
    "payment_tree": {
        "Release": (),
        "Hold": (),
        "Drop": (),
        "Split": ("num_splits",),
        "Reprioritize": ("priority",),
        "StaggerSplit": ("num_splits", "stagger_first_now", "stagger_gap_ticks", "priority_boost_children"),
        "WithdrawFromRtgs": (),
        "ResubmitToRtgs": ("rtgs_priority",),
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
ACTIONS["end_of_tick_collateral_tree"] = ACTIONS["collateral_tree"]
FURTHER_PARAMETERS = {
    "Release": ("priority_flag",),
    "PostCollateral": ("auto_withdraw_after_ticks",),
    "SetReleaseBudget": ("max_value_to_release", "focus_counterparties", "max_per_counterparty"),
}
"""Parameters that an action may have, or have in place of others."""
FURTHER_ACTIONS = {"Release": "ReleaseAt", "PostCollateral": "PostCollateralFor", "SetReleaseBudget": "SetBudgetOfTick"}
"""The kind of an action that has some of them."""
ACTION_ALIASES: dict[TreeKind, dict[str, str]] = {
    "payment_tree": {"ReleaseWithCredit": "Release", "PaceAndRelease": "Split"},
    "bank_tree": {"Hold": "NoAction"},
    "collateral_tree": {},
    "end_of_tick_collateral_tree": {},
}
PARAMETER_ALIASES = {"focus_cpty_list": "focus_counterparties", "max_per_cpty": "max_per_counterparty"}
ACTION_MEANINGS = {
    "Release": "send it for settlement in this tick",
    "Hold": "keep it in the bank's own queue",
    "Drop": "never try it again; it is charged as unsettled to the end of the run",
    "Split": "release it in num_splits pieces",
    "Reprioritize": "give it another priority, 0-10, and decide again in the next tick",
    "StaggerSplit": "split it as Split does, release the first stagger_first_now pieces now, and one more each gap",
    "WithdrawFromRtgs": "take it out of the central queue, back into the bank's own; decided again in the next tick",
    "ResubmitToRtgs": "give it the priority HighlyUrgent (10), Urgent (8) or Normal (5), behind all that have it",
    "SetReleaseBudget": "release at most so many cents, until it is set again or the day ends",
    "SetState": "give the register `key` (bank_state_...) a value",
    "AddState": "add a value to the register `key`",
    "NoAction": "do nothing",
    "PostCollateral": "post so many cents, as far as the capacity goes",
    "WithdrawCollateral": "withdraw so many cents, as far as the credit in use allows",
    "HoldCollateral": "do nothing",
}

_ALL = {name for actions in ACTIONS.values() for name in actions}
if (_ALL | {*FURTHER_ACTIONS.values()}) ^ {*ActionKind.__members__} | {*ACTION_MEANINGS} ^ _ALL:
    raise ImportError("policy/fields.py: ACTIONS, ACTION_MEANINGS and ActionKind differ; give each the same actions")

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
TWO_SIDED = ("+", "-", "*", "/")
MANY_SIDED = ("min", "max")
ONE_SIDED = ("abs", "floor", "ceil", "round")

WORDS = {
    "rtgs_priority": {"HighlyUrgent": 10, "Urgent": 8, "Normal": 5},
    "priority_flag": {"HIGH": 10, "MEDIUM": 5, "LOW": 1},
}
"""Parameters of actions that are words, and the number that each stands for."""
