"""Advice at the end of a message on a key of a scenario, out of what the rest of it says."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.yaml_files import Location, has, nearest
from payment_simulator.scenario.payment_files.clock import tick_at
from payment_simulator.scenario.payment_files.sections import Clock

FROM_PAYMENTS = "from_payments"
TICKS = ("tick", "start_tick", "end_tick")


def advice_on(data: Mapping[str, Any], location: Location) -> str:
    """Return what to write in place of the value at a location, where the rest of the scenario tells; else nothing."""
    value = _value(data, location)
    if location == ("agents",):
        return _agents(data, value)
    if location[:1] == ("scenario_events",) and location[-1] in TICKS and isinstance(value, str):
        return _tick(data, value)
    return ""


def _agents(data: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str):
        return f" (did you mean {FROM_PAYMENTS}?)" if nearest(value, [FROM_PAYMENTS]) else ""
    return f"; say agents: {FROM_PAYMENTS}" if value is None and data.get("payments") is not None else ""


def _tick(data: Mapping[str, Any], value: str) -> str:
    """Return the tick of a time of day, by the clock of the payments."""
    try:
        clock = Clock.model_validate(_value(data, ("payments", "clock")))
        return f"; {value} is tick {tick_at(value, clock)} of a day"
    except (ConfigError, ValidationError):
        return ""


def _value(data: Any, location: Location) -> Any:
    for part in location:
        if not has(data, part):
            return None
        data = data[part]
    return data
