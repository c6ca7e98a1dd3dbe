"""Costs of policies: profiles evaluated on draws of payments, each set of draws used for one purpose only."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from labledger.intervals import Interval, mean_interval
from payment_simulator.engine.allocation_search import AllocationSearch, search_allocations
from payment_simulator.engine.simulate import Prepared, has_kernel, prepare, simulate_batch
from payment_simulator.engine.vocabulary import COSTS
from payment_simulator.experiments.config import Evaluation
from payment_simulator.experiments.interrupts import hear_interrupt
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals, resample_arrivals
from payment_simulator.scenario.expected_arrivals import draws_payments
from payment_simulator.scenario.schema import Scenario

Profile = Mapping[str, PolicyDocument]
"""The policy of every bank, by id."""
Cents = NDArray[np.int64]
T = TypeVar("T")


class Purpose(IntEnum):
    """The purposes of draws; each has streams of its own. EVALUATION, NASH_GAP and FINAL have one set, whatever the
    iteration, so that iterations can be compared.
    """

    EVALUATION = 0
    PROPOSER = 1
    ACCEPTANCE = 2
    NASH_GAP = 3
    FINAL = 4


WORK_OF_THREADS = 1_000_000
"""Payments x ticks from which on threads save more time than their start takes."""
WORK_OF_ROUND, WORK_OF_SLOW_ROUND = 20_000_000, 250_000
"""Payments x ticks between two moments at which an interrupt is heard: a second, with the kernel and without it."""
DRAWN_ANEW = (Purpose.PROPOSER, Purpose.ACCEPTANCE)


class Evaluator:
    """Evaluates profiles of policies in one scenario by simulation."""

    def __init__(self, scenario: Scenario, evaluation: Evaluation, seed: int, observed: Arrivals | None = None) -> None:
        self.scenario = scenario
        self.is_sampled = evaluation.mode != "deterministic"
        self.samples = evaluation.num_samples
        self.is_drawn = self.is_sampled and has_chance(scenario, evaluation, observed)
        self._mode = evaluation.mode
        self.seed = seed
        self._observed = observed
        self._draws: dict[Purpose, tuple[int, Arrivals]] = {}
        self._found: dict[str, tuple[object, Any]] = {}

    def costs(self, profile: Profile, purpose: Purpose, iteration: int = 0) -> Cents:
        """Return costs in cents, int64 of shape (samples, banks in the order of ids, kinds of cost).

        Raises:
            ConfigError: a policy is invalid, or its cost could exceed the range that is counted exactly.
        """
        return _simulated(self.prepared(profile), self.arrivals(purpose, iteration))

    def prepared(self, profile: Profile) -> Prepared:
        """Return the scenario with a profile's policies, ready to be simulated.

        Raises:
            ConfigError: as `costs`.
        """
        return prepare(self.scenario, [_read(profile[name], name) for name in self.scenario.agent_ids])

    def own_costs(
        self,
        profile: Profile,
        agent_id: str,
        policies: Sequence[PolicyDocument],
        purpose: Purpose,
        iteration: int = 0,
        draws: slice = slice(None),
    ) -> Cents:
        """Return one bank's own cost under each policy, the others' fixed: cents of shape (policies, samples).

        `draws` are the samples, neighbours of each other.
        """
        bank = self.scenario.agent_ids.index(agent_id)
        fixed = {name: _read(profile[name], name) for name in self.scenario.agent_ids if name != agent_id}
        begin, end, _ = draws.indices(self.samples)
        arrivals = self.arrivals(purpose, iteration).part(begin, end)
        costs = np.empty((len(policies), end - begin), dtype=np.int64)
        for place, policy in enumerate(policies):
            chosen = {**fixed, agent_id: _read(policy, agent_id)}
            prepared = prepare(self.scenario, [chosen[name] for name in self.scenario.agent_ids])
            costs[place] = _simulated(prepared, arrivals)[:, bank].sum(axis=-1)
        return costs

    def search_allocations(
        self, profile: Profile, agent_id: str, allocations: Sequence[int], purpose: Purpose, iteration: int, budget: int
    ) -> AllocationSearch:
        """Search `allocations`, rising cents of one bank's pool, for the one that costs it least; not where sampled.

        Raises:
            ConfigError: a policy is invalid, or its cost could exceed the range that is counted exactly.
        """
        policies = [_read(profile[name], name) for name in self.scenario.agent_ids]
        bank, arrivals = self.scenario.agent_ids.index(agent_id), self.arrivals(purpose, iteration)
        return search_allocations(self.scenario, policies, arrivals, bank, allocations, budget=budget)

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

    def interval(self, savings: Cents, level: float) -> Interval | None:
        """Return the interval of the mean of savings, one per draw: Student's t; None where there is none.

        Drawn savings that are all alike have a spread of 0 and no interval: the draws saw nothing of what is rare, and
        so not how much it costs. Where no payment is drawn, they are alike for sure.
        """
        is_alike = bool((savings == savings[0]).all())
        return None if is_alike and self.is_drawn else mean_interval(savings.tolist(), level=level)

    def found(self, name: str, inputs: object, find: Callable[[], T]) -> T:
        """Return what `find` returns; where it was last found under `name` of equal `inputs`, that again."""
        if name not in self._found or self._found[name][0] != inputs:
            self._found[name] = inputs, find()
        return cast(T, self._found[name][1])

    def arrivals(self, purpose: Purpose, iteration: int = 0) -> Arrivals:
        """Return the payments of a purpose's draws."""
        if not self.is_sampled:
            purpose = Purpose.EVALUATION
        if not self.is_sampled or purpose not in DRAWN_ANEW:
            iteration = 0
        if self._draws.get(purpose, (None,))[0] != iteration:
            self._draws[purpose] = iteration, self._draw(purpose, iteration)
        return self._draws[purpose][1]

    def one_day(self) -> Arrivals | None:
        """Return the one day of payments that all costs are of: drawn once, or observed; None for monte_carlo."""
        if self._observed is None and self._mode != "monte_carlo":
            self._observed = draw_arrivals(self.scenario, self.seed)
        return self._observed

    def _draw(self, purpose: Purpose, iteration: int) -> Arrivals:
        which: dict[str, Any] = {"purpose": int(purpose), "iteration": iteration, "samples": self.samples}
        day = self.one_day()
        if day is None:
            return draw_arrivals(self.scenario, self.seed, **which)
        return resample_arrivals(self.scenario, day, self.seed, **which) if self.is_sampled else day


def has_chance(scenario: Scenario, evaluation: Evaluation, observed: Arrivals | None) -> bool:
    """Return True if payments are drawn, or redrawn from a day that was observed or is given."""
    is_redrawn = evaluation.mode == "bootstrap" and scenario.given_payments is not None
    return observed is not None or is_redrawn or draws_payments(scenario)


def mean_cents(values: Cents) -> int:
    """Return the mean in cents, rounded half up."""
    total, count = int(sum(values.tolist())), len(values)
    return (2 * total + count) // (2 * count)


def _simulated(prepared: Prepared, arrivals: Arrivals) -> Cents:
    """Return the costs of all samples, by bank and kind; a few samples after the other, to hear an interrupt."""
    work = max(len(arrivals), 1) * prepared.scenario.simulation.ticks
    rounds = -(-work // (WORK_OF_ROUND if has_kernel() else WORK_OF_SLOW_ROUND))
    step = -(-arrivals.samples // rounds)
    threads = 1 if work < rounds * WORK_OF_THREADS else None
    found = []
    for begin in range(0, arrivals.samples, step):
        hear_interrupt()
        part = arrivals.part(begin, min(begin + step, arrivals.samples))
        found.append(simulate_batch(prepared, part, threads=threads).costs)
    return np.concatenate(found)


def _read(policy: PolicyDocument, name: str) -> Policy:
    read, problems = read_policy(policy)
    if problems:
        raise ConfigError("\n".join(f"{name}: policy.{path}: {text}" for path, text in problems))
    return read
