"""The charges of a tick: shares of money, rounded by kind of cost, and kept exactly beside it."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from payment_simulator.engine.exact_costs import delay_rates, single_rates
from payment_simulator.engine.reference.banks import Bank
from payment_simulator.engine.reference.costs import penalty_of, total
from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.vocabulary import Cost
from payment_simulator.scenario.cost_sections import Penalty, RatePenalty
from payment_simulator.scenario.numbers import half_up
from payment_simulator.scenario.schema import Scenario


class Charging:
    """The rates of a scenario, and how their charges are rounded. What a bank is charged is in `Bank.this_tick`."""

    def __init__(self, scenario: Scenario) -> None:
        self._costs = scenario.cost_rates
        self._rates = single_rates(scenario)
        self._delay_rates = delay_rates(scenario)
        self._carries = scenario.cost_rounding == "carry"

    def end_tick(self, bank: Bank, unsettled: Iterable[Item], overdue: Sequence[Item]) -> None:
        """Charge a bank for what it has, for what is unsettled of its payments, and for those now overdue."""
        waiting: dict[Fraction, int] = {}
        for item in unsettled:
            rate = self._delay_rates[2 * item.payment.arrival_priority + item.is_overdue]
            waiting[rate] = waiting.get(rate, 0) + item.amount
        self._share(bank, Cost.LIQUIDITY, bank.pool)
        self._share(bank, Cost.OVERDRAFT, bank.credit_used)
        self._share(bank, Cost.COLLATERAL, bank.posted)
        if waiting:
            self._shares(bank, Cost.DELAY, waiting)
        self._penalty(bank, Cost.DEADLINE_PENALTY, self._costs.deadline_penalty, overdue)

    def end_day(self, bank: Bank, unsettled: Sequence[Item]) -> None:
        """Charge a bank for what is unsettled at the day's end."""
        counts_all = self._costs.eod_penalty_scope == "unsettled"
        penalised = [item for item in unsettled if counts_all or item.is_overdue]
        self._penalty(bank, Cost.EOD_PENALTY, self._costs.eod_penalty_per_transaction, penalised)
        self._share(bank, Cost.EOD_BORROWING, total(unsettled))

    def _share(self, bank: Bank, kind: Cost, amount: int) -> None:
        if amount:
            self._shares(bank, kind, {self._rates[kind]: amount})

    def _shares(self, bank: Bank, kind: Cost, amounts: Mapping[Fraction, int]) -> None:
        """Charge amounts by their rates, rounded together, a half up; or what they add to the sum until now, rounded.

        With `cost_rounding: carry` all that was charged of a kind is, after each tick, all that was due, rounded.
        """
        so_far = bank.charged_on[kind]
        so_far.update(amounts)
        if self._carries:
            bank.this_tick[kind] = half_up(_sum(so_far)) - bank.costs[kind]
        else:
            bank.this_tick[kind] = half_up(_sum(amounts))

    def _penalty(self, bank: Bank, kind: Cost, penalty: Penalty, items: Sequence[Item]) -> None:
        """Charge a penalty on each of some payments; one that is a rate is rounded for each, unless it is carried."""
        if isinstance(penalty, RatePenalty):
            self._share(bank, kind, total(items))
        if not (isinstance(penalty, RatePenalty) and self._carries):
            bank.this_tick[kind] = sum(penalty_of(penalty, item.amount) for item in items)


def _sum(amounts: Mapping[Fraction, int]) -> Fraction:
    return sum((rate * amount for rate, amount in amounts.items()), Fraction(0))
