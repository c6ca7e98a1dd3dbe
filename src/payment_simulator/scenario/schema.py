"""A scenario: the banks, what they pay each other, what it costs, and what happens on the way.

Money is in cents, time in ticks. A key that is not listed here is refused.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, JsonValue, Tag, model_validator

from labledger.sections import PositiveFloat, Section
from labledger.yaml_files import Location, ProblemsError
from payment_simulator.scenario.bank_names import problems_of_names
from payment_simulator.scenario.numbers import (
    Amount,
    Cents,
    Flag,
    Positive,
    Priority,
    Rate,
    Share,
    TickRange,
    Weight,
    check_range,
    without_control_characters,
)
from payment_simulator.scenario.scenario_events import ScenarioEvent, late_events

AgentId = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(without_control_characters)]

MAX_TICKS = 10_000_000
PRIORITY_BANDS = {"urgent": (8, 10), "normal": (4, 7), "low": (0, 3)}
NAMING = {"id", "arrival_config", "arrival_bands"}
"""Keys of a bank that name banks."""


class Simulation(Section):
    """The length of a run, and its seed."""

    ticks_per_day: Positive
    num_days: Positive = 1
    rng_seed: Annotated[int, Field(ge=0, lt=2**64, strict=True)] = 0

    @model_validator(mode="after")
    def _ends_one_day(self) -> Self:
        if self.ticks > MAX_TICKS:
            raise ValueError(f"ticks_per_day: times num_days is {self.ticks:,} ticks, over {MAX_TICKS:,}")
        return self

    @property
    def ticks(self) -> int:
        """The ticks of the whole run."""
        return self.ticks_per_day * self.num_days


class Normal(Section):
    """Amounts of a normal distribution, at least 1."""

    type: Literal["Normal"]
    mean: PositiveFloat
    std_dev: Rate


class LogNormal(Section):
    """Amounts of a log-normal distribution; mean and deviation are those of the amount, not of its logarithm."""

    type: Literal["LogNormal"]
    mean: PositiveFloat
    std_dev: Rate


class Uniform(Section):
    """Amounts from `min` to `max`, all with the same probability."""

    type: Literal["Uniform"]
    min: Amount
    max: Amount

    @model_validator(mode="after")
    def _min_first(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"max: {self.max} is less than min {self.min}")
        return self


class Exponential(Section):
    """Amounts of an exponential distribution, at least 1."""

    type: Literal["Exponential"]
    mean: PositiveFloat


AmountDistribution = Annotated[Normal | LogNormal | Uniform | Exponential, Field(discriminator="type")]


class EvenPriorities(Section):
    """Priorities from `min` to `max`, all with the same probability."""

    type: Literal["Uniform"]
    min: Priority
    max: Priority

    @model_validator(mode="after")
    def _min_first(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"max: {self.max} is less than min {self.min}")
        return self


class WeightedPriorities(Section):
    """Priorities from `values`, with probabilities in proportion to their weights."""

    type: Literal["Categorical"]
    values: Annotated[list[Priority], Field(min_length=1)]
    weights: list[Weight]

    @model_validator(mode="after")
    def _a_weight_each(self) -> Self:
        if len(self.weights) != len(self.values):
            raise ValueError(f"weights: {len(self.weights)} for {len(self.values)} values")
        if not sum(self.weights) > 0:
            raise ValueError("weights: none is above 0")
        return self


class ArrivalConfig(Section):
    """The payments that a bank sends: how many, how large, to whom, until when."""

    rate_per_tick: Annotated[float, Field(ge=0, le=1e6, strict=True)] = Field(description="Mean of a Poisson number.")
    amount_distribution: AmountDistribution
    counterparty_weights: dict[str, Weight] | None = Field(None, description="Default: all other banks alike.")
    deadline_range: TickRange = Field(description="Ticks after arrival, both ends included.")
    priority: Priority | None = None
    priority_distribution: Annotated[EvenPriorities | WeightedPriorities, Field(discriminator="type")] | None = None
    divisible: Flag = False

    @model_validator(mode="after")
    def _one_priority_and_a_range(self) -> Self:
        if self.priority is not None and self.priority_distribution is not None:
            raise ValueError("priority_distribution: and priority cannot both be given")
        check_range("deadline_range", self.deadline_range)
        if self.counterparty_weights is not None and not sum(self.counterparty_weights.values()) > 0:
            raise ValueError("counterparty_weights: none is above 0")
        return self


class ArrivalBands(Section):
    """An `arrival_config` for each band of priorities, which are even over the band unless given."""

    urgent: ArrivalConfig | None = None
    normal: ArrivalConfig | None = None
    low: ArrivalConfig | None = None

    @model_validator(mode="after")
    def _priorities_in_their_bands(self) -> Self:
        for name, (low, high) in PRIORITY_BANDS.items():
            config: ArrivalConfig | None = getattr(self, name)
            found = _priorities(config) if config else []
            if outside := [priority for priority in found if not low <= priority <= high]:
                raise ValueError(f"{name}: priority {outside[0]} is not in its band, {low} to {high}")
        return self


class Agent(Section):
    """A bank."""

    id: AgentId
    opening_balance: Cents = 0
    unsecured_cap: Cents = Field(0, description="Credit without collateral.")
    liquidity_pool: Cents = Field(0, description="What it may borrow for the run, at a cost per tick.")
    liquidity_allocation_fraction: Share = Field(1.0, description="Share of the pool that it borrows.")
    posted_collateral: Cents = 0
    max_collateral_capacity: Cents = Field(0, description="Most that may be posted by events and policies.")
    collateral_haircut: Share = 0.0
    policy: dict[str, JsonValue] = Field(default_factory=dict, description="Default: Fifo.")
    arrival_config: ArrivalConfig | None = None
    arrival_bands: ArrivalBands | None = None

    @model_validator(mode="after")
    def _one_kind_of_arrivals(self) -> Self:
        if self.arrival_config is not None and self.arrival_bands is not None:
            raise ValueError("arrival_bands: and arrival_config cannot both be given")
        return self

    def arrivals(self) -> Iterator[tuple[Location, ArrivalConfig]]:
        """Yield each of its arrival configurations, with its location in the bank."""
        if self.arrival_config is not None:
            yield ("arrival_config",), self.arrival_config
        for band in PRIORITY_BANDS if self.arrival_bands is not None else ():
            if (config := getattr(self.arrival_bands, band)) is not None:
                yield ("arrival_bands", band), config


class FixedPenalty(Section):
    """A penalty of a fixed number of cents."""

    mode: Literal["fixed"]
    amount: Cents


class RatePenalty(Section):
    """A penalty in proportion to the payment."""

    mode: Literal["rate"]
    bps_per_event: Rate


def _penalty_kind(value: Any) -> str:
    if isinstance(value, int):
        return "cents"
    return str(value.get("mode") if isinstance(value, dict) else getattr(value, "mode", None))


Penalty = Annotated[
    Annotated[Cents, Tag("cents")] | Annotated[FixedPenalty, Tag("fixed")] | Annotated[RatePenalty, Tag("rate")],
    Discriminator(
        _penalty_kind,
        custom_error_type="penalty",
        custom_error_message="Input should be cents, {mode: fixed, amount} or {mode: rate, bps_per_event}",
    ),
]


class PriorityMultipliers(Section):
    """Multipliers of the cost of delay for priorities 8-10, 4-7 and 0-3."""

    urgent_multiplier: Rate = 1.0
    normal_multiplier: Rate = 1.0
    low_multiplier: Rate = 1.0


class CostRates(Section):
    """The costs of liquidity and delay, in cents or basis points per tick unless the name has another unit."""

    liquidity_cost_per_tick_bps: Rate = 0.0
    overdraft_bps_per_tick: Rate = 0.0
    collateral_cost_per_tick_bps: Rate = 0.0
    delay_cost_per_tick_per_cent: Rate = 0.0
    priority_delay_multipliers: PriorityMultipliers = Field(default_factory=PriorityMultipliers)
    overdue_delay_multiplier: Rate = 1.0
    deadline_penalty: Penalty = 0
    eod_penalty_per_transaction: Penalty = 0
    eod_borrowing_bps: Rate = 0.0
    split_friction_cost: Cents = 0


class LsmConfig(Section):
    """Liquidity-saving mechanism: the offsets that the central queue looks for."""

    enable_bilateral: Flag = False
    enable_cycles: Flag = False
    max_cycle_length: Annotated[int, Field(ge=3, le=5, strict=True)] = 4
    max_cycles_per_tick: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 10


class Scenario(Section):
    """Everything that a simulation is made of."""

    simulation: Simulation
    agents: Annotated[list[Agent], Field(min_length=1)]
    cost_rates: CostRates = Field(default_factory=CostRates)
    lsm_config: LsmConfig = Field(default_factory=LsmConfig)
    deferred_crediting: Flag = False
    deadline_cap_at_eod: Flag = False
    scenario_events: list[ScenarioEvent] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        late = late_events(self.scenario_events, self.simulation.ticks)
        names = self.model_dump(include={"agents": {"__all__": NAMING}, "scenario_events": True})
        if found := [*problems_of_names(names), *late]:
            raise ProblemsError(found)
        return self

    @property
    def agent_ids(self) -> list[str]:
        """The ids of the banks, sorted: the order in which they decide."""
        return sorted(agent.id for agent in self.agents)

    def agents_by_id(self) -> list[Agent]:
        """Return the banks in the order of their ids."""
        return sorted(self.agents, key=lambda agent: agent.id)


def _priorities(config: ArrivalConfig) -> list[int]:
    chosen: Any = config.priority_distribution
    if isinstance(chosen, EvenPriorities):
        return [chosen.min, chosen.max]
    if isinstance(chosen, WeightedPriorities):
        return chosen.values
    return [] if config.priority is None else [config.priority]
