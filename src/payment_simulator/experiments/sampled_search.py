"""The search for the values that cost a bank least where payments are drawn: all are tried on all draws, in common.

The first half of the draws chooses; what the choice saves is worked out on the others, for on the draws that chose it,
it looks better than it is. No value is dropped after few draws: one that pays off on a few days would be, as it costs
more than others on all days but these.
"""

from collections.abc import Generator, Sequence
from math import ceil, inf

import numpy as np

from payment_simulator.experiments.deviations import Deviations
from payment_simulator.experiments.evaluator import Cents, mean_cents
from payment_simulator.experiments.space_filling import Point, design, first_step, refined
from payment_simulator.policy.documents import PolicyDocument

POINTS = 241
LEAST_POINTS = 21
"""So many are tried whatever the budget."""

Rounds = Generator[None, None, None]


class SampledSearch:
    """A search, and its outcome: the best `policy`, its `saving` in cents, and the `half_width` of the interval.

    `policy` is the one that holds where none saves anything on the draws that did not choose it. `candidates` are
    tried as well. `values` policies were tried.

    `saving` + `half_width` is not below the upper end of any tried policy's saving, by Student's t over all draws. So
    the interval holds what the best of them saves: that one is a certain policy, and below its own upper end by the
    level. It needs no correction for their number. Draws that chose make the end of what they chose higher only.
    `half_width` is None where no policy's saving differs from draw to draw: there is no spread to tell by.
    """

    def __init__(
        self, deviations: Deviations, budget: int, candidates: Sequence[PolicyDocument], *, level: float
    ) -> None:
        self.policy = deviations.held
        self.saving = 0
        self.half_width: int | None = None
        self._deviations = deviations
        self._budget = budget
        self._candidates = candidates
        self._level = level
        self._half = deviations.evaluator.samples // 2
        self._unit = deviations.work(deviations.evaluator.samples)
        self._points = min(max(budget * 3 // 4 // self._unit, LEAST_POINTS), POINTS)
        self._costs: dict[Point, Cents] = {}

    @property
    def values(self) -> int:
        """The number of policies that were tried beside what holds."""
        return len(self._costs) + len(self._candidates)

    def run(self) -> Rounds:
        """Search; a yield after every few policies, at which it may be left."""
        asked, seed = self._deviations, self._deviations.evaluator.seed
        for point in design(asked.sizes, self._points, seed):
            self._evaluate([point])
            yield
        if self._costs:
            yield from self._refine(min(sorted(self._costs), key=self._total))
        points = sorted(self._costs)
        costs = [*(self._costs[point] for point in points), *asked.costs(self._candidates)]
        self._choose([*map(asked.policy, points), *self._candidates], np.array(costs))

    def _refine(self, start: Point) -> Rounds:
        """Step around the best, as far as the budget reaches."""
        sizes = self._deviations.sizes
        for _ in refined(sizes, start, self._total(start), first_step(sizes, self._points), self._evaluate):
            yield
            if len(self._costs) * self._unit >= self._budget:
                return

    def _evaluate(self, points: Sequence[Point]) -> list[float]:
        """Return the cost of each point on the draws that choose, infinite where the policy is invalid."""
        new = self._deviations.valid([point for point in points if point not in self._costs])
        costs = self._deviations.costs([self._deviations.policy(point) for point in new])
        self._costs |= zip(new, costs, strict=True)
        return [self._total(point) if point in self._costs else inf for point in points]

    def _total(self, point: Point) -> int:
        return int(self._costs[point][: self._half].sum())

    def _choose(self, policies: Sequence[PolicyDocument], costs: Cents) -> None:
        """Choose the best of those that do not do as what holds on every draw, by the first half of the draws."""
        asked, evaluator = self._deviations, self._deviations.evaluator
        savings = asked.costs([asked.held]) - costs if len(policies) else costs
        differing = [place for place, each in enumerate(savings) if each.any()]
        if not differing:
            self.half_width = None if evaluator.is_drawn else 0
            return
        chosen = max(differing, key=lambda place: int(savings[place, : self._half].sum()))
        fresh = savings[chosen, self._half :]
        self.saving = max(mean_cents(fresh), 0)
        self.policy = policies[chosen] if self.saving else asked.held
        intervals = [evaluator.interval(savings[place], self._level) for place in differing]
        spread = [each for each in intervals if each is not None]
        if spread:
            own, best = evaluator.interval(fresh, self._level), max(spread, key=lambda each: each.high)
            half_width = max(0.0 if own is None else own.high - own.low, 2 * (best.high - self.saving)) / 2
            # where all surely lose there is nothing to save, as surely as the best of them loses
            self.half_width = ceil(half_width if half_width > 0 else (best.high - best.low) / 2)
