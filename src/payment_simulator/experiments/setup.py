"""The setup of an experiment: its scenario, files inlined, and the day that it observed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labledger.errors import ConfigError
from labledger.yaml_files import Location, did_you_mean
from payment_simulator.engine.events import read_arrivals
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import policies_of
from payment_simulator.scenario.arrivals import COLUMNS, Arrivals, arrivals_from
from payment_simulator.scenario.loader import read_scenario
from payment_simulator.scenario.schema import Scenario


@dataclass(frozen=True)
class ExperimentSetup:
    """The inputs of an evaluation beside the configuration; none of it is in another file any more."""

    scenario: Scenario
    observed: Arrivals | None

    @classmethod
    def load(cls, config: ExperimentConfig, config_dir: Path | None = None) -> "ExperimentSetup":
        """Read what `config` names: its paths are relative to `config_dir`, else to its own file, else to the folder.

        Raises:
            ConfigError: a file cannot be read or used, or the configuration does not fit the scenario.
        """
        folder = config_dir or (config.path.parent if config.path else Path())
        path = folder / config.scenario
        if not path.exists():
            raise ConfigError(f"{config.place('scenario')}{path}: no such file")
        loaded = read_scenario(path)
        policies_of(loaded)
        _check_names(config, loaded.scenario)
        scenario = first_ticks(loaded.scenario, config)
        observed = config.evaluation.observed
        return cls(scenario, None if observed is None else read_arrivals(folder / observed, scenario))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ExperimentSetup":
        """Return the setup that `to_dict` wrote."""
        scenario, observed = Scenario.model_validate(data["scenario"]), data["observed"]
        return cls(scenario, None if observed is None else arrivals_from(scenario, observed))

    def to_dict(self) -> dict[str, Any]:
        """Return the setup as a dict of JSON values."""
        observed = None
        if self.observed is not None:
            observed = {name: getattr(self.observed, name).tolist() for name in COLUMNS}
        return {"scenario": self.scenario.model_dump(mode="json"), "observed": observed}

    def evaluator(self, config: ExperimentConfig) -> Evaluator:
        """Return the evaluator of the experiment."""
        return Evaluator(self.scenario, config.evaluation, config.master_seed, self.observed)

    def profile(self) -> dict[str, PolicyDocument]:
        """Return the scenario's own policies, by bank."""
        return {agent.id: dict(agent.policy) or {"type": "Fifo"} for agent in self.scenario.agents_by_id()}

    def optimized(self, config: ExperimentConfig) -> list[str]:
        """Return the banks whose policies are proposed, in the order in which they decide."""
        return list(config.optimized_agents or self.scenario.agent_ids)


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
    data["scenario_events"] = [written for event, written in kept if event.schedule.ticks(wanted)]
    return Scenario.model_validate(data)


def _check_names(config: ExperimentConfig, scenario: Scenario) -> None:
    known = scenario.agent_ids
    agents = config.optimized_agents or []
    named: list[tuple[Location, str]] = [(("optimized_agents", place), name) for place, name in enumerate(agents)]
    named += [(("prompt_customization", name), name) for name in config.prompt_customization if name != "all"]
    wrong = [
        f"{config.place(*location)}unknown bank {name!r}{did_you_mean(name, known)}"
        for location, name in named
        if name not in known
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
