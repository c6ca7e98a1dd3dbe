"""Parameters of a policy: their present values, their ranges, and a policy with other values."""

import math
from collections.abc import Iterator, Mapping

from payment_simulator.experiments.policy_constraints import AllowedParameter, PolicyConstraints
from payment_simulator.policy.builtin import Trees
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import BUILTIN_PARAMETERS, FRACTION, read_policy
from payment_simulator.scenario.banks import Agent

ANY_FRACTION = AllowedParameter(name=FRACTION, min_value=0.0, max_value=1.0)


def declared(constraints: PolicyConstraints) -> list[AllowedParameter]:
    """The parameters that a search varies: those that are allowed, else the fraction of the pool that is borrowed."""
    return constraints.allowed_parameters or [ANY_FRACTION]


def range_of(parameter: AllowedParameter) -> tuple[float, float]:
    """Return the least and the greatest value that it may have; of whole numbers both are whole."""
    ends = parameter.allowed_values or [end for end in (parameter.min_value, parameter.max_value) if end is not None]
    low, high = min(ends), max(ends)
    return (math.ceil(low), math.floor(high)) if parameter.param_type == "int" else (low, high)


def fitted(parameter: AllowedParameter, value: float) -> float:
    """Return the nearest value that the parameter may have: a whole number, or 12 significant digits; in its range."""
    low, high = range_of(parameter)
    near = float(round(value)) if parameter.param_type == "int" else float(f"{value:.12g}")
    return min(max(near, low), high)


def outside(parameter: AllowedParameter, value: float) -> str | None:
    """Return why the parameter may not have this value; None where it may."""
    least, most, values = parameter.min_value, parameter.max_value, parameter.allowed_values
    found = f"found {value:g}" if float(f"{value:g}") == value else f"found {value}"
    if parameter.param_type == "int" and value != math.floor(value):
        return f"should be a whole number, {found}"
    if values is not None and value not in values:
        return f"should be one of {', '.join(f'{each:g}' for each in values)}, {found}"
    if least is not None and most is not None and not least <= value <= most:
        return f"should be from {least:g} to {most:g}, {found}"
    return None


def written(policy: PolicyDocument) -> Iterator[tuple[str, str, float]]:
    """Yield path, name and value of every number in a policy; if a name stands twice, the later counts."""
    inside, own = policy.get("document"), BUILTIN_PARAMETERS.get(str(policy.get("type")), ())
    sections = (
        ("document.parameters.", inside.get("parameters") if isinstance(inside, dict) else None),
        ("", {name: policy[name] for name in own if name in policy}),
        ("parameters.", policy.get("parameters")),
    )
    for path, section in sections:
        for name, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{path}{name}", name, value


def numbers_of(policy: PolicyDocument, agent: Agent) -> dict[str, float]:
    """Return the numbers of a policy, defaults too, the bank's share of its pool first; empty if it is invalid."""
    read, problems = read_policy(policy)
    if problems:
        return {}
    share = agent.liquidity_allocation_fraction if read.fraction is None else float(read.fraction)
    if isinstance(read, Trees):
        own = {name: value for _, name, value in written(policy) if name != FRACTION}
    else:
        own = {name: getattr(read, name) for name in BUILTIN_PARAMETERS[type(read).__name__]}
    return {FRACTION: share} | {name: float(value) for name, value in own.items()}


def value_of(policy: PolicyDocument, agent: Agent, name: str) -> float | None:
    """Return the present value of a parameter of a bank's policy; None where the policy has no such parameter."""
    return numbers_of(policy, agent).get(name)


def with_value(policy: PolicyDocument, name: str, value: float) -> PolicyDocument:
    """Return the policy with another value of a parameter that it has."""
    number = int(value) if value == int(value) and name != FRACTION else value
    beside = BUILTIN_PARAMETERS.get(str(policy.get("type", "Fifo")), ())
    if name in beside and name in policy:
        return {**policy, name: number}
    parameters: Mapping[str, object] = policy.get("parameters", {})
    return {**policy, "parameters": {**parameters, name: number}}
