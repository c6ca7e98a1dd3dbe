"""Loading of a scenario: a YAML file, and the changes that are set on the command line."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.written_keys import WrittenKeyError, refuse_written_keys
from labledger.yaml_files import Location, describe_errors, did_you_mean, has, read_text, read_yaml
from payment_simulator.scenario.schema import Scenario

MAX_JSON_BYTES = 10_000_000
NO_KEY = "leave it out: nothing here takes a key"


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario, where each of its values was written, and the files of policies, by the bank's place in the file."""

    scenario: Scenario
    place: Callable[[Location], str]
    policy_files: Mapping[int, Path]


def load_scenario(path: Path | str, changes: Sequence[str] = ()) -> Scenario:
    """Return the scenario in a YAML file; see `read_scenario`."""
    return read_scenario(Path(path), changes).scenario


def read_scenario(path: Path, changes: Sequence[str] = ()) -> LoadedScenario:
    """Read a YAML file; each of `changes` is `PATH=VALUE` and overrides it, as in `agents.BANK_A.unsecured_cap=5`.

    The files that policies name, relative to the scenario's folder, are read too and stand in their place.

    Raises:
        ConfigError: a file cannot be read, a key is written in it, or a value is wrong: `file:line: key: problem`, a
            line each.
    """
    file = read_yaml(path)
    data = file.data
    set_by: dict[Location, str] = {}
    for change in changes:
        set_by |= dict.fromkeys(_apply(data, change), f"--set {change.partition('=')[0]}")

    def place(location: Location) -> str:
        ours = (location[:end] for end in range(len(location), 0, -1))
        return next((set_by[part] for part in ours if part in set_by), None) or file.place(location)

    _refuse_keys(data, place)
    policy_files = _inline_policies(data, path.parent, place)
    try:
        return LoadedScenario(Scenario.model_validate(data), place, policy_files)
    except ValidationError as error:
        raise ConfigError("\n".join(describe_errors(error, Scenario, data, place))) from error


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        ConfigError: it cannot be read, is not JSON (the message has line and column), or has a key twice.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES).removeprefix("\ufeff"), str(path))


def read_policy_file(path: Path) -> Any:
    """Return the JSON of a policy's file.

    Raises:
        ConfigError: it cannot be read, or a key is written in it.
    """
    document = read_json(path)
    _refuse_keys(document, lambda _: str(path))
    return document


def _refuse_keys(document: Any, place: Callable[[Location], str]) -> None:
    """Refuse what results and databases would keep."""
    try:
        refuse_written_keys(document, NO_KEY)
    except WrittenKeyError as error:
        raise error.placed(place) from None


def parse_json(text: str, name: str) -> Any:
    """Return the value of a JSON text, called `name` in messages.

    Raises:
        ConfigError: it is not JSON (the message has line and column), or has a key twice.
    """
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_section)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply to be read") from error
    except ValueError as error:  # of an integer of thousands of digits the advice after `;` is for programmers
        raise ConfigError(f"{name}: {str(error).partition(';')[0]}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


class _DoubledKeyError(ValueError):
    """JSON that has a key twice: only its writer can say which one counts."""


def _section(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _DoubledKeyError(f"the key {doubled!r} stands twice in one section")
    return found


def _apply(data: dict[str, Any], change: str) -> list[Location]:
    """Apply `change` to `data`; return its location, and those of the sections that it made."""
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {change}: write PATH=VALUE, as in agents.BANK_A.unsecured_cap=100000")
    location = _location(data, name)
    section: Any = data
    made = [location]
    for depth, part in enumerate(location[:-1], start=1):
        if isinstance(section, dict) and part not in section:
            section[str(part)] = {}
            made.append(location[:depth])
        section = section[part] if has(section, part) else None
    if not isinstance(section, dict) and not has(section, location[-1]):
        raise ConfigError(f"--set {name}: there is no such place in the scenario")
    try:
        section[location[-1]] = _value(text)
    except _DoubledKeyError as error:
        raise ConfigError(f"--set {name}: {error}") from error
    return made


def _location(data: dict[str, Any], name: str) -> Location:
    """The keys of a dotted path; a bank is named by its id, which may have dots of its own."""
    first, _, rest = name.partition(".")
    if first == "agents" and isinstance(data.get("agents"), list) and rest:
        ids = [str(agent.get("id")) if isinstance(agent, dict) else "" for agent in data["agents"]]
        named = [i for i, each in enumerate(ids) if each and (rest == each or rest.startswith(f"{each}."))]
        index = max(named, key=lambda i: len(ids[i]), default=None)
        if index is None:
            wanted = rest.partition(".")[0]
            raise ConfigError(f"--set {name}: unknown bank {wanted!r}{did_you_mean(wanted, ids)}")
        inside = rest[len(ids[index]) + 1 :]
        if not inside:
            raise ConfigError(f"--set {name}: name one of the bank's keys, as in {name}.unsecured_cap")
        return ("agents", index, *inside.split("."))
    return location_of(name)


def location_of(dotted: str) -> Location:
    """The keys of a dotted path; a whole number is a place in a list."""
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))


def _value(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_section)
    except _DoubledKeyError:
        raise
    except (ValueError, RecursionError):
        return text


def _inline_policies(data: dict[str, Any], folder: Path, place: Callable[[Location], str]) -> dict[int, Path]:
    """Put the documents that policies name by `json_path` in the place of the path; their files, by bank."""
    agents, files = data.get("agents"), {}
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, dict) else None
        if isinstance(policy, dict) and policy.get("type") == "FromJson" and "json_path" in policy:
            try:
                files[index] = folder / _path_alone(policy)
                document = read_policy_file(files[index])
            except ConfigError as error:
                where = place(("agents", index, "policy", "json_path"))
                raise ConfigError(f"{where}: {error}") from error
            rest = {key: value for key, value in policy.items() if key != "json_path"}
            agent["policy"] = {**rest, "document": document}
    return files


def _path_alone(policy: dict[str, Any]) -> str:
    path = policy["json_path"]
    if not isinstance(path, str):
        raise ConfigError(f"json_path: should be the path of a file, found {path!r}")
    if "document" in policy:
        raise ConfigError("json_path: and document cannot both be given")
    return path
