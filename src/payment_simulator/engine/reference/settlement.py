"""Settlement in the reference engine: what moves money, from a release to an offset."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile

from payment_simulator.engine.reference.banks import open_bank
from payment_simulator.engine.reference.costs import total
from payment_simulator.engine.reference.lsm import CycleSearch
from payment_simulator.engine.reference.netting import Netting
from payment_simulator.engine.reference.outages import Outages
from payment_simulator.engine.reference.payments import Item, QueueOrder
from payment_simulator.engine.reference.rules import Rules
from payment_simulator.engine.reference.watch import Watch
from payment_simulator.engine.vocabulary import ROUTES, EventKind, Record
from payment_simulator.policy.builtin import Policy
from payment_simulator.scenario.schema import Scenario

LOOKS_PER_EDGE, LOOKS_PER_LIQUIDITY_CHECK = 30, 20
"""The work of an edge and of a check of liquidity, in looks at a payment in a queue."""


class Settlement:
    """The banks, the central queue and what was settled; steps 7 to 9 of a tick."""

    def __init__(self, scenario: Scenario, policies: Sequence[Policy], *, record: Record, watched: int) -> None:
        self.scenario = scenario
        self.banks = [open_bank(agent, policy) for agent, policy in zip(scenario.agents_by_id(), policies, strict=True)]
        self.queue2: list[Item] = []
        self.settled_value = self.lsm_value = self.cycle_search_cuts = 0
        self.rows: list[tuple[int, ...]] = []
        self.watch = Watch(watched)
        self._record = record
        self._tick = self._offsets = self._looks = 0
        self._unsettled: list[Item] = []
        self._outages = Outages(scenario)
        self.rules = Rules(scenario)
        self._order = QueueOrder(scenario.queue_order)
        self._is_strict = scenario.queue2.release == "strict"

    def _settle_releases(self, released: list[Item]) -> None:
        self.queue2.sort(key=self._order.key)  # priorities may have changed
        for item in sorted(released, key=self._order.key):
            self._record_item(EventKind.Submitted, item)
            if not (self.scenario.rtgs and self._is_next(item) and self._settles_on_entry(item)):
                insort(self.queue2, item, key=self._order.key)
                self._record_item(EventKind.Queued, item)

    def _settles_on_entry(self, item: Item) -> bool:
        """True where a released payment settled: alone, or with as few of those the other way as both banks bear."""
        if self._may_settle(item):
            self._settle([item], EventKind.SettledImmediately)
            return True
        payment = item.payment
        is_closed = payment.receiver in self._outages.closed
        if not self.scenario.offsets_on_entry or is_closed or any(each.payment is payment for each in self.queue2):
            return False
        back = self._queued(payment.receiver, payment.sender)
        for count in range(1, len(back) + 1):
            if self.rules.allow([item, *back[:count]], self._has_liquidity):
                self._offset([item, *back[:count]], EventKind.LsmEntryOffset)
                return True
        return False

    def _work_queue2(self) -> None:
        """Steps 8 and 9."""
        is_batch = self._tick % self.scenario.simulation.ticks_per_day in self.scenario.netting_batches
        if self.scenario.rtgs:
            self._retry_queue2()
        if is_batch:
            self._net(EventKind.LsmBatchSettlement)
        elif self.scenario.rtgs:
            self._bilateral_offsets()
            self._cycles()
            if self.scenario.lsm_config.enable_multilateral:
                self._net(EventKind.LsmMultilateralOffset)

    def _is_next(self, item: Item) -> bool:
        """True of a payment that no queued one of its bank has to settle before, or with: pieces keep their order."""
        if item.payment.is_split and any(
            each.payment is item.payment and each.piece < item.piece for each in self.queue2
        ):
            return False
        if not self._is_strict:
            return True
        own = (each for each in self.queue2 if each.payment.sender == item.payment.sender)
        return all(self._order.key(each) >= self._order.key(item) for each in own)

    def _retry_queue2(self) -> None:
        self._looks += LOOKS_PER_LIQUIDITY_CHECK * len(self.queue2)
        if self.scenario.queue2_passes == "once":
            for item in [*self.queue2]:
                if self._is_next(item) and self._may_settle(item):
                    self._settle_queued(item)
        else:
            while fitting := next((item for item in self._tried() if self._may_settle(item)), None):
                self._looks += LOOKS_PER_LIQUIDITY_CHECK * len(self.queue2)
                self._settle_queued(fitting)
        if self.rules.are_there and self._record is True:
            self._note_limits()

    def _settle_queued(self, item: Item) -> None:
        self.queue2.remove(item)
        self._settle([item], EventKind.SettledFromQueue)

    def _tried(self) -> Iterable[Item]:
        """The payments of Queue 2 that may settle before others of their bank: strictly, its first; in queue order."""
        if not self._is_strict:
            return self.queue2
        first: dict[int, Item] = {}
        for item in self.queue2:
            first.setdefault(item.payment.sender, item)
        return first.values()

    def _note_limits(self) -> None:
        """Record each payment that now lacks nothing but a limit that allows it, once."""
        for item in self._tried():
            payment = item.payment
            if payment.was_blocked or payment.receiver in self._outages.closed:
                continue
            if self.rules.affords(payment.sender, [item], self._could_pay) and not self.rules.within_limits([item]):
                payment.was_blocked = True
                self._record_item(EventKind.LimitBlocked, item)

    def _bilateral_offsets(self) -> None:
        if not self.scenario.lsm_config.enable_bilateral:
            return
        for first in range(len(self.banks)):
            for second in range(first + 1, len(self.banks)):
                self._offset_pair(first, second)

    def _offset_pair(self, first: int, second: int) -> None:
        sides = {first: self._queued(first, second), second: self._queued(second, first)}
        while sides[first] and sides[second]:
            both = [*sides[first], *sides[second]]
            if (stops := self._stops(first, second, both)) is None:
                self._offset(both, EventKind.LsmBilateralOffset)
                return
            sides[stops].pop()

    def _stops(self, first: int, second: int, both: Sequence[Item]) -> int | None:
        """The bank that cannot bear an offset of two; None where both can. Limits are looked at first, then ids."""
        for test in (self.rules.within_limits_of, self._affords):
            for bank in (first, second):
                if not test(bank, both):
                    return bank
        return None

    def _affords(self, bank: int, items: Sequence[Item]) -> bool:
        return self.rules.affords(bank, items, self._has_liquidity)

    def _queued(self, sender: int, receiver: int) -> list[Item]:
        """The items in Queue 2 from one bank to another, in queue order."""
        self._looks += len(self.queue2)
        if receiver in self._outages.closed:
            return []
        own = [item for item in self.queue2 if item.payment.sender == sender]
        if self._is_strict:
            return [*takewhile(lambda item: item.payment.receiver == receiver, own)]
        return [item for item in own if item.payment.receiver == receiver]

    def _cycles(self) -> None:
        config = self.scenario.lsm_config
        if not config.enable_cycles:
            return
        search = CycleSearch(config.max_cycle_length, config.max_cycles_per_tick, config.max_cycle_edges)
        for start in range(len(self.banks)):
            while search.goes_on and (cycle := search.find(start, self._edges(), self._covers)):
                search.cycles_left -= 1
                self._offset(cycle, EventKind.LsmCycleSettlement)
        self.cycle_search_cuts += search.was_cut
        self._looks += LOOKS_PER_EDGE * (config.max_cycle_edges - search.edges_left)

    def _edges(self) -> dict[int, dict[int, Item]]:
        """From each sender to each receiver, the first payment in Queue 2."""
        self._looks += len(self.queue2)
        edges: dict[int, dict[int, Item]] = defaultdict(dict)
        for item in self._tried():
            if item.payment.receiver not in self._outages.closed:
                edges[item.payment.sender].setdefault(item.payment.receiver, item)
        return edges

    def _covers(self, cycle: Sequence[Item]) -> bool:
        """True where every bank of a cycle can pay what it loses in it; the last to be asked is the one watched."""
        if not self.rules.within_limits(cycle):
            return False
        senders = sorted((item.payment.sender for item in cycle), key=lambda bank: bank == self.watch.bank)
        return all(self._affords(bank, cycle) for bank in senders)

    def _net(self, kind: EventKind) -> None:
        """Settle at once as much of Queue 2 as every bank can bear."""
        netting = Netting(self._open_payments(), self.rules, self._has_liquidity, is_strict=self._is_strict)
        if settling := netting.settling():
            self._offset(settling, kind)
        self._looks += netting.looks

    def _open_payments(self) -> list[Item]:
        """The payments of Queue 2 that may be tried: strictly, of each bank those before the first that may not."""
        closed = self._outages.closed
        if not self._is_strict:
            return [item for item in self.queue2 if item.payment.receiver not in closed]
        found, stopped = [], set()
        for item in self.queue2:
            if item.payment.receiver in closed:
                stopped.add(item.payment.sender)
            elif item.payment.sender not in stopped:
                found.append(item)
        return found

    def _offset(self, items: Sequence[Item], kind: EventKind) -> None:
        settling = set(items)
        self.queue2 = [item for item in self.queue2 if item not in settling]
        self._settle(items, kind, self._offsets)
        self._offsets += 1
        self.lsm_value += total(items)

    def _may_settle(self, item: Item) -> bool:
        if item.payment.receiver in self._outages.closed:
            return False
        if not self.rules.are_there:
            return self._has_liquidity(item.payment.sender, item.amount)
        return self.rules.allow([item], self._has_liquidity)

    def _has_liquidity(self, number: int, amount: int, reserved: int = 0) -> bool:
        return amount <= 0 or self.watch.has(number, amount - self._usable(number, reserved))

    def _could_pay(self, number: int, amount: int, reserved: int) -> bool:
        """As `_has_liquidity`, and no test of it: what follows does not change what settles."""
        return amount <= self._usable(number, reserved)

    def _usable(self, number: int, reserved: int) -> int:
        return self.banks[number].spendable_liquidity - reserved

    def _settle(self, items: Sequence[Item], kind: EventKind, note: int = -1) -> None:
        """Move the money of `items` at once, each bank's net."""
        net: dict[int, int] = defaultdict(int)
        for item in items:
            payment, sender = item.payment, self.banks[item.payment.sender]
            net[payment.sender] -= item.amount
            net[payment.receiver] += item.amount
            self._unsettled.remove(item)
            self._record_item(kind, item, note=note)
            self.settled_value += item.amount
            sender.settled_today += item.amount
            payment.pieces_left -= 1
            if payment.pieces_left == 0:
                sender.settled += 1
                sender.delay_ticks += self._tick - payment.arrival
        if self.rules.are_there:
            self.rules.settled(items)
        self._pay({b: -change for b, change in net.items() if change < 0}, {b: c for b, c in net.items() if c > 0})

    def _pay(self, out: dict[int, int], into: dict[int, int]) -> None:
        for number, amount in out.items():
            self.banks[number].balance -= amount
        for number, amount in into.items():
            if self.scenario.deferred_crediting:
                self.banks[number].pending += amount
            else:
                self.banks[number].balance += amount

    def _record_item(self, kind: EventKind, item: Item, note: int = -1) -> None:
        payment = item.payment
        self._record_event(kind, payment.sender, payment.receiver, payment.index, item.piece, item.amount, note)

    def _record_event(
        self,
        kind: EventKind,
        agent: int,
        other: int = -1,
        payment: int = -1,
        piece: int = -1,
        amount: int = -1,
        note: int = -1,
    ) -> None:
        """Record an event; see `vocabulary.EventColumn`."""
        if self._record is True or (self._record and kind in ROUTES):
            self.rows.append((self._tick, kind, agent, other, payment, piece, amount, note))
