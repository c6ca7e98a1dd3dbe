"""Loading of a scenario: a YAML file, and the changes that are set on the command line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.json_text import JsonError, load_json
from labledger.written_keys import WrittenKeyError, refuse_written_keys
from labledger.written_paths import existing
from labledger.yaml_files import Location, describe_errors, did_you_mean, has, read_text, read_yaml
from payment_simulator.scenario.bank_names import bank_named, problems_of_names
from payment_simulator.scenario.schema import Scenario

MAX_JSON_BYTES = 10_000_000
NO_KEY = "leave it out: nothing here takes a key"


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario, where each of its values was written, and the files of policies, by the bank's place in the file.

    `changes` are the options that set a value over the file's, by its location.
    """

    scenario: Scenario
    place: Callable[[Location], str]
    policy_files: Mapping[int, Path]
    changes: Mapping[Location, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenScenario:
    """A scenario as it is written, not checked yet; the rest is as `LoadedScenario` has it."""

    data: dict[str, Any]
    place: Callable[[Location], str]
    policy_files: Mapping[int, Path]
    changes: Mapping[Location, str]

    def checked(self) -> LoadedScenario:
        """Return it checked.

        Raises:
            ConfigError: a value is wrong: `file:line: key: problem`, a line each.
        """
        try:
            return LoadedScenario(Scenario.model_validate(self.data), self.place, self.policy_files, self.changes)
        except ValidationError as error:
            lines = describe_errors(
                error,
                Scenario,
                self.data,
                self.place,
                beside=problems_of_names(self.data),
                named=lambda location: bank_named(self.data, location),
            )
            raise ConfigError("\n".join(lines)) from error


def load_scenario(path: Path | str, changes: Sequence[str] = ()) -> Scenario:
    """Return the scenario in a YAML file; see `read_scenario`."""
    return read_scenario(Path(path), changes).scenario


def read_scenario(path: Path, changes: Sequence[str] = ()) -> LoadedScenario:
    """Read a YAML file; each of `changes` is `PATH=VALUE` and overrides it, as in `agents.BANK_A.unsecured_cap=5`.

    The files that policies name, beside the scenario's or in the working directory, are read too and stand in their
    place.

    Raises:
        ConfigError: a file cannot be read, a key is written in it, or a value is wrong: `file:line: key: problem`, a
            line each.
    """
    return read_written(path, changes).checked()


def read_written(path: Path, changes: Sequence[str] = ()) -> WrittenScenario:
    """Read a YAML file as `read_scenario` does, and check no value.

    Raises:
        ConfigError: a file cannot be read, or a key is written in it.
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
    return WrittenScenario(data, place, _inline_policies(data, path.parent, place), set_by)


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        ConfigError: it cannot be read, is not JSON (the message has line and column), or has a key twice.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES), str(path))


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
        return load_json(text, unique=True)
    except JsonError as error:
        place = name if error.line is None else f"{name}:{error.line}:{error.column}: not JSON"
        raise ConfigError(f"{place}: {error.reason}") from error


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
        section[location[-1]] = load_json(text, unique=True, allow_nan=True)
    except JsonError as error:
        if error.line is None:
            raise ConfigError(f"--set {name}: {error.reason}") from error
        section[location[-1]] = text
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


def _inline_policies(data: dict[str, Any], folder: Path, place: Callable[[Location], str]) -> dict[int, Path]:
    """Put the documents that policies name by `json_path` in the place of the path; their files, by bank."""
    agents, files = data.get("agents"), {}
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, dict) else None
        if isinstance(policy, dict) and policy.get("type") == "FromJson" and "json_path" in policy:
            try:
                files[index] = existing(_path_alone(policy), folder)
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
