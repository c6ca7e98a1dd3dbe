"""Limits on the payments of a run, so that no sum can pass what an int64 holds: worked out once, in exact numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter

import numpy as np

from labledger.errors import ConfigError
from payment_simulator.engine.exact_costs import delay_rates
from payment_simulator.engine.vocabulary import RATES_PER_DAY, RATES_PER_TICK, Cost
from payment_simulator.policy.builtin import Policy, Trees
from payment_simulator.policy.nodes import Branch, Node
from payment_simulator.scenario.arrival_checks import strange_rows
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.cost_sections import FixedPenalty, Penalty, RatePenalty
from payment_simulator.scenario.numbers import BPS, LARGEST_CENTS, exact
from payment_simulator.scenario.scenario_events import BalanceReset, CollateralAdjustment, CreditLimitChange
from payment_simulator.scenario.schema import Scenario

LARGEST = 2**63 - 1
LARGEST_PER_KIND = LARGEST_CENTS // len(Cost)
"""No kind of cost may pass it, for all kinds are added up."""

MOST_PAYMENTS = 2**40 - 1
LARGEST_IN_A_TREE = 2**53
"""Beyond it a double is no longer sure to the cent."""


@dataclass(frozen=True)
class Limits:
    """The most that the payments of a run may be worth, and be, and what to reduce where they are more."""

    value: int
    value_reason: str
    count: int
    count_reason: str

    def check(self, scenario: Scenario, arrivals: Arrivals) -> None:
        """Refuse arrivals whose sums could overflow.

        Raises:
            ConfigError: one could; the message names the rate or the amount to reduce.
            ValueError: they are not of this scenario: a row has a bank or a tick that it does not have.
        """
        if len(arrivals) and not _belong_to(scenario, arrivals):
            columns = {name: getattr(arrivals, name) for name in ("tick", "sender", "receiver")}
            problems = strange_rows(columns, scenario.agent_ids, scenario.simulation.ticks)
            raise ValueError("\n".join(["these arrivals are not of this scenario:", *problems]))
        value, count = _largest_value(arrivals), int(np.diff(arrivals.bounds).max(initial=0))
        if value > self.value:
            raise ConfigError(f"payments of {value:.4g} cents in a run, over {self.value:.4g}: {self.value_reason}")
        if count > self.count:
            raise ConfigError(f"{count:,} payments in a run, over {self.count:,}: {self.count_reason}")


def find_limits(scenario: Scenario, policies: Sequence[Policy]) -> Limits:
    """The limits on payments that a scenario leaves.

    Raises:
        ConfigError: a sum could overflow whatever is paid; the message names the rate or the amount to reduce.
    """
    money = _all_money(scenario)
    problems = [text for limit, text in _of_money(scenario) if money > limit]
    values = list(_of_payments(scenario, policies, money))
    least = min(values, key=itemgetter(0))  # of several alike the first, which names no rate
    if problems or least[0] < 0:
        raise ConfigError(problems[0] if problems else least[1])
    return Limits(*least, *min(_of_count(scenario, policies), key=itemgetter(0)))


def _belong_to(scenario: Scenario, arrivals: Arrivals) -> bool:
    banks = len(scenario.agents)
    lowest = min(arrivals.sender.min(), arrivals.receiver.min(), arrivals.tick.min())
    highest = max(arrivals.sender.max(), arrivals.receiver.max())
    return bool(lowest >= 0 and highest < banks and arrivals.tick.max() < scenario.simulation.ticks)


def _largest_value(arrivals: Arrivals) -> int:
    """The largest value of all payments of a sample, in cents."""
    amounts = arrivals.amount
    if len(amounts) and int(amounts.max()) * len(amounts) > LARGEST:
        exact_sums = [sum(arrivals.sample(index).amount.tolist()) for index in range(arrivals.samples)]
        return int(max(exact_sums))
    sums = np.concatenate([[0], np.cumsum(amounts, dtype=np.int64)])
    return int(np.diff(sums[arrivals.bounds]).max(initial=0))


def _of_money(scenario: Scenario) -> Iterator[tuple[int, str]]:
    """The most that all money may be, and what to reduce where it is more."""
    rates, ticks = scenario.cost_rates, scenario.simulation.ticks
    for name in RATES_PER_TICK:
        if not (bps := getattr(rates, name)):
            continue
        limit = _largest_amount(exact(bps) / BPS * ticks)
        yield limit, f"cost_rates.{name}: on all balances, pools, credit and collateral it could overflow: reduce it"


def _of_payments(scenario: Scenario, policies: Sequence[Policy], money: int) -> Iterator[tuple[int, str]]:
    """The most that payments may be worth together, and what to reduce where they are more."""
    rates, ticks, days = scenario.cost_rates, scenario.simulation.ticks, scenario.simulation.num_days
    yield (
        LARGEST_CENTS - money,
        f"with balances, pools, credit and collateral of {money:.4g} cents they could pass what is counted exactly: "
        "reduce opening_balance, liquidity_pool, unsecured_cap, max_collateral_capacity, or amounts",
    )
    if any(isinstance(policy, Trees) for policy in policies):
        yield LARGEST_IN_A_TREE - money, "decision trees count to 2^53 cents only: reduce amounts, balances or credit"
    reduce = "it could overflow: reduce it, or reduce amounts"
    for name in RATES_PER_DAY:
        yield _largest_amount(exact(getattr(rates, name)) / BPS * days), f"cost_rates.{name}: {reduce}"
    for name, times in (("deadline_penalty", 1), ("eod_penalty_per_transaction", days)):
        if isinstance(rule := getattr(rates, name), RatePenalty):
            yield _largest_amount(exact(rule.bps_per_event) / BPS * times), f"cost_rates.{name}: {reduce}"
    if any(isinstance(policy, Trees) and splits(policy.payment_tree) for policy in policies):
        yield from (each for each in _of_count(scenario, policies) if each[0] < MOST_PAYMENTS)  # pieces, of a cent each
    most = max(delay_rates(scenario))
    yield _largest_amount(most * ticks), f"cost_rates.delay_cost_per_tick_per_cent: with its multipliers {reduce}"


def _of_count(scenario: Scenario, policies: Sequence[Policy]) -> Iterator[tuple[int, str]]:
    """The most that payments may be; where trees may split them, their pieces may be as many as their cents."""
    rates, days = scenario.cost_rates, scenario.simulation.num_days
    may_split = any(isinstance(policy, Trees) and splits(policy.payment_tree) for policy in policies)
    fixed = {
        "deadline_penalty": _fixed(rates.deadline_penalty),
        "eod_penalty_per_transaction": _fixed(rates.eod_penalty_per_transaction) * days,
        "split_friction_cost": rates.split_friction_cost if may_split else 0,
    }
    yield MOST_PAYMENTS, "send fewer"
    for name, cents in fixed.items():
        yield LARGEST_PER_KIND // max(cents, 1), f"cost_rates.{name}: it could overflow: reduce it, or send fewer"


def _largest_amount(rate: Fraction) -> int:
    """The most that may be charged a rate in all of a run."""
    return min(LARGEST_PER_KIND * rate.denominator // rate.numerator, LARGEST_CENTS) if rate else LARGEST_CENTS


def splits(node: Node) -> bool:
    """True where a decision tree may split a payment."""
    if isinstance(node, Branch):
        return splits(node.on_true) or splits(node.on_false)
    return node.name == "Split"


def _fixed(penalty: Penalty) -> int:
    if isinstance(penalty, RatePenalty):
        return 0
    return penalty.amount if isinstance(penalty, FixedPenalty) else penalty


def _all_money(scenario: Scenario) -> int:
    """No balance can pass it, nor go further below 0. A balance that is reset may be new money, each time."""
    most = {agent.id: agent.unsecured_cap for agent in scenario.agents}
    deltas: dict[str, list[int]] = {}
    for event in scenario.scenario_events:
        if isinstance(event, CollateralAdjustment):
            deltas.setdefault(event.agent, []).append(abs(event.delta))
        elif isinstance(event, CreditLimitChange):
            most[event.agent] = max(most[event.agent], event.unsecured_cap)
    beside = {
        agent.id: agent.liquidity_pool
        + most[agent.id]
        + max(agent.posted_collateral, agent.max_collateral_capacity, *deltas.get(agent.id, [0]))
        for agent in scenario.agents
    }
    first = sum(agent.opening_balance + beside[agent.id] for agent in scenario.agents)
    return first + _reset_money(scenario, beside)


def _reset_money(scenario: Scenario, beside: Mapping[str, int]) -> int:
    """The most that events which reset balances add: in one day, if each begins anew, else in all."""
    by_day: Counter[int] = Counter()
    for event in scenario.scenario_events:
        if isinstance(event, BalanceReset):
            for tick in event.ticks(scenario.simulation.ticks):
                by_day[tick // scenario.simulation.ticks_per_day] += event.opening_balance + beside[event.agent]
    if scenario.daily_balances == "reset":
        lasting = sum(event.opening_balance for event in scenario.scenario_events if isinstance(event, BalanceReset))
        return lasting + max(by_day.values(), default=0)
    return by_day.total()
