"""The definition of a search for the allocation that costs a bank least; `allocation_search` says why it is exact."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from payment_simulator.engine.reference.costs import share
from payment_simulator.engine.reference.run import Run
from payment_simulator.engine.vocabulary import Cost
from payment_simulator.policy.builtin import Policy
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.schema import Scenario


class StepSearch:
    """One search. After `go`, `cost` and `allocation` are the best, `seen` allocations are settled, and took `work`."""

    def __init__(
        self,
        scenario: Scenario,
        arrivals: Arrivals,
        policies: Sequence[Policy],
        bank: int,
        allocations: Sequence[int],
        *,
        can_step: bool,
        budget: int,
    ) -> None:
        self.cost = self.allocation = -1
        self.seen = self.work = 0
        self._scenario, self._arrivals, self._policies = scenario, arrivals, policies
        self._bank, self._allocations, self._can_step, self._budget = bank, allocations, can_step, budget
        self._ticks = scenario.simulation.ticks
        self._pool = max(scenario.agents_by_id()[bank].liquidity_pool, 1)

    def go(self, carry_out: Callable[[Run], bool]) -> bool:
        """Go up from the least allocation, run by run; False where `carry_out` gives one up."""
        while self.seen < len(self._allocations) and self._may_be_better(self.seen, 0):
            if not self._spend(max(len(self._arrivals), 1) * self._ticks):
                return True
            run = self._run(self.seen)
            if not carry_out(run):
                return False
            cost = sum(run.banks[self._bank].costs)
            self._offer(self.seen, cost)
            following = self._next_step(run)
            is_settled = following == self.seen + 1 or self._search_inside(run, cost, following - 1)
            self.seen = following if is_settled else self.seen + 1
            if not is_settled:
                return True
        self.seen = len(self._allocations)
        return True

    @property
    def lower_bound(self) -> int:
        """No allocation costs less: the rest of them not less than their liquidity."""
        return self.cost if self.seen == len(self._allocations) else min(self.cost, self.liquidity(self.seen))

    def liquidity(self, place: int) -> int:
        """The cost of an allocation's liquidity, in cents."""
        bps = self._scenario.cost_rates.liquidity_cost_per_tick_bps
        return self._over_ticks({self._allocations[place]: self._ticks}, bps)

    def _over_ticks(self, times: Mapping[int, int], bps: float) -> int:
        """The cost of amounts in so many ticks each: rounded in each, or once, where the remainders are carried."""
        if self._scenario.cost_rounding == "carry":
            return share(sum(amount * count for amount, count in times.items()), bps)
        return sum(count * share(amount, bps) for amount, count in times.items())

    def _run(self, place: int) -> Run:
        policies = [*self._policies]
        policies[self._bank] = replace(policies[self._bank], fraction=Fraction(self._allocations[place], self._pool))
        return Run(self._scenario, self._arrivals, policies, watched=self._bank)

    def _next_step(self, run: Run) -> int:
        """The place of the first allocation at which something else can happen."""
        if not self._can_step:
            return self.seen + 1
        if run.watch.shortfall is None:
            return len(self._allocations)
        return bisect_left(self._allocations, self._allocations[self.seen] + run.watch.shortfall, self.seen + 1)

    def _search_inside(self, run: Run, cost: int, last: int) -> bool:
        """Search the places up to `last`, where all settles as in `run`, by halving; False where the budget ends."""
        first, base = self.seen, self._allocations[self.seen]
        levels = Counter(balance for balance in run.watch.balances if balance < 0)
        bps = self._scenario.cost_rates.overdraft_bps_per_tick

        def overdraft(place: int) -> int:
            more = self._allocations[place] - base
            return self._over_ticks({-balance - more: n for balance, n in levels.items() if balance + more < 0}, bps)

        before = run.banks[self._bank].costs[Cost.OVERDRAFT]
        rest = cost - before - self.liquidity(first)
        if not self._may_be_better(first + 1, rest):
            return True
        if not self._spend(self._ticks):
            return False
        after = overdraft(last)
        self._offer(last, self.liquidity(last) + after + rest)
        spans = [(first, before, last, after)]
        while spans:
            left, before, right, after = spans.pop()
            if right - left < 2 or before == after or not self._may_be_better(left + 1, after + rest):
                continue
            if not self._spend(self._ticks):
                return False
            middle = (left + right) // 2
            between = overdraft(middle)
            self._offer(middle, self.liquidity(middle) + between + rest)
            halves = [(middle, between, right, after), (left, before, middle, between)]
            is_right_first = self.liquidity(right) + after < self.liquidity(left) + before
            spans += reversed(halves) if is_right_first else halves
        return True

    def _may_be_better(self, place: int, others: int) -> bool:
        """True where an allocation, with `others` the least that it costs but liquidity, could be chosen."""
        least = self.liquidity(place) + others
        return self.cost < 0 or (least, self._allocations[place]) < (self.cost, self.allocation)

    def _offer(self, place: int, cost: int) -> None:
        if self.cost < 0 or (cost, self._allocations[place]) < (self.cost, self.allocation):
            self.cost, self.allocation = cost, self._allocations[place]

    def _spend(self, work: int) -> bool:
        """True where the budget has room for it, or nothing was run yet."""
        has_room = self.cost < 0 or self.work + work <= self._budget
        self.work += work if has_room else 0
        return has_room
