"""The rest of a scenario, which its fitted payments are drawn in: its rules, its costs, and what its banks have."""

from dataclasses import dataclass, field
from typing import Any

from payment_simulator.scenario.banks import ARRIVALS
from payment_simulator.scenario.schema import Scenario

OPENING = "opening_balance"
OF_PAYMENTS = {"simulation", "agents", "payments", "scenario_events"}
"""Sections of a scenario that follow from its recorded days, or happen on them."""


@dataclass(frozen=True)
class Surroundings:
    """The sections of a scenario beside its payments, and each bank's own fields, as a YAML file writes them.

    `events` is the number of scenario events, which are of the recorded days and not among the sections.
    """

    sections: dict[str, Any] = field(default_factory=dict)
    banks: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: int = 0

    @classmethod
    def of(cls, scenario: Scenario) -> "Surroundings":
        """Return what is written of a scenario, without what its banks send."""
        sections = scenario.model_dump(mode="json", exclude_unset=True, exclude=OF_PAYMENTS)
        banks = {
            agent.id: agent.model_dump(mode="json", exclude_unset=True, exclude={"id", *ARRIVALS})
            for agent in scenario.agents
        }
        return cls(sections, banks, len(scenario.scenario_events))
