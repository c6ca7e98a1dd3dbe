"""A scenario and its policies as the kernel takes them: whole numbers, every rate a fraction, trees a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.rates import LARGEST_DENOMINATOR, columns
from payment_simulator.engine.reference.banks import allocation
from payment_simulator.engine.reference.costs import cost_fields
from payment_simulator.engine.vocabulary import EventKind
from payment_simulator.policy.builtin import Deadline, LiquidityAware, Policy, Trees
from payment_simulator.policy.compile import Op, Program
from payment_simulator.policy.fields_and_actions import COST_FIELDS
from payment_simulator.scenario.numbers import BPS, LARGEST_CENTS, exact, half_up
from payment_simulator.scenario.scenario_events import CollateralAdjustment, DirectTransfer
from payment_simulator.scenario.schema import Agent, FixedPenalty, Penalty, RatePenalty, Scenario

Ints = NDArray[np.int64]

PENALTIES = {L.DEADLINE_RULE: "deadline_penalty", L.EOD_RULE: "eod_penalty_per_transaction"}
"""Places in the head of what `cost_rates` names so."""


@dataclass(frozen=True)
class CompiledScenario:
    """The part of a run that does not change from sample to sample.

    `template` is the head and the banks' rows as `layout` has them, and the columns of rates; `events` has five
    numbers for each transfer or adjustment of collateral: tick, kind, bank, other bank, amount; `code` and `numbers`
    are the trees' program.
    """

    template: Ints
    events: Ints
    code: Ints
    numbers: NDArray[np.float64]
    banks: int
    ticks: int
    has_pairs: bool


def compile_scenario(scenario: Scenario, policies: Sequence[Policy]) -> CompiledScenario:
    """The arrays of a scenario whose banks have `policies`, in the order of ids.

    Raises:
        ConfigError: a rate is written more finely than is multiplied exactly.
    """
    agents = scenario.agents_by_id()
    program = Program()
    rates = _Rates(len(agents))
    head = _head(scenario, rates)
    rows = [_bank(scenario, agent, policy, program, rates) for agent, policy in zip(agents, policies, strict=True)]
    lsm = scenario.lsm_config
    return CompiledScenario(
        template=np.concatenate([head, *rows, np.array(rates.columns, dtype=np.int64)]),
        events=_events(scenario),
        code=_code(program),
        numbers=_numbers(scenario, program),
        banks=len(agents),
        ticks=scenario.simulation.ticks,
        has_pairs=lsm.enable_bilateral or lsm.enable_cycles,
    )


def delay_rates(scenario: Scenario) -> tuple[Fraction, ...]:
    """Rates of delay, in cents per tick and cent: of priority 0 before and after the deadline, of priority 1, to 10."""
    rates = scenario.cost_rates
    times = rates.priority_delay_multipliers
    bands = (times.low_multiplier, times.normal_multiplier, times.urgent_multiplier)
    return _delay_rates(rates.delay_cost_per_tick_per_cent, bands, rates.overdue_delay_multiplier)


@lru_cache(maxsize=64)
def _delay_rates(base: float, bands: tuple[float, ...], overdue: float) -> tuple[Fraction, ...]:
    """Return the rates; kept, for each of a search's thousands of policies asks for them."""
    low, normal, urgent = (exact(base) * exact(band) for band in bands)
    return tuple(rate for each in [low] * 4 + [normal] * 4 + [urgent] * 3 for rate in (each, each * exact(overdue)))


class _Rates:
    """The columns of rates, one after another, behind the head and the banks."""

    def __init__(self, banks: int) -> None:
        self.columns: list[int] = []
        self._begin = int(L.HEAD + banks * L.BANK_COLUMNS)

    def add(self, name: str, *rates: Fraction, remedy: str = "round it to 30") -> int:
        """The place of the columns of rates that are added up before they are rounded; a refusal names `name`."""
        if lcm(*(rate.denominator for rate in rates)) > LARGEST_DENOMINATOR:
            raise ConfigError(f"{name} has more decimals than are counted exactly: {remedy}")
        place = self._begin + len(self.columns)
        self.columns += [number for rate in rates for number in columns(rate)]
        return place


def _head(scenario: Scenario, places: _Rates) -> Ints:
    head = np.zeros(L.HEAD, dtype=np.int64)
    rates, lsm = scenario.cost_rates, scenario.lsm_config
    head[L.BANKS] = len(scenario.agents)
    head[L.WATCHED], head[L.SHORTFALL] = L.NONE, L.NOTHING
    head[L.TICKS_PER_DAY] = scenario.simulation.ticks_per_day
    head[L.DEFERRED] = scenario.deferred_crediting
    head[L.BILATERAL] = lsm.enable_bilateral
    head[L.CYCLES] = lsm.enable_cycles
    head[L.MAX_CYCLE_LENGTH] = lsm.max_cycle_length
    head[L.MAX_CYCLES] = lsm.max_cycles_per_tick
    head[L.FRICTION] = rates.split_friction_cost
    for name, at in L.RATE_PLACES.items():
        head[at] = places.add(f"cost_rates.{name}", exact(getattr(rates, name)) / BPS)
    for at, name in PENALTIES.items():
        head[at : at + 2] = _rule(getattr(rates, name), f"cost_rates.{name}", places)
    delay = delay_rates(scenario)
    each = sorted(set(delay), reverse=True)  # 0 last: what costs nothing is not charged
    charged = [rate for rate in each if rate]
    name = "cost_rates.delay_cost_per_tick_per_cent: with its multipliers it"
    head[L.DELAY_RATE] = places.add(name, *charged, remedy="round them, to 37 together")
    head[L.DELAY_RATES] = len(charged)
    head[L.DELAY_RATE_OF : L.DELAY_RATE_OF + len(delay)] = [each.index(rate) for rate in delay]
    return head


def _bank(scenario: Scenario, agent: Agent, policy: Policy, program: Program, rates: _Rates) -> Ints:
    row = np.zeros(L.BANK_COLUMNS, dtype=np.int64)
    pool = allocation(agent, policy)
    row[L.OPENING] = agent.opening_balance + pool
    row[L.ALLOCATED] = pool
    row[L.CAP] = agent.unsecured_cap
    row[L.POSTED] = agent.posted_collateral
    row[L.CAPACITY] = agent.max_collateral_capacity
    row[L.AFTER_HAIRCUT] = rates.add(f"{agent.id}: collateral_haircut", 1 - exact(agent.collateral_haircut))
    row[L.LIQUIDITY_COST] = half_up(pool * exact(scenario.cost_rates.liquidity_cost_per_tick_bps) / BPS)
    row[L.POLICY] = _policy_number(policy)
    row[L.THRESHOLD] = _clipped(getattr(policy, "urgency_threshold", 0), 2**40)
    row[L.BUFFER] = _clipped(getattr(policy, "target_buffer", 0), LARGEST_CENTS)
    starts = program.add(policy) if isinstance(policy, Trees) else (-1, -1, -1)
    row[[L.PAYMENT_TREE, L.BANK_TREE, L.COLLATERAL_TREE]] = starts
    return row


def _events(scenario: Scenario) -> Ints:
    """Transfers and collateral, by tick, then file order."""
    number = {name: place for place, name in enumerate(scenario.agent_ids)}
    rows: list[tuple[int, ...]] = []
    for event in scenario.scenario_events:
        if isinstance(event, DirectTransfer):
            what = (EventKind.Transfer, number[event.from_agent], number[event.to_agent], event.amount)
        elif isinstance(event, CollateralAdjustment):
            what = (EventKind.CollateralPosted, number[event.agent], -1, event.delta)
        else:
            continue
        rows += [(tick, *what) for tick in event.schedule.ticks(scenario.simulation.ticks)]
    return np.array(sorted(rows, key=lambda row: row[0]), dtype=np.int64).ravel()


def _code(program: Program) -> Ints:
    """Operands are places in `numbers`: of fields, of registers, and of constants behind those."""
    before = {Op.FIELD: 0, Op.REGISTER: L.REGISTERS_AT, Op.CONSTANT: L.REGISTERS_AT + program.registers}
    code = [(op, argument + before.get(Op(op), 0)) for op, argument in program.code]
    return np.array(code, dtype=np.int64).ravel()


def _numbers(scenario: Scenario, program: Program) -> NDArray[np.float64]:
    numbers = np.zeros(L.REGISTERS_AT + program.registers + len(program.constants))
    numbers[L.F_COST : L.F_COST + len(COST_FIELDS)] = [*cost_fields(scenario.cost_rates).values()]
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
