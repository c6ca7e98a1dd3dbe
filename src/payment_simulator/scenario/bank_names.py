"""The names of banks in a scenario: each once, and every other name that of a bank."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from labledger.yaml_files import Location, did_you_mean, nearest

EVENT_AGENTS = ("from_agent", "to_agent", "agent", "counterparty")
OTHER_SIDES = (("from_agent", "agent"), ("to_agent", "counterparty"))


def problems_of_names(data: Any) -> Iterator[tuple[Location, str]]:
    """Yield the place and the problem of each wrong name in a scenario as it is written, whatever else is wrong there.

    Nothing is said of names where the id of a bank is missing or no text: it may be the one that is named.
    """
    if not has_ids(data):
        return
    agents = _listed(data, "agents")
    ids = [str(agent["id"]) for agent in agents]
    known = dict.fromkeys(sorted(ids))
    seen: set[str] = set()
    for index, agent in enumerate(agents):
        if ids[index] in seen:
            yield ("agents", index, "id"), f"{ids[index]!r} stands twice"
        seen.add(ids[index])
        for inside, config in arrivals_of(agent):
            yield from _strangers(("agents", index, *inside), ids[index], config, known)
        for inside, limits in _limits(agent):
            yield from _others(("agents", index, *inside), ids[index], limits, known)
    for index, event in enumerate(_listed(data, "scenario_events")):
        yield from _problems_of_event(("scenario_events", index), event, known)


def has_ids(data: Any) -> bool:
    """True where each bank of a scenario as it is written has a text for an id, so that every name can be checked."""
    agents = _listed(data, "agents")
    return bool(agents) and all(isinstance(agent.get("id"), str) for agent in agents)


def bank_named(data: Any, location: Location) -> Location:
    """Return a location in a scenario with the bank's id for its place in the list, as `--set` takes it.

    A bank whose id is missing, not the only one of its kind, or itself what is located, keeps its place.
    """
    if len(location) < 3 or location[0] != "agents" or location[2] == "id":
        return location
    ids = [agent.get("id") for agent in _listed(data, "agents")]
    place = location[1]
    name = ids[place] if isinstance(place, int) and place < len(ids) else None
    return (location[0], name, *location[2:]) if isinstance(name, str) and name and ids.count(name) == 1 else location


def bank_at(data: Any, index: int) -> str:
    """Return the id of a bank by its place in the list of a scenario; the place, where it has none of its own."""
    name = bank_named(data, ("agents", index, ""))[1]
    return name if isinstance(name, str) else f"agents.{index}"


def meant(name: str, names: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with the bank that a name was probably to be, nothing where none is near."""
    near = nearest(name, names)
    return f" (did you mean {clean(near, SHOWN)}?)" if near else ""


def _listed(data: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the sections in a list of them; one that is none is empty."""
    found = data.get(key) if isinstance(data, Mapping) else None
    return [each if isinstance(each, Mapping) else {} for each in found] if isinstance(found, list) else []


def arrivals_of(agent: Mapping[str, Any]) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    """Yield what a bank as it is written draws payments by, with its location in it."""
    bands = agent.get("arrival_bands")
    places: list[tuple[Location, Any]] = [(("arrival_config",), agent.get("arrival_config"))]
    places += [(("arrival_bands", name), band) for name, band in bands.items()] if isinstance(bands, Mapping) else []
    yield from ((place, config) for place, config in places if isinstance(config, Mapping))


def _strangers(
    here: Location, bank: str, config: Mapping[str, Any], known: Mapping[str, None]
) -> Iterator[tuple[Location, str]]:
    """Yield the counterparties that are not another bank, and a bank that has none."""
    if len(known) < 2:
        yield here, f"{bank} has no other bank to pay"
    weights = config.get("counterparty_weights")
    if isinstance(weights, Mapping):
        yield from _others((*here, "counterparty_weights"), bank, weights, known)


def _others(
    here: Location, bank: str, by_name: Mapping[Any, Any], known: Mapping[str, None]
) -> Iterator[tuple[Location, str]]:
    """Yield the keys of a mapping that are not another bank."""
    for name in by_name:
        if name == bank:
            yield (*here, name), f"{name!r} is the bank itself"
        elif name not in known:
            others = [each for each in known if each != bank]
            meant = did_you_mean(str(name), others if nearest(str(name), others) else list(known))
            yield (*here, name), f"unknown bank {name!r}{meant}"


def _limits(agent: Mapping[str, Any]) -> Iterator[tuple[Location, Mapping[Any, Any]]]:
    """Yield the bilateral limits of a bank as it is written, with their location in it."""
    section = agent.get("limits")
    inside = section.get("bilateral_limits") if isinstance(section, Mapping) else None
    places: list[tuple[Location, Any]] = [(("limits", "bilateral_limits"), inside)]
    places.append((("bilateral_limits",), agent.get("bilateral_limits")))
    yield from ((place, limits) for place, limits in places if isinstance(limits, Mapping))


def _problems_of_event(
    here: Location, event: Mapping[str, Any], known: Mapping[str, None]
) -> Iterator[tuple[Location, str]]:
    for key in EVENT_AGENTS:
        name = event.get(key)
        if isinstance(name, str) and name not in known:
            yield (*here, key), f"unknown bank {name!r}{did_you_mean(name, list(known))}"
    first, second = (event.get(name) or event.get(other) for name, other in OTHER_SIDES)
    if isinstance(second, str) and first == second:
        yield here, f"{first} cannot be its own counterparty"
