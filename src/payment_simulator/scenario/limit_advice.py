"""Limits and reservations that keep payments from settling from the beginning: allowed, and worth a word."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from payment_simulator.scenario.limit_sections import Limits
from payment_simulator.scenario.numbers import exact
from payment_simulator.scenario.scenario_events import CustomTransactionArrival, LimitChange

if TYPE_CHECKING:
    from payment_simulator.scenario.banks import Agent
    from payment_simulator.scenario.schema import Scenario


def advice_on_limits(scenario: "Scenario") -> Iterator[str]:
    """Yield a warning for each payment among the events that no limit of its bank ever lets settle alone, and for each
    bank that reserves more than it begins with."""
    most = _highest_limits(scenario)
    for index, event in enumerate(scenario.scenario_events):
        if isinstance(event, CustomTransactionArrival):
            limits = {name: most.get((event.from_agent, name)) for name in (event.to_agent, None)}
            for name, limit in limits.items():
                if limit is not None and event.amount > limit:
                    to = f"to {name}" if name else "to all"
                    yield (
                        f"scenario_events.{index}: {event.amount} from {event.from_agent} to {event.to_agent} is over "
                        f"the limit of {event.from_agent} {to}, {limit}: it cannot settle but in an offset; raise the "
                        "limit, or split the payment"
                    )
    for agent in scenario.agents_by_id():
        yield from _reserves_too_much(agent)


def _highest_limits(scenario: "Scenario") -> dict[tuple[str, str | None], int]:
    """Return the highest limit that a bank ever has to another, or to all: None; those that it always has."""
    found: dict[tuple[str, str | None], int] = {}
    for agent in scenario.agents:
        limits = agent.all_limits or Limits()
        found |= {(agent.id, name): limit for name, limit in limits.bilateral_limits.items()}
        if limits.multilateral_limit is not None:
            found[agent.id, None] = limits.multilateral_limit
    for event in scenario.scenario_events:
        if isinstance(event, LimitChange) and (key := (event.agent, event.counterparty)) in found:
            found[key] = max(found[key], event.limit)
    return found


def _reserves_too_much(agent: "Agent") -> Iterator[str]:
    reserved = agent.reservations
    if reserved is None:
        return
    pool = int(agent.liquidity_pool * exact(agent.liquidity_allocation_fraction) // 1)
    collateral = int(agent.posted_collateral * (1 - exact(agent.collateral_haircut)) // 1)
    has = agent.opening_balance + pool + agent.unsecured_cap + collateral
    if reserved.urgent + reserved.normal > has:
        who = "normal and low payments" if reserved.urgent > has else "low payments"
        yield (
            f"agents.{agent.id}.reservations: {reserved.urgent + reserved.normal} are reserved, and it begins with "
            f"{has} of balance and credit: {who} wait for money that comes in; reserve less"
        )
