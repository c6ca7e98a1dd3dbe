"""The definition: a run in plain Python, written for reading. `kernel` gives the same, to the cent and to the event."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from payment_simulator.engine.reference.lsm import MAX_EDGES_PER_TICK, CycleSearch
from payment_simulator.engine.reference.payments import Item, Payment
from payment_simulator.engine.vocabulary import Cost, EventKind, Skipped
from payment_simulator.policy.builtin import Deadline, LiquidityAware, Policy, Trees
from payment_simulator.policy.tree import MAX_PIECES, Faults, Node, decide, whole
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.numbers import BPS, exact, half_up
from payment_simulator.scenario.scenario_events import CollateralAdjustment, DirectTransfer
from payment_simulator.scenario.schema import Agent, FixedPenalty, Penalty, RatePenalty, Scenario

LOOK, LOOKS_AN_EDGE, LOOKS_AT_HEADROOM = 0.003, 30, 20
"""Of the work of a payment that waits a tick, what it is to look at one in a queue; an edge and a headroom are more."""


@dataclass(eq=False)
class Bank:
    """One bank and what it has at this moment. Money in cents."""

    agent: Agent
    policy: Policy
    pool: int
    balance: int
    posted: int
    pending: int = 0
    queue1: list[Item] = field(default_factory=list)
    dropped: list[Item] = field(default_factory=list)
    budget: int | None = None
    registers: dict[str, float] = field(default_factory=dict)
    costs: list[int] = field(default_factory=lambda: [0] * len(Cost))
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
        """How far below 0 the balance may go with so much collateral."""
        return self.agent.unsecured_cap + int(posted * (1 - exact(self.agent.collateral_haircut)) // 1)

    @property
    def headroom(self) -> int:
        """The most that it can pay now."""
        return self.balance + self.credit(self.posted)

    @property
    def credit_used(self) -> int:
        """What the balance is below 0."""
        return max(0, -self.balance)


class Run:
    """One run. After `go`, `banks`, `settled_value`, `lsm_value`, `faults` and `rows` have what came of it."""

    def __init__(self, scenario: Scenario, arrivals: Arrivals, policies: Sequence[Policy], *, record: bool) -> None:
        self.scenario = scenario
        self.banks = [_opened(agent, policy) for agent, policy in zip(scenario.agents_by_id(), policies, strict=True)]
        self.queue2: list[Item] = []
        self.settled_value = self.lsm_value = 0
        self.faults = Faults()
        self.rows: list[tuple[int, ...]] = []
        self._record = record
        self._tick = 0
        self._offsets = self._looks = 0
        self._arriving = _payments_by_tick(arrivals)
        self._happening = _events_by_tick(scenario)
        self._number = {name: number for number, name in enumerate(scenario.agent_ids)}
        self._unsettled: list[Item] = []

    def go(self, patience: float = math.inf) -> float:
        """All ticks, one after another; of the `patience` what is left, below 0 where it ended before the last tick.

        Patience is counted in payments that wait a tick, and banks in a tick, some ten microseconds each.
        """
        a_day = self.scenario.simulation.ticks_per_day
        for number, bank in enumerate(self.banks):
            if bank.pool:
                self._say(EventKind.LiquidityAllocated, number, amount=bank.pool)
        for tick in range(self.scenario.simulation.ticks):
            self._tick = tick
            if self._tick % a_day == 0:
                for bank in self.banks:
                    bank.budget = None
            self._scenario_events()
            self._arrivals()
            self._collateral_trees()
            self._bank_trees()
            self._settle_releases(self._decisions())
            self._retry_queue2()
            self._bilateral_offsets()
            self._cycles()
            self._apply_credits()
            self._accrue_costs()
            if self._tick % a_day == a_day - 1:
                self._end_day()
            if (patience := patience - self._work_of_tick()) < 0:
                break
        return patience

    def _work_of_tick(self) -> float:
        """What waits is walked for its costs, and looked through for each bank, and for offsets again and again."""
        banks, payments = len(self.banks), len(self._unsettled) + len(self._arriving.get(self._tick, ()))
        work = banks + payments + LOOK * (self._looks + banks * payments)
        self._looks = 0
        return work

    # Steps 2 to 5

    def _scenario_events(self) -> None:
        for event in self._happening.get(self._tick, ()):
            if isinstance(event, DirectTransfer):
                sender, receiver = self._number[event.from_agent], self._number[event.to_agent]
                if event.amount > self.banks[sender].headroom:
                    self._say(EventKind.EventSkipped, sender, receiver, amount=event.amount, note=Skipped.CREDIT_FLOOR)
                    continue
                self._say(EventKind.Transfer, sender, receiver, amount=event.amount)
                self._pay({sender: event.amount}, {receiver: event.amount})
            else:
                self._adjust_collateral(self._number[event.agent], event.delta)

    def _adjust_collateral(self, number: int, delta: int) -> None:
        bank = self.banks[number]
        posted = bank.posted + delta
        reason = None
        if posted < 0 or (delta > 0 and posted > bank.agent.max_collateral_capacity):
            reason = Skipped.CAPACITY
        elif bank.balance + bank.credit(posted) < 0:
            reason = Skipped.CREDIT_FLOOR
        if reason is not None:
            self._say(EventKind.EventSkipped, number, amount=delta, note=reason)
        else:
            self._post(number, delta)

    def _post(self, number: int, delta: int) -> None:
        """Post so much collateral, or withdraw it."""
        self.banks[number].posted += delta
        if delta:
            kind = EventKind.CollateralPosted if delta > 0 else EventKind.CollateralWithdrawn
            self._say(kind, number, amount=abs(delta))

    def _arrivals(self) -> None:
        for payment in self._arriving.get(self._tick, ()):
            item = Item(payment, 0, payment.amount)
            self.banks[payment.sender].queue1.append(item)
            self.banks[payment.sender].arrived += 1
            self._unsettled.append(item)
            self._say_item(EventKind.Arrival, item)

    def _collateral_trees(self) -> None:
        for number, bank in enumerate(self.banks):
            if (found := self._decide(bank, "collateral_tree", self._bank_fields(bank))) is None:
                continue
            (name, _), arguments = found
            wanted = max(whole(arguments[0]), 0) if arguments else 0
            if name == "PostCollateral":
                self._post(number, min(wanted, max(bank.agent.max_collateral_capacity - bank.posted, 0)))
            elif name == "WithdrawCollateral":
                self._post(number, -min(wanted, max(bank.posted - _least_collateral(bank), 0)))

    def _bank_trees(self) -> None:
        for bank in self.banks:
            if (found := self._decide(bank, "bank_tree", self._bank_fields(bank))) is None:
                continue
            (name, key), arguments = found
            if name == "SetReleaseBudget":
                bank.budget = max(whole(arguments[0]), 0)
            elif name == "SetState":
                bank.registers[str(key)] = arguments[0]
            elif name == "AddState":
                bank.registers[str(key)] = bank.registers.get(str(key), 0.0) + arguments[0]

    def _decide(
        self, bank: Bank, kind: str, fields: Callable[[], dict[str, float]]
    ) -> tuple[tuple[str, str | None], tuple[float, ...]] | None:
        """What a tree of the bank says: the action, its register, its arguments; None where it has no such tree."""
        tree: Node | None = getattr(bank.policy, kind) if isinstance(bank.policy, Trees) else None
        if tree is None:
            return None
        action, arguments = decide(tree, fields(), self.faults)
        return (action.name, action.key), arguments

    # Step 6

    def _decisions(self) -> list[Item]:
        """What all banks release. None of them sees what another decides."""
        released: list[Item] = []
        for bank in self.banks:
            waiting, bank.queue1 = bank.queue1, []
            fields = self._bank_fields(bank, waiting)() if isinstance(bank.policy, Trees) else {}
            so_far = 0
            for item in waiting:
                pieces = self._one_decision(bank, item, so_far, fields)
                so_far += sum(piece.amount for piece in pieces)
                released += pieces
        return released

    def _one_decision(self, bank: Bank, item: Item, released: int, fields: dict[str, float]) -> list[Item]:
        """The items that come of a payment; a payment that is kept goes back to Queue 1."""
        name, number = self._ask(bank, item, released, fields)
        within = bank.budget is None or item.amount <= bank.budget
        if name == "Split" and not (item.payment.divisible and 2 <= number <= min(item.amount, MAX_PIECES)):
            name = "Hold"
        if name in ("Release", "Split") and within:
            if bank.budget is not None:
                bank.budget -= item.amount
            return [item] if name == "Release" else self._split(bank, item, number)
        if name == "Drop":
            bank.dropped.append(item)
            self._say_item(EventKind.PolicyDrop, item)
            return []
        bank.queue1.append(item)
        if name == "Reprioritize":
            self._reprioritize(item, min(max(number, 0), 10))
        elif not item.payment.was_held:
            item.payment.was_held = True
            self._say_item(EventKind.PolicyHold, item)
        return []

    def _ask(self, bank: Bank, item: Item, released: int, fields: dict[str, float]) -> tuple[str, int]:
        """The action, and its number where it has one."""
        policy, left = bank.policy, item.payment.deadline - self._tick
        if isinstance(policy, Trees):
            own = self._payment_fields(bank, item, released)
            action, arguments = decide(policy.payment_tree, fields | own, self.faults)
            return action.name, whole(arguments[0]) if arguments else 0
        if isinstance(policy, Deadline):
            return ("Release" if left <= policy.urgency_threshold else "Hold"), 0
        if isinstance(policy, LiquidityAware):
            affords = bank.balance - released - item.amount >= policy.target_buffer
            return ("Release" if affords or left <= policy.urgency_threshold else "Hold"), 0
        return "Release", 0

    def _split(self, bank: Bank, item: Item, count: int) -> list[Item]:
        """`count` - 1 pieces of the same amount, then the rest."""
        size = item.amount // count
        amounts = [size] * (count - 1) + [item.amount - size * (count - 1)]
        pieces = [Item(item.payment, place, amount, item.is_overdue) for place, amount in enumerate(amounts)]
        item.payment.pieces_left = count
        place = self._unsettled.index(item)
        self._unsettled[place : place + 1] = pieces
        bank.this_tick[Cost.SPLIT_FRICTION] += self.scenario.cost_rates.split_friction_cost * (count - 1)
        self._say_item(EventKind.PolicySplit, item, note=count)
        return pieces

    def _reprioritize(self, item: Item, priority: int) -> None:
        if priority != item.payment.priority:
            item.payment.priority = priority
            self._say_item(EventKind.PolicyReprioritize, item, note=priority)

    # Steps 7 to 9

    def _settle_releases(self, released: list[Item]) -> None:
        for item in sorted(released, key=lambda item: item.queue_key):
            self._say_item(EventKind.Submitted, item)
            if item.amount <= self.banks[item.payment.sender].headroom:
                self._settle([item], EventKind.SettledImmediately)
            else:
                self.queue2.append(item)
                self._say_item(EventKind.Queued, item)
        self.queue2.sort(key=lambda item: item.queue_key)

    def _retry_queue2(self) -> None:
        self._looks += LOOKS_AT_HEADROOM * len(self.queue2)
        while fitting := next((i for i in self.queue2 if i.amount <= self.banks[i.payment.sender].headroom), None):
            self._looks += LOOKS_AT_HEADROOM * len(self.queue2)
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
            net = _total(sides[first]) - _total(sides[second])
            payer = first if net > 0 else second
            if abs(net) <= self.banks[payer].headroom:
                self._offset([*sides[first], *sides[second]], EventKind.LsmBilateralOffset)
                return
            sides[payer].pop()

    def _queued(self, sender: int, receiver: int) -> list[Item]:
        """What is in Queue 2 from one bank to another, in queue order."""
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
        self._looks += LOOKS_AN_EDGE * (MAX_EDGES_PER_TICK - search.edges_left)

    def _edges(self) -> dict[int, dict[int, Item]]:
        """From each sender to each receiver, the first payment in Queue 2."""
        self._looks += len(self.queue2)
        edges: dict[int, dict[int, Item]] = defaultdict(dict)
        for item in self.queue2:
            edges[item.payment.sender].setdefault(item.payment.receiver, item)
        return edges

    def _covers(self, cycle: Sequence[Item]) -> bool:
        """Whether every bank in it can pay what it loses in it."""
        return all(
            item.amount - before.amount <= self.banks[item.payment.sender].headroom
            for before, item in zip([cycle[-1], *cycle], cycle, strict=False)
        )

    def _offset(self, items: Sequence[Item], kind: EventKind) -> None:
        for item in items:
            self.queue2.remove(item)
        self._settle(items, kind, self._offsets)
        self._offsets += 1
        self.lsm_value += _total(items)

    # Steps 10 to 12

    def _apply_credits(self) -> None:
        for number, bank in enumerate(self.banks):
            if bank.pending:
                bank.balance += bank.pending
                self._say(EventKind.CreditApplied, number, amount=bank.pending)
                bank.pending = 0
        for number, bank in enumerate(self.banks):
            bank.liquidity_used = max(bank.liquidity_used, bank.opened_with - bank.balance)
            bank.peak_credit = max(bank.peak_credit, bank.credit_used)
            bank.peak_queue1 = max(bank.peak_queue1, len(bank.queue1))
            bank.peak_queue2 = max(bank.peak_queue2, sum(i.payment.sender == number for i in self.queue2))

    def _accrue_costs(self) -> None:
        rates = self.scenario.cost_rates
        for item in self._unsettled:
            if self._tick > item.payment.deadline and not item.is_overdue:
                item.is_overdue = True
                self._say_item(EventKind.WentOverdue, item)
                penalty = _penalty(rates.deadline_penalty, item.amount)
                self.banks[item.payment.sender].this_tick[Cost.DEADLINE_PENALTY] += penalty
        for number, bank in enumerate(self.banks):
            mine = [item for item in self._unsettled if item.payment.sender == number]
            tick = bank.this_tick
            tick[Cost.LIQUIDITY] = _share(bank.pool, rates.liquidity_cost_per_tick_bps)
            tick[Cost.OVERDRAFT] = _share(bank.credit_used, rates.overdraft_bps_per_tick)
            tick[Cost.COLLATERAL] = _share(bank.posted, rates.collateral_cost_per_tick_bps)
            tick[Cost.DELAY] = half_up(sum((self._delay(item) for item in mine), Fraction(0)))
            self._charge(number, bank)

    def _delay(self, item: Item) -> Fraction:
        """What one tick of waiting costs, exactly."""
        rates, priority = self.scenario.cost_rates, item.payment.arrival_priority
        times = rates.priority_delay_multipliers
        band = (
            times.urgent_multiplier
            if priority >= 8
            else times.normal_multiplier
            if priority >= 4
            else times.low_multiplier
        )
        overdue = exact(rates.overdue_delay_multiplier) if item.is_overdue else 1
        return item.amount * exact(rates.delay_cost_per_tick_per_cent) * exact(band) * overdue

    def _end_day(self) -> None:
        rates = self.scenario.cost_rates
        for number, bank in enumerate(self.banks):
            mine = [item for item in self._unsettled if item.payment.sender == number]
            self._say(EventKind.EndOfDay, number, amount=_total(mine), note=len(mine))
            bank.this_tick[Cost.EOD_PENALTY] = sum(_penalty(rates.eod_penalty_per_transaction, i.amount) for i in mine)
            bank.this_tick[Cost.EOD_BORROWING] = _share(_total(mine), rates.eod_borrowing_bps)
            self._charge(number, bank)

    def _charge(self, number: int, bank: Bank) -> None:
        for kind, amount in enumerate(bank.this_tick):
            bank.costs[kind] += amount
            if amount:
                self._say(EventKind.CostAccrual, number, amount=amount, note=kind)
        bank.this_tick = [0] * len(Cost)

    # What several steps do

    def _settle(self, items: Sequence[Item], kind: EventKind, note: int = -1) -> None:
        """Move the money of `items` at once, each bank's net."""
        net: dict[int, int] = defaultdict(int)
        for item in items:
            payment, sender = item.payment, self.banks[item.payment.sender]
            net[payment.sender] -= item.amount
            net[payment.receiver] += item.amount
            self._unsettled.remove(item)
            self._say_item(kind, item, note=note)
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

    def _bank_fields(self, bank: Bank, queue1: Sequence[Item] | None = None) -> Callable[[], dict[str, float]]:
        """What trees may ask of a bank, worked out if one does."""

        def fields() -> dict[str, float]:
            number = self._number[bank.agent.id]
            own1 = bank.queue1 if queue1 is None else queue1
            own2 = [item for item in self.queue2 if item.payment.sender == number]
            a_day = self.scenario.simulation.ticks_per_day
            in_day = self._tick % a_day
            rates = self.scenario.cost_rates
            values = {
                "balance": bank.balance,
                "effective_liquidity": bank.headroom,
                "credit_used": bank.credit_used,
                "unsecured_cap": bank.agent.unsecured_cap,
                "posted_collateral": bank.posted,
                "max_collateral_capacity": bank.agent.max_collateral_capacity,
                "remaining_collateral_capacity": max(bank.agent.max_collateral_capacity - bank.posted, 0),
                "queue1_total_value": _total(own1),
                "queue1_size": len(own1),
                "queue2_own_value": _total(own2),
                "queue2_own_size": len(own2),
                "current_tick": self._tick,
                "current_day": self._tick // a_day,
                "system_tick_in_day": in_day,
                "ticks_remaining_in_day": a_day - 1 - in_day,
                "day_progress_fraction": in_day / a_day,
                "liquidity_cost_per_tick_bps": rates.liquidity_cost_per_tick_bps,
                "overdraft_bps_per_tick": rates.overdraft_bps_per_tick,
                "collateral_cost_per_tick_bps": rates.collateral_cost_per_tick_bps,
                "delay_cost_per_tick_per_cent": rates.delay_cost_per_tick_per_cent,
                "overdue_delay_multiplier": rates.overdue_delay_multiplier,
                "deadline_penalty": penalty_number(rates.deadline_penalty),
                "eod_penalty_per_transaction": penalty_number(rates.eod_penalty_per_transaction),
                "eod_borrowing_bps": rates.eod_borrowing_bps,
                "split_friction_cost": rates.split_friction_cost,
            }
            return {name: float(value) for name, value in values.items()} | bank.registers

        return fields

    def _payment_fields(self, bank: Bank, item: Item, released: int) -> dict[str, float]:
        """What a payment tree may ask of a payment, and of the bank less what it has `released` in this step."""
        payment = item.payment
        values = {
            "amount": payment.amount,
            "remaining_amount": item.amount,
            "priority": payment.priority,
            "is_divisible": payment.divisible,
            "ticks_to_deadline": payment.deadline - self._tick,
            "is_overdue": item.is_overdue,
            "arrival_tick": payment.arrival,
            "queue_age": self._tick - payment.arrival,
            "balance": bank.balance - released,
            "effective_liquidity": bank.headroom - released,
            "credit_used": max(0, released - bank.balance),
        }
        return {name: float(value) for name, value in values.items()}

    def _say_item(self, kind: EventKind, item: Item, note: int = -1) -> None:
        payment = item.payment
        self._say(kind, payment.sender, payment.receiver, payment.index, item.piece, item.amount, note)

    def _say(
        self,
        kind: EventKind,
        agent: int,
        other: int = -1,
        payment: int = -1,
        piece: int = -1,
        amount: int = -1,
        note: int = -1,
    ) -> None:
        """Record an event; see `vocabulary.ROW`."""
        if self._record:
            self.rows.append((self._tick, kind, agent, other, payment, piece, amount, note))


def allocation(agent: Agent, policy: Policy) -> int:
    """What a bank borrows of its pool: the policy's fraction of it, else the bank's own."""
    fraction = exact(agent.liquidity_allocation_fraction) if policy.fraction is None else policy.fraction
    return int(agent.liquidity_pool * fraction // 1)


def _opened(agent: Agent, policy: Policy) -> Bank:
    pool = allocation(agent, policy)
    balance = agent.opening_balance + pool
    return Bank(agent, policy, pool, balance, agent.posted_collateral, opened_with=balance)


def _payments_by_tick(arrivals: Arrivals) -> dict[int, list[Payment]]:
    found: dict[int, list[Payment]] = defaultdict(list)
    columns = (arrivals.sender, arrivals.receiver, arrivals.amount, arrivals.priority, arrivals.tick, arrivals.deadline)
    rows: Iterable[tuple[int, ...]] = zip(*(column.tolist() for column in columns), strict=True)
    for index, (row, divisible) in enumerate(zip(rows, arrivals.divisible.tolist(), strict=True)):
        sender, receiver, amount, priority, tick, deadline = row
        payment = Payment(index, sender, receiver, amount, priority, priority, tick, deadline, divisible)
        found[tick].append(payment)
    return found


def _events_by_tick(scenario: Scenario) -> dict[int, list[DirectTransfer | CollateralAdjustment]]:
    """Those that are no payments and no change of what is drawn, in file order."""
    found: dict[int, list[DirectTransfer | CollateralAdjustment]] = defaultdict(list)
    for event in scenario.scenario_events:
        if isinstance(event, DirectTransfer | CollateralAdjustment):
            for tick in event.schedule.ticks(scenario.simulation.ticks):
                found[tick].append(event)
    return found


def _least_collateral(bank: Bank) -> int:
    """The least that must stay posted for the credit in use."""
    needed = bank.credit_used - bank.agent.unsecured_cap
    if needed <= 0:
        return 0
    return int(-(-needed // (1 - exact(bank.agent.collateral_haircut))))


def _share(amount: int, bps: float) -> int:
    return half_up(amount * exact(bps) / BPS)


def _penalty(penalty: Penalty, amount: int) -> int:
    if isinstance(penalty, RatePenalty):
        return _share(amount, penalty.bps_per_event)
    return penalty.amount if isinstance(penalty, FixedPenalty) else penalty


def penalty_number(penalty: Penalty) -> float:
    """A penalty as trees see it: cents, or bps of the payment."""
    if isinstance(penalty, RatePenalty):
        return penalty.bps_per_event
    return float(penalty.amount if isinstance(penalty, FixedPenalty) else penalty)


def _total(items: Iterable[Item]) -> int:
    return sum(item.amount for item in items)
