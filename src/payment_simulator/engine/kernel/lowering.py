"""A scenario and its policies as the kernel takes them: whole numbers, every rate a fraction, trees a program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.engine.exact_costs import charged_delay_rates, delay_rates
from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.rates import LARGEST_DENOMINATOR, LIMBS, MOST_TIMES, columns
from payment_simulator.engine.reference.banks import allocation
from payment_simulator.engine.reference.costs import fixed_fields
from payment_simulator.engine.reference.payments import QueueOrder
from payment_simulator.engine.vocabulary import Cost, EventKind, class_of
from payment_simulator.policy.builtin import Deadline, LiquidityAware, Policy, Trees, trees_of
from payment_simulator.policy.compile import Op, Program
from payment_simulator.policy.fields_and_actions import BETWEEN, FIXED_FIELDS
from payment_simulator.policy.tree import names_in
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.cost_sections import FixedPenalty, Penalty, RatePenalty
from payment_simulator.scenario.escalation import MOST_URGENT
from payment_simulator.scenario.limit_sections import Limits, Reservations
from payment_simulator.scenario.numbers import BPS, LARGEST_CENTS, exact, half_up
from payment_simulator.scenario.scenario_events import (
    BalanceReset,
    CollateralAdjustment,
    CreditLimitChange,
    DirectTransfer,
    LimitChange,
    Outage,
    ScenarioEvent,
)
from payment_simulator.scenario.schema import Scenario

Ints = NDArray[np.int64]

PENALTIES = {L.DEADLINE_RULE: "deadline_penalty", L.EOD_RULE: "eod_penalty_per_transaction"}
"""Places in the head of what `cost_rates` names so."""

TREE_PLACES = (L.PAYMENT_TREE, L.BANK_TREE, L.COLLATERAL_TREE, L.END_TREE)
"""Places in a bank's row of where its trees begin, in the order of their kinds."""


@dataclass(frozen=True)
class CompiledScenario:
    """The part of a run that does not change from sample to sample.

    `template` is the head and the banks' rows as `layout` has them, and the columns of rates; `events` has five
    numbers for each event that is no payment: tick, kind, bank, other bank, amount; for an outage, in the last two
    places, 1 where payments to the bank settle, and its last tick. `code` and `numbers` are the trees' program.
    """

    template: Ints
    events: Ints
    code: Ints
    numbers: NDArray[np.float64]
    banks: int
    ticks: int
    has_pairs: bool
    has_timers: bool


def compile_scenario(scenario: Scenario, policies: Sequence[Policy]) -> CompiledScenario:
    """The arrays of a scenario whose banks have `policies`, in the order of ids.

    Raises:
        ConfigError: a rate is written more finely than is multiplied exactly.
    """
    agents = scenario.agents_by_id()
    program = Program(banks={agent.id: number for number, agent in enumerate(agents)})
    rates = _Rates(len(agents), scenario.cost_rounding == "carry")
    head = _head(scenario, rates)
    rows = [_bank(scenario, agent, policy, program, rates) for agent, policy in zip(agents, policies, strict=True)]
    lsm = scenario.lsm_config
    remainders = rates.remainders(len(agents))
    begin = L.HEAD + len(rows) * L.BANK_COLUMNS + len(rates.columns) + len(remainders)
    limits = _limits(scenario, rows, int(begin))
    named = names_in(*(tree for policy in policies for tree in trees_of(policy)))
    head[L.NAMES_PAIRS], head[L.HAS_TIMERS] = not named.isdisjoint(BETWEEN), "PostCollateralFor" in named
    head[L.HAS_END_TREES] = any(row[L.END_TREE] >= 0 for row in rows)
    head[L.CONSTANTS_AT] = L.REGISTERS_AT + program.registers
    head[L.BATCHES_AT], head[L.BATCHES] = begin + len(limits), len(scenario.netting_batches)
    batches = np.array(scenario.netting_batches, dtype=np.int64)
    head[L.REMAINDERS_AT] = L.HEAD + len(rows) * L.BANK_COLUMNS + len(rates.columns) if len(remainders) else 0
    return CompiledScenario(
        template=np.concatenate([head, *rows, np.array(rates.columns, dtype=np.int64), remainders, limits, batches]),
        events=_events(scenario),
        code=_code(program),
        numbers=_numbers(scenario, program),
        banks=len(agents),
        ticks=scenario.simulation.ticks,
        has_pairs=lsm.enable_bilateral or lsm.enable_cycles or scenario.offsets_on_entry or bool(head[L.NAMES_PAIRS]),
        has_timers=bool(head[L.HAS_TIMERS]),
    )


class _Rates:
    """The columns of rates, one after another, behind the head and the banks; and the remainders of what is carried."""

    def __init__(self, banks: int, carries: bool) -> None:
        self.columns: list[int] = []
        self._carries = carries
        self._begin = int(L.HEAD + banks * L.BANK_COLUMNS)

    def add(
        self, name: str, *rates: Fraction, remedy: str = "round it to 30", if_carried: str = "round it to 26"
    ) -> int:
        """The place of the columns of rates that are added up before they are rounded; a refusal names `name`.

        Where remainders are carried, sums over the run are rounded, and fewer decimals are exact; not so for an empty
        `if_carried`: of a rate whose shares are never added up.
        """
        largest = LARGEST_DENOMINATOR
        if self._carries and if_carried:
            largest, remedy = largest // MOST_TIMES, f"with cost_rounding: carry, {if_carried}"
        if lcm(*(rate.denominator for rate in rates)) > largest:
            raise ConfigError(f"{name} has more decimals than are counted exactly: {remedy}")
        place = self._begin + len(self.columns)
        self.columns += [number for rate in rates for number in columns(rate)]
        return place

    def remainders(self, banks: int) -> Ints:
        """The remainders of each bank and kind of cost as a run begins: a half, for what is carried is rounded down."""
        found = np.zeros((banks * len(Cost) if self._carries else 0, LIMBS), dtype=np.int64)
        found[:, 0] = L.HALF
        return found.ravel()


def _head(scenario: Scenario, places: _Rates) -> Ints:
    head = np.zeros(L.HEAD, dtype=np.int64)
    rates, lsm = scenario.cost_rates, scenario.lsm_config
    head[L.BANKS] = len(scenario.agents)
    head[L.WATCHED], head[L.SHORTFALL] = L.NONE, L.NOTHING
    head[L.TICKS_PER_DAY] = scenario.simulation.ticks_per_day
    head[L.DEFERRED] = scenario.deferred_crediting
    head[L.RESETS_REGISTERS] = scenario.registers == "daily"
    head[L.BILATERAL] = lsm.enable_bilateral
    head[L.CYCLES] = lsm.enable_cycles
    head[L.MAX_CYCLE_LENGTH] = lsm.max_cycle_length
    head[L.MAX_CYCLES] = lsm.max_cycles_per_tick
    head[L.MAX_EDGES] = lsm.max_cycle_edges
    head[L.MULTILATERAL] = lsm.enable_multilateral
    head[L.ON_ENTRY] = scenario.offsets_on_entry
    head[L.RTGS] = scenario.rtgs
    head[L.FRICTION] = rates.split_friction_cost
    head[L.PENALISES_OVERDUE] = rates.eod_penalty_scope == "overdue"
    head[L.RESETS_DAILY] = scenario.daily_balances == "reset"
    head[L.HAS_OUTAGES] = any(isinstance(event, Outage) for event in scenario.scenario_events)
    response = scenario.outage_response
    _set_queues(head, scenario)
    head[L.STOP_SENDING_AFTER] = L.NEVER if response is None else response.stop_sending_after
    for name, at in L.RATE_PLACES.items():
        head[at] = places.add(f"cost_rates.{name}", exact(getattr(rates, name)) / BPS)
    for at, name in PENALTIES.items():
        head[at : at + 2] = _rule(getattr(rates, name), f"cost_rates.{name}", places)
    delay = delay_rates(scenario)
    charged = charged_delay_rates(scenario)
    each = [*charged, Fraction(0)]  # what costs nothing is not charged
    name = "cost_rates.delay_cost_per_tick_per_cent: with its multipliers it"
    head[L.DELAY_RATE] = places.add(
        name, *charged, remedy="round them, to 37 together", if_carried="round them, to 30 together"
    )
    head[L.DELAY_RATES] = len(charged)
    head[L.DELAY_RATE_OF : L.DELAY_RATE_OF + len(delay)] = [each.index(rate) for rate in delay]
    return head


def _set_queues(head: Ints, scenario: Scenario) -> None:
    """Set the orders of both queues, what may bar a payment, and how priorities rise."""
    order = QueueOrder(scenario.queue_order)
    head[L.LAYER_OF : L.LAYER_OF + L.PRIORITIES] = [
        order.urgency(MOST_URGENT) - order.urgency(priority) for priority in range(L.PRIORITIES)
    ]
    head[L.CLASS_OF : L.CLASS_OF + L.PRIORITIES] = [class_of(priority) for priority in range(L.PRIORITIES)]
    head[L.STRICT] = scenario.queue2.release == "strict"
    head[L.HAS_RULES] = scenario.has_rules or scenario.queue2.release == "strict"
    head[L.RETRIES_ONCE] = scenario.queue2_passes == "once"
    head[L.HAS_BARRIERS] = head[L.HAS_RULES] or head[L.HAS_OUTAGES] or not scenario.rtgs
    head[L.SORTS_QUEUE1] = scenario.queue1_ordering == "priority_deadline"
    rule = scenario.priority_escalation
    if rule is not None and rule.enabled:
        head[L.ESCALATES_AT], head[L.MAX_BOOST] = rule.start_escalating_at_ticks, rule.max_boost


def _bank(scenario: Scenario, agent: Agent, policy: Policy, program: Program, rates: _Rates) -> Ints:
    row = np.zeros(L.BANK_COLUMNS, dtype=np.int64)
    pool = allocation(agent, policy)
    row[L.OPENING] = agent.opening_balance + pool
    row[L.ALLOCATED] = pool
    row[L.CAP] = agent.unsecured_cap
    row[L.OUT_UNTIL] = L.NONE
    row[L.POSTED] = agent.posted_collateral
    row[L.CAPACITY] = agent.max_collateral_capacity
    row[L.AFTER_HAIRCUT] = rates.add(
        f"{agent.id}: collateral_haircut", 1 - exact(agent.collateral_haircut), if_carried=""
    )
    row[L.LIQUIDITY_COST] = half_up(pool * exact(scenario.cost_rates.liquidity_cost_per_tick_bps) / BPS)
    row[L.POLICY] = _policy_number(policy)
    row[L.THRESHOLD] = _clipped(getattr(policy, "urgency_threshold", 0), 2**40)
    row[L.BUFFER] = _clipped(getattr(policy, "target_buffer", 0), LARGEST_CENTS)
    row[[*TREE_PLACES]] = program.add(policy) if isinstance(policy, Trees) else -1
    row[L.BUDGET_EACH] = L.NOTHING
    return row


def _limits(scenario: Scenario, rows: Sequence[Ints], begin: int) -> Ints:
    """The rows of bilateral limits, which begin at a place of the template; what they are in the rows of banks."""
    number = {name: place for place, name in enumerate(scenario.agent_ids)}
    changes = [event for event in scenario.scenario_events if isinstance(event, LimitChange)]
    found: list[int] = []
    for agent, row in zip(scenario.agents_by_id(), rows, strict=True):
        limits = agent.all_limits or Limits()
        ours = {
            event.counterparty: int(L.NOTHING) for event in changes if event.agent == agent.id and event.counterparty
        }
        ours |= limits.bilateral_limits
        row[L.MULTILATERAL_LIMIT] = L.NOTHING if limits.multilateral_limit is None else limits.multilateral_limit
        row[L.IS_NET] = limits.measure == "net"
        row[L.LIMITS], row[L.LIMIT_COUNT] = begin + len(found), len(ours)
        for other, limit in sorted((number[name], limit) for name, limit in ours.items()):
            found += [int(other), int(limit), *[0] * int(L.LIMIT_COLUMNS - 2)]
        reservations = agent.reservations or Reservations()
        row[L.URGENT_RESERVED], row[L.NORMAL_RESERVED] = reservations.urgent, reservations.normal
    return np.array(found, dtype=np.int64)


def _events(scenario: Scenario) -> Ints:
    """Return what happens beside payments, by tick, then file order."""
    number = {name: place for place, name in enumerate(scenario.agent_ids)}
    rows: list[tuple[int, ...]] = []
    for event in scenario.scenario_events:
        if (what := _event(event, number)) is not None:
            ticks = event.ticks(scenario.simulation.ticks)
            rows += [(tick, *what) for tick in (ticks[:1] if isinstance(event, Outage) else ticks)]
    return np.array(sorted(rows, key=lambda row: row[0]), dtype=np.int64).ravel()


def _event(event: ScenarioEvent, number: Mapping[str, int]) -> tuple[int, ...] | None:
    if isinstance(event, DirectTransfer):
        return EventKind.Transfer, number[event.from_agent], number[event.to_agent], event.amount
    if isinstance(event, CollateralAdjustment):
        return EventKind.CollateralPosted, number[event.agent], -1, event.delta
    if isinstance(event, CreditLimitChange):
        return EventKind.CreditLimitChanged, number[event.agent], -1, event.unsecured_cap
    if isinstance(event, LimitChange):
        other = -1 if event.counterparty is None else number[event.counterparty]
        return EventKind.LimitChanged, number[event.agent], other, event.limit
    if isinstance(event, BalanceReset):
        return EventKind.BalanceReset, number[event.agent], -1, event.opening_balance
    if isinstance(event, Outage):
        return EventKind.OutageBegan, number[event.agent], event.incoming, event.end_tick
    return None


def _code(program: Program) -> Ints:
    """Operands are places in `numbers`: of fields, of registers, and of constants behind those."""
    before = {Op.FIELD: 0, Op.REGISTER: L.REGISTERS_AT, Op.CONSTANT: L.REGISTERS_AT + program.registers}
    code = [(op, argument + before.get(Op(op), 0)) for op, argument in program.code]
    return np.array(code, dtype=np.int64).ravel()


def _numbers(scenario: Scenario, program: Program) -> NDArray[np.float64]:
    numbers = np.zeros(L.REGISTERS_AT + program.registers + len(program.constants))
    numbers[L.F_COST : L.F_COST + len(FIXED_FIELDS)] = [*fixed_fields(scenario).values()]
    numbers[L.REGISTERS_AT + program.registers :] = program.constants
    return numbers


def _rule(penalty: Penalty, name: str, places: _Rates) -> tuple[int, int]:
    """Cents, or the place of the rate that counts in their stead."""
    if isinstance(penalty, RatePenalty):
        return 0, places.add(name, exact(penalty.bps_per_event) / BPS)
    return penalty.amount if isinstance(penalty, FixedPenalty) else penalty, -1


def _policy_number(policy: Policy) -> int:
    if isinstance(policy, Trees):
        return int(L.TREES)
    if isinstance(policy, LiquidityAware):
        return int(L.LIQUIDITY_AWARE)
    return int(L.DEADLINE if isinstance(policy, Deadline) else L.FIFO)


def _clipped(value: int, largest: int) -> int:
    return max(min(value, largest), -largest)
