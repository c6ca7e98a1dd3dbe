"""Loading of a scenario: a YAML file, and the changes that are set on the command line."""

import copy
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labledger.errors import ConfigError, problems_in
from labledger.problem_list import ProblemList
from labledger.regular_files import opened_to_read
from labledger.yaml_files import Location, YamlFile, read_yaml
from payment_simulator.scenario.changes import option_of, set_values
from payment_simulator.scenario.dialect import remarks_on
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.idle_banks import idle_banks
from payment_simulator.scenario.json_files import refuse_keys
from payment_simulator.scenario.observed_amounts import inline_amounts
from payment_simulator.scenario.payment_files.building import read_payments
from payment_simulator.scenario.payment_files.files import kind_of
from payment_simulator.scenario.payment_files.problems import OWN_LINE, SectionError
from payment_simulator.scenario.policy_files import inline_policies
from payment_simulator.scenario.resolution import Resolution
from payment_simulator.scenario.resolving import (
    ReadPayments,
    complete,
    mentions_payments,
    named_files,
    read_files,
)
from payment_simulator.scenario.schema import Scenario
from payment_simulator.scenario.unread_files import unread_files, without_files
from payment_simulator.scenario.written import LoadedScenario, WrittenScenario

KEY = re.compile(rb"^\w+:(?:\s|$)", re.MULTILINE)
MAX_HEAD = 4_000
"""Bytes of a file in which the keys of a scenario are looked for."""
TO_A_FILE = "put payments into a file of their own: payments: {file: day.csv}"


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
        ConfigError: the file cannot be read, or a key is written in it.
    """
    refuse_payments(path)
    written = changed(read_yaml(path, TO_A_FILE), changes)
    written.tell()
    return written


def refuse_payments(path: Path) -> None:
    """Refuse a file of payments in the place of a scenario, by its name and beginning. Raises ConfigError."""
    if kind_of(path) not in ("", ".txt") and not _begins_with_keys(path):
        raise ConfigError(
            f"{path}: a file of payments by its name; give a scenario that names it, as payments: {{file: {path.name}}}"
            " (payment-sim template payments prints one)"
        )


def _begins_with_keys(path: Path) -> bool:
    """Return True of a file that has a section's key near its beginning, or cannot be read, which is told elsewhere."""
    try:
        with opened_to_read(path, follow=True) as file:
            return KEY.search(file.read(MAX_HEAD)) is not None
    except OSError:
        return True


def changed(file: YamlFile, changes: Sequence[str], read: ReadPayments = read_payments) -> WrittenScenario:
    """Return the scenario of a YAML file that was read, with changes, which are made in the file's own `data`.

    `read` reads the payments that a section, in the scenario's folder, names.

    Raises:
        ConfigError: a change cannot be made, or a key is written in it.
    """
    data, folder = file.data, file.path.parent
    set_by: dict[Location, str] = {}
    found: Resolution | None = None

    def place(location: Location) -> str:
        if (ours := option_of(set_by, location)) is not None:
            return ours
        source = location if found is None else found.source(location)
        if isinstance(source, str):
            return source
        return option_of(set_by, source if source[:1] != ("agents",) else ()) or file.place(source)

    if isinstance(data.get("balances"), str):
        data["balances"] = {"file": data["balances"]}  # so that a level can be set beside it
    of_banks = [change for change in changes if change.startswith("agents.")]
    refused = ProblemList()
    set_by |= set_values(data, (change for change in changes if change not in of_banks), refused)
    refuse_keys(data, place)
    problems: list[str] = []
    found = _files_read(data, folder, place, problems, read)
    if problems and of_banks and mentions_payments(data.get("agents")):  # the banks may be those of a file
        raise ConfigError("\n".join([*refused.found, *problems]))
    if not mentions_payments(found.data.get("agents")):  # where they were not read, their section is told
        set_by |= set_values(found.data, of_banks, refused)
    _complete(found, place, problems)
    refuse_keys(found.data, place)  # what a cell holds, too
    problems += inline_amounts(found.data, folder, place)
    files = inline_policies(found, folder, place, problems)

    def text(location: Location) -> str | None:
        source = found.source(location)
        return None if isinstance(source, str) or option_of(set_by, location) else file.written(source)

    problems[:0] = refused.found
    inputs = (file.path, *files.values(), *(() if problems else named_files(found, folder)))
    remarks = (*remarks_on(found.data), *idle_banks(found))
    return WrittenScenario(
        found.data, place, files, set_by, found.given, found.named, text, tuple(problems), inputs, remarks
    )


def _files_read(
    data: dict[str, Any], folder: Path, place: Callable[[Location], str], problems: list[str], read: ReadPayments
) -> Resolution:
    """Return the data with what its files give it; the reason why one cannot be read is added to the problems."""
    refused: list[ConfigError] = []
    try:
        found = read_files(data, folder, place, read=read, refused=refused)
    except ConfigError as error:
        refused = [error]
        found = without_files(data, folder, refused)
    for each in (*refused, *unread_files(data, folder, found)):
        problems += _placed(each.placed(place) if isinstance(each, SectionError) else each, place)
    return found


def _complete(found: Resolution, place: Callable[[Location], str], problems: list[str]) -> None:
    """Give each bank what it does not say itself; what hinders that is added to the problems."""
    try:
        complete(found, place)
    except ConfigError as error:
        problems += _placed(error, place)
        found.data.pop("balances", None)


def _placed(error: ConfigError, place: Callable[[Location], str]) -> list[str]:
    """Return the problems of files, each with a place in the scenario unless it has a line of its own."""
    found = problems_in(error)
    if any(OWN_LINE.match(each) for each in found):
        return found
    return [f"{place(('payments',))}: {each}" for each in found]


def rewritten(data: dict[str, Any], name: str, changes: Sequence[str], given: GivenPayments | None) -> WrittenScenario:
    """Return a scenario that ran before, kept as `data` in the file `name`, with `changes` as `read_scenario` has them.

    Nothing else is read: its policies are in it, and `given` are its payments.

    Raises:
        ConfigError: a change has no place in it.
    """
    data = copy.deepcopy(data)
    set_by = set_values(data, changes)
    return WrittenScenario(data, lambda location: option_of(set_by, location) or name, {}, set_by, given)
