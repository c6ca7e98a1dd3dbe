"""The dialect of another simulator's files: what such a file means by its silence, and its units of `LogNormal`.

A file that names the dialect gets these values where it says nothing itself. They are SimCash's own defaults, each of
which is a key of the scenario.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from labledger.yaml_files import Location, ProblemsError, has
from payment_simulator.scenario.arrival_sections import PRIORITY_BANDS
from payment_simulator.scenario.cost_sections import OTHER_NAMES
from payment_simulator.scenario.distributions import MOST_MU, MOST_SIGMA

SIMCASH: Mapping[str, Any] = {
    "queue2_passes": "once",
    "lsm_config": {"enable_bilateral": True, "enable_cycles": True},
    "cost_rates": {
        "overdraft_bps_per_tick": 0.001,
        "collateral_cost_per_tick_bps": 0.0002,
        "delay_cost_per_tick_per_cent": 0.0001,
        "overdue_delay_multiplier": 5.0,
        "deadline_penalty": 50_000,
        "eod_penalty_per_transaction": 10_000,
        "eod_penalty_scope": "overdue",
        "split_friction_cost": 1_000,
    },
}
"""What the dialect `simcash` sets, by key and section."""

ON_LOG_SCALE = {"mean": "mu", "std_dev": "sigma"}
"""Keys of a `LogNormal` that are of the logarithm in the dialect, and their names here."""

KEYS_OF_ITS_FILES: tuple[Location, ...] = (
    ("priority_mode",),
    ("algorithm_sequencing",),
    ("entry_disposition_offsetting",),
    ("eod_rush_threshold",),
    ("cost_rates", "eod_penalty"),
)
"""Keys that only files of that simulator use."""

LARGEST = {"mean": MOST_MU, "std_dev": MOST_SIGMA}

PLACES: tuple[Location, ...] = (("arrival_config",), *(("arrival_bands", band) for band in PRIORITY_BANDS))
"""Locations in a bank of what it sends."""

LEAST_MEAN = 30
"""Cents. A mean below it is taken for that of a logarithm, written in the dialect."""
WAY = "write dialect: simcash (or --dialect simcash)"


def with_dialect(data: Any) -> Any:
    """Return the data of a scenario with what its dialect means where the file is silent; without one, as it is.

    Raises:
        ProblemsError: log-normal amounts are of cents, and not of their logarithm.
    """
    if not isinstance(data, Mapping) or data.get("dialect") != "simcash":
        return data
    if problems := [*_too_large(data)]:
        raise ProblemsError(problems)
    found = {**data}
    for key, value in SIMCASH.items():
        written = data.get(key)
        if not isinstance(value, Mapping):
            found[key] = value if written is None else written
        elif written is None or isinstance(written, Mapping):
            found[key] = _filled(value, written or {})
    agents = data.get("agents")
    if isinstance(agents, list):
        found["agents"] = [_on_log_scale(agent) for agent in agents]
    if "agent_defaults" in data:
        found["agent_defaults"] = _on_log_scale(data["agent_defaults"])
    return found


def _too_large(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield the place of log-normal amounts whose numbers are those of cents."""
    for location, amounts in _log_normals(data):
        for key, most in LARGEST.items():
            number = amounts.get(key)
            if isinstance(number, int | float) and number > most:
                text = f"{number} is over {most}: with dialect: simcash it is of the logarithm of the amounts"
                yield (*location, key), f"{text}; write its logarithm, or leave the dialect out"


def _filled(defaults: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with defaults for what is not written in it, by either of its names."""
    is_written = {OTHER_NAMES.get(key, key) for key in written}
    return {key: value for key, value in defaults.items() if key not in is_written} | dict(written)


def remarks_on(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield the place of what only another simulator's files have, where no dialect is named, and what to write."""
    if "dialect" in data:
        return
    for location in KEYS_OF_ITS_FILES:
        if _is_written(data, location):
            text = f"a key of SimCash's files, which mean other defaults; {WAY} to read it so, or dialect: null"
            yield location, f"{text} to keep those of this program"
            break
    for location, amounts in _log_normals(data):
        mean = amounts.get("mean")
        if isinstance(mean, int | float) and 0 < mean < LEAST_MEAN:
            text = f"{mean} is the mean of the amounts in cents; if it is that of their logarithm, write mu and sigma"
            yield (*location, "mean"), f"{text}, or {WAY}"
            break


def _is_written(data: Any, location: Location) -> bool:
    for part in location:
        if not has(data, part):
            return False
        data = data[part]
    return True


def _log_normals(data: Mapping[str, Any]) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    """Yield each log-normal distribution of the banks, and its location."""
    agents = data.get("agents")
    sections: list[tuple[Location, Any]] = [(("agent_defaults",), data.get("agent_defaults"))]
    sections += [(("agents", number), agent) for number, agent in enumerate(agents if isinstance(agents, list) else [])]
    for location, section in sections:
        for inside in PLACES:
            amounts = section
            for key in (*inside, "amount_distribution"):
                amounts = amounts.get(key) if isinstance(amounts, Mapping) else None
            if isinstance(amounts, Mapping) and amounts.get("type") == "LogNormal":
                yield (*location, *inside, "amount_distribution"), amounts


def _on_log_scale(section: Any) -> Any:
    """Return a section of a bank, or a part of it, whose log-normal amounts are named by mu and sigma."""
    if not isinstance(section, Mapping):
        return section
    found = {**section}
    for key in ("arrival_config", "arrival_bands", *PRIORITY_BANDS):
        if key in found:
            found[key] = _on_log_scale(found[key])
    amounts = found.get("amount_distribution")
    if isinstance(amounts, Mapping) and amounts.get("type") == "LogNormal":
        found["amount_distribution"] = _renamed(amounts)
    return found


def _renamed(amounts: Mapping[str, Any]) -> dict[str, Any]:
    """Return them with the names of the log scale; what is no number keeps the name that its message has."""
    numbers = {key: name for key, name in ON_LOG_SCALE.items() if isinstance(amounts.get(key), int | float)}
    return {numbers.get(key, key): value for key, value in amounts.items() if value is not None}
