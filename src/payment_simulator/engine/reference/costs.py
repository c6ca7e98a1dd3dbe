"""Costs of a tick, in exact fractions of a cent until they are charged."""

from collections.abc import Iterable
from fractions import Fraction

from payment_simulator.engine.reference.payments import Item
from payment_simulator.policy.fields_and_actions import COST_FIELDS
from payment_simulator.scenario.numbers import BPS, exact, half_up
from payment_simulator.scenario.schema import CostRates, FixedPenalty, Penalty, RatePenalty


def share(amount: int, bps: float) -> int:
    """Basis points of an amount, in whole cents, a half up."""
    return half_up(amount * exact(bps) / BPS)


def penalty_of(penalty: Penalty, amount: int) -> int:
    """The penalty on one payment of `amount`, in cents."""
    if isinstance(penalty, RatePenalty):
        return share(amount, penalty.bps_per_event)
    return penalty.amount if isinstance(penalty, FixedPenalty) else penalty


def delay_of(rates: CostRates, item: Item) -> Fraction:
    """The cost of one tick of waiting, in cents, exactly."""
    priority, times = item.payment.arrival_priority, rates.priority_delay_multipliers
    band = times.low_multiplier
    if priority >= 4:
        band = times.urgent_multiplier if priority >= 8 else times.normal_multiplier
    overdue = exact(rates.overdue_delay_multiplier) if item.is_overdue else 1
    return item.amount * exact(rates.delay_cost_per_tick_per_cent) * exact(band) * overdue


def cost_fields(rates: CostRates) -> dict[str, float]:
    """The fields of costs as decision trees see them; a penalty is its cents, or its bps of the payment."""
    return {name: _as_number(getattr(rates, name)) for name in COST_FIELDS}


def _as_number(value: Penalty | float) -> float:
    if isinstance(value, RatePenalty):
        return value.bps_per_event
    return float(value.amount if isinstance(value, FixedPenalty) else value)


def total(items: Iterable[Item]) -> int:
    """The sum of their amounts, in cents."""
    return sum(item.amount for item in items)
