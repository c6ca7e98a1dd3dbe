"""A scenario whose files cannot be read: what can be checked of it all the same."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labledger.errors import ConfigError
from labledger.sections import Section
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.payment_files.files import files_of
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.resolution import BankSource, Resolution
from payment_simulator.scenario.resolving import (
    FROM_PAYMENTS,
    add_rows,
    days_of,
    mentions_payments,
    read_balances,
    section_of,
)
from payment_simulator.scenario.schema import MAX_TICKS

ANY_BANKS = ("any bank", "any other")
"""The names that stand for those of files that cannot be read."""
SECTIONS: Mapping[str, type[Section]] = {"payments": Payments, "balances": Balances}


def without_files(data: Mapping[str, Any], folder: Path, refused: list[ConfigError]) -> Resolution:
    """Return the data of a scenario whose payments cannot be read, with what they would have given it left out.

    A section that is wrong itself stays, for the check of the whole to tell. Where its banks are the payments', two of
    any name stand for them; where its days are, those that are long enough for all. An error of the balances is added
    to `refused`.
    """
    right = {key for key, model in SECTIONS.items() if section_of(model, data.get(key)) is not None}
    whole = {key: value for key, value in data.items() if key not in right}
    whole["simulation"] = _long_enough(whole.get("simulation", {}))
    agents = data.get("agents")
    own = (
        [(index, each) for index, each in enumerate(agents) if each != FROM_PAYMENTS]
        if isinstance(agents, list)
        else []
    )
    found = Resolution(whole, banks=[BankSource(("agents", index)) for index, _ in own])
    if mentions_payments(agents):
        whole["agents"] = [*(each for _, each in own), *({"id": bank} for bank in ANY_BANKS)]
        found.banks += [BankSource(("agents",)) for _ in ANY_BANKS]
        return found
    payments = section_of(Payments, data.get("payments"))
    read = Resolution(whole, balances=section_of(Balances, data.get("balances")))
    read.days = days_of(data.get("simulation"), payments, None)
    try:
        add_rows(read, payments, folder)
    except ConfigError as error:
        refused.append(error)
    found.rows = read.rows
    return found


def _long_enough(simulation: Any) -> Any:
    if not isinstance(simulation, Mapping):
        return simulation
    days = simulation.get("num_days", 1)
    is_right = isinstance(days, int) and 0 < days <= MAX_TICKS
    return {"ticks_per_day": MAX_TICKS // days if is_right else 1, **simulation}


def unread_files(data: Mapping[str, Any], folder: Path, found: Resolution) -> Iterator[ConfigError]:
    """Yield what is wrong, as far as it shows by itself, with each file that is named and was not read: its section or
    the length of the run is wrong, or another file.
    """
    for is_read, check in ((found.given is not None, _check_payments), (found.rows, _check_balances)):
        if not is_read:
            try:
                check(data, folder)
            except ConfigError as error:
                yield error


def _check_payments(data: Mapping[str, Any], folder: Path) -> None:
    files = _named_in(data, "payments")
    if isinstance(files, str) or (isinstance(files, list) and all(isinstance(each, str) for each in files)):
        files_of(files, folder)


def _check_balances(data: Mapping[str, Any], folder: Path) -> None:
    file = _named_in(data, "balances")
    if isinstance(file, str):
        read_balances(section_of(Balances, data["balances"]) or Balances(file=file), folder)


def _named_in(data: Mapping[str, Any], key: str) -> Any:
    section = data.get(key)
    return section.get("file") if isinstance(section, Mapping) else None
