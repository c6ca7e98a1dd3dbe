"""Settlement in the reference engine: what moves money, from a release to an offset."""

from collections import defaultdict
from collections.abc import Sequence

from payment_simulator.engine.reference.banks import open_bank
from payment_simulator.engine.reference.costs import total
from payment_simulator.engine.reference.lsm import MAX_EDGES_PER_TICK, CycleSearch, losses
from payment_simulator.engine.reference.outages import Outages
from payment_simulator.engine.reference.payments import Item
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
        self.settled_value = self.lsm_value = 0
        self.rows: list[tuple[int, ...]] = []
        self.watch = Watch(watched)
        self._record = record
        self._tick = self._offsets = self._looks = 0
        self._unsettled: list[Item] = []
        self._outages = Outages(scenario)

    def _settle_releases(self, released: list[Item]) -> None:
        for item in sorted(released, key=lambda item: item.queue_key):
            self._record_item(EventKind.Submitted, item)
            if self._may_settle(item):
                self._settle([item], EventKind.SettledImmediately)
            else:
                self.queue2.append(item)
                self._record_item(EventKind.Queued, item)
        self.queue2.sort(key=lambda item: item.queue_key)

    def _retry_queue2(self) -> None:
        self._looks += LOOKS_PER_LIQUIDITY_CHECK * len(self.queue2)
        while fitting := next((item for item in self.queue2 if self._may_settle(item)), None):
            self._looks += LOOKS_PER_LIQUIDITY_CHECK * len(self.queue2)
            self.queue2.remove(fitting)
            self._settle([fitting], EventKind.SettledFromQueue)

    def _bilateral_offsets(self) -> None:
        if not self.scenario.lsm_config.enable_bilateral:
            return
        for first in range(len(self.banks)):
            for second in range(first + 1, len(self.banks)):
                self._offset_pair(first, second)

    def _offset_pair(self, first: int, second: int) -> None:
        sides = {first: self._queued(first, second), second: self._queued(second, first)}
        while sides[first] and sides[second]:
            net = total(sides[first]) - total(sides[second])
            payer = first if net > 0 else second
            if self._can_pay(payer, abs(net)):
                self._offset([*sides[first], *sides[second]], EventKind.LsmBilateralOffset)
                return
            sides[payer].pop()

    def _queued(self, sender: int, receiver: int) -> list[Item]:
        """The items in Queue 2 from one bank to another, in queue order."""
        self._looks += len(self.queue2)
        if receiver in self._outages.closed:
            return []
        return [i for i in self.queue2 if i.payment.sender == sender and i.payment.receiver == receiver]

    def _cycles(self) -> None:
        config = self.scenario.lsm_config
        if not config.enable_cycles:
            return
        search = CycleSearch(config.max_cycle_length, config.max_cycles_per_tick)
        for start in range(len(self.banks)):
            while search.goes_on and (cycle := search.find(start, self._edges(), self._covers)):
                search.cycles_left -= 1
                self._offset(cycle, EventKind.LsmCycleSettlement)
        self._looks += LOOKS_PER_EDGE * (MAX_EDGES_PER_TICK - search.edges_left)

    def _edges(self) -> dict[int, dict[int, Item]]:
        """From each sender to each receiver, the first payment in Queue 2."""
        self._looks += len(self.queue2)
        edges: dict[int, dict[int, Item]] = defaultdict(dict)
        for item in self.queue2:
            if item.payment.receiver not in self._outages.closed:
                edges[item.payment.sender].setdefault(item.payment.receiver, item)
        return edges

    def _covers(self, cycle: Sequence[Item]) -> bool:
        """True where every bank of a cycle can pay what it loses in it; the last to be asked is the one watched."""
        return all(self._can_pay(*loss) for loss in sorted(losses(cycle), key=lambda loss: loss[0] == self.watch.bank))

    def _offset(self, items: Sequence[Item], kind: EventKind) -> None:
        for item in items:
            self.queue2.remove(item)
        self._settle(items, kind, self._offsets)
        self._offsets += 1
        self.lsm_value += total(items)

    def _may_settle(self, item: Item) -> bool:
        return item.payment.receiver not in self._outages.closed and self._can_pay(item.payment.sender, item.amount)

    def _can_pay(self, number: int, amount: int) -> bool:
        return amount <= 0 or self.watch.has(number, amount - self.banks[number].spendable_liquidity)

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
            payment.pieces_left -= 1
            if payment.pieces_left == 0:
                sender.settled += 1
                sender.delay_ticks += self._tick - payment.arrival
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
