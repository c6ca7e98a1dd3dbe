"""The section `policy_constraints` of an experiment: the parameters, fields and actions that a policy may have."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labledger.sections import Section
from labledger.yaml_files import Location, ProblemsError, did_you_mean
from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.fields_and_actions import ACTIONS, STATE_PREFIX, TREE_KINDS
from payment_simulator.policy.policies import FRACTION

ALL_REGISTERS = f"{STATE_PREFIX}*"
"""The allowed field that stands for every register."""

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class AllowedParameter(Section):
    """A parameter that a policy may have, and the range of its value."""

    name: Annotated[str, Field(description="As policies have it.", examples=["initial_liquidity_fraction"])]
    param_type: Annotated[Literal["float", "int"], Field(description="int: whole numbers alone.")] = "float"
    min_value: Annotated[Finite | None, Field(description="As the parameter. The least.", examples=[0])] = None
    max_value: Annotated[Finite | None, Field(description="As the parameter. The largest.", examples=[1])] = None
    allowed_values: Annotated[
        list[Finite] | None,
        Field(min_length=1, description="As the parameter. In place of a range.", examples=[[0, 0.5, 1]]),
    ] = None

    description: Annotated[
        str | None, Field(description="A comment, that nothing reads.", examples=["Share of the pool"])
    ] = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        ends = (self.min_value, self.max_value)
        if self.allowed_values is not None and any(end is not None for end in ends):
            raise ValueError("allowed_values: and a range cannot both be given")
        if self.allowed_values is None and None in ends:
            raise ValueError("min_value: and max_value, or allowed_values, are required")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError(f"min_value: {self.min_value} is over max_value {self.max_value}")
        return self


class AllowedActions(Section):
    """The actions that each kind of tree may have; None leaves all."""

    payment_tree: Annotated[list[str] | None, Field(description="Of payments.", examples=[["Release", "Hold"]])] = None
    bank_tree: Annotated[list[str] | None, Field(description="Of the bank.", examples=[["NoAction"]])] = None
    collateral_tree: Annotated[list[str] | None, Field(description="Of collateral.", examples=[["HoldCollateral"]])] = (
        None
    )
    end_of_tick_collateral_tree: Annotated[
        list[str] | None, Field(description="Of collateral as a tick ends.", examples=[["HoldCollateral"]])
    ] = None


class PolicyConstraints(Section):
    """The parameters, fields and actions that a proposed policy may have; a list that is not given allows all."""

    allowed_parameters: list[AllowedParameter] = Field(
        default_factory=list, description="Parameters that may vary, and their values."
    )
    allowed_fields: Annotated[
        list[str] | None,
        Field(description="Fields that trees may ask; default: all.", examples=[["balance", "amount"]]),
    ] = None
    allowed_actions: Annotated[AllowedActions, Field(description="Actions that trees may have; default: all.")] = (
        AllowedActions()
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if found := [*self._parameters(), *self._fields(), *self._actions()]:
            raise ProblemsError(found)
        return self

    def _parameters(self) -> Iterator[tuple[Location, str]]:
        seen: set[str] = set()
        for index, parameter in enumerate(self.allowed_parameters):
            here: Location = ("allowed_parameters", index)
            if parameter.name in seen:
                yield (*here, "name"), f"{parameter.name!r} stands twice"
            seen.add(parameter.name)
            ends = (parameter.min_value, parameter.max_value, *(parameter.allowed_values or ()))
            if parameter.name == FRACTION and any(end is not None and not 0 <= end <= 1 for end in ends):
                yield here, f"{FRACTION} is from 0 to 1"

    def _fields(self) -> Iterator[tuple[Location, str]]:
        known = [*known_fields("payment_tree"), ALL_REGISTERS]
        for index, name in enumerate(self.allowed_fields or ()):
            if name not in known and not name.startswith(STATE_PREFIX):
                yield ("allowed_fields", index), f"unknown field {name!r}{did_you_mean(name, known)}"

    def _actions(self) -> Iterator[tuple[Location, str]]:
        for kind in TREE_KINDS:
            for index, name in enumerate(getattr(self.allowed_actions, kind) or ()):
                if name not in ACTIONS[kind]:
                    hint = did_you_mean(name, list(ACTIONS[kind]))
                    yield ("allowed_actions", kind, index), f"unknown action {name!r} of a {kind}{hint}"
