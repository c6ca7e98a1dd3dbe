"""The checks of an experiment against its scenario, made before anything is stored."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from labledger.errors import ConfigError
from labledger.yaml_files import Location, did_you_mean
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.parameters import numbers_of, outside, range_of, written
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.policy.policies import BUILTIN_PARAMETERS, FRACTION, SHARE, kind_of, read_policy
from payment_simulator.policy.tree import LARGEST_NUMBER
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.changes import location_of
from payment_simulator.scenario.written import LoadedScenario

MAX_NAMES = 4
PARAMETERS = ("policy_constraints", "allowed_parameters")


def check_experiment(config: ExperimentConfig, loaded: LoadedScenario, *, keeps_kinds: bool) -> None:
    """Refuse an experiment that cannot work in its scenario, whose policies are valid.

    With `keeps_kinds` a proposal has the bank's own policy with other numbers, as a search makes it.

    Raises:
        ConfigError: every problem, a line each: `file:line: key: what was found; what to do`.
    """
    strangers = list(unknown_banks(config.optimized_agents, config.prompt_customization, loaded.scenario.agent_ids))
    values = dict(_without_values(config))
    found = [*strangers, *_nothing_accepted(config), *values.items()]
    if not strangers:
        fit = _Fit(config, loaded, keeps_kinds).problems()
        found += [(location, text) for location, text in fit if location not in values]
    if found:
        raise ConfigError("\n".join(f"{config.place(*location)}{problem}" for location, problem in found))


def unknown_banks(optimized: Any, customized: Any, known: Sequence[str]) -> Iterator[tuple[Location, str]]:
    """Yield each name in `optimized_agents` and `prompt_customization`, as they are written, that is no bank's."""
    named: list[tuple[Location, Any]] = []
    if isinstance(optimized, Sequence) and not isinstance(optimized, str):
        named += [(("optimized_agents", place), name) for place, name in enumerate(optimized)]
    if isinstance(customized, Mapping):
        named += [(("prompt_customization", name), name) for name in customized if name != "all"]
    for location, name in named:
        if isinstance(name, str) and name not in known:
            yield location, f"unknown bank {name!r}{did_you_mean(name, known)}"


def _nothing_accepted(config: ExperimentConfig) -> Iterator[tuple[Location, str]]:
    if config.convergence.improvement_threshold == 1:
        text = "no saving is more than all of a bank's cost, which 1 is; write the share of it: 0.01 for 1 %"
        yield ("convergence", "improvement_threshold"), text


def _without_values(config: ExperimentConfig) -> Iterator[tuple[Location, str]]:
    """Yield each parameter that could have no value, or values that no policy may have."""
    for index, parameter in enumerate(config.policy_constraints.allowed_parameters):
        here: Location = (*PARAMETERS, index)
        low, high = range_of(parameter)
        listed = parameter.allowed_values or ()
        if max(abs(low), abs(high)) >= LARGEST_NUMBER:
            yield here, f"a policy has no number of {LARGEST_NUMBER:g} or more; narrow what is allowed"
        elif parameter.param_type == "int" and (parts := [each for each in listed if each != math.floor(each)]):
            yield here, f"{parts[0]:g} is no whole number; take it out, or write param_type: float"
        elif low > high:
            ends = f"from {parameter.min_value:g} to {parameter.max_value:g}"
            yield here, f"there is no whole number {ends}; widen the range, or write param_type: float"


@dataclass(frozen=True)
class _Fit:
    """The checks of what is allowed against the policies that the optimised banks begin with."""

    config: ExperimentConfig
    loaded: LoadedScenario
    keeps_kinds: bool

    @cached_property
    def banks(self) -> dict[str, tuple[int, Agent]]:
        """Each optimised bank, with its place in the scenario's file."""
        there = {agent.id: (index, agent) for index, agent in enumerate(self.loaded.scenario.agents)}
        return {name: there[name] for name in self.config.optimized_agents or self.loaded.scenario.agent_ids}

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        """The parameters of each optimised bank's policy."""
        return {name: numbers_of(agent.policy, agent) for name, (_, agent) in self.banks.items()}

    def problems(self) -> Iterator[tuple[Location, str]]:
        parameters = self.config.policy_constraints.allowed_parameters
        known = self._known
        absent = [(index, each) for index, each in enumerate(parameters) if each.name not in known]
        for index, parameter in absent:
            yield (
                (*PARAMETERS, index, "name"),
                f"no optimised bank has a parameter {parameter.name!r}{did_you_mean(parameter.name, known)}: "
                f"{self._policies()}; take it out, or give a bank a policy that has it",
            )
        if parameters and not absent and self.keeps_kinds:
            yield from self._banks_without(parameters)
        for index, parameter in enumerate(parameters):
            yield from self._begin_outside(index, parameter)

    @property
    def _known(self) -> list[str]:
        """The parameters that a bank has, and those that it would have with a built-in policy that may be proposed."""
        built_in = () if self.keeps_kinds else BUILTIN_PARAMETERS.values()
        return sorted({name for names in (*self.numbers.values(), *built_in) for name in names})

    def _banks_without(self, parameters: Sequence[AllowedParameter]) -> Iterator[tuple[Location, str]]:
        """Yield the banks that were named, though there is nothing to vary in their policies."""
        names = ", ".join(each.name for each in parameters)
        for place, name in enumerate(self.config.optimized_agents or []):
            if not any(each.name in self.numbers[name] for each in parameters):
                yield (
                    ("optimized_agents", place),
                    f"{name} has none of the allowed parameters ({names}): {self._policies([name])}; allow one that it "
                    "has, or leave the bank out",
                )

    def _begin_outside(self, index: int, parameter: AllowedParameter) -> Iterator[tuple[Location, str]]:
        """Yield the values that banks begin with and that are not allowed; banks of one value together."""
        found: dict[str, list[str]] = {}
        for name, numbers in self.numbers.items():
            if parameter.name in numbers and (problem := outside(parameter, numbers[parameter.name])):
                found.setdefault(problem, []).append(name)
        for problem, names in found.items():
            yield (
                (*PARAMETERS, index),
                f"the policy that {_few(names)} begin{'s' * (len(names) == 1)} with is not allowed: {parameter.name} "
                f"{problem} ({self._written(names[0], parameter.name)}); allow it, or begin with another",
            )

    def _written(self, bank: str, parameter: str) -> str:
        """Return the place in the scenario where a bank's parameter was written, or could have been."""
        index, agent = self.banks[bank]
        paths = [path for path, name, _ in written(agent.policy) if name == parameter]
        default: Location = (SHARE if parameter == FRACTION else "policy",)
        inside = ("policy", *location_of(paths[-1])) if paths else default
        return self.loaded.place(("agents", index, *inside))

    def _policies(self, banks: Iterable[str] | None = None) -> str:
        """Return the banks' policies and the parameters that each has."""
        found: dict[tuple[str, str], list[str]] = {}
        for bank in self.banks if banks is None else banks:
            kind = kind_of(read_policy(self.banks[bank][1].policy)[0])
            found.setdefault((kind, ", ".join(self.numbers[bank])), []).append(bank)
        return "; ".join(f"{kind} of {_few(names)} has {numbers}" for (kind, numbers), names in found.items())


def _few(names: Sequence[str]) -> str:
    more = [f"{len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    shown = [*names[:MAX_NAMES], *more]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
