"""What banks do with their money before they decide on payments: collateral and its timers, budgets and registers."""

from collections import Counter
from collections.abc import Sequence

from payment_simulator.engine.reference.banks import Bank, least_collateral
from payment_simulator.engine.reference.costs import fixed_fields, total
from payment_simulator.engine.reference.decisions import bank_fields, tree_of
from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.reference.settlement import Settlement
from payment_simulator.engine.vocabulary import EventKind, Record, Skipped
from payment_simulator.policy.builtin import Policy, trees_of
from payment_simulator.policy.fields_and_actions import BETWEEN
from payment_simulator.policy.tree import Faults, decide, names_in, whole
from payment_simulator.scenario.schema import Scenario

THROUGHPUT = "my_throughput_fraction_today"


class Treasury(Settlement):
    """The banks' collateral, and the trees of steps 4 and 5, and of the tick's end; `faults` are those of all trees."""

    def __init__(self, scenario: Scenario, policies: Sequence[Policy], *, record: Record, watched: int) -> None:
        super().__init__(scenario, policies, record=record, watched=watched)
        self.faults = Faults()
        self._number = {name: number for number, name in enumerate(scenario.agent_ids)}
        self._fixed_fields = fixed_fields(scenario)
        self._named = [names_in(*trees_of(policy)) for policy in policies]

    def _adjust_collateral(self, number: int, delta: int) -> None:
        bank = self.banks[number]
        posted = bank.posted + delta
        reason = None
        if posted < 0 or (delta > 0 and posted > bank.agent.max_collateral_capacity):
            reason = Skipped.CAPACITY
        elif delta < 0 and not self.watch.has(number, -bank.balance - bank.credit(posted)):
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

    def _end_timers(self) -> None:
        """Withdraw what was posted until now, all of it together, cut to what the credit in use leaves."""
        for number, bank in enumerate(self.banks):
            due = sum(amount for tick, amount in bank.timers if tick == self._tick)
            bank.timers = [each for each in bank.timers if each[0] > self._tick]
            self._post(number, -min(due, max(bank.posted - least_collateral(bank), 0)))

    def _collateral_trees(self, kind: str) -> None:
        for number, bank in enumerate(self.banks):
            if (tree := tree_of(bank, kind)) is None or number in self._outages.out:
                continue
            action, arguments = decide(tree, self._bank_fields(bank, bank.queue1), self.faults)
            wanted = max(whole(arguments[0]), 0) if arguments else 0
            if action.name in ("PostCollateral", "PostCollateralFor"):
                posted = min(wanted, max(bank.agent.max_collateral_capacity - bank.posted, 0))
                self._post(number, posted)
                if action.name == "PostCollateralFor" and posted:
                    bank.timers.append((self._tick + max(whole(arguments[1]), 1), posted))
            elif action.name == "WithdrawCollateral":
                self._post(number, -min(wanted, max(bank.posted - least_collateral(bank), 0)))

    def _bank_trees(self) -> None:
        for number, bank in enumerate(self.banks):
            bank.focus, bank.budget_each, bank.released_to = (), None, Counter()
            bank.budget = None if bank.budget_is_of_tick else bank.budget
            bank.budget_is_of_tick = False
            if (tree := tree_of(bank, "bank_tree")) is None or number in self._outages.out:
                continue
            action, arguments = decide(tree, self._bank_fields(bank, bank.queue1), self.faults)
            key = str(action.key)
            if action.name == "SetReleaseBudget":
                bank.budget = max(whole(arguments[0]), 0)
            elif action.name == "SetBudgetOfTick":
                amount, each, lasts = map(whole, arguments)
                bank.budget, bank.budget_is_of_tick, bank.focus = max(amount, 0), not lasts, action.banks
                bank.budget_each = None if each < 0 else each
            elif action.name == "SetState":
                bank.registers[key] = arguments[0]
            elif action.name == "AddState":
                bank.registers[key] = self.faults.defined(bank.registers.get(key, 0.0) + arguments[0])

    def _bank_fields(self, bank: Bank, queue1: Sequence[Item]) -> dict[str, float]:
        number = self._number[bank.agent.id]
        own = [item for item in self.queue2 if item.payment.sender == number]
        found = bank_fields(bank, queue1, own, self._tick, self.scenario.simulation.ticks_per_day)
        if THROUGHPUT in self._named[number]:
            due = bank.settled_today + total(item for item in self._unsettled if item.payment.sender == number)
            found[THROUGHPUT] = bank.settled_today / due if due else 1.0
        return found | self._fixed_fields | {"multilateral_limit_left": float(self.rules.multilateral_left(number))}

    def _between(self, number: int, other: int) -> dict[str, float]:
        """The fields of a payment to another bank that count what waits between the two in the central queue."""
        if self._named[number].isdisjoint(BETWEEN):
            return {}
        out, into = (
            total(item for item in self.queue2 if (item.payment.sender, item.payment.receiver) == pair)
            for pair in ((number, other), (other, number))
        )
        return {name: float(cents) for name, cents in zip(BETWEEN, (out, into, out - into), strict=True)}
