"""The setup of an experiment: its scenario, files inlined, and the day that it observed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from labledger.errors import ConfigError, problems_in
from labledger.problem_list import ProblemList
from labledger.written_paths import existing
from labledger.yaml_files import Location
from payment_simulator.engine.events import read_arrivals
from payment_simulator.engine.limits import find_limits
from payment_simulator.experiments.checks import check_experiment, unknown_banks
from payment_simulator.experiments.config import ExperimentConfig, changes_of
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.settings import SCENARIO_SETTINGS
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import with_policies
from payment_simulator.scenario.arrivals import Arrivals, arrivals_from
from payment_simulator.scenario.changes import location_of
from payment_simulator.scenario.given_payments import COLUMNS, GivenPayments
from payment_simulator.scenario.loader import read_written
from payment_simulator.scenario.schema import Scenario
from payment_simulator.scenario.written import LoadedScenario

T = TypeVar("T")
Place = Callable[[Location], str]
"""The beginning of a message about a location in an experiment."""


SECTIONS = ("cost_rates.", "scenario_events.")
"""Beginnings of keys that problems of limits and draws name."""


@dataclass(frozen=True)
class ExperimentSetup:
    """The inputs of an evaluation beside the configuration; none of it is in another file any more."""

    scenario: Scenario
    observed: Arrivals | None

    @classmethod
    def load(
        cls, config: ExperimentConfig, config_dir: Path | None = None, *, own_proposer: bool = False
    ) -> "ExperimentSetup":
        """Read what `config` names: its paths begin in `config_dir`, else in its own file's folder; where nothing is
        there, in the working directory.

        With a proposer of one's own, of which nothing is known, any kind of policy may be proposed, as by a model.

        Raises:
            ConfigError: a file cannot be read or used, the configuration cannot work in the scenario, or its payments
                cannot be drawn, or be counted exactly.
        """
        folder = config_dir or (config.path.parent if config.path else Path())
        path = named_file(config.scenario, folder, config.place("scenario"))
        named = (config.optimized_agents, config.prompt_customization)
        loaded, policies = read_scenario_of(
            path, config.scenario_settings, named, lambda location: config.place(*location)
        )
        keeps_kinds = config.proposer == "search" and not own_proposer
        problems = ProblemList()
        problems.of(lambda: check_experiment(config, loaded, keeps_kinds=keeps_kinds))
        scenario = problems.of(lambda: first_ticks(loaded.scenario, config))
        used = scenario or loaded.scenario
        setup = problems.of(lambda: cls(used, _observed(config, folder, used)))
        if setup is not None and scenario is not None:
            problems.of(lambda: setup._check_limits(config, loaded, policies))
        problems.refuse()
        assert setup is not None  # noqa: S101 - there are no problems
        return setup

    def _check_limits(self, config: ExperimentConfig, loaded: LoadedScenario, policies: list[Policy]) -> None:
        try:
            limits = find_limits(self.scenario, policies)
            limits.check(self.scenario, self.evaluator(config).arrivals(Purpose.EVALUATION))
        except ConfigError as error:
            raise ConfigError(f"{place_of(str(error), loaded)}: {error}") from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ExperimentSetup":
        """Return the setup that `to_dict` wrote."""
        scenario, observed = Scenario.model_validate(data["scenario"]), data["observed"]
        if (given := data.get("payments")) is not None:
            scenario = scenario.with_payments(GivenPayments.from_dict(given))
        return cls(scenario, None if observed is None else arrivals_from(scenario, observed))

    def to_dict(self) -> dict[str, Any]:
        """Return the setup as a dict of JSON values."""
        observed = None
        if self.observed is not None:
            observed = {name: getattr(self.observed, name).tolist() for name in COLUMNS}
        given = self.scenario.given_payments
        payments = {} if given is None else {"payments": given.to_dict()}
        return {"scenario": self.scenario.model_dump(mode="json"), "observed": observed, **payments}

    def evaluator(self, config: ExperimentConfig) -> Evaluator:
        """Return the evaluator of the experiment."""
        return Evaluator(self.scenario, config.evaluation, config.master_seed, self.observed)

    def profile(self) -> dict[str, PolicyDocument]:
        """Return the scenario's own policies, by bank."""
        return {agent.id: dict(agent.policy) or {"type": "Fifo"} for agent in self.scenario.agents_by_id()}

    def optimized(self, config: ExperimentConfig) -> list[str]:
        """Return the banks whose policies are proposed, in the order in which they decide."""
        return list(config.optimized_agents or self.scenario.agent_ids)


def _observed(config: ExperimentConfig, folder: Path, scenario: Scenario) -> Arrivals | None:
    if config.evaluation.observed is None:
        return None
    here = config.place("evaluation", "observed")
    path = named_file(config.evaluation.observed, folder, here)
    try:
        return read_arrivals(path, scenario)
    except ConfigError as error:
        raise ConfigError(f"{here}{error}") from error


def named_file(written: str, folder: Path, place: str) -> Path:
    """Return the file that an experiment names, which is not read yet; `place` begins a message.

    Raises:
        ConfigError: it is not there, or is a directory.
    """
    try:
        path = existing(written, folder)
    except ConfigError as error:
        raise ConfigError(f"{place}{error}") from error
    if path.is_dir():
        raise ConfigError(f"{place}{path} is a directory; name a file in it")
    return path


def read_scenario_of(
    path: Path, settings: Mapping[str, Any], named: tuple[Any, Any], place: Place
) -> tuple[LoadedScenario, list[Policy]]:
    """Read the scenario of an experiment with its `scenario_settings`; `named` are its `optimized_agents` and
    `prompt_customization`.

    Raises:
        ConfigError: every problem of the scenario, of the settings and, where the scenario is wrong, of the names.
    """
    written = _placed_in(settings, place, lambda: read_written(path, changes_of(settings)))
    problems = ProblemList()
    found = problems.of(lambda: _placed_in(settings, place, lambda: with_policies(written)))
    if found is None and (banks := written.bank_ids):
        problems.add(f"{place(location)}{text}" for location, text in unknown_banks(*named, banks))
    problems.refuse()
    assert found is not None  # noqa: S101 - there are no problems
    return found


def _placed_in(settings: Mapping[str, Any], place: Place, check: Callable[[], T]) -> T:
    """Return what a check returns; in its error the places of settings stand for the options that they seem."""
    try:
        return check()
    except ConfigError as error:
        lines = problems_in(error)
        for key in settings:
            option = f"--set {key}: "
            lines = [
                place((SCENARIO_SETTINGS, key)) + line.removeprefix(option) if line.startswith(option) else line
                for line in lines
            ]
        raise ConfigError("\n".join(lines)) from error


def place_of(problem: str, loaded: LoadedScenario) -> str:
    """Return the place in the scenario's file that a problem with its draws or its limits begins with."""
    for index, agent in enumerate(loaded.scenario.agents):
        if problem.startswith(f"{agent.id}: "):
            inside = problem.removeprefix(f"{agent.id}: ").partition(":")[0]
            return loaded.place(("agents", index, *location_of(inside)))
    named = next((part for part in problem.split(": ") if part.startswith(SECTIONS)), problem.partition(":")[0])
    return loaded.place(location_of(named))


def _within(event: dict[str, Any], ticks: int) -> dict[str, Any]:
    """Return an event as it is in a run of so many ticks: an outage may last longer."""
    return {**event, "end_tick": min(event["end_tick"], ticks - 1)} if "end_tick" in event else event


def first_ticks(scenario: Scenario, config: ExperimentConfig) -> Scenario:
    """Return the scenario's first `evaluation.ticks`, without the events that come after them.

    Raises:
        ConfigError: the ticks are not whole days, or more than the scenario has.
    """
    wanted, per_day = config.evaluation.ticks, scenario.simulation.ticks_per_day
    if wanted is None or wanted == scenario.simulation.ticks:
        return scenario
    here = config.place("evaluation", "ticks")
    if wanted > scenario.simulation.ticks:
        raise ConfigError(f"{here}{wanted} is more than the {scenario.simulation.ticks} of the scenario")
    if wanted % per_day:
        raise ConfigError(f"{here}{wanted} is not a multiple of {per_day}, the ticks per day")
    data = scenario.model_dump(mode="json")
    data["simulation"]["num_days"] = wanted // per_day
    kept = zip(scenario.scenario_events, data["scenario_events"], strict=True)
    data["scenario_events"] = [_within(written, wanted) for event, written in kept if event.ticks(wanted)]
    found = Scenario.model_validate(data)
    given = scenario.given_payments
    return found if given is None else found.with_payments(given.first_ticks(wanted))
