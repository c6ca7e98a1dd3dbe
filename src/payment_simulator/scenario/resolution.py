"""The data of a scenario that is made whole from its files, and where each part of it was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labledger.yaml_files import Location
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.balance_times import RunDays
from payment_simulator.scenario.balances import BankRow
from payment_simulator.scenario.bank_names import bank_named
from payment_simulator.scenario.given_payments import GivenPayments

Source = Location | str
"""Where something was written: a location in the scenario's file, or a place in another file."""


@dataclass
class BankSource:
    """Where a bank was written, and those of its fields that were written elsewhere."""

    place: Location
    fields: dict[str, Source] = field(default_factory=dict)


@dataclass
class Resolution:
    """The data of a scenario with what its files give it, and where that was written.

    `rows` are what the file of `balances` says. `events` are the places of the scenario events that are added to the
    `own_events` of the scenario.
    """

    data: dict[str, Any]
    given: GivenPayments | None = None
    balances: Balances | None = None
    days: RunDays | None = None
    rows: Mapping[str, BankRow] = field(default_factory=dict)
    banks: list[BankSource] = field(default_factory=list)
    own_events: int = 0
    events: list[str] = field(default_factory=list)

    def source(self, location: Location) -> Source:
        """Return where a location of the data was written."""
        match location:
            case ("agents", int(number), *inside) if number < len(self.banks):
                bank = self.banks[number]
                found = bank.fields.get(str(inside[0])) if inside else None
                if found is None:
                    return (*bank.place, *inside)
                return found if isinstance(found, str) else (*found, *inside[1:])
            case ("scenario_events", int(number), *_) if 0 <= number - self.own_events < len(self.events):
                return self.events[number - self.own_events]
        return location

    def unplaced(self, location: Location) -> str:
        """Return the place of a location of the data in another file; empty where it is in the scenario itself."""
        source = self.source(location)
        return source if isinstance(source, str) else ""

    def named(self, location: Location) -> Location:
        """Return a location of the data as messages name it: with the bank's id, or as a default of all banks."""
        source = self.source(location)
        is_default = isinstance(source, tuple) and source[:1] == ("agent_defaults",)
        return source if is_default and isinstance(source, tuple) else bank_named(self.data, location)
