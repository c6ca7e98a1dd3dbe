"""The rules that may keep a payment from settling beside the lack of liquidity: limits, reservations, strict queues."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.vocabulary import PriorityClass, class_of
from payment_simulator.scenario.limit_sections import Limits, Reservations
from payment_simulator.scenario.scenario_events import LimitChange
from payment_simulator.scenario.schema import Scenario

HasLiquidity = Callable[[int, int, int], bool]
"""True where a bank, by number, can pay so many cents out of all but so much of its liquidity, which is reserved."""


class Rules:
    """The limits and reservations of a scenario, and what settled today, by numbers of banks.

    Where there `are_none`, what settled is not counted, and liquidity alone is asked.
    """

    def __init__(self, scenario: Scenario) -> None:
        number = {name: place for place, name in enumerate(scenario.agent_ids)}
        agents = scenario.agents_by_id()
        limits = [agent.all_limits or Limits() for agent in agents]
        self._bilateral = [{number[name]: n for name, n in each.bilateral_limits.items()} for each in limits]
        self._multilateral = [each.multilateral_limit for each in limits]
        self._is_net = [each.measure == "net" for each in limits]
        self._reserved = [agent.reservations or Reservations() for agent in agents]
        self.are_none = not any(isinstance(event, LimitChange) for event in scenario.scenario_events) and all(
            agent.all_limits is None and agent.reservations is None for agent in agents
        )
        self.begin_day()

    def begin_day(self) -> None:
        """Nothing has settled today."""
        self._sent: Counter[tuple[int, int]] = Counter()
        self._settled: list[Counter[PriorityClass]] = [Counter() for _ in self._reserved]

    def set_limit(self, bank: int, counterparty: int | None, limit: int) -> None:
        """Let this be a bank's limit to another, or to all, from now on."""
        if counterparty is None:
            self._multilateral[bank] = limit
        else:
            self._bilateral[bank][counterparty] = limit

    def settled(self, items: Iterable[Item]) -> None:
        """Count what has settled."""
        if self.are_none:
            return
        for item in items:
            payment = item.payment
            self._sent[payment.sender, payment.receiver] += item.amount
            self._settled[payment.sender][class_of(payment.priority)] += item.amount

    def reserved(self, bank: int, lowest: PriorityClass) -> int:
        """The cents of its liquidity that payments of this class, and of higher ones with it, may not use."""
        settled, found = self._settled[bank], 0
        if lowest < PriorityClass.URGENT:
            found += max(self._reserved[bank].urgent - settled[PriorityClass.URGENT], 0)
        if lowest < PriorityClass.NORMAL:
            found += max(self._reserved[bank].normal - settled[PriorityClass.NORMAL], 0)
        return found

    def allow(self, items: Sequence[Item], has_liquidity: HasLiquidity) -> bool:
        """True where all of some items may settle at once."""
        banks = {item.payment.sender for item in items}
        return self.within_limits(items) and all(self.affords(bank, items, has_liquidity) for bank in sorted(banks))

    def affords(self, bank: int, items: Sequence[Item], has_liquidity: HasLiquidity) -> bool:
        """True where a bank has the liquidity for what it loses as some items settle."""
        if self.are_none:
            return has_liquidity(bank, _net(bank, items), 0)
        classes = [class_of(item.payment.priority) for item in items if item.payment.sender == bank]
        return has_liquidity(bank, _net(bank, items), self.reserved(bank, min(classes)))

    def within_limits(self, items: Sequence[Item]) -> bool:
        """True where every bank that pays is within its limits once some items have settled."""
        return self.are_none or all(
            self.within_limits_of(bank, items) for bank in {item.payment.sender for item in items}
        )

    def within_limits_of(self, bank: int, items: Sequence[Item]) -> bool:
        """True where a bank that pays is within its limits once some items have settled."""
        if self.are_none:
            return True
        paid = {item.payment.receiver for item in items if item.payment.sender == bank}
        return self.within_multilateral(bank, items) and all(self.within_bilateral(bank, each, items) for each in paid)

    def within_bilateral(self, bank: int, counterparty: int, items: Sequence[Item]) -> bool:
        """True where a bank is within its limit to another once some items have settled."""
        limit = self._bilateral[bank].get(counterparty)
        if limit is None:
            return True
        return self.position(bank, counterparty) + self._change(bank, _between(bank, counterparty, items)) <= limit

    def within_multilateral(self, bank: int, items: Sequence[Item]) -> bool:
        """True where a bank is within its limit to all others once some items have settled."""
        limit = self._multilateral[bank]
        return limit is None or self.whole_position(bank) + self._change(bank, items) <= limit

    def position(self, bank: int, counterparty: int) -> int:
        """The cents that a bank has sent another today, less what it has received where its limits are net."""
        received = self._sent[counterparty, bank] if self._is_net[bank] else 0
        return self._sent[bank, counterparty] - received

    def whole_position(self, bank: int) -> int:
        """The cents of its positions to all others together."""
        return sum(self.position(bank, other) for other in range(len(self._reserved)) if other != bank)

    def limits_left(self, bank: int) -> tuple[Mapping[int, int], int | None]:
        """What is left of a bank's limits to others, by number, and to all; a limit that there is not is left out."""
        bilateral = {other: limit - self.position(bank, other) for other, limit in self._bilateral[bank].items()}
        limit = self._multilateral[bank]
        return bilateral, None if limit is None else limit - self.whole_position(bank)

    def _change(self, bank: int, items: Iterable[Item]) -> int:
        """The cents by which a bank's position rises as some items settle."""
        amounts: defaultdict[bool, int] = defaultdict(int)
        for item in items:
            if bank in (item.payment.sender, item.payment.receiver):
                amounts[item.payment.sender == bank] += item.amount
        return amounts[True] - (amounts[False] if self._is_net[bank] else 0)


def _between(bank: int, other: int, items: Iterable[Item]) -> list[Item]:
    return [item for item in items if {item.payment.sender, item.payment.receiver} == {bank, other}]


def _net(bank: int, items: Iterable[Item]) -> int:
    """The cents that a bank loses as some items settle."""
    return sum(item.amount * ((item.payment.sender == bank) - (item.payment.receiver == bank)) for item in items)
