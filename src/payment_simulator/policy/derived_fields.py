"""Fields of decision trees that follow from others: each stands for an expression."""

from typing import NamedTuple

from payment_simulator.policy.fields_and_actions import COST_FIELDS, FIELDS, TreeKind
from payment_simulator.policy.nodes import Compute, Constant, Expression, FieldValue

BPS = Constant(10_000.0)


class DerivedField(NamedTuple):
    """A field: its unit, what it is, and its expression; `of_payment` where payment trees alone have it."""

    unit: str
    meaning: str
    value: Expression
    of_payment: bool = False


def _of(op: str, *operands: "Expression | str | float") -> Compute:
    """An operation on fields, by their names, and numbers."""
    return Compute(op, tuple(_read(each) for each in operands))


def _read(operand: "Expression | str | float") -> Expression:
    if isinstance(operand, str):
        return FieldValue(operand)
    return Constant(float(operand)) if isinstance(operand, int | float) else operand


_AVAILABLE = _of("max", 0, "effective_liquidity")
_CREDIT = _of("-", "effective_liquidity", "balance")
_URGENT, _NORMAL, _LOW = "urgent_multiplier", "normal_multiplier", "low_multiplier"
_OF_CLASS = _of(
    "+",
    _of("+", _LOW, _of("*", _of(">=", "arrival_priority", 4), _of("-", _NORMAL, _LOW))),
    _of("*", _of(">=", "arrival_priority", 8), _of("-", _URGENT, _NORMAL)),
)
_ONCE_OVERDUE = _of("+", 1, _of("*", "is_overdue", _of("-", "overdue_delay_multiplier", 1)))
_RESOURCES = _of("+", _of("+", "balance", "unsecured_cap"), "posted_collateral")

DERIVED = {
    "available_liquidity": DerivedField("cents", "max(0, effective_liquidity)", _AVAILABLE),
    "queue1_liquidity_gap": DerivedField(
        "cents",
        "max(0, queue1_total_value - available_liquidity)",
        _of("max", 0, _of("-", "queue1_total_value", _AVAILABLE)),
    ),
    "headroom": DerivedField(
        "cents", "effective_liquidity - queue1_total_value", _of("-", "effective_liquidity", "queue1_total_value")
    ),
    "credit_limit": DerivedField("cents", "credit with and without collateral: effective_liquidity - balance", _CREDIT),
    "credit_headroom": DerivedField("cents", "unsecured_cap - credit_used", _of("-", "unsecured_cap", "credit_used")),
    "overdraft_headroom": DerivedField("cents", "credit_limit - credit_used", _of("-", _CREDIT, "credit_used")),
    "is_using_credit": DerivedField("0 or 1", "credit_used > 0", _of(">", "credit_used", 0)),
    "liquidity_pressure": DerivedField(
        "share",
        "1 - max(0, balance) / (balance + unsecured_cap + posted_collateral)",
        _of("-", 1, _of("/", _of("max", 0, "balance"), _RESOURCES)),
    ),
    "outgoing_queue_size": DerivedField("payments", "queue1_size", FieldValue("queue1_size")),
    "is_eod_rush": DerivedField(
        "0 or 1",
        "day_progress_fraction >= eod_rush_threshold",
        _of(">=", "day_progress_fraction", "eod_rush_threshold"),
    ),
    "expected_throughput_fraction_by_now": DerivedField(
        "share", "day_progress_fraction", FieldValue("day_progress_fraction")
    ),
    "is_past_deadline": DerivedField("0 or 1", "ticks_to_deadline < 0", _of("<", "ticks_to_deadline", 0), True),
    "deadline_tick": DerivedField(
        "ticks",
        "of the run, from 0: the last in which it is not overdue",
        _of("+", "current_tick", "ticks_to_deadline"),
        True,
    ),
    "cost_overdraft_this_amount_one_tick": DerivedField(
        "cents",
        "of overdraft on its amount",
        _of("/", _of("*", "remaining_amount", "overdraft_bps_per_tick"), BPS),
        True,
    ),
    "cost_delay_this_tx_one_tick": DerivedField(
        "cents",
        "of its delay, with its multipliers",
        _of("*", _of("*", "remaining_amount", "delay_cost_per_tick_per_cent"), _of("*", _OF_CLASS, _ONCE_OVERDUE)),
        True,
    ),
    "cost_deadline_penalty": DerivedField(
        "cents",
        "that it costs to become overdue",
        _of("+", "deadline_penalty_cents", _of("/", _of("*", "remaining_amount", "deadline_penalty_bps"), BPS)),
        True,
    ),
    **{
        alias: DerivedField(COST_FIELDS[rate].unit, rate, FieldValue(rate))
        for alias, rate in {
            "cost_liquidity_bps_per_tick": "liquidity_cost_per_tick_bps",
            "cost_overdraft_bps_per_tick": "overdraft_bps_per_tick",
            "cost_collateral_bps_per_tick": "collateral_cost_per_tick_bps",
            "cost_delay_per_tick_per_cent": "delay_cost_per_tick_per_cent",
            "cost_overdue_delay_multiplier": "overdue_delay_multiplier",
            "cost_eod_penalty": "eod_penalty_per_transaction",
            "cost_eod_borrowing_bps": "eod_borrowing_bps",
            "cost_split_friction": "split_friction_cost",
        }.items()
    },
}


def known_fields(kind: TreeKind) -> list[str]:
    """The names of all fields that a tree of a kind may name, but for registers."""
    return [*FIELDS[kind], *(name for name, each in DERIVED.items() if kind == "payment_tree" or not each.of_payment)]


def described(name: str) -> tuple[str, str]:
    """The unit and the meaning of a field."""
    found = FIELDS["payment_tree"].get(name) or DERIVED[name]
    return found.unit, found.meaning
