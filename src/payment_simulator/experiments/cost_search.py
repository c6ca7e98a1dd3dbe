"""The search for the values that cost a bank least, where nothing is sampled: all of them, or a design.

All values: for each combination of the other parameters one search of the allocations, see `engine.allocation_search`;
an evaluation for each, where no parameter is an allocation. Where the budget does not reach for that, a grid or a
design, coordinate steps around its best, and all allocations with the best of the other values.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Sequence
from itertools import islice, product
from math import inf, prod

from payment_simulator.engine.reference.costs import share
from payment_simulator.experiments.deviations import Deviations
from payment_simulator.experiments.space_filling import Point, design, first_step, refined

DESIGN_POINTS = 441
"""21 values of each of two parameters."""
LEAST_POINTS = 21
"""So many are evaluated whatever the budget."""
ROUND_WORK = 1_000_000
"""Payments x ticks between two moments at which an interrupt is heard: a second of the reference engine's."""
RUN_WORK = 300
"""A run takes the time of so many payments x ticks more, in either engine."""

Rounds = Generator[None, None, None]


class CostSearch:
    """A search, and the best of it: `cost` in cents and its `point`, of equal ones the first; None before any is seen.

    No value costs less than `lower_bound`; None where that is not known.
    """

    def __init__(self, deviations: Deviations, budget: int) -> None:
        self.cost: int | None = None
        self.point: Point | None = None
        self.lower_bound: int | None = None
        self._deviations = deviations
        self._budget = budget
        self._work = 0
        self._seen: dict[Point, int] = {}
        self._settled: dict[Point, int] = {}
        ranges = deviations.ranges
        self._axis = next((axis for axis, each in enumerate(ranges) if each.allocations is not None), None)

    @property
    def values(self) -> int:
        """The values that were evaluated, or proved to cost no less than the best."""
        alone = sum(self._without_allocation(point) not in self._settled for point in self._seen)
        return alone + sum(self._settled.values())

    def run(self) -> Rounds:
        """Search; a yield every second or so, at which it may be left.

        Three quarters of the budget are for all values, if they can be covered, and the rest for a design.
        """
        others = [1 if axis == self._axis else size for axis, size in enumerate(self._deviations.sizes)]
        most = max(LEAST_POINTS, self._budget * 3 // 4 // self._deviations.work())
        if all(each.is_whole for each in self._deviations.ranges) and prod(others) <= most:
            yield from self._cover(others)
        if self.lower_bound is None or (self.cost is not None and self.cost > self.lower_bound):
            yield from self._design()

    def _cover(self, others: Sequence[int]) -> Rounds:
        points = product(*map(range, others))
        if self._axis is None:
            yield from self._evaluate_all(points)
            self.lower_bound = self.cost
            return
        bounds = []
        for place, point in enumerate(points):
            left = self._budget * 3 // 4 - self._work
            bound = yield from self._search_allocations(point, left // (prod(others) - place))
            bounds += [] if bound is None else [bound]
        self.lower_bound = min([*bounds, *([] if self.cost is None else [self.cost])], default=None)

    def _design(self) -> Rounds:
        sizes, unit = self._deviations.sizes, self._deviations.work()
        count = min(max((self._budget - self._work) // unit, LEAST_POINTS), DESIGN_POINTS)
        yield from self._evaluate_all(design(sizes, count, self._deviations.evaluator.seed))
        if self.point is None or self.cost is None:
            return
        for _ in refined(sizes, self.point, self.cost, first_step(sizes, count), self._evaluate):
            if self._work >= self._budget:
                return
            yield
        alone = self._without_allocation(self.point)
        if self._axis is not None and alone not in self._settled:
            yield from self._search_allocations(alone, self._budget - self._work)

    def _evaluate_all(self, points: Iterator[Point] | Sequence[Point]) -> Rounds:
        left, size = iter(points), max(ROUND_WORK // self._deviations.work(), 1)
        while some := list(islice(left, size)):
            self._evaluate(some)
            yield

    def _evaluate(self, points: Sequence[Point]) -> list[float]:
        """Return the own cost at each point, infinite where the policy is invalid."""
        new = self._deviations.valid([point for point in points if point not in self._seen])
        costs = self._deviations.costs([self._deviations.policy(point) for point in new])[:, 0].tolist()
        self._work += len(new) * self._deviations.work()
        for point, cost in zip(new, costs, strict=True):
            self._seen[point] = cost
            self._see(point, cost)
        return [self._seen.get(point, inf) for point in points]

    def _see(self, point: Point, cost: int) -> None:
        if self.cost is None or self.point is None or (cost, point) < (self.cost, self.point):
            self.cost, self.point = cost, point

    def _search_allocations(self, point: Point, budget: int) -> Generator[None, None, int | None]:
        """See all allocations with a point's other values, as far as `budget` reaches.

        Return what none of them costs less than where it does not reach for all, else None. An allocation whose
        liquidity alone costs more than the best that was seen is settled; that cost rises with it.
        """
        asked, axis = self._deviations, self._axis
        if axis is None or not asked.valid([point]):
            return None
        allocations, policy = asked.ranges[axis].allocations or (), asked.policy(point)
        scale, begin, place, bound = 1 + RUN_WORK / asked.run_work, self._work, 0, None
        while place < (end := self._end(allocations)):
            budget_of_round = int(min(ROUND_WORK, max(budget - (self._work - begin), 0)) / scale)
            found = asked.search_allocations(policy, allocations[place:end], budget_of_round)
            self._work += int(found.work * scale)
            self._see((*point[:axis], bisect_left(allocations, found.allocation), *point[axis + 1 :]), found.cost)
            place += found.seen
            if not found.is_complete and self._work - begin >= budget:
                bound = found.lower_bound
                break
            place = end if found.is_complete else place
            yield
        self._settled[point] = len(allocations) if bound is None else place
        return bound

    def _end(self, allocations: Sequence[int]) -> int:
        """Return the number of allocations whose liquidity does not cost more than the best that was seen."""
        if self.cost is None:
            return len(allocations)
        scenario = self._deviations.evaluator.scenario
        rate, ticks = scenario.cost_rates.liquidity_cost_per_tick_bps, scenario.simulation.ticks
        return bisect_right(allocations, self.cost, key=lambda cents: ticks * share(cents, rate))

    def _without_allocation(self, point: Point) -> Point:
        return tuple(0 if axis == self._axis else number for axis, number in enumerate(point))
