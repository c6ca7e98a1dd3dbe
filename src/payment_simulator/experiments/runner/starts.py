"""The profiles that a run with several starts begins from."""

from collections.abc import Iterator

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.parameters import declared, fitted, range_of, value_of, with_value
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.experiments.space_filling import halton
from payment_simulator.policy.documents import PolicyDocument

DIGITS = 4
"""Significant digits of a value that a start begins with."""


def start_profile(config: ExperimentConfig, setup: ExperimentSetup, start: int) -> dict[str, PolicyDocument]:
    """Return the profile that a start begins from, by bank; starts count from 1.

    The first is the scenario's own. The others differ from it in the declared parameters of the optimised banks, whose
    values together fill their ranges evenly. They depend on `master_seed`, and not on how many starts there are.
    """
    profile = setup.profile()
    varied = list(_varied(config, setup))
    if start == 1 or not varied:
        return profile
    point = halton(start - 1, len(varied), config.master_seed)[-1]
    for (bank, parameter), share in zip(varied, point.tolist(), strict=True):
        profile[bank] = with_value(profile[bank], parameter.name, _value(parameter, share))
    return profile


def _varied(config: ExperimentConfig, setup: ExperimentSetup) -> Iterator[tuple[str, AllowedParameter]]:
    agents = {agent.id: agent for agent in setup.scenario.agents}
    profile = setup.profile()
    for bank in setup.optimized(config):
        for parameter in declared(config.policy_constraints):
            if value_of(profile[bank], agents[bank], parameter.name) is not None:
                yield bank, parameter


def _value(parameter: AllowedParameter, share: float) -> float:
    """Return the value at a share, from 0 to below 1, of a parameter's range or list."""
    if parameter.allowed_values is not None:
        values = sorted(set(parameter.allowed_values))
        return values[int(share * len(values))]
    low, high = range_of(parameter)
    value = float(f"{low + share * (high - low):.{DIGITS}g}")
    return fitted(parameter, min(max(value, low), high))
