"""An experiment's file and all that it names, read together: every problem at once."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labledger.problem_list import ProblemList
from labledger.yaml_files import Location, read_yaml
from payment_simulator.experiments.checks import unknown_banks
from payment_simulator.experiments.config import ExperimentConfig, Output, message_place
from payment_simulator.experiments.output_checks import check_output, problems_of_output
from payment_simulator.experiments.settings import SCENARIO_SETTINGS, with_settings
from payment_simulator.experiments.setup import ExperimentSetup, Place, named_file, read_scenario_of

SCENARIO: Location = ("scenario",)
NAMING_FILES: tuple[Location, ...] = (SCENARIO, ("evaluation", "observed"), ("llm", "system_prompt_file"))


def read_experiment(path: Path, settings: Mapping[str, Any] | None = None) -> tuple[ExperimentConfig, ExperimentSetup]:
    """Read an experiment, with other values than the file's in `settings`, and the files that it names.

    Raises:
        ConfigError: every problem of all of them, a line each; where the experiment's own values are wrong, what can
            be checked without those.
    """
    file, problems, setup = read_yaml(path), ProblemList(), None
    data, set_by = with_settings(file.data, settings or {})
    place = partial(message_place, replace(file, data=data), set_by)
    files = {location: problems.of(partial(_named, data, path.parent, location, place)) for location in NAMING_FILES}
    config = problems.of(lambda: ExperimentConfig.from_file(file, settings or {}))
    if config is None:
        problems.add(problems.of(lambda: _unknown_banks(data, files[SCENARIO], place)) or ())
        problems.add(_problems_of_output(data, [path, *filter(None, files.values())], place))
    else:
        problems.of(lambda: check_output(config))
        setup = problems.of(lambda: ExperimentSetup.load(config))
    problems.refuse()
    assert config is not None and setup is not None  # noqa: S101, PT018 - there are no problems
    return config, setup


def _named(data: Any, folder: Path, location: Location, place: Place) -> Path | None:
    """Return the file that an experiment names at a location; None where that is no text."""
    for part in location:
        data = data.get(part) if isinstance(data, Mapping) else None
    return named_file(data, folder, place(location)) if isinstance(data, str) else None


def _unknown_banks(data: Mapping[str, Any], path: Path | None, place: Place) -> list[str]:
    """Return the problems of names in an experiment that is wrong itself, whose scenario is right.

    Raises:
        ConfigError: the scenario is wrong; names are told, too.
    """
    settings = data.get(SCENARIO_SETTINGS, {})
    if path is None or not isinstance(settings, Mapping):
        return []
    named = (data.get("optimized_agents"), data.get("prompt_customization"))
    loaded, _ = read_scenario_of(path, settings, named, place)
    return [f"{place(location)}{text}" for location, text in unknown_banks(*named, loaded.scenario.agent_ids)]


def _problems_of_output(data: Mapping[str, Any], inputs: Iterable[Path], place: Place) -> list[str]:
    """Return the problems of where an experiment that is wrong itself puts its results."""
    try:
        output = Output.model_validate(data.get("output") or {})
    except ValidationError:
        return []
    return [f"{place(('output', key))}{text}" for key, text in problems_of_output(output, inputs).items()]
