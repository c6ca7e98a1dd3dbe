"""Scenarios in which no bank has anything to pay with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario

FUNDS = ("opening_balance", "unsecured_cap", "liquidity_pool", "posted_collateral", "max_collateral_capacity")
EVENTS_OF_FUNDS = ("opening_balance", "unsecured_cap", "delta")


def lack_of_funds(scenario: "Scenario") -> str | None:
    """Return a warning where nothing can settle, for no bank has money or credit, nor an event that gives some."""
    if any(getattr(agent, name) for agent in scenario.agents for name in FUNDS):
        return None
    if any(getattr(event, name, 0) > 0 for event in scenario.scenario_events for name in EVENTS_OF_FUNDS):
        return None
    lsm = scenario.lsm_config
    offsets = lsm.enable_bilateral or lsm.enable_cycles or lsm.enable_multilateral or scenario.offsets_on_entry
    but = " but what offsets in full" if offsets or scenario.netting_batches else ""
    say = "opening_balance of banks" if scenario.given_payments is None else "balances: {level: 0.5}"
    return f"no bank has an opening balance, a pool, credit or collateral: nothing can settle{but}; say {say}"
