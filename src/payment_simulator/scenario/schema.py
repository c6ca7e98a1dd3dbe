"""A scenario: the banks, what they pay each other, what it costs, and what happens on the way.

Money is in cents, time in ticks. A key that is not listed here is refused.
"""

from typing import Annotated, Any, Literal, Self, Unpack

from pydantic import Field, PrivateAttr, model_validator

from labledger.sections import Section
from labledger.yaml_files import ProblemsError
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.bank_names import problems_of_names
from payment_simulator.scenario.banks import NAMING, Agent, BankFields, take_defaults
from payment_simulator.scenario.cost_sections import CostRates
from payment_simulator.scenario.dialect import with_dialect
from payment_simulator.scenario.escalation import PriorityEscalation
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.keywords import ScenarioKeywords
from payment_simulator.scenario.limit_sections import Queue2
from payment_simulator.scenario.numbers import Flag, Positive, Share, Tick
from payment_simulator.scenario.offset_sections import LsmConfig, problems_of_batches
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.scenario_events import (
    LimitChange,
    OutageResponse,
    ScenarioEvent,
    late_events,
    outages_at_once,
)

MAX_TICKS = 10_000_000


class Simulation(Section):
    """The length of a run, and its seed."""

    ticks_per_day: Positive = Field(description="Ticks. Length of a day.", examples=[100])
    num_days: Positive = Field(1, description="Days. Length of the run.")
    rng_seed: Annotated[int, Field(ge=0, lt=2**64, strict=True)] = Field(
        0, description="Number. Seed of the draws; the same seed, the same payments.", examples=[42]
    )

    @model_validator(mode="after")
    def _ends_one_day(self) -> Self:
        if self.ticks > MAX_TICKS:
            raise ValueError(f"ticks_per_day: times num_days is {self.ticks:,} ticks, over {MAX_TICKS:,}")
        return self

    @property
    def ticks(self) -> int:
        """The ticks of the whole run."""
        return self.ticks_per_day * self.num_days


class Scenario(Section):
    """Everything that a simulation is made of."""

    dialect: Literal["simcash"] | None = Field(
        None,
        description="simcash: what the file leaves out is what that simulator means by it; default: as stated here.",
        examples=["simcash"],
    )
    simulation: Simulation = Field(description="The length of a run, and its seed.")
    agents: Annotated[list[Agent], Field(min_length=1)] = Field(
        description="The banks; from_payments: those that its file names.",
        examples=[[{"id": "BANK_A", "opening_balance": 500000}]],
    )
    cost_rates: CostRates = Field(default_factory=CostRates, description="The costs of liquidity and delay.")
    lsm_config: LsmConfig = Field(default_factory=LsmConfig, description="The offsets that are looked for.")
    algorithm_sequencing: Flag | None = Field(
        None, description="Another place of lsm_config.algorithm_sequencing.", examples=[True]
    )
    entry_disposition_offsetting: Flag | None = Field(
        None, description="Another place of lsm_config.entry_disposition_offsetting.", examples=[True]
    )
    netting_batches: list[Tick] = Field(
        default_factory=list,
        description="Ticks of the day. The whole queue is netted then, in place of other offsets.",
        examples=[[50, 99]],
    )
    rtgs: Flag = Field(True, description="false: payments settle in netting_batches alone.")
    queue2: Queue2 = Field(default_factory=Queue2, description="The order of the central queue.")
    priority_mode: Flag | None = Field(
        None, description="true: queue2.order is bands; false: it is fifo. Default: as queue2 says.", examples=[True]
    )
    queue2_passes: Literal["until_nothing_fits", "once"] = Field(
        "until_nothing_fits", description="once: in a tick each queued payment is tried once, in queue order."
    )
    queue1_ordering: Literal["Fifo", "priority_deadline"] = Field(
        "Fifo", description="priority_deadline: a bank looks at the most urgent first, of those at the earliest due."
    )
    deferred_crediting: Flag = Field(False, description="Money that comes in counts from the next tick on.")
    deadline_cap_at_eod: Flag = Field(False, description="No deadline is after its payment's day.")
    daily_balances: Literal["keep", "reset"] = Field(
        "keep", description="reset: each day begins with the opening balance and the allocation."
    )
    cost_rounding: Literal["nearest", "carry"] = Field(
        "nearest", description="carry: what rounding leaves counts in the next tick."
    )
    priority_escalation: PriorityEscalation | None = Field(
        None, description="Default: a payment keeps the priority that it arrived with."
    )
    registers: Literal["keep", "daily"] = Field(
        "keep", description="daily: the registers of trees are 0 again as each day begins."
    )
    eod_rush_threshold: Share = Field(0.8, description="Share of the day. From it on trees see is_eod_rush as 1.")
    outage_response: OutageResponse | None = Field(None, description="Default: others send to a bank that is out.")
    scenario_events: list[ScenarioEvent] = Field(
        default_factory=list, description="What happens on the way, in file order."
    )
    payments: Payments | None = Field(
        None, description="A file of payments, beside or in place of draws.", examples=[{"file": "day.csv"}]
    )
    policies: str | None = Field(
        None,
        exclude=True,
        description="Folder. Where files that policies name are looked for by their names, too.",
        examples=["simulator/policies"],
    )
    agent_defaults: BankFields | None = Field(
        None, exclude=True, description="Fields of every bank that does not say otherwise."
    )
    balances: Balances | None = Field(
        None,
        exclude=True,
        description="Funds of banks, from a file (its name alone will do), or by a level.",
        examples=[{"file": "balances.csv"}],
    )
    _given: GivenPayments | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _defaults_taken(cls, data: Any) -> Any:
        return take_defaults(with_dialect(data))

    @model_validator(mode="after")
    def _profiles_are_of_a_day(self) -> Self:
        ticks = self.simulation.ticks_per_day
        for number, agent in enumerate(self.agents):
            for place, config in agent.arrivals():
                if config.profile is not None and len(config.profile) > ticks:
                    problem = f"{len(config.profile)} multipliers, and a day has {ticks} ticks: at most one each"
                    raise ProblemsError([(("agents", number, *place, "profile"), problem)])
        return self

    @model_validator(mode="after")
    def _one_order_of_the_central_queue(self) -> Self:
        if self.priority_mode is not None and self.queue2.order is not None:
            raise ValueError("priority_mode: stands beside queue2.order, which says the same; write one of them")
        return self

    @model_validator(mode="after")
    def _one_place_for_offsets(self) -> Self:
        for name in ("algorithm_sequencing", "entry_disposition_offsetting"):
            if getattr(self, name) is not None and name in self.lsm_config.model_fields_set:
                raise ValueError(f"{name}: stands in lsm_config, too; write it in one place")
        return self

    @property
    def offsets_on_entry(self) -> bool:
        """True where a released payment that does not fit is offset with queued ones, wherever that is written."""
        return self.entry_disposition_offsetting or self.lsm_config.entry_disposition_offsetting

    @property
    def has_rules(self) -> bool:
        """True where a bank has limits or reservations, or may get limits: more than liquidity decides what settles."""
        may_change = any(isinstance(event, LimitChange) for event in self.scenario_events)
        return may_change or any(agent.all_limits or agent.reservations for agent in self.agents)

    @property
    def queue_order(self) -> Literal["priority", "bands", "fifo"]:
        """The order of the central queue: that of `queue2`, or of `priority_mode`."""
        if self.priority_mode is None:
            return self.queue2.order or "priority"
        return "bands" if self.priority_mode else "fifo"

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        late = [*late_events(self.scenario_events, self.simulation.ticks), *outages_at_once(self.scenario_events)]
        late += problems_of_batches(self.netting_batches, self.simulation.ticks_per_day, rtgs=self.rtgs)
        names = self.model_dump(include={"agents": {"__all__": NAMING}, "scenario_events": True})
        if found := [*problems_of_names(names), *late]:
            raise ProblemsError(found)
        if self.balances is not None:
            raise ValueError("balances: they are not read; take load_scenario, which reads them")
        return self

    @classmethod
    def from_payments(cls, table: Any, **keywords: Unpack[ScenarioKeywords]) -> "Scenario":
        """Return the scenario of the payments in a table, or a file: a bank for each name, days as long as they have.

        `table` is one of Arrow, pandas, polars or another with their interfaces, a dict of lists, or the path of a
        file: a row per payment. `keywords` are those of the section `payments`, and the scenario's own sections;
        `agents` are the table's banks unless given, and `balances` may be a table, too.

        Raises:
            ConfigError: a row cannot be used (a line each, with row and column), or a value is wrong.
        """
        from payment_simulator.scenario.from_payments import scenario_of

        return scenario_of(table, dict(keywords))

    @property
    def given_payments(self) -> GivenPayments | None:
        """The payments of its file, banks in the order of their ids; None where it names none, or it is not read."""
        return self._given

    @property
    def payments_section(self) -> Payments | None:
        """The section of its payments as they were read, with the currency that their file names; where they were
        not, as it is written; None where it has none."""
        return self.payments if self._given is None or self._given.section is None else self._given.section

    def with_payments(self, given: GivenPayments) -> Self:
        """Return the scenario with these payments, whose banks are all among its own."""
        found = self.model_copy()
        found._given = given.of_banks(self.agent_ids)
        return found

    @property
    def agent_ids(self) -> list[str]:
        """The ids of the banks, sorted: the order in which they decide."""
        return sorted(agent.id for agent in self.agents)

    def agents_by_id(self) -> list[Agent]:
        """Return the banks in the order of their ids."""
        return sorted(self.agents, key=lambda agent: agent.id)
