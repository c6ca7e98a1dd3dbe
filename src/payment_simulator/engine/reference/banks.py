"""Banks as the reference engine keeps them."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.vocabulary import Cost
from payment_simulator.policy.builtin import Policy
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.numbers import exact


@dataclass(eq=False)
class Bank:
    """One bank and what it has at this moment. Money in cents.

    `budget` is what it may still release, of it `budget_each` to each bank, and to those of `focus` alone where there
    are any; `released_to` is what it has released in this tick. `timers` have a tick, and the cents of collateral that
    are withdrawn in it. `settled_today` are cents. `charged_on` has, for each kind of cost, the cents that were charged
    each rate until now: a tick after the other.
    """

    agent: Agent
    policy: Policy
    pool: int
    balance: int
    posted: int
    cap: int
    pending: int = 0
    queue1: list[Item] = field(default_factory=list)
    dropped: list[Item] = field(default_factory=list)
    budget: int | None = None
    budget_is_of_tick: bool = False
    budget_each: int | None = None
    focus: tuple[str, ...] = ()
    released_to: Counter[int] = field(default_factory=Counter)
    timers: list[tuple[int, int]] = field(default_factory=list)
    settled_today: int = 0
    registers: dict[str, float] = field(default_factory=dict)
    costs: list[int] = field(default_factory=lambda: [0] * len(Cost))
    charged_on: list[Counter[Fraction]] = field(default_factory=lambda: [Counter() for _ in Cost])
    this_tick: list[int] = field(default_factory=lambda: [0] * len(Cost))
    arrived: int = 0
    settled: int = 0
    delay_ticks: int = 0
    opened_with: int = 0
    liquidity_used: int = 0
    peak_credit: int = 0
    peak_queue1: int = 0
    peak_queue2: int = 0

    def credit(self, posted: int) -> int:
        """The cents that the balance may go below 0 with `posted` cents of collateral."""
        return self.cap + int(posted * (1 - exact(self.agent.collateral_haircut)) // 1)

    @property
    def spendable_liquidity(self) -> int:
        """The most that it can pay now, in cents."""
        return self.balance + self.credit(self.posted)

    @property
    def credit_used(self) -> int:
        """The cents that the balance is below 0."""
        return max(0, -self.balance)


def allocation(agent: Agent, policy: Policy) -> int:
    """The cents that a bank borrows of its pool: the policy's fraction of it, else the bank's own."""
    fraction = exact(agent.liquidity_allocation_fraction) if policy.fraction is None else policy.fraction
    return int(agent.liquidity_pool * fraction // 1)


def open_bank(agent: Agent, policy: Policy) -> Bank:
    """A bank as a run begins."""
    pool = allocation(agent, policy)
    balance = agent.opening_balance + pool
    return Bank(agent, policy, pool, balance, agent.posted_collateral, agent.unsecured_cap, opened_with=balance)


def least_collateral(bank: Bank) -> int:
    """The least that must stay posted for the credit in use; more than is posted where that is not enough."""
    needed = bank.credit_used - bank.cap
    if needed <= 0:
        return 0
    worth = 1 - exact(bank.agent.collateral_haircut)
    return int(-(-needed // worth)) if worth else bank.posted
