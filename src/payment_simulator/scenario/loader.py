"""From a YAML file, and what is set on the command line, to a scenario."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.yaml_files import Location, describe_errors, did_you_mean, has, read_text, read_yaml
from payment_simulator.scenario.schema import Scenario

MAX_JSON_BYTES = 10_000_000


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario, and where each of its values was written."""

    scenario: Scenario
    place: Callable[[Location], str]


def load_scenario(path: Path | str, changes: Sequence[str] = ()) -> Scenario:
    """The scenario in a YAML file; see `read_scenario`."""
    return read_scenario(Path(path), changes).scenario


def read_scenario(path: Path, changes: Sequence[str] = ()) -> LoadedScenario:
    """Read a YAML file; each of `changes` is `PATH=VALUE` and stands over it, as in `agents.BANK_A.unsecured_cap=5`.

    The files that policies name, relative to the scenario's folder, are read too and stand in their place.

    Raises:
        ConfigError: a file cannot be read, or a value is wrong: `file:line: key: problem`, a line each.
    """
    file = read_yaml(path)
    data, set_by = file.data, {}
    for change in changes:
        set_by[_apply(data, change)] = f"--set {change.partition('=')[0]}"

    def place(location: Location) -> str:
        ours = (location[:end] for end in range(len(location), 0, -1))
        return next((set_by[part] for part in ours if part in set_by), None) or file.place(location)

    _inline_policies(data, path.parent, place)
    try:
        return LoadedScenario(Scenario.model_validate(data), place)
    except ValidationError as error:
        raise ConfigError("\n".join(describe_errors(error, Scenario, data, place))) from error


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ConfigError: it cannot be read, or is not JSON; the message has line and column.
    """
    text = read_text(path, MAX_JSON_BYTES)
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply to be read") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _apply(data: dict[str, Any], change: str) -> Location:
    """Set what `change` says in `data`; the location of it."""
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {change}: write PATH=VALUE, as in agents.BANK_A.unsecured_cap=100000")
    location = _location(data, name)
    section: Any = data
    for part in location[:-1]:
        if isinstance(section, dict) and part not in section:
            section[str(part)] = {}
        section = section[part] if has(section, part) else None
    if not isinstance(section, dict) and not has(section, location[-1]):
        raise ConfigError(f"--set {name}: there is no such place in the scenario")
    section[location[-1]] = _value(text)
    return location


def _location(data: dict[str, Any], name: str) -> Location:
    """The keys of a dotted path; a bank is named by its id, which may have dots of its own."""
    first, _, rest = name.partition(".")
    if first == "agents" and isinstance(data.get("agents"), list) and rest:
        ids = [str(agent.get("id")) if isinstance(agent, dict) else "" for agent in data["agents"]]
        named = [i for i, each in enumerate(ids) if each and (rest == each or rest.startswith(f"{each}."))]
        index = max(named, key=lambda i: len(ids[i]), default=None)
        if index is None:
            wanted = rest.partition(".")[0]
            raise ConfigError(f"--set {name}: {wanted!r} is no bank{did_you_mean(wanted, ids)}")
        inside = rest[len(ids[index]) + 1 :]
        if not inside:
            raise ConfigError(f"--set {name}: name one of the bank's keys, as in {name}.unsecured_cap")
        return ("agents", index, *inside.split("."))
    return tuple(int(part) if part.isdecimal() else part for part in name.split("."))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _inline_policies(data: dict[str, Any], folder: Path, place: Callable[[Location], str]) -> None:
    """Put the documents that policies name by `json_path` in the place of the path."""
    agents = data.get("agents")
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, dict) else None
        if isinstance(policy, dict) and isinstance(policy.get("json_path"), str):
            try:
                document = read_json(folder / policy["json_path"])
            except ConfigError as error:
                where = place(("agents", index, "policy", "json_path"))
                raise ConfigError(f"{where}: {error}") from error
            rest = {key: value for key, value in policy.items() if key != "json_path"}
            agent["policy"] = {**rest, "document": document}
