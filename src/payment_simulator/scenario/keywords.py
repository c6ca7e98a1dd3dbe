"""Typed keywords of a scenario from a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from payment_simulator.scenario.payment_files.tables import PaymentsKeywords


class ScenarioKeywords(PaymentsKeywords, total=False):
    """The keywords of `Scenario.from_payments`: how payments are read, and the sections of a scenario."""

    dialect: Literal["simcash"]
    simulation: Mapping[str, int]
    agents: Literal["from_payments"] | Sequence[Mapping[str, Any] | Literal["from_payments"]]
    agent_defaults: Mapping[str, Any]
    balances: Any
    cost_rates: Mapping[str, Any]
    lsm_config: Mapping[str, Any]
    algorithm_sequencing: bool
    entry_disposition_offsetting: bool
    netting_batches: Sequence[int]
    rtgs: bool
    queue2: Mapping[str, str]
    priority_mode: bool
    queue2_passes: Literal["until_nothing_fits", "once"]
    queue1_ordering: Literal["Fifo", "priority_deadline"]
    priority_escalation: Mapping[str, Any]
    deferred_crediting: bool
    deadline_cap_at_eod: bool
    daily_balances: Literal["keep", "reset"]
    cost_rounding: Literal["nearest", "carry"]
    eod_rush_threshold: float
    registers: Literal["keep", "daily"]
    policies: str
    outage_response: Mapping[str, int]
    scenario_events: Sequence[Mapping[str, Any]]
