"""Many experiments of one file with other settings, in one database: each an ordinary run, over the cores.

An experiment is known by its configuration and its scenario. So a sweep that is begun again goes on: what is completed
stays, what was interrupted is resumed, and what another process runs is left to it.
"""

import asyncio
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from labledger.errors import ConfigError, LabledgerError
from labledger.executor import LOCAL, Done, run_all
from labledger.json_text import dump_json
from labledger.untrusted_text import clean
from labledger.yaml_files import YamlFile, read_yaml
from payment_simulator.experiments.config import ExperimentConfig, identity
from payment_simulator.experiments.output_checks import check_output
from payment_simulator.experiments.persistence import ExperimentRecord, ExperimentRepository, RecordError
from payment_simulator.experiments.runner.experiment_runner import GenericExperimentRunner
from payment_simulator.experiments.settings import Settings
from payment_simulator.experiments.setup import ExperimentSetup

SHOWN = 80
PLACES_OF_RESULTS = ("name", "output")

Part = Literal["new", "resumed", "completed", "elsewhere"]
GATHER_S = 1.0
"""The work of a search that a sweep which is killed may lose, for each of its runs."""
TAKEN = ("completed", "running")
BEST_FIRST = ("completed", "running", "interrupted", "failed")


@dataclass(frozen=True)
class Planned:
    """An experiment of a sweep: its settings, what is to be done, and the id of its run.

    `part` is `new` or `resumed` where it is to be run, `completed` where it has been, `elsewhere` where a process runs
    it at this moment.
    """

    settings: Settings
    part: Part
    run_id: str

    @property
    def is_to_run(self) -> bool:
        """True if there is something left to do."""
        return self.part in ("new", "resumed")

    @property
    def words(self) -> str:
        """The settings in a line."""
        return words_of(self.settings)


@dataclass(frozen=True)
class Ran:
    """A run of a sweep that has ended: its id, and the cents of all its banks together.

    Of one that another sweep has begun meanwhile there is the id alone.
    """

    run_id: str
    is_elsewhere: bool = False
    final_cost: int | None = None
    converged: bool | None = None
    num_iterations: int | None = None
    seconds: float | None = None


def words_of(settings: Mapping[str, Any]) -> str:
    """Return settings in a line, as they are written."""
    return "  ".join(f"{clean(key, SHOWN)}={clean(value_text(value), SHOWN)}" for key, value in settings.items())


def value_text(value: Any) -> str:
    """Return a value as `--set` takes it; of a default that is None, nothing."""
    return "" if value is None else value if isinstance(value, str) else dump_json(value, indent=None)


class Sweep:
    """The experiments of a file with each of some settings.

    Every one is checked before any is run.

    Raises:
        ConfigError: a file cannot be read, or one of the experiments cannot be run; the message has its settings. Or
            the file has no database.
    """

    def __init__(self, path: Path, cells: Sequence[Settings]) -> None:
        file = read_yaml(path)
        base = ExperimentConfig.from_file(file, {})
        for key in dict.fromkeys(key for cell in cells for key in cell):
            if key.partition(".")[0] in PLACES_OF_RESULTS:
                raise ConfigError(f"--set {key}: all runs of a sweep have one name and one database; leave it out")
        if base.output is None or base.output.database_path is None:
            raise ConfigError(f"{base.place('output', 'database')}a sweep is kept in one: name it")
        check_output(base)
        self.path, self.name, self.database = path, base.name, base.output.database_path
        self.cells = list(cells)
        self.is_of_model = base.proposer == "llm"
        self._configs = [_checked(file, settings) for settings in cells]
        self._setups: dict[str, ExperimentSetup] = {}
        self._digests: dict[str, str] = {}
        self._known_ids: frozenset[str] = frozenset()
        for settings, config in zip(self.cells, self._configs, strict=True):
            with _told_of(settings):
                self._setup(config)

    def plan(self, patience_s: float) -> list[Planned]:
        """Return what is to be done for each experiment.

        Raises:
            DatabaseError: the database cannot be read.
        """
        known: dict[str, list[ExperimentRecord]] = {}
        self._known_ids = frozenset()
        if self.database.exists():
            with ExperimentRepository(self.database, must_exist=True, patience_s=patience_s) as repository:
                for record in repository.each_experiment(name=self.name):
                    known.setdefault(identity(record.config), []).append(record)
        self._known_ids = frozenset(each.experiment_id for records in known.values() for each in records)
        return [self._planned(*each, known) for each in zip(self.cells, self._configs, strict=True)]

    def run(
        self, planned: Sequence[Planned], patience_s: float, *, on: str = LOCAL, workers: int | None = None
    ) -> "Generator[tuple[Planned, Done[Ran]], None, None]":
        """Yield each experiment that is to be run as it ends, an error as a value.

        Raises:
            ConfigError: there is no such `on`.
            WorkerError: workers cannot be started.
        """
        left = [each for each in planned if each.is_to_run]
        known = self._known_ids | {each.run_id for each in planned}
        job = partial(run_one, self.path, known, patience_s)
        with closing(run_all(job, left, on=on, max_workers=workers)) as found:
            for done in found:
                yield left[done.index], done

    def _planned(
        self, settings: Settings, config: ExperimentConfig, known: Mapping[str, list[ExperimentRecord]]
    ) -> Planned:
        records = known.get(identity(config.to_dict()), [])
        same = [each for each in records if _is_scenario_of(each, self._setup(config))]
        if not same:
            return Planned(settings, "new", self._run_id(config))
        best = min(same, key=lambda each: BEST_FIRST.index(each.status))  # of equal ones the last to be started
        parts: dict[str, Part] = {"completed": "completed", "running": "elsewhere"}
        return Planned(settings, parts.get(best.status, "resumed"), best.experiment_id)

    def _run_id(self, config: ExperimentConfig) -> str:
        """Return the id of a new run: the same for every sweep, of which the database lets one begin it."""
        own = identity(config.to_dict())
        key = identity({**config.to_dict(), "master_seed": 0})
        if key not in self._digests:
            self._digests[key] = hashlib.sha256(dump_json(self._setup(config).to_dict()).encode()).hexdigest()
        digest = hashlib.sha256(f"{own} {self._digests[key]}".encode()).hexdigest()
        return f"{self.name}-{digest[:16]}"

    def _setup(self, config: ExperimentConfig) -> ExperimentSetup:
        """Return the setup of an experiment; those that differ in their seeds alone have one."""
        key = identity({**config.to_dict(), "master_seed": 0})
        if key not in self._setups:
            self._setups[key] = ExperimentSetup.load(config)
        return self._setups[key]


@contextmanager
def _told_of(settings: Settings) -> Iterator[None]:
    """Add the settings to a configuration's error."""
    try:
        yield
    except ConfigError as error:
        error.add_note(f"with {words_of(settings)}; nothing was run")
        raise


def _checked(file: YamlFile, settings: Settings) -> ExperimentConfig:
    with _told_of(settings):
        return ExperimentConfig.from_file(file, settings)


def _is_scenario_of(record: ExperimentRecord, setup: ExperimentSetup) -> bool:
    """Return True if a run was begun with this scenario."""
    try:
        stored = ExperimentSetup.from_dict(record.scenario or {}).to_dict()
    except (KeyError, TypeError, ValueError, LabledgerError):
        return False
    return bool(json.loads(dump_json(stored)) == json.loads(dump_json(setup.to_dict())))


def run_one(path: Path, known: frozenset[str], patience_s: float, planned: Planned) -> Ran:
    """Run an experiment of a sweep, or go on with it, in this process.

    One that was begun or gone on with meanwhile, by a sweep whose runs are not among the `known` ones, is left to that.
    A new run whose id is there is gone on with: its worker was killed.
    """
    config = ExperimentConfig.from_yaml(path, planned.settings)
    gather_s = 0.0 if config.proposer == "llm" else GATHER_S  # what was paid for is stored at once
    runner = GenericExperimentRunner(config, run_id=planned.run_id, patience_s=patience_s, gather_s=gather_s)
    with closing(runner):
        return _run(runner, config, known, patience_s, planned)


def _run(
    runner: GenericExperimentRunner,
    config: ExperimentConfig,
    known: frozenset[str],
    patience_s: float,
    planned: Planned,
) -> Ran:
    assert runner.database is not None  # noqa: S101 - a sweep has one
    with ExperimentRepository(runner.database, must_exist=True, patience_s=patience_s) as repository:
        ids = repository.experiment_ids(name=config.name)
        others = [repository.load_experiment(each) for each in ids if each not in known]
    own = identity(config.to_dict())
    for each in others:
        if each.status in TAKEN and identity(each.config) == own:
            return Ran(each.experiment_id, is_elsewhere=True)
    try:
        result = asyncio.run(runner.resume() if planned.run_id in ids else runner.run())
    except RecordError:
        with ExperimentRepository(runner.database, must_exist=True, patience_s=patience_s) as repository:
            if repository.load_experiment(planned.run_id).status in TAKEN:
                return Ran(planned.run_id, is_elsewhere=True)
        raise
    ended = (result.final_costs, result.converged, result.num_iterations, result.total_duration_seconds)
    return Ran(runner.run_id, False, *ended)
