"""The rules that may keep payments from settling beside a lack of liquidity: limits, and what liquidity is reserved."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.vocabulary import PriorityClass, class_of
from payment_simulator.policy.fields_and_actions import NO_LIMIT
from payment_simulator.scenario.limit_sections import Limits, Reservations
from payment_simulator.scenario.schema import Scenario

HasLiquidity = Callable[[int, int, int], bool]
"""True where a bank, by number, can pay an amount and leave the cents that are reserved."""


class Rules:
    """The limits and reservations of a scenario, and what settled today, by numbers of banks.

    A position is the cents that a bank has sent another today, or all others, and less what it has received where its
    limits are net. A limit forbids what would raise a position above it; what raises none is never forbidden.
    """

    def __init__(self, scenario: Scenario) -> None:
        number = {name: place for place, name in enumerate(scenario.agent_ids)}
        agents = scenario.agents_by_id()
        limits = [agent.all_limits or Limits() for agent in agents]
        self._bilateral = [{number[name]: n for name, n in each.bilateral_limits.items()} for each in limits]
        self._multilateral = [each.multilateral_limit for each in limits]
        self._is_net = [each.measure == "net" for each in limits]
        self._reserved = [agent.reservations or Reservations() for agent in agents]
        self.are_there = scenario.has_rules
        self.begin_day()

    def begin_day(self) -> None:
        """Nothing has settled today."""
        self._sent: Counter[tuple[int, int]] = Counter()
        self._sent_to_all: Counter[int] = Counter()
        self._received: Counter[int] = Counter()
        self._of_class: Counter[tuple[int, PriorityClass]] = Counter()

    def set_limit(self, bank: int, counterparty: int | None, limit: int) -> None:
        """Let this be a bank's limit to another, or to all, from now on."""
        if counterparty is None:
            self._multilateral[bank] = limit
        else:
            self._bilateral[bank][counterparty] = limit

    def settled(self, items: Iterable[Item]) -> None:
        """Count what has settled."""
        for item in items:
            payment = item.payment
            self._sent[payment.sender, payment.receiver] += item.amount
            self._sent_to_all[payment.sender] += item.amount
            self._received[payment.receiver] += item.amount
            self._of_class[payment.sender, class_of(payment.priority)] += item.amount

    def reserved(self, bank: int, lowest: PriorityClass) -> int:
        """The cents that payments of this class, and more urgent ones together with it, must leave."""
        left = self._reserved[bank]
        found = 0
        if lowest < PriorityClass.URGENT:
            found += max(left.urgent - self._of_class[bank, PriorityClass.URGENT], 0)
        if lowest < PriorityClass.NORMAL:
            found += max(left.normal - self._of_class[bank, PriorityClass.NORMAL], 0)
        return found

    def allow(self, items: Sequence[Item], has_liquidity: HasLiquidity) -> bool:
        """True where all of some items may settle at once: every limit holds, and every bank has the liquidity."""
        return self.within_limits(items) and all(
            self.affords(bank, items, has_liquidity) for bank in sorted({item.payment.sender for item in items})
        )

    def affords(self, bank: int, items: Sequence[Item], has_liquidity: HasLiquidity) -> bool:
        """True where a bank that pays has the liquidity for what it loses as some items settle."""
        own = [item for item in items if item.payment.sender == bank]
        came = sum(item.amount for item in items if item.payment.receiver == bank)
        lowest = min(class_of(item.payment.priority) for item in own)
        return has_liquidity(bank, sum(item.amount for item in own) - came, self.reserved(bank, lowest))

    def within_limits(self, items: Sequence[Item]) -> bool:
        """True where no limit forbids that some items settle."""
        return all(self.within_limits_of(bank, items) for bank in {item.payment.sender for item in items})

    def within_limits_of(self, bank: int, items: Sequence[Item]) -> bool:
        """True where no limit of a bank forbids that some items settle."""
        return self.within_multilateral(bank, items) and self.beyond_limit_to(bank, items) is None

    def beyond_limit_to(self, bank: int, items: Sequence[Item]) -> int | None:
        """The first counterparty, by number, a bank's limit to which forbids that some items settle; None for none."""
        return next(self._forbidden(bank, items), None)

    def bears(self, bank: int, items: Sequence[Item], has_liquidity: HasLiquidity) -> bool:
        """True where a bank has the liquidity for some items, and its limit to all others allows them."""
        if not any(item.payment.sender == bank for item in items):
            return True
        return self.within_multilateral(bank, items) and self.affords(bank, items, has_liquidity)

    def within_multilateral(self, bank: int, items: Sequence[Item]) -> bool:
        """True where a bank's limit to all others does not forbid that some items settle."""
        limit = self._multilateral[bank]
        if limit is None:
            return True
        rise = _value(items, bank, None) - (_value(items, None, bank) if self._is_net[bank] else 0)
        return rise <= 0 or self.whole_position(bank) + rise <= limit

    def _forbidden(self, bank: int, items: Sequence[Item]) -> Iterator[int]:
        """The counterparties, by number, whose limits forbid that some items settle."""
        for other, limit in sorted(self._bilateral[bank].items()):
            rise = _value(items, bank, other) - (_value(items, other, bank) if self._is_net[bank] else 0)
            if rise > 0 and self.position(bank, other) + rise > limit:
                yield other

    def position(self, bank: int, other: int) -> int:
        """A bank's position to another."""
        return self._sent[bank, other] - (self._sent[other, bank] if self._is_net[bank] else 0)

    def whole_position(self, bank: int) -> int:
        """A bank's position to all others."""
        return self._sent_to_all[bank] - (self._received[bank] if self._is_net[bank] else 0)

    def bilateral_left(self, bank: int, other: int) -> int:
        """What is left of a bank's limit to another, below 0 where that was lowered; NO_LIMIT where there is none."""
        limit = self._bilateral[bank].get(other)
        return NO_LIMIT if limit is None else min(limit - self.position(bank, other), NO_LIMIT)

    def multilateral_left(self, bank: int) -> int:
        """What is left of a bank's limit to all, below 0 where that was lowered; NO_LIMIT where there is none."""
        limit = self._multilateral[bank]
        return NO_LIMIT if limit is None else min(limit - self.whole_position(bank), NO_LIMIT)


def _value(items: Iterable[Item], sender: int | None, receiver: int | None) -> int:
    """The cents that items bring from a bank to another; None stands for every bank."""
    return sum(
        item.amount
        for item in items
        if sender in (None, item.payment.sender) and receiver in (None, item.payment.receiver)
    )
