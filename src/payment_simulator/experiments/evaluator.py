"""Costs of policies: profiles evaluated on draws of payments, each set of draws used for one purpose only."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.engine.simulate import prepare, simulate_batch
from payment_simulator.engine.vocabulary import COSTS
from payment_simulator.experiments.config import Evaluation
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals, resample_arrivals
from payment_simulator.scenario.schema import Scenario

Profile = Mapping[str, PolicyDocument]
"""The policy of every bank, by id."""
Cents = NDArray[np.int64]


class Purpose(IntEnum):
    """The purposes of draws; each has streams of its own. EVALUATION, NASH_GAP and FINAL have one set, whatever the
    iteration, so that iterations can be compared.
    """

    EVALUATION = 0
    PROPOSER = 1
    ACCEPTANCE = 2
    NASH_GAP = 3
    FINAL = 4


DRAWN_ANEW = (Purpose.PROPOSER, Purpose.ACCEPTANCE)


class Evaluator:
    """Evaluates profiles of policies in one scenario by simulation."""

    def __init__(self, scenario: Scenario, evaluation: Evaluation, seed: int, observed: Arrivals | None = None) -> None:
        self.scenario = scenario
        self.is_sampled = evaluation.mode != "deterministic"
        self.samples = evaluation.num_samples
        self._mode = evaluation.mode
        self._seed = seed
        self._observed = observed
        self._draws: dict[Purpose, tuple[int, Arrivals]] = {}

    def costs(self, profile: Profile, purpose: Purpose, iteration: int = 0) -> Cents:
        """Return costs in cents, int64 of shape (samples, banks in the order of ids, kinds of cost).

        Raises:
            ConfigError: a policy is invalid, or its cost could exceed the range that is counted exactly.
        """
        policies = [_read(profile[name], name) for name in self.scenario.agent_ids]
        found: Cents = simulate_batch(prepare(self.scenario, policies), self._arrivals(purpose, iteration)).costs
        return found

    def own_costs(
        self, profile: Profile, agent_id: str, policies: Sequence[PolicyDocument], purpose: Purpose, iteration: int = 0
    ) -> Cents:
        """Return one bank's own cost under each policy, the others' fixed: cents of shape (policies, samples)."""
        bank = self.scenario.agent_ids.index(agent_id)
        each = [self.costs({**profile, agent_id: policy}, purpose, iteration) for policy in policies]
        return np.array([costs[:, bank].sum(axis=-1) for costs in each])

    def means(self, costs: Cents) -> dict[str, dict[str, int]]:
        """Return each bank's mean of `costs` over the draws by kind, in cents, rounded half up."""
        return {
            name: dict(zip(COSTS, (mean_cents(kind) for kind in costs[:, bank].T), strict=True))
            for bank, name in enumerate(self.scenario.agent_ids)
        }

    def totals(self, costs: Cents) -> dict[str, int]:
        """Return each bank's mean of `costs` over the draws, in cents, rounded half up."""
        totals = costs.sum(axis=-1)
        return {name: mean_cents(totals[:, bank]) for bank, name in enumerate(self.scenario.agent_ids)}

    def _arrivals(self, purpose: Purpose, iteration: int) -> Arrivals:
        if not self.is_sampled:
            purpose = Purpose.EVALUATION
        if not self.is_sampled or purpose not in DRAWN_ANEW:
            iteration = 0
        if self._draws.get(purpose, (None,))[0] != iteration:
            self._draws[purpose] = iteration, self._draw(purpose, iteration)
        return self._draws[purpose][1]

    def _draw(self, purpose: Purpose, iteration: int) -> Arrivals:
        which: dict[str, Any] = {"purpose": int(purpose), "iteration": iteration, "samples": self.samples}
        if self._mode != "bootstrap":
            return draw_arrivals(self.scenario, self._seed, **which)
        if self._observed is None:
            self._observed = draw_arrivals(self.scenario, self._seed)
        return resample_arrivals(self.scenario, self._observed, self._seed, **which)


def mean_cents(values: Cents) -> int:
    """Return the mean in cents, rounded half up."""
    total, count = int(sum(values.tolist())), len(values)
    return (2 * total + count) // (2 * count)


def _read(policy: PolicyDocument, name: str) -> Policy:
    read, problems = read_policy(policy)
    if problems:
        raise ConfigError("\n".join(f"{name}: policy.{path}: {text}" for path, text in problems))
    return read
