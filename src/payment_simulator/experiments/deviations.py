"""The policies that one bank may have in stead of its own, and what they cost it."""

from collections.abc import Sequence
from dataclasses import dataclass

from payment_simulator.engine.allocation_search import AllocationSearch
from payment_simulator.experiments.evaluator import Cents, Evaluator, Profile, Purpose
from payment_simulator.experiments.parameters import with_value
from payment_simulator.experiments.space_filling import Point
from payment_simulator.experiments.value_ranges import ValueRange
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import read_policy

EVALUATION_WORK = 10_000
"""The preparing of a policy takes the compiled engine's time for so many payments x ticks, at least."""


@dataclass(frozen=True)
class Deviations:
    """One bank's policy with other values of the parameters in `ranges`, the other banks' policies fixed.

    They are evaluated on the draws of a purpose and an iteration.
    """

    evaluator: Evaluator
    profile: Profile
    agent_id: str
    purpose: Purpose
    iteration: int
    ranges: Sequence[ValueRange]

    @property
    def held(self) -> PolicyDocument:
        """The policy that holds."""
        return self.profile[self.agent_id]

    @property
    def sizes(self) -> Point:
        """The number of values of each parameter."""
        return tuple(each.size for each in self.ranges)

    @property
    def run_work(self) -> int:
        """The work of a sample: its payments, on average, times ticks."""
        arrivals = self.evaluator.arrivals(self.purpose, self.iteration)
        return max(-(-len(arrivals) // arrivals.samples), 1) * self.evaluator.scenario.simulation.ticks

    def work(self, samples: int = 1) -> int:
        """Return the work of a policy's evaluation on so many samples."""
        return EVALUATION_WORK + samples * self.run_work

    def policy(self, point: Point) -> PolicyDocument:
        """Return the policy with the values of a point."""
        policy = self.held
        for number, values in zip(point, self.ranges, strict=True):
            policy = with_value(policy, values.name, values.value(number))
        return policy

    def valid(self, points: Sequence[Point]) -> list[Point]:
        """Return the points whose policies can be read: a tree may refuse a value."""
        return [point for point in points if not read_policy(self.policy(point))[1]]

    def search_allocations(self, policy: PolicyDocument, allocations: Sequence[int], budget: int) -> AllocationSearch:
        """Search `allocations` of the bank's pool under `policy`, whose own is ignored; not where sampled."""
        profile = {**self.profile, self.agent_id: policy}
        return self.evaluator.search_allocations(
            profile, self.agent_id, allocations, self.purpose, self.iteration, budget
        )

    def costs(self, policies: Sequence[PolicyDocument], draws: slice = slice(None)) -> Cents:
        """Return the bank's own cost under each policy: cents of shape (policies, draws)."""
        return self.evaluator.own_costs(
            self.profile, self.agent_id, policies, self.purpose, self.iteration, draws=draws
        )
