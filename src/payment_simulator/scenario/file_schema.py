"""The JSON Schema of a scenario's file, for editors."""

from typing import Any

from payment_simulator.scenario.resolving import FROM_PAYMENTS
from payment_simulator.scenario.schema import Scenario


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario, whose file of payments may say which banks and how many ticks it has."""
    schema = Scenario.model_json_schema()
    properties = schema["properties"]
    agents = {key: properties["agents"].pop(key) for key in ("type", "items", "minItems")}
    properties["agents"] |= {"anyOf": [agents, {"const": FROM_PAYMENTS}]}
    schema["required"] = ["agents"]
    schema["anyOf"] = [{"required": ["simulation"]}, {"required": ["payments"]}]
    return schema
