"""Decisions of the reference engine's banks, and the fields that their decision trees see."""

from collections.abc import Mapping, Sequence

from payment_simulator.engine.reference.banks import Bank, least_collateral
from payment_simulator.engine.reference.costs import total
from payment_simulator.engine.reference.payments import Item
from payment_simulator.policy.builtin import Deadline, LiquidityAware, Trees
from payment_simulator.policy.fields_and_actions import IN_QUEUE2
from payment_simulator.policy.nodes import Node
from payment_simulator.policy.tree import Faults, decide, whole


def tree_of(bank: Bank, kind: str) -> Node | None:
    """The bank's decision tree of this kind; None where it has none."""
    tree: Node | None = getattr(bank.policy, kind) if isinstance(bank.policy, Trees) else None
    return tree


def decide_payment(
    bank: Bank,
    item: Item,
    tick: int,
    released: int,
    bank_fields: Mapping[str, float],
    faults: Faults,
    *,
    in_queue2: bool = False,
) -> tuple[str, list[int]]:
    """The action for a payment in Queue 1, or the central one, and its numbers, rounded down.

    `released` are the cents that the bank has released in this step; `bank_fields` are used by decision trees alone.
    """
    policy, left = bank.policy, item.payment.deadline - tick
    if isinstance(policy, Trees):
        own = payment_fields(bank, item, tick, released)
        fields = {**bank_fields, **own, IN_QUEUE2: float(in_queue2)}
        action, arguments = decide(policy.payment_tree, fields, faults)
        return action.name, [whole(each) for each in arguments]
    if isinstance(policy, Deadline):
        return ("Release" if left <= policy.urgency_threshold else "Hold"), []
    if isinstance(policy, LiquidityAware):
        affords = buffer_lacks(bank, policy, item, released) <= 0
        return ("Release" if affords or left <= policy.urgency_threshold else "Hold"), []
    return "Release", []


def buffer_lacks(bank: Bank, policy: LiquidityAware, item: Item, released: int) -> int:
    """The cents that a bank's buffer would lack if it released an item, too; 0 or less where that leaves it whole."""
    return policy.target_buffer - (bank.balance - released - item.amount)


def bank_fields(
    bank: Bank, queue1: Sequence[Item], queue2: Sequence[Item], tick: int, ticks_per_day: int
) -> dict[str, float]:
    """The fields of a bank and of time, and the bank's registers; `queue2` has the bank's own payments."""
    in_day = tick % ticks_per_day
    values = {
        "balance": bank.balance,
        "effective_liquidity": bank.spendable_liquidity,
        "credit_used": bank.credit_used,
        "unsecured_cap": bank.cap,
        "posted_collateral": bank.posted,
        "max_collateral_capacity": bank.agent.max_collateral_capacity,
        "remaining_collateral_capacity": max(bank.agent.max_collateral_capacity - bank.posted, 0),
        "queue1_total_value": total(queue1),
        "queue1_size": len(queue1),
        "queue2_own_value": total(queue2),
        "queue2_own_size": len(queue2),
        "excess_collateral": max(bank.posted - least_collateral(bank), 0),
        "current_tick": tick,
        "current_day": tick // ticks_per_day,
        "system_tick_in_day": in_day,
        "ticks_remaining_in_day": ticks_per_day - 1 - in_day,
        "day_progress_fraction": in_day / ticks_per_day,
    }
    return {name: float(value) for name, value in values.items()} | bank.registers


def payment_fields(bank: Bank, item: Item, tick: int, released: int) -> dict[str, float]:
    """The fields of a payment, and of its bank those that count what was `released` in this step."""
    payment = item.payment
    values = {
        "amount": payment.amount,
        "remaining_amount": item.amount,
        "priority": payment.priority,
        "is_divisible": payment.divisible,
        "ticks_to_deadline": payment.deadline - tick,
        "is_overdue": item.is_overdue,
        "arrival_tick": payment.arrival,
        "queue_age": tick - payment.arrival,
        "arrival_priority": payment.arrival_priority,
        "balance": bank.balance - released,
        "effective_liquidity": bank.spendable_liquidity - released,
        "credit_used": max(0, released - bank.balance),
    }
    return {name: float(value) for name, value in values.items()}
