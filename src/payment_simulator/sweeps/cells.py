"""The cells of a sweep: a scenario with each combination of settings, checked, its payments kept for the workers."""

import copy
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from labledger.errors import ConfigError
from labledger.files import write_durably
from labledger.yaml_files import YamlFile, read_yaml
from payment_simulator.policy.policies import policies_of, with_policies
from payment_simulator.scenario.given_payments import COLUMNS, GivenPayments
from payment_simulator.scenario.loader import changed, refuse_payments, rewritten
from payment_simulator.scenario.payment_files.building import read_payments
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.policy_files import FOLDER
from payment_simulator.scenario.schema import Scenario
from payment_simulator.scenario.written import WrittenScenario

SHARED = ("tick", "amount", "priority", "deadline", "divisible")
"""The columns of payments that do not depend on the banks of a scenario."""


@dataclass(frozen=True)
class CellInfo:
    """The facts of a cell that are kept without its scenario.

    `banks` are in the order of their ids; `weight` is the work of a run, in banks times ticks and payments; `draws` is
    True where payments are drawn.
    """

    banks: tuple[str, ...]
    weight: float
    digest: str
    draws: bool


@dataclass(frozen=True)
class Cell:
    """A scenario as plain JSON values, which a worker makes a scenario of, and the file of its payments, if any."""

    scenario: dict[str, Any]
    payments: Path | None
    info: CellInfo


class Scenarios(Protocol):
    """A source of scenarios: one for each change, which of a sweep is a list of what `--set` takes."""

    @property
    def name(self) -> str:
        """The scenario's file, as it was named."""

    def changed(self, changes: Any) -> Scenario:
        """Return the scenario with these changes, checked with its policies.

        Raises:
            ConfigError: a change cannot be made, or a value is wrong.
        """


@dataclass
class WrittenScenarios:
    """Scenarios of a YAML file that is read once; a file of payments that several of them name is read once, too."""

    file: YamlFile
    name: str
    _key: str = ""
    _given: GivenPayments | None = None

    @classmethod
    def read(cls, path: Path, policies: Path | None = None) -> "WrittenScenarios":
        """Read a file; `policies` is the folder in which policies' files are looked for, in place of its own.

        Raises:
            ConfigError: it cannot be read.
        """
        refuse_payments(path)
        file = read_yaml(path)
        if policies is not None:
            file.data[FOLDER] = str(policies)
        return cls(file, str(path))

    def changed(self, changes: Sequence[str]) -> Scenario:
        """See `Scenarios`."""
        return with_policies(self._written(changes))[0].scenario

    def told(self, changes: Sequence[str]) -> Scenario:
        """Return the scenario as `changed` does, and tell the user what in it may be meant otherwise."""
        written = self._written(changes)
        written.tell()
        return with_policies(written)[0].scenario

    def _written(self, changes: Sequence[str]) -> WrittenScenario:
        own = replace(self.file, data=copy.deepcopy(self.file.data))
        return changed(own, changes, self._read)

    def _read(self, section: Payments, folder: Path, run: Run) -> GivenPayments:
        key = f"{section.model_dump_json()} {run}"
        if key != self._key or self._given is None:
            self._given = None  # before the next one takes as much memory
            self._key, self._given = key, read_payments(section, folder, run)
        return self._given


@dataclass
class BuiltScenarios:
    """Scenarios made of one that is in memory; its payments, if it has any, are the same in all."""

    scenario: Scenario
    name: str = "scenario"

    def changed(self, changes: Sequence[str]) -> Scenario:
        """See `Scenarios`."""
        if not changes:
            policies_of(self.scenario)
            return self.scenario
        if any(change.startswith("payments") for change in changes):
            raise ConfigError("payments: cannot be changed once they are read; give the scenario's path")
        data = self.scenario.model_dump(mode="json")
        return with_policies(rewritten(data, self.name, changes, self.scenario.given_payments))[0].scenario

    def told(self, changes: Sequence[str]) -> Scenario:
        """Return the scenario as `changed` does: of one in memory there is nothing to tell."""
        return self.changed(changes)


@dataclass
class Cells:
    """The cells of a sweep in order: `changes` are those of each. The payments of files are kept in `folder`."""

    source: Scenarios
    changes: Sequence[Any]
    folder: Path
    _kept: tuple[GivenPayments, Path, str] | None = None

    def __len__(self) -> int:
        return len(self.changes)

    def __getitem__(self, number: int) -> Cell:
        """Return a cell, made anew from what was read.

        Raises:
            ConfigError: a value is wrong; the message names the settings.
        """
        try:
            scenario = self.source.changed(self.changes[number])
        except ConfigError as error:
            settings = " ".join(map(str, self.changes[number]))
            raise type(error)(f"{error}\n  in the cell {settings}" if settings else str(error)) from error
        return self._cell(scenario)

    def __iter__(self) -> Iterator[Cell]:
        return (self[number] for number in range(len(self)))

    def _cell(self, scenario: Scenario) -> Cell:
        data = scenario.model_dump(mode="json")
        path, of_payments, payments = None, "", 0
        if (given := scenario.given_payments) is not None:
            path, of_payments = self._keep(given)
            payments = len(given)
        text = json.dumps(data, sort_keys=True) + of_payments
        info = CellInfo(
            tuple(scenario.agent_ids),
            weight=len(scenario.agents) * scenario.simulation.ticks + 10.0 * payments,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            draws=any(True for agent in scenario.agents for _ in agent.arrivals()),
        )
        return Cell(data, path, info)

    def _keep(self, given: GivenPayments) -> tuple[Path, str]:
        """Return the file in which workers find the payments, and their digest."""
        if self._kept is not None:
            kept, path, digest = self._kept
            if kept.banks == given.banks and all(getattr(kept, name) is getattr(given, name) for name in SHARED):
                return path, digest
        content = _written(given)
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / f"payments-{digest[:16]}.npz"
        if not path.exists():
            write_durably(path, content)
        self._kept = given, path, digest
        return path, digest


def _written(given: GivenPayments) -> bytes:
    """Return the columns of payments as the bytes of a file: of equal payments the same."""
    about = json.dumps([given.banks, given.ticks_per_day, given.num_days]).encode()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=np.frombuffer(about, dtype=np.uint8),
        **{name: getattr(given, name).astype(kind, copy=False) for name, kind in COLUMNS.items()},
    )
    return buffer.getvalue()


def kept_payments(path: Path) -> GivenPayments:
    """Return the payments in a file that `Cells` kept, without what is not simulated."""
    with np.load(path, allow_pickle=False) as file:
        banks, ticks_per_day, days = json.loads(file["about"].tobytes())
        columns = {name: file[name] for name in COLUMNS}
    return GivenPayments(banks=tuple(banks), ticks_per_day=ticks_per_day, num_days=days, **columns)
