"""Settings of an experiment in place of those in its file: `KEY=VALUE`, of the scenario as `scenario.KEY=VALUE`."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from labledger.errors import ConfigError
from labledger.untrusted_text import clean
from labledger.yaml_files import Location
from payment_simulator.scenario.changes import location_of, put, value_of
from payment_simulator.sweeps.settings import parse_axes

SCENARIO = "scenario."
SCENARIO_SETTINGS = "scenario_settings"
SHOWN = 60

Settings = dict[str, Any]


def single_settings(options: Sequence[str]) -> Settings:
    """Return the value of each `KEY=VALUE`, JSON or else text, by its key.

    Raises:
        ConfigError: one is not of that form, or a key stands twice.
    """
    found: Settings = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {clean(option, SHOWN)}: write KEY=VALUE, as in master_seed=7")
        if key in found:
            raise ConfigError(f"--set {clean(key, SHOWN)}: stands twice")
        found[key] = value_of(text, f"--set {clean(key, SHOWN)}")
    return found


def product_of_settings(options: Sequence[str]) -> list[Settings]:
    """Return the settings of each cell of the product of `KEY=VALUE,VALUE,...`, the last key changing first.

    Raises:
        ConfigError: as `parse_axes`.
    """
    axes = parse_axes(options)
    names = [axis.path for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def with_settings(data: dict[str, Any], settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Location, str]]:
    """Return a copy of an experiment's data with other values, and where they stand, each with its option.

    Raises:
        ConfigError: there is no such place.
    """
    changed = copy.deepcopy(data)
    set_by: dict[Location, str] = {}
    for key, value in settings.items():
        option = f"--set {clean(key, SHOWN)}"
        location = (SCENARIO_SETTINGS, key.removeprefix(SCENARIO)) if key.startswith(SCENARIO) else location_of(key)
        if (made := put(changed, location, value)) is None:
            raise ConfigError(f"{option}: there is no such place in the experiment")
        set_by |= dict.fromkeys(made, option)
    return changed, set_by


def is_plain(value: Any) -> bool:
    """Return True if a value is a number, a text, true, false or null."""
    return value is None or isinstance(value, str | int | float)
