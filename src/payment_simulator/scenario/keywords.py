"""Typed keywords of a scenario from a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from payment_simulator.scenario.payment_files.tables import PaymentsKeywords


class ScenarioKeywords(PaymentsKeywords, total=False):
    """The keywords of `Scenario.from_payments`: how payments are read, and the sections of a scenario."""

    simulation: Mapping[str, int]
    agents: Literal["from_payments"] | Sequence[Mapping[str, Any] | Literal["from_payments"]]
    agent_defaults: Mapping[str, Any]
    balances: Any
    cost_rates: Mapping[str, Any]
    lsm_config: Mapping[str, Any]
    queue2: Mapping[str, Any]
    priority_mode: bool
    queue1_ordering: Literal["Fifo", "priority_deadline"]
    deferred_crediting: bool
    deadline_cap_at_eod: bool
    daily_balances: Literal["keep", "reset"]
    cost_rounding: Literal["nearest", "carry"]
    outage_response: Mapping[str, int]
    scenario_events: Sequence[Mapping[str, Any]]
