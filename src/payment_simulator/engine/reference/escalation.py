"""The priority that a payment has near its deadline."""

from payment_simulator.engine.reference.payments import Payment
from payment_simulator.scenario.escalation import MOST_URGENT, PriorityEscalation


def escalated(rule: PriorityEscalation, payment: Payment, tick: int) -> int:
    """The priority that is due to a payment in a tick, 0-10: that of its arrival, and a boost that grows linearly.

    With r ticks left, s `start_escalating_at_ticks` and m `max_boost`, the boost is m (1 - r / s), rounded half up, in
    whole numbers; 0 where more than s are left.
    """
    start, left = rule.start_escalating_at_ticks, max(payment.deadline - tick, 0)
    if left > start:
        return 0
    boost = (2 * rule.max_boost * (start - left) + start) // (2 * start)
    return min(payment.arrival_priority + boost, MOST_URGENT)
