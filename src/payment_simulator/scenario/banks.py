"""The section of a bank, and the defaults that banks have in common."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from labledger.sections import Section
from labledger.yaml_files import Location
from payment_simulator.scenario.arrival_sections import PRIORITY_BANDS, ArrivalBands, ArrivalConfig
from payment_simulator.scenario.limit_sections import Limits, Reservations
from payment_simulator.scenario.numbers import Cents, Share, without_control_characters

AgentId = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(without_control_characters)]

WEIGHTS = "counterparty_weights"
BARE_LIMITS = ("bilateral_limits", "multilateral_limit")
ARRIVALS = {"arrival_config", "arrival_bands"}
NAMING = {"id", "limits", "bilateral_limits", *ARRIVALS}
"""Keys of a bank that name banks."""


class BankFields(Section):
    """The fields of a bank but its name: its funds, its policy, and what it sends."""

    opening_balance: Cents = Field(
        0, description="Cents. Its account at the central bank as the run begins.", examples=[500000]
    )
    unsecured_cap: Cents = Field(0, description="Cents. Credit without collateral.", examples=[100000])
    liquidity_pool: Cents = Field(
        0, description="Cents. The most that it may borrow for the run, at a cost per tick.", examples=[1000000]
    )
    liquidity_allocation_fraction: Share = Field(
        1.0, description="Share. The part of the pool that it borrows, unless its policy says.", examples=[0.5]
    )
    posted_collateral: Cents = Field(0, description="Cents. Collateral that it begins with.", examples=[200000])
    max_collateral_capacity: Cents = Field(
        0, description="Cents. The most that may be posted by events and policies.", examples=[500000]
    )
    collateral_haircut: Share = Field(0.0, description="Share. Discount on collateral as credit.", examples=[0.05])
    limits: Limits | None = Field(None, description="The most that it lets go to others in a day. Default: no limit.")
    bilateral_limits: dict[str, Cents] | None = Field(
        None, description="Cents. By bank: another place for those of `limits`.", examples=[{"BANK_B": 50000}]
    )
    multilateral_limit: Cents | None = Field(
        None, description="Cents. Another place for that of `limits`.", examples=[200000]
    )
    reservations: Reservations | None = Field(None, description="Liquidity that it keeps for what is more urgent.")
    policy: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="How it decides: Fifo, Deadline, LiquidityAware or FromJson; default: Fifo.",
        examples=[{"type": "Deadline", "urgency_threshold": 3}],
    )
    arrival_config: ArrivalConfig | None = Field(None, description="The payments that it sends, drawn.")
    arrival_bands: ArrivalBands | None = Field(
        None, description="In place of `arrival_config`: one for each band of priorities."
    )

    @model_validator(mode="after")
    def _one_kind_of_arrivals(self) -> Self:
        if self.arrival_config is not None and self.arrival_bands is not None:
            raise ValueError("arrival_bands: and arrival_config cannot both be given")
        return self

    @model_validator(mode="after")
    def _one_place_for_limits(self) -> Self:
        bare = [name for name in BARE_LIMITS if getattr(self, name) is not None]
        if self.limits is not None and bare:
            raise ValueError(f"{bare[0]}: stands in limits, too; write it in one place")
        return self

    @property
    def all_limits(self) -> Limits | None:
        """Its limits, wherever they are written; None where it has none."""
        if self.limits is None and (self.bilateral_limits or self.multilateral_limit is not None):
            return Limits(bilateral_limits=self.bilateral_limits or {}, multilateral_limit=self.multilateral_limit)
        return self.limits

    def arrivals(self) -> Iterator[tuple[Location, ArrivalConfig]]:
        """Yield each of its arrival configurations, with its location in the bank."""
        if self.arrival_config is not None:
            yield ("arrival_config",), self.arrival_config
        for band in PRIORITY_BANDS if self.arrival_bands is not None else ():
            if (config := getattr(self.arrival_bands, band)) is not None:
                yield ("arrival_bands", band), config


class BankName(Section):
    """The name of a bank."""

    id: AgentId = Field(description="Its name: text, in quotes where it looks like a number.", examples=["BANK_A"])


class Agent(BankFields, BankName):
    """A bank."""


def take_defaults(data: Any, *, wrong_too: bool = False) -> Any:
    """Return the data of a scenario whose banks have the fields of `agent_defaults` that they do not say themselves.

    The section is then gone. A wrong one stays, for its check to tell, and so it does where banks are no list; of a
    wrong one nothing is taken but with `wrong_too`.
    """
    defaults, agents = (data.get("agent_defaults"), data.get("agents")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(defaults, Mapping) or not isinstance(agents, list):
        return data
    is_right = _is_right(defaults)
    if not is_right and not wrong_too:
        return data
    fields = {key: value for key, value in defaults.items() if key in BankFields.model_fields}
    rest = {key: value for key, value in data.items() if not is_right or key != "agent_defaults"}
    return {**rest, "agents": [_with_defaults(agent, fields) for agent in agents]}


def _is_right(defaults: Mapping[str, Any]) -> bool:
    try:
        BankFields.model_validate(defaults)
    except ValidationError:
        return False
    return True


def _with_defaults(agent: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(agent, Mapping):
        return agent
    says = {*agent, *(ARRIVALS if ARRIVALS & agent.keys() else ())}
    says |= {*BARE_LIMITS} if "limits" in agent else {"limits"} if agent.keys() & {*BARE_LIMITS} else set()
    bank = agent.get("id")
    return {**_of_others({key: value for key, value in defaults.items() if key not in says}, bank), **agent}


def _of_others(value: Any, bank: Any) -> Any:
    """Return a default of all banks without the weight, and the limit, that it gives this bank among its own others."""
    if not isinstance(value, Mapping):
        return value
    found = {key: _of_others(inside, bank) for key, inside in value.items()}
    for key in (WEIGHTS, BARE_LIMITS[0]):
        if isinstance(of_banks := found.get(key), Mapping):
            found[key] = {name: each for name, each in of_banks.items() if name != bank}
    return found
