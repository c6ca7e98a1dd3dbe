"""A day that was kept: its document, its tables, and the scenario and payments with which it can be simulated again."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from labledger.documents import check_seal, read_document, seal_of
from labledger.errors import UnreadableFileError
from labledger.regular_files import opened_to_read, read_regular
from labledger.schema_versions import version_warning
from labledger.sections import Section
from labledger.untrusted_text import SHOWN, clean, reason_of
from payment_simulator.days.folders import DOCUMENT, TABLES, day_folder, table_file
from payment_simulator.days.record import DAY_VERSION, StoredDay
from payment_simulator.days.stored_tables import StoredTable
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.given_payments import COLUMNS, NEVER, GivenPayments
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[Any]
S = TypeVar("S", bound=Section)
RERUN_COMMAND = "payment-sim run SCENARIO -o DIR"
BANKS = ("sender", "receiver")
ARRIVED = "arrived"
"""The column of payments with the tick in which each came."""


@dataclass(frozen=True)
class Day:
    """A day in its folder. Its tables are read when they are asked for; docs/payment_days.md has their columns.

    Each property raises UnreadableFileError where what it needs is not what a day has.
    """

    folder: Path
    record: StoredDay

    @property
    def payments(self) -> "pyarrow.Table":
        """A row for each payment, in sequence."""
        return self.stored("payments").table

    @property
    def balances(self) -> "pyarrow.Table":
        """A row for each tick and bank."""
        return self.stored("balances").table

    @property
    def costs(self) -> "pyarrow.Table":
        """A row for each tick, bank and kind of cost that was charged."""
        return self.stored("costs").table

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files, the document first."""
        return (self.folder / DOCUMENT, *(self.stored(name).path for name in TABLES))

    def stored(self, name: str) -> StoredTable:
        """Return the table called `name`, to be read."""
        return self._stored[name]

    @cached_property
    def _stored(self) -> dict[str, StoredTable]:
        return {name: StoredTable(self.folder / table_file(name)) for name in TABLES}

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario as it ran, with the payments of its file, which is not read again."""
        scenario = self._section(Scenario, "scenario", self.record.scenario)
        has_file = scenario.payments is not None or self._of_file.any()
        return scenario.with_payments(self._given(scenario)) if has_file else scenario

    @cached_property
    def arrivals(self) -> Arrivals:
        """All of its payments, as they came: those of its file, of scenario events, and drawn ones."""
        columns = self._columns(self.scenario)
        bounds = np.array([0, len(columns["tick"])])
        if self.scenario.given_payments is None:
            return Arrivals(**columns, bounds=bounds)
        of_file = self._of_file
        places = np.where(of_file, np.cumsum(of_file) - 1, NEVER).astype(np.int32)
        return Arrivals(**columns, bounds=bounds, given=places)

    def by_tick(self, table: str, column: str, banks: Sequence[str]) -> Ints:
        """Return the sums of a column of `balances` or `costs` for each tick and these banks, of shape (ticks, banks).

        In `balances` each bank has to have a row in each tick.
        """
        stored, ticks = self.stored(table), self.scenario.simulation.ticks
        tick, place, value = stored.values("tick"), stored.places("bank", banks), stored.values(column)
        chosen = place >= 0
        tick, place, value = tick[chosen], place[chosen], value[chosen]
        if len(tick) and (tick.min() < 0 or tick.max() >= ticks):
            raise stored.unreadable(f"tick: should be from 0 to {ticks - 1:,}")
        cells = ticks * len(banks)
        if table == "balances" and (len(tick) != cells or (np.bincount(tick * len(banks) + place) != 1).any()):
            raise stored.unreadable(f"should have a row for each of {ticks:,} ticks and each bank")
        found = np.zeros((ticks, len(banks)), dtype=np.int64)
        np.add.at(found, (tick, place), value)
        return found

    def _given(self, scenario: Scenario) -> GivenPayments:
        table, chosen, written = self.stored("payments"), self._of_file, self.record.payments
        return GivenPayments(
            banks=tuple(scenario.agent_ids),
            **{name: each[chosen] for name, each in self._columns(scenario).items()},
            ticks_per_day=scenario.simulation.ticks_per_day,
            num_days=scenario.simulation.num_days,
            settled=table.values("settled_in_file", np.int32, NEVER)[chosen]
            if self.record.report.get("reality")
            else None,
            ids=table.texts("id").combine_chunks().filter(_mask(chosen)),
            skipped=self.record.skipped,
            remarks=tuple(self.record.remarks),
            dates=None if self.record.dates is None else np.array(self.record.dates, dtype=np.int64),
            section=None if written is None else self._section(Payments, "payments", written),
        )

    def _section(self, model: type[S], key: str, written: dict[str, Any]) -> S:
        """Return what the document has at `key`, checked."""
        try:
            return model.model_validate(written)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = clean(".".join(map(str, (key, *first["loc"]))), SHOWN)
            raise UnreadableFileError(f"{self.folder / DOCUMENT}: {where}: {clean(first['msg'], SHOWN)}") from error

    @property
    def _of_file(self) -> Ints:
        """True of each payment of its file, or table."""
        return self.stored("payments").values("from_file", np.bool_)

    def _columns(self, scenario: Scenario) -> dict[str, Ints]:
        """The columns of its payments, as `Arrivals` has them, checked."""
        table, banks, ticks = self.stored("payments"), scenario.agent_ids, scenario.simulation.ticks
        numbers = {name: ARRIVED if name == "tick" else name for name in COLUMNS if name not in BANKS}
        found = {name: table.values(column, COLUMNS[name]) for name, column in numbers.items()}
        for name in BANKS:
            found[name] = table.places(name, banks).astype(np.int32)
            if (found[name] < 0).any():
                raise table.unreadable(f"{name}: names a bank that the scenario does not have")
        tick = found["tick"]
        if len(tick) and (tick.min() < 0 or tick.max() >= ticks or (np.diff(tick) < 0).any()):
            raise table.unreadable(f"{ARRIVED}: should ascend, from 0 to {ticks - 1:,}")
        if len(tick) and found["amount"].min() < 1:
            raise table.unreadable("amount: should be at least 1")
        return found


def load_day(directory: Path | str) -> Day:
    """Return the day that was kept in a folder; the digests of its tables are verified.

    Warns (UserWarning) when its document was changed after it was saved, or is of another schema version.

    Raises:
        ConfigError: there is no day; the message says what there is.
        UnreadableFileError: a file of it is missing, cannot be read, or, of a table, was changed after it was saved.
    """
    folder = day_folder(Path(directory))
    path = folder / DOCUMENT
    try:
        content = read_regular(path)
    except OSError as error:
        raise UnreadableFileError(f"{path}: {reason_of(error)}") from error
    record, data = read_document(StoredDay, content, str(path))
    if warning := version_warning(record, data, str(path), current=DAY_VERSION, rerun=RERUN_COMMAND):
        warnings.warn(warning, stacklevel=2)
    if (seal := check_seal(content, data)) != "holds":
        found = "was changed after it was saved: its digest differs" if seal == "broken" else "has no digest"
        warnings.warn(f"{path} {found}.", stacklevel=2)
    for name in TABLES:
        _check_table(folder / table_file(name), seal_of(data).get(f"{name}_sha256"))
    return Day(folder, record)


def _check_table(path: Path, expected: object) -> None:
    if not os.path.lexists(path):
        raise UnreadableFileError(f"{path}: is missing; a day without it cannot be used")
    try:
        with opened_to_read(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFileError(f"{path}: {reason_of(error)}") from error
    if digest != expected:
        raise UnreadableFileError(f"{path}: was changed after it was saved: its digest is not the one in {DOCUMENT}")


def _mask(chosen: Ints) -> "pyarrow.Array":
    import pyarrow as pa

    return pa.array(chosen)
