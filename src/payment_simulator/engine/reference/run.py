"""The definition: a run in plain Python, written for reading. `kernel` gives the same, to the cent and to the event."""

import math
from collections.abc import Sequence
from itertools import count

from payment_simulator.engine.reference.banks import Bank
from payment_simulator.engine.reference.charging import Charging
from payment_simulator.engine.reference.costs import total
from payment_simulator.engine.reference.decisions import buffer_lacks, decide_payment
from payment_simulator.engine.reference.escalation import escalated
from payment_simulator.engine.reference.payments import Item, events_by_tick, payments_by_tick
from payment_simulator.engine.reference.treasury import Treasury
from payment_simulator.engine.reference.watch import NOBODY
from payment_simulator.engine.vocabulary import Cost, EventKind, Record, Skipped
from payment_simulator.policy.builtin import LiquidityAware, Policy, Trees
from payment_simulator.policy.fields_and_actions import IN_QUEUE2, QUEUE2_ACTIONS
from payment_simulator.policy.tree import MAX_PIECES
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.scenario_events import (
    BalanceReset,
    CollateralAdjustment,
    CreditLimitChange,
    DirectTransfer,
    LimitChange,
)
from payment_simulator.scenario.schema import Scenario

LOOK = 0.003
"""The work of a look at a payment in a queue, as a share of one that waits a tick."""


class Run(Treasury):
    """One run. After `go`, `banks`, `settled_value`, `lsm_value`, `faults`, `rows` and `watch` have what came of it."""

    def __init__(
        self,
        scenario: Scenario,
        arrivals: Arrivals,
        policies: Sequence[Policy],
        *,
        record: Record = False,
        watched: int = NOBODY,
    ) -> None:
        super().__init__(scenario, policies, record=record, watched=watched)
        self.ticks_done = 0
        self._arriving = payments_by_tick(arrivals)
        self._scenario_events = events_by_tick(scenario)
        self._charging = Charging(scenario)
        self._sequences = count()
        self._walks_queue2 = [not named.isdisjoint((IN_QUEUE2, *QUEUE2_ACTIONS)) for named in self._named]

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
                self._open_day()
            self._apply_scenario_events()
            self._arrivals()
            self._end_timers()
            self._collateral_trees("collateral_tree")
            self._bank_trees()
            self._escalate()
            self._settle_releases(self._decisions())
            self._work_queue2()
            self._apply_credits()
            self._collateral_trees("end_of_tick_collateral_tree")
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

    # Steps 1 to 5

    def _open_day(self) -> None:
        self.rules.begin_day()
        for number, bank in enumerate(self.banks):
            bank.budget, bank.settled_today = None, 0
            if self.scenario.registers == "daily":
                bank.registers.clear()
            if self._tick and self.scenario.daily_balances == "reset":
                self._reset(number)

    def _apply_scenario_events(self) -> None:
        for event in self._scenario_events.get(self._tick, ()):
            if isinstance(event, DirectTransfer):
                self._transfer(self._number[event.from_agent], self._number[event.to_agent], event.amount)
                continue
            number = self._number[event.agent]
            bank = self.banks[number]
            if isinstance(event, CollateralAdjustment):
                self._adjust_collateral(number, event.delta)
            elif isinstance(event, CreditLimitChange):
                bank.cap = event.unsecured_cap
                self._record_event(EventKind.CreditLimitChanged, number, amount=bank.cap)
            elif isinstance(event, LimitChange):
                self._change_limit(number, event)
            elif isinstance(event, BalanceReset):
                bank.opened_with = event.opening_balance + bank.pool
                self._reset(number)
            else:
                lasts = len(event.ticks(self.scenario.simulation.ticks))
                self._record_event(EventKind.OutageBegan, number, amount=0, note=lasts)
        self._outages.begin_tick(self._tick)

    def _change_limit(self, number: int, event: LimitChange) -> None:
        other = None if event.counterparty is None else self._number[event.counterparty]
        self.rules.set_limit(number, other, event.limit)
        self._record_event(EventKind.LimitChanged, number, -1 if other is None else other, amount=event.limit)

    def _transfer(self, sender: int, receiver: int, amount: int) -> None:
        if not self._has_liquidity(sender, amount):
            self._record_event(EventKind.EventSkipped, sender, receiver, amount=amount, note=Skipped.CREDIT_FLOOR)
            return
        self._record_event(EventKind.Transfer, sender, receiver, amount=amount)
        self._pay({sender: amount}, {receiver: amount})

    def _reset(self, number: int) -> None:
        """Let a bank have what it has as a day begins."""
        bank = self.banks[number]
        if bank.balance != bank.opened_with:
            self._record_event(EventKind.BalanceReset, number, amount=bank.opened_with - bank.balance)
            bank.balance = bank.opened_with

    def _arrivals(self) -> None:
        for payment in self._arriving.get(self._tick, ()):
            item = Item(payment, 0, payment.amount)
            payment.sequence = payment.arrival_sequence = next(self._sequences)
            self.banks[payment.sender].queue1.append(item)
            self.banks[payment.sender].arrived += 1
            self._unsettled.append(item)
            self._record_item(EventKind.Arrival, item)

    # Step 6

    def _escalate(self) -> None:
        """Before it, in sequence: what waits near its deadline becomes more urgent; its pieces with it."""
        rule = self.scenario.priority_escalation
        if rule is None or not rule.enabled:
            return
        waiting: dict[int, list[Item]] = {}
        for item in [*(item for bank in self.banks for item in bank.queue1), *self.queue2]:
            waiting.setdefault(item.payment.index, []).append(item)
        for _, items in sorted(waiting.items()):
            payment = items[0].payment
            priority = escalated(rule, payment, self._tick)
            if priority > payment.priority:
                payment.priority = priority
                first = Item(payment, min(item.piece for item in items), total(items))
                self._record_item(EventKind.PriorityEscalated, first, note=priority)

    def _decisions(self) -> list[Item]:
        """The items that all banks release. None of them sees what another decides."""
        released: list[Item] = []
        again: list[tuple[Bank, int, dict[str, float]]] = []
        for number, bank in enumerate(self.banks):
            waiting, bank.queue1 = self._in_order_of_queue1(bank.queue1), []
            if number in self._outages.out:
                for item in waiting:
                    self._hold(bank, item)
                continue
            fields = self._bank_fields(bank, waiting) if isinstance(bank.policy, Trees) else {}
            so_far = 0
            for item in waiting:
                if fields:
                    fields["bilateral_limit_left"] = float(self.rules.bilateral_left(number, item.payment.receiver))
                pieces = self._one_decision(bank, item, so_far, fields)
                so_far += sum(piece.amount for piece in pieces)
                released += pieces
            if self._walks_queue2[number]:
                again.append((bank, so_far, fields))
        for bank, so_far, fields in again:
            self._decide_queue2(bank, so_far, fields)
        self.queue2.sort(key=self._order.key)
        return released

    def _decide_queue2(self, bank: Bank, released: int, fields: dict[str, float]) -> None:
        """Step 6b: apply a bank's tree to its payments in the central queue, in their order; split ones as they are."""
        number = self._number[bank.agent.id]
        for item in [item for item in self.queue2 if item.payment.sender == number]:
            payment = item.payment
            known = fields | self._between(number, payment.receiver)
            name, numbers = decide_payment(bank, item, self._tick, released, known, self.faults, in_queue2=True)
            if payment.is_split:
                continue
            if name == "WithdrawFromRtgs":
                payment.sequence = payment.arrival_sequence
                self.queue2.remove(item)
                bank.queue1 = sorted([*bank.queue1, item], key=lambda each: (each.payment.index, each.piece))
                self._record_item(EventKind.PolicyWithdraw, item)
            elif name == "ResubmitToRtgs":
                payment.priority, payment.sequence = numbers[0], next(self._sequences)
                self._record_item(EventKind.PolicyResubmit, item, note=payment.priority)

    def _in_order_of_queue1(self, waiting: list[Item]) -> list[Item]:
        """The payments of a bank's queue in the order in which it looks at them."""
        if self.scenario.queue1_ordering == "Fifo":
            return waiting
        return sorted(waiting, key=lambda item: (-item.payment.priority, item.payment.deadline, item.payment.index))

    def _one_decision(self, bank: Bank, item: Item, released: int, fields: dict[str, float]) -> list[Item]:
        """The items that come of a payment; a payment that is kept goes back to Queue 1."""
        is_avoided = item.payment.receiver in self._outages.avoided
        if item.release_tick is not None:
            return self._staggered(bank, item, is_avoided=is_avoided)
        known = fields | self._between(item.payment.sender, item.payment.receiver)
        name, numbers = decide_payment(bank, item, self._tick, released, known, self.faults)
        within = not is_avoided and self._is_within_budget(bank, item)
        if name in ("Split", "StaggerSplit") and not _can_split(item, numbers):
            name = "Hold"
        if name in ("Release", "ReleaseAt", "Split", "StaggerSplit") and within:
            bank.budget = None if bank.budget is None else bank.budget - item.amount
            bank.released_to[item.payment.receiver] += item.amount
            if name == "ReleaseAt":
                self._reprioritize(item, min(max(numbers[0], 0), 10))
            return [item] if name in ("Release", "ReleaseAt") else self._split(bank, item, *numbers)
        if name == "Drop":
            bank.dropped.append(item)
            self._record_item(EventKind.PolicyDrop, item)
            return []
        if name == "Reprioritize":
            bank.queue1.append(item)
            self._reprioritize(item, min(max(numbers[0], 0), 10))
            return []
        if isinstance(bank.policy, LiquidityAware) and not is_avoided:
            self.watch.has(self._number[bank.agent.id], buffer_lacks(bank, bank.policy, item, released))
        self._hold(bank, item)
        return []

    def _is_within_budget(self, bank: Bank, item: Item) -> bool:
        """True of a payment that its bank may release by its budget, to all and to each, and its focus."""
        receiver = item.payment.receiver
        if bank.focus and self.banks[receiver].agent.id not in bank.focus:
            return False
        if bank.budget_each is not None and bank.released_to[receiver] + item.amount > bank.budget_each:
            return False
        return bank.budget is None or item.amount <= bank.budget

    def _staggered(self, bank: Bank, item: Item, *, is_avoided: bool) -> list[Item]:
        """A piece that was held back, in its tick, or as soon as an outage lets it go; the policy is not asked."""
        if item.release_tick is None or self._tick < item.release_tick or is_avoided:
            bank.queue1.append(item)
            return []
        item.release_tick = None
        return [item]

    def _hold(self, bank: Bank, item: Item) -> None:
        bank.queue1.append(item)
        if not item.payment.was_held and item.release_tick is None:
            item.payment.was_held = True
            self._record_item(EventKind.PolicyHold, item)

    def _split(
        self, bank: Bank, item: Item, count: int, now: int | None = None, gap: int = 0, boost: int = 0
    ) -> list[Item]:
        """The pieces to be released: of `count` - 1 of the same amount, then the rest, the first `now`, or all.

        The others stay in Queue 1, in their parent's place, each for `gap` more ticks. `boost` is of their priority.
        """
        size = item.amount // count
        amounts = [size] * (count - 1) + [item.amount - size * (count - 1)]
        pieces = [Item(item.payment, place, amount, item.is_overdue) for place, amount in enumerate(amounts)]
        item.payment.pieces_left = count
        place = self._unsettled.index(item)
        self._unsettled[place : place + 1] = pieces
        bank.this_tick[Cost.SPLIT_FRICTION] += self.scenario.cost_rates.split_friction_cost * (count - 1)
        self._record_item(EventKind.PolicySplit, item, note=count)
        item.payment.is_split = True
        self._reprioritize(item, min(max(item.payment.priority + boost, 0), 10))
        first = count if now is None or gap == 0 else now
        for wait, piece in enumerate(pieces[first:], 1):
            piece.release_tick = self._tick + wait * gap
        bank.queue1 += pieces[first:]
        return pieces[:first]

    def _reprioritize(self, item: Item, priority: int) -> None:
        if priority != item.payment.priority:
            item.payment.priority = priority
            self._record_item(EventKind.PolicyReprioritize, item, note=priority)

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
        late = [item for item in self._unsettled if self._tick > item.payment.deadline and not item.is_overdue]
        for item in late:
            item.is_overdue = True
            self._record_item(EventKind.WentOverdue, item)
        for number, bank in enumerate(self.banks):
            overdue = [item for item in late if item.payment.sender == number]
            self._charging.end_tick(bank, self._unsettled_of(number), overdue)
            self._charge(number, bank)

    def _end_day(self) -> None:
        for number, bank in enumerate(self.banks):
            mine = self._unsettled_of(number)
            self._record_event(EventKind.EndOfDay, number, amount=total(mine), note=len(mine))
            self._charging.end_day(bank, mine)
            self._charge(number, bank)

    def _unsettled_of(self, number: int) -> list[Item]:
        return [item for item in self._unsettled if item.payment.sender == number]

    def _charge(self, number: int, bank: Bank) -> None:
        for kind, amount in enumerate(bank.this_tick):
            bank.costs[kind] += amount
            if amount:
                self._record_event(EventKind.CostAccrual, number, amount=amount, note=kind)
        bank.this_tick = [0] * len(Cost)


def _can_split(item: Item, numbers: Sequence[int]) -> bool:
    """True where a payment can be split into so many pieces, so many of them released at once, the rest by a gap."""
    count, now, gap = (*numbers, 0, 0)[:3]
    return item.payment.divisible and 2 <= count <= min(item.amount, MAX_PIECES) and 0 <= now <= count and gap >= 0
