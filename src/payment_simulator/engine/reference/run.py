"""The definition: a run in plain Python, written for reading. `kernel` gives the same, to the cent and to the event."""

import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from payment_simulator.engine.reference.banks import Bank, least_collateral, open_bank
from payment_simulator.engine.reference.costs import cost_fields, delay_of, penalty_of, share, total
from payment_simulator.engine.reference.decisions import bank_fields, buffer_lacks, decide_payment, tree_of
from payment_simulator.engine.reference.lsm import MAX_EDGES_PER_TICK, CycleSearch, losses
from payment_simulator.engine.reference.payments import Item, events_by_tick, payments_by_tick
from payment_simulator.engine.reference.watch import NOBODY, Watch
from payment_simulator.engine.vocabulary import Cost, EventKind, Skipped
from payment_simulator.policy.builtin import LiquidityAware, Policy, Trees
from payment_simulator.policy.tree import MAX_PIECES, Faults, decide, whole
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.numbers import half_up
from payment_simulator.scenario.scenario_events import DirectTransfer
from payment_simulator.scenario.schema import Scenario

LOOK, LOOKS_PER_EDGE, LOOKS_PER_LIQUIDITY_CHECK = 0.003, 30, 20
"""The work of a look at a payment in a queue, as a share of one that waits a tick; an edge and a check of liquidity
are so many looks."""


class Run:
    """One run. After `go`, `banks`, `settled_value`, `lsm_value`, `faults`, `rows` and `watch` have what came of it."""

    def __init__(
        self,
        scenario: Scenario,
        arrivals: Arrivals,
        policies: Sequence[Policy],
        *,
        record: bool = False,
        watched: int = NOBODY,
    ) -> None:
        self.scenario = scenario
        self.banks = [open_bank(agent, policy) for agent, policy in zip(scenario.agents_by_id(), policies, strict=True)]
        self.queue2: list[Item] = []
        self.settled_value = self.lsm_value = 0
        self.faults = Faults()
        self.rows: list[tuple[int, ...]] = []
        self.watch = Watch(watched)
        self._record = record
        self._tick = self.ticks_done = 0
        self._offsets = self._looks = 0
        self._arriving = payments_by_tick(arrivals)
        self._scenario_events = events_by_tick(scenario)
        self._number = {name: number for number, name in enumerate(scenario.agent_ids)}
        self._cost_fields = cost_fields(scenario.cost_rates)
        self._unsettled: list[Item] = []

    def go(self, work_budget: float = math.inf) -> float:
        """Run tick after tick; return what is left of `work_budget`, below 0 where it ended before the last tick.

        Then the next call goes on from there. The budget counts payments that wait a tick, and banks in a tick: some
        ten microseconds each.
        """
        ticks_per_day = self.scenario.simulation.ticks_per_day
        for number, bank in enumerate(self.banks):
            if bank.pool and not self.ticks_done:
                self._record_event(EventKind.LiquidityAllocated, number, amount=bank.pool)
        for tick in range(self.ticks_done, self.scenario.simulation.ticks):
            self._tick, self.ticks_done = tick, tick + 1
            if self._tick % ticks_per_day == 0:
                for bank in self.banks:
                    bank.budget = None
            self._apply_scenario_events()
            self._arrivals()
            self._collateral_trees()
            self._bank_trees()
            self._settle_releases(self._decisions())
            self._retry_queue2()
            self._bilateral_offsets()
            self._cycles()
            self._apply_credits()
            self._accrue_costs()
            if self._tick % ticks_per_day == ticks_per_day - 1:
                self._end_day()
            if (work_budget := work_budget - self._work_of_tick()) < 0:
                break
        return work_budget

    def _work_of_tick(self) -> float:
        """The work of this tick: what waits is walked for costs, and looked through per bank and for each offset."""
        banks, payments = len(self.banks), len(self._unsettled) + len(self._arriving.get(self._tick, ()))
        work = banks + payments + LOOK * (self._looks + banks * payments)
        self._looks = 0
        return work

    # Steps 2 to 5

    def _apply_scenario_events(self) -> None:
        for event in self._scenario_events.get(self._tick, ()):
            if isinstance(event, DirectTransfer):
                sender, receiver = self._number[event.from_agent], self._number[event.to_agent]
                if not self._can_pay(sender, event.amount):
                    self._record_event(
                        EventKind.EventSkipped, sender, receiver, amount=event.amount, note=Skipped.CREDIT_FLOOR
                    )
                    continue
                self._record_event(EventKind.Transfer, sender, receiver, amount=event.amount)
                self._pay({sender: event.amount}, {receiver: event.amount})
            else:
                self._adjust_collateral(self._number[event.agent], event.delta)

    def _adjust_collateral(self, number: int, delta: int) -> None:
        bank = self.banks[number]
        posted = bank.posted + delta
        reason = None
        if posted < 0 or (delta > 0 and posted > bank.agent.max_collateral_capacity):
            reason = Skipped.CAPACITY
        elif not self.watch.has(number, -bank.balance - bank.credit(posted)):
            reason = Skipped.CREDIT_FLOOR
        if reason is not None:
            self._record_event(EventKind.EventSkipped, number, amount=delta, note=reason)
        else:
            self._post(number, delta)

    def _post(self, number: int, delta: int) -> None:
        """Post `delta` cents of collateral; below 0, withdraw them."""
        self.banks[number].posted += delta
        if delta:
            kind = EventKind.CollateralPosted if delta > 0 else EventKind.CollateralWithdrawn
            self._record_event(kind, number, amount=abs(delta))

    def _arrivals(self) -> None:
        for payment in self._arriving.get(self._tick, ()):
            item = Item(payment, 0, payment.amount)
            self.banks[payment.sender].queue1.append(item)
            self.banks[payment.sender].arrived += 1
            self._unsettled.append(item)
            self._record_item(EventKind.Arrival, item)

    def _collateral_trees(self) -> None:
        for number, bank in enumerate(self.banks):
            if (tree := tree_of(bank, "collateral_tree")) is None:
                continue
            action, arguments = decide(tree, self._bank_fields(bank, bank.queue1), self.faults)
            wanted = max(whole(arguments[0]), 0) if arguments else 0
            if action.name == "PostCollateral":
                self._post(number, min(wanted, max(bank.agent.max_collateral_capacity - bank.posted, 0)))
            elif action.name == "WithdrawCollateral":
                self._post(number, -min(wanted, max(bank.posted - least_collateral(bank), 0)))

    def _bank_trees(self) -> None:
        for bank in self.banks:
            if (tree := tree_of(bank, "bank_tree")) is None:
                continue
            action, arguments = decide(tree, self._bank_fields(bank, bank.queue1), self.faults)
            key = str(action.key)
            if action.name == "SetReleaseBudget":
                bank.budget = max(whole(arguments[0]), 0)
            elif action.name == "SetState":
                bank.registers[key] = arguments[0]
            elif action.name == "AddState":
                bank.registers[key] = self.faults.defined(bank.registers.get(key, 0.0) + arguments[0])

    # Step 6

    def _decisions(self) -> list[Item]:
        """The items that all banks release. None of them sees what another decides."""
        released: list[Item] = []
        for bank in self.banks:
            waiting, bank.queue1 = bank.queue1, []
            fields = self._bank_fields(bank, waiting) if isinstance(bank.policy, Trees) else {}
            so_far = 0
            for item in waiting:
                pieces = self._one_decision(bank, item, so_far, fields)
                so_far += sum(piece.amount for piece in pieces)
                released += pieces
        return released

    def _one_decision(self, bank: Bank, item: Item, released: int, fields: dict[str, float]) -> list[Item]:
        """The items that come of a payment; a payment that is kept goes back to Queue 1."""
        name, number = decide_payment(bank, item, self._tick, released, fields, self.faults)
        within = bank.budget is None or item.amount <= bank.budget
        if name == "Split" and not (item.payment.divisible and 2 <= number <= min(item.amount, MAX_PIECES)):
            name = "Hold"
        if name in ("Release", "Split") and within:
            if bank.budget is not None:
                bank.budget -= item.amount
            return [item] if name == "Release" else self._split(bank, item, number)
        if name == "Drop":
            bank.dropped.append(item)
            self._record_item(EventKind.PolicyDrop, item)
            return []
        bank.queue1.append(item)
        if name == "Reprioritize":
            self._reprioritize(item, min(max(number, 0), 10))
            return []
        if isinstance(bank.policy, LiquidityAware):
            self.watch.has(self._number[bank.agent.id], buffer_lacks(bank, bank.policy, item, released))
        if not item.payment.was_held:
            item.payment.was_held = True
            self._record_item(EventKind.PolicyHold, item)
        return []

    def _split(self, bank: Bank, item: Item, count: int) -> list[Item]:
        """`count` - 1 pieces of the same amount, then the rest."""
        size = item.amount // count
        amounts = [size] * (count - 1) + [item.amount - size * (count - 1)]
        pieces = [Item(item.payment, place, amount, item.is_overdue) for place, amount in enumerate(amounts)]
        item.payment.pieces_left = count
        place = self._unsettled.index(item)
        self._unsettled[place : place + 1] = pieces
        bank.this_tick[Cost.SPLIT_FRICTION] += self.scenario.cost_rates.split_friction_cost * (count - 1)
        self._record_item(EventKind.PolicySplit, item, note=count)
        return pieces

    def _reprioritize(self, item: Item, priority: int) -> None:
        if priority != item.payment.priority:
            item.payment.priority = priority
            self._record_item(EventKind.PolicyReprioritize, item, note=priority)

    # Steps 7 to 9

    def _settle_releases(self, released: list[Item]) -> None:
        for item in sorted(released, key=lambda item: item.queue_key):
            self._record_item(EventKind.Submitted, item)
            if self._can_pay(item.payment.sender, item.amount):
                self._settle([item], EventKind.SettledImmediately)
            else:
                self.queue2.append(item)
                self._record_item(EventKind.Queued, item)
        self.queue2.sort(key=lambda item: item.queue_key)

    def _retry_queue2(self) -> None:
        self._looks += LOOKS_PER_LIQUIDITY_CHECK * len(self.queue2)
        while fitting := next((i for i in self.queue2 if self._can_pay(i.payment.sender, i.amount)), None):
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

    # Steps 10 to 12

    def _apply_credits(self) -> None:
        for number, bank in enumerate(self.banks):
            if bank.pending:
                bank.balance += bank.pending
                self._record_event(EventKind.CreditApplied, number, amount=bank.pending)
                bank.pending = 0
        for number, bank in enumerate(self.banks):
            self.watch.end_tick(number, bank.balance)
            bank.liquidity_used = max(bank.liquidity_used, bank.opened_with - bank.balance)
            bank.peak_credit = max(bank.peak_credit, bank.credit_used)
            bank.peak_queue1 = max(bank.peak_queue1, len(bank.queue1))
            bank.peak_queue2 = max(bank.peak_queue2, sum(i.payment.sender == number for i in self.queue2))

    def _accrue_costs(self) -> None:
        rates = self.scenario.cost_rates
        for item in self._unsettled:
            if self._tick > item.payment.deadline and not item.is_overdue:
                item.is_overdue = True
                self._record_item(EventKind.WentOverdue, item)
                penalty = penalty_of(rates.deadline_penalty, item.amount)
                self.banks[item.payment.sender].this_tick[Cost.DEADLINE_PENALTY] += penalty
        for number, bank in enumerate(self.banks):
            mine = [item for item in self._unsettled if item.payment.sender == number]
            tick = bank.this_tick
            tick[Cost.LIQUIDITY] = share(bank.pool, rates.liquidity_cost_per_tick_bps)
            tick[Cost.OVERDRAFT] = share(bank.credit_used, rates.overdraft_bps_per_tick)
            tick[Cost.COLLATERAL] = share(bank.posted, rates.collateral_cost_per_tick_bps)
            tick[Cost.DELAY] = half_up(sum((delay_of(rates, item) for item in mine), Fraction(0)))
            self._charge(number, bank)

    def _end_day(self) -> None:
        rates = self.scenario.cost_rates
        for number, bank in enumerate(self.banks):
            mine = [item for item in self._unsettled if item.payment.sender == number]
            self._record_event(EventKind.EndOfDay, number, amount=total(mine), note=len(mine))
            bank.this_tick[Cost.EOD_PENALTY] = sum(
                penalty_of(rates.eod_penalty_per_transaction, i.amount) for i in mine
            )
            bank.this_tick[Cost.EOD_BORROWING] = share(total(mine), rates.eod_borrowing_bps)
            self._charge(number, bank)

    def _charge(self, number: int, bank: Bank) -> None:
        for kind, amount in enumerate(bank.this_tick):
            bank.costs[kind] += amount
            if amount:
                self._record_event(EventKind.CostAccrual, number, amount=amount, note=kind)
        bank.this_tick = [0] * len(Cost)

    # What several steps do

    def _can_pay(self, number: int, amount: int) -> bool:
        return self.watch.has(number, amount - self.banks[number].spendable_liquidity)

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

    def _bank_fields(self, bank: Bank, queue1: Sequence[Item]) -> dict[str, float]:
        number = self._number[bank.agent.id]
        own = [item for item in self.queue2 if item.payment.sender == number]
        found = bank_fields(bank, queue1, own, self._tick, self.scenario.simulation.ticks_per_day)
        return found | self._cost_fields

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
        if self._record:
            self.rows.append((self._tick, kind, agent, other, payment, piece, amount, note))
