"""Parts of costs, rounded to whole cents, and the fields of costs that decision trees see."""

from collections.abc import Iterable

from payment_simulator.engine.reference.payments import Item
from payment_simulator.policy.fields_and_actions import COST_FIELDS, FIXED_FIELDS
from payment_simulator.scenario.cost_sections import FixedPenalty, Penalty, PriorityMultipliers, RatePenalty
from payment_simulator.scenario.numbers import BPS, exact, half_up
from payment_simulator.scenario.schema import Scenario


def share(amount: int, bps: float) -> int:
    """Basis points of an amount, in whole cents, a half up."""
    return half_up(amount * exact(bps) / BPS)


def penalty_of(penalty: Penalty, amount: int) -> int:
    """The penalty on one payment of `amount`, in cents."""
    if isinstance(penalty, RatePenalty):
        return share(amount, penalty.bps_per_event)
    return penalty.amount if isinstance(penalty, FixedPenalty) else penalty


def fixed_fields(scenario: Scenario) -> dict[str, float]:
    """The fields that do not change in a run, as decision trees see them; a penalty is its cents, or its bps."""
    rates = scenario.cost_rates
    costs = {name: _as_number(getattr(rates, name)) for name in COST_FIELDS}
    penalty, is_rate = costs["deadline_penalty"], isinstance(rates.deadline_penalty, RatePenalty)
    of_penalty = {
        "deadline_penalty_cents": 0.0 if is_rate else penalty,
        "deadline_penalty_bps": penalty if is_rate else 0.0,
    }
    times = {name: float(getattr(rates.priority_delay_multipliers, name)) for name in PriorityMultipliers.model_fields}
    found = {**costs, **times, **of_penalty, "eod_rush_threshold": scenario.eod_rush_threshold}
    return {name: found[name] for name in FIXED_FIELDS}


def _as_number(value: Penalty | float) -> float:
    if isinstance(value, RatePenalty):
        return value.bps_per_event
    return float(value.amount if isinstance(value, FixedPenalty) else value)


def total(items: Iterable[Item]) -> int:
    """The sum of their amounts, in cents."""
    return sum(item.amount for item in items)
