"""The one day that the costs of an experiment are of, beside what the scenario makes each bank expect.

A bootstrap redraws one observed day, and a deterministic evaluation of drawn payments has one draw: their costs, and
the Nash gap with them, are answers to that day. A lopsided day has another answer than the scenario.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import has_chance
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.scenario.expected_arrivals import ExpectedPayments, expected_payments


@dataclass(frozen=True)
class BankDay:
    """The payments that a bank sends on the day: their number and value in cents, and what is expected of them."""

    number: int
    value: int
    expected: ExpectedPayments

    @property
    def lopsidedness(self) -> float:
        """The larger of value and expected value over the smaller one; 1 where they are equal."""
        low, high = sorted((float(self.value), self.expected.value))
        return high / low if low > 0 else float("inf") if high > 0 else 1.0

    @property
    def words(self) -> str:
        """The comparison in a line."""
        expected = self.expected
        return (
            f"sent {self.number:,} payments of {self.value:,} cents that day; "
            f"{expected.number:,.0f} ± {expected.number_std:,.0f} of {expected.value:,.0f} are expected"
        )


@dataclass(frozen=True)
class OneDay:
    """The day by bank; `is_resampled` is True of a bootstrap."""

    is_resampled: bool
    banks: dict[str, BankDay]

    @property
    def claim(self) -> str:
        """The limit that the day sets to every cost and gap of the run, as a clause."""
        return f"every cost and gap is of one {'observed day, redrawn' if self.is_resampled else 'drawn day'}"

    @property
    def words(self) -> str:
        """The claim, and the bank whose day is furthest from what is expected."""
        if not self.banks:
            return self.claim
        return f"{self.claim}: {self.furthest} {self.banks[self.furthest].words}"

    @property
    def short(self) -> str:
        """The value that the furthest bank sent beside what is expected, for a heading."""
        if not self.banks:
            return "one day"
        bank = self.banks[self.furthest]
        return f"one day: {self.furthest} sent {bank.value:,} cents, {bank.expected.value:,.0f} expected"

    @property
    def furthest(self) -> str:
        """The bank whose day is furthest from what is expected."""
        return max(self.banks, key=lambda name: self.banks[name].lopsidedness)

    def to_dict(self) -> dict[str, Any]:
        """Return the day as JSON values."""
        return asdict(self)


def one_day(config: ExperimentConfig, setup: ExperimentSetup) -> OneDay | None:
    """Return the day that all costs of an experiment are of; None where they are of many draws, or nothing is drawn.

    Raises:
        ConfigError: the day cannot be drawn.
    """
    if not is_of_one_day(config, setup):
        return None
    day = setup.evaluator(config).one_day()
    assert day is not None  # noqa: S101 - it is of one day
    expected = expected_payments(setup.scenario)
    banks = {}
    for place, name in enumerate(setup.scenario.agent_ids):
        amounts = day.amount[day.sender == place]
        banks[name] = BankDay(len(amounts), int(np.sum(amounts)), expected[name])
    return OneDay(config.evaluation.mode == "bootstrap", banks)


def is_of_one_day(config: ExperimentConfig, setup: ExperimentSetup) -> bool:
    """Return True if the payments are drawn, observed or redrawn, and all costs are of one day of them."""
    varies = has_chance(setup.scenario, config.evaluation, setup.observed)
    return varies and config.evaluation.mode != "monte_carlo"
