"""A scenario as it is written, checked or not yet, and where each of its values was written."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.notices import notify
from labledger.yaml_files import Location, describe_errors, in_order_of_lines
from payment_simulator.scenario.advice import advice_on
from payment_simulator.scenario.bank_names import has_ids, problems_of_names
from payment_simulator.scenario.changes import location_of
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.resolving import check_payments, mentions_payments
from payment_simulator.scenario.schema import MAX_TICKS, Scenario
from payment_simulator.scenario.unread_files import ANY_BANKS

UNREAD_DAYS = re.compile(r"(^|: )simulation(\.ticks_per_day)?: required")
UNREAD = re.compile(UNREAD_DAYS.pattern + r"|(^|: )agents(\.[0-9]+)?: should ")
"""Problems that only follow from payments that were not read, for their section is wrong, which is told."""
STRANGERS = re.compile(r"(^|: )(unknown bank '|.* has no other bank to pay$)")
"""Problems that only follow from ids of banks that are wrong or cannot be read, which is told."""

STAND_INS: Mapping[Location, Any] = {("simulation",): {"ticks_per_day": MAX_TICKS}}
"""A length in which every event happens, to look for other problems where a scenario's own is wrong."""


def as_written(location: Location) -> Location:
    """Return a location as it is."""
    return location


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario, where each of its values was written, and the files of policies, by the bank's place in the file.

    `changes` are the options that set a value over the file's, by its location. `named` is a location as messages have
    it: with the bank's id, or as a default of all banks.
    """

    scenario: Scenario
    place: Callable[[Location], str]
    policy_files: Mapping[int, Path]
    changes: Mapping[Location, str] = field(default_factory=dict)
    named: Callable[[Location], Location] = as_written
    inputs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class WrittenScenario:
    """A scenario as it is written, not checked yet; the rest is as `LoadedScenario` has it.

    Banks and days that its files give it are in `data`, and the payments in `given`. `problems` are those of its files,
    a line each; what such a file would have given it is left out of `data`. `text` is the plain text of a value as it
    is written. `remarks` are what is allowed, and may be meant otherwise.
    """

    data: dict[str, Any]
    place: Callable[[Location], str]
    policy_files: Mapping[int, Path]
    changes: Mapping[Location, str]
    given: GivenPayments | None = None
    named: Callable[[Location], Location] = as_written
    text: Callable[[Location], str | None] = lambda location: None
    problems: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    remarks: tuple[tuple[Location, str], ...] = ()

    def tell(self) -> None:
        """Tell the user the remarks, each at its place."""
        for location, remark in self.remarks:
            key = ".".join(map(str, self.named(location)))
            notify(": ".join(filter(None, (self.place(location), key, remark))), once=True)

    @property
    def bank_ids(self) -> list[str] | None:
        """The ids of the banks, as they are written; None where one is missing or wrong, or its file cannot be read."""
        ids = list(dict.fromkeys(agent["id"] for agent in self.data["agents"])) if has_ids(self.data) else []
        return None if not ids or ANY_BANKS[0] in ids else ids

    def checked(self) -> LoadedScenario:
        """Return it checked.

        Raises:
            ConfigError: a value is wrong: `file:line: key: problem`, a line each.
        """
        try:
            scenario = Scenario.model_validate(self.data)
        except ValidationError as error:
            lines = dict.fromkeys([*self._problems(error), *self.problems])
            raise ConfigError("\n".join(in_order_of_lines(lines))) from error
        if self.problems:
            raise ConfigError("\n".join(dict.fromkeys(self.problems)))
        if self.given is not None:
            try:
                check_payments(self.given, scenario)
            except ConfigError as error:
                where = self.place(location_of(str(error).partition(":")[0]))
                raise ConfigError(": ".join(filter(None, (where, str(error))))) from error
            scenario = scenario.with_payments(self.given)
        return LoadedScenario(scenario, self.place, self.policy_files, self.changes, self.named, self.inputs)

    def _problems(self, error: ValidationError) -> list[str]:
        agents = self.data.get("agents")
        lines = describe_errors(
            error,
            Scenario,
            self.data,
            self.place,
            beside=problems_of_names(self.data) if isinstance(agents, list) else (),
            named=self.named,
            written=self.text,
            advice=partial(advice_on, self.data),
            stand_ins=STAND_INS,
        )
        if self.bank_ids is None:
            lines = [line for line in lines if not STRANGERS.search(line)]
        if self.data.get("payments") is None or self.given is not None:
            return lines
        follows = UNREAD if mentions_payments(agents) else UNREAD_DAYS
        return [line for line in lines if not follows.search(line)]
