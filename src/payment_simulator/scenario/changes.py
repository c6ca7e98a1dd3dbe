"""Changes of a scenario as `--set` writes them: `PATH=VALUE`."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from labledger.errors import ConfigError
from labledger.json_text import JsonError, load_json
from labledger.problem_list import ProblemList
from labledger.yaml_files import Location, did_you_mean, has

LIST_OR_SECTION = re.compile(r"^\s*(\[.*\]|\{.*\})\s*$", re.DOTALL)
"""A text that is meant as a value of several, which no text of a scenario is."""


def set_values(
    data: dict[str, Any], changes: Iterable[str], problems: ProblemList | None = None
) -> dict[Location, str]:
    """Apply each change to `data`; return the option that set a location, by each location that was set.

    The problem of a change that is none, or has no place in the data, is added to `problems`.

    Raises:
        ConfigError: there are such changes, and no `problems`: a line each.
    """
    found = ProblemList() if problems is None else problems
    set_by: dict[Location, str] = {}
    for change in changes:
        made = found.of(partial(_set_value, data, change))
        set_by |= dict.fromkeys(made or (), f"--set {change.partition('=')[0]}")
    if problems is None:
        found.refuse()
    return set_by


def option_of(set_by: Mapping[Location, str], location: Location) -> str | None:
    """Return the option that set a location, or what encloses it."""
    parts = (location[:end] for end in range(len(location), 0, -1))
    return next((set_by[part] for part in parts if part in set_by), None)


def _set_value(data: dict[str, Any], change: str) -> list[Location]:
    """Apply `change` to `data`; return its location, and those of the sections that it made."""
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {change}: write PATH=VALUE, as in agents.BANK_A.unsecured_cap=100000")
    location = _location(data, name)
    made = put(data, location, value_of(text, f"--set {name}"))
    if made is None:
        raise ConfigError(f"--set {name}: there is no such place in the scenario")
    return made


def value_of(text: str, option: str) -> Any:
    """Return the value of a written one: the JSON in it, or else the text itself.

    Raises:
        ConfigError: it is JSON that cannot be used, as with a key twice; the message names the option.
    """
    try:
        return load_json(text, unique=True, allow_nan=True)
    except JsonError as error:
        if error.line is None:
            raise ConfigError(f"{option}: {error.reason}") from error
        if LIST_OR_SECTION.search(text):
            example = '[{"type": "Outage"}]'
            raise ConfigError(
                f"{option}: a list or a section is written as JSON, keys and texts in double quotes, as in {example}: "
                f"{error.reason}"
            ) from error
        return text


def put(data: dict[str, Any], location: Location, value: Any) -> list[Location] | None:
    """Put a value into data, with the sections around it; return its location and those of the sections that were
    made, or None where there is no such place."""
    section: Any = data
    made = [location]
    for depth, part in enumerate(location[:-1], start=1):
        if isinstance(section, dict) and section.get(part) is None:
            section[part] = {}
            made.append(location[:depth])
        section = section[part] if has(section, part) else None
    if not isinstance(section, dict) and not has(section, location[-1]):
        return None
    section[location[-1]] = value
    return made


def _location(data: dict[str, Any], name: str) -> Location:
    """Return the keys of a dotted path; a bank is named by its id, which may have dots of its own."""
    first, _, rest = name.partition(".")
    if first == "agents" and isinstance(data.get("agents"), list) and rest:
        ids = [str(agent.get("id")) if isinstance(agent, dict) else "" for agent in data["agents"]]
        named = [place for place, each in enumerate(ids) if each and (rest == each or rest.startswith(f"{each}."))]
        index = max(named, key=lambda place: len(ids[place]), default=None)
        if index is None:
            wanted = rest.partition(".")[0]
            raise ConfigError(f"--set {name}: unknown bank {wanted!r}{did_you_mean(wanted, ids)}")
        inside = rest[len(ids[index]) + 1 :]
        if not inside:
            raise ConfigError(f"--set {name}: name one of the bank's keys, as in {name}.unsecured_cap")
        return ("agents", index, *inside.split("."))
    return location_of(name)


def location_of(dotted: str) -> Location:
    """Return the keys of a dotted path; a whole number is a place in a list."""
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))
