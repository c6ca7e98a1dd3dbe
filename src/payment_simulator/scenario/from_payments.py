"""Scenarios of a table of payments: what `Scenario.from_payments` does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from labledger.errors import ConfigError
from labledger.yaml_files import Location, did_you_mean
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.idle_banks import idle_banks
from payment_simulator.scenario.json_files import refuse_keys
from payment_simulator.scenario.keywords import ScenarioKeywords
from payment_simulator.scenario.observed_amounts import inline_amounts
from payment_simulator.scenario.payment_files.tables import PaymentsKeywords, arrow_table
from payment_simulator.scenario.policy_files import inline_policies
from payment_simulator.scenario.resolving import FROM_PAYMENTS, complete, read_files
from payment_simulator.scenario.schema import Scenario
from payment_simulator.scenario.written import WrittenScenario


def scenario_of(payments: Any, keywords: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a table of payments, or the path of a file; see `Scenario.from_payments`.

    Raises:
        ConfigError: a row or a value is wrong; a line each.
    """
    for key in keywords.keys() - ScenarioKeywords.__annotations__.keys():
        raise ConfigError(f"{key}: unknown keyword{did_you_mean(key, list(ScenarioKeywords.__annotations__))}")
    section = {key: value for key, value in keywords.items() if key in PaymentsKeywords.__annotations__}
    rest = {key: value for key, value in keywords.items() if key not in section}
    data: dict[str, Any] = {"agents": FROM_PAYMENTS, **rest, "payments": {**section, "file": "payments"}}
    tables = {}
    if isinstance(payments, str | Path):
        data["payments"]["file"] = str(payments)
    else:
        tables["payments"] = arrow_table(payments, "payments")
    balances = data.get("balances")
    if isinstance(balances, Path):
        data["balances"] = str(balances)
    elif balances is not None and not isinstance(balances, str) and not _is_section(Balances, balances):
        tables["balances"] = arrow_table(balances, "balances")
        data["balances"] = "balances"
    found = read_files(data, Path(), _nowhere, tables)
    complete(found, _nowhere)
    refuse_keys(found.data, found.unplaced)
    if found.given is not None and "payments" in tables:
        del found.data["payments"]  # there is no file to read them from again
    problems = inline_amounts(found.data, Path(), found.unplaced)
    files = inline_policies(found, Path(), _nowhere, problems)
    remarks = tuple(idle_banks(found))
    written = WrittenScenario(
        found.data, found.unplaced, files, {}, found.given, found.named, problems=tuple(problems), remarks=remarks
    )
    written.tell()
    return written.checked().scenario


def _nowhere(location: Location) -> str:
    """Return no place: what is given in Python has none."""
    return ""


def _is_section(model: type[BaseModel], written: Any) -> bool:
    return isinstance(written, Mapping) and set(map(str, written)) <= model.model_fields.keys()
