"""Several runs read together: what each was set to, what it cost, and the profiles at which they ended, how often."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from labledger.errors import ConfigError, LabledgerError
from labledger.intervals import Interval, mean_interval
from payment_simulator.experiments.differences import SEED, Differences, settings_of, without_seed
from payment_simulator.experiments.parameters import numbers_of
from payment_simulator.experiments.persistence import ExperimentRecord, ExperimentRepository
from payment_simulator.experiments.runner.profiles import meaning
from payment_simulator.experiments.settings import Settings
from payment_simulator.experiments.stored_run import StoredRun, named_run
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.scenario.banks import Agent

LEVEL = 0.95


@dataclass(frozen=True)
class EndedRun:
    """A completed run: the settings in which it differs from others, its final costs in cents and policies, by bank.

    `parameters` are the numbers of each policy. `ends` are the profiles at which its starts ended: how many of them
    did, and if the bank's moves have converged there.
    """

    record: ExperimentRecord
    settings: Settings
    costs: dict[str, int]
    policies: dict[str, PolicyDocument]
    parameters: dict[str, dict[str, float]]
    ends: tuple["End", ...]

    @property
    def total(self) -> int:
        """The cents of all banks."""
        return sum(self.costs.values())


@dataclass(frozen=True)
class End:
    """A profile at which starts of a run ended, and what is equal of profiles by which all banks do the same."""

    policies: dict[str, PolicyDocument]
    costs: dict[str, int]
    reached: int
    converged: bool
    meaning: str


@dataclass
class Equilibrium:
    """A profile at which runs of a group converged: its policies, how many starts reached it, and one of its costs."""

    policies: dict[str, PolicyDocument]
    costs: dict[str, int]
    reached: int = 0


@dataclass
class Group:
    """The runs with the same settings but for the seed; `settings` is without it."""

    settings: Settings
    runs: list[EndedRun] = field(default_factory=list)

    @property
    def converged(self) -> int:
        """The number of runs that have converged."""
        return sum(each.record.converged is True for each in self.runs)

    @property
    def starts(self) -> int:
        """The number of starts of all its runs."""
        return sum(end.reached for run in self.runs for end in run.ends)

    def mean_cost(self, bank: str | None) -> tuple[float, Interval | None]:
        """Return the mean final cost in cents of a bank, or of all, and its interval over seeds: Student's t.

        There is no interval of one run, nor where all runs cost the same.
        """
        costs = [float(run.total if bank is None else run.costs[bank]) for run in self.runs]
        return fmean(costs), mean_interval(costs, level=LEVEL) if len(set(costs)) > 1 else None

    @cached_property
    def equilibria(self) -> list[Equilibrium]:
        """The profiles at which its starts converged, the one that was reached most often first."""
        found: dict[str, Equilibrium] = {}
        for end in (end for run in self.runs for end in run.ends if end.converged):
            found.setdefault(end.meaning, Equilibrium(end.policies, end.costs)).reached += end.reached
        return sorted(found.values(), key=lambda each: -each.reached)


@dataclass
class ManyRuns:
    """Completed runs, the settings in which they differ, and how many were named that are not completed."""

    runs: list[EndedRun]
    keys: list[str]
    not_completed: int

    @classmethod
    def load(cls, repository: ExperimentRepository, targets: Iterable[str]) -> "ManyRuns":
        """Return the runs that are named by their ids, the starts of those, or `latest`.

        Raises:
            ConfigError: one is named by none of these, or twice, or none is completed.
            DatabaseError: they cannot be read.
            UnreadableFileError: one is not as a run is stored.
        """
        records = {}
        for target in targets:
            record = named_run(repository, target)
            if record.experiment_id in records:
                raise ConfigError(f"{record.experiment_id}: is named twice")
            records[record.experiment_id] = record
        return cls.of(list(records.values()))

    @classmethod
    def of(cls, records: Sequence[ExperimentRecord]) -> "ManyRuns":
        """Return the runs of these records, ordered by their settings.

        Raises:
            ConfigError, UnreadableFileError: as `load`.
        """
        completed = [each for each in records if each.status == "completed" and each.final_policies is not None]
        if not completed:
            states = ", ".join(sorted({each.status for each in records})) or "there is none"
            raise ConfigError(f"none of these runs is completed ({states}): there is nothing to show of them yet")
        differences = Differences.of(each.config for each in completed)
        found = [_ended(each, differences.of_run(settings_of(each.config))) for each in completed]
        found.sort(key=lambda run: [_order(value) for value in run.settings.values()])
        return cls(found, differences.keys, len(records) - len(completed))

    @property
    def banks(self) -> list[str]:
        """The banks of all runs.

        Raises:
            ConfigError: they are not the same.
        """
        banks = [sorted(each.costs) for each in self.runs]
        if other := next((run for run, each in zip(self.runs, banks, strict=True) if each != banks[0]), None):
            raise ConfigError(f"{other.record.experiment_id}: has other banks than {self.runs[0].record.experiment_id}")
        return banks[0]

    @cached_property
    def axes(self) -> list[str]:
        """The keys whose effect is looked for: without the seed, unless it alone differs."""
        return without_seed(self.keys)

    @cached_property
    def groups(self) -> list[Group]:
        """The runs with the same settings but for the seed, in the order of the settings."""
        found: dict[str, Group] = {}
        for run in self.runs:
            settings = {key: run.settings[key] for key in self.axes}
            found.setdefault(repr(settings), Group(settings)).runs.append(run)
        return list(found.values())

    @property
    def has_seeds(self) -> bool:
        """True if runs differ in the seed beside other settings."""
        return SEED in self.keys and SEED not in self.axes


def _order(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not is_number, float(value), "") if is_number else (True, 0.0, repr(value))


def _ended(record: ExperimentRecord, settings: Settings) -> EndedRun:
    run = StoredRun(record, [], [])
    try:
        agents = {agent.id: agent for agent in run.setting[1].scenario.agents}
        policies = record.final_policies or {}
        parameters = {bank: numbers_of(policy, agents[bank]) for bank, policy in policies.items()}
        return EndedRun(
            record, settings, record.final_costs_by_agent or {}, policies, parameters, tuple(_ends(record, agents))
        )
    except LabledgerError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise run.unreadable(f"its end is not as a run stores it: {error!r}") from error


def _ends(record: ExperimentRecord, agents: dict[str, Agent]) -> Iterable[End]:
    """Yield the ends of a run's starts: those of its resting points, or its only one."""
    points = record.resting_points or [
        {
            "policies": record.final_policies,
            "costs_by_agent": record.final_costs_by_agent,
            "reached": 1,
            "converged": record.converged,
        }
    ]
    for point in points:
        policies = point["policies"]
        text = repr([(bank, meaning(policies[bank], agents[bank])) for bank in sorted(policies)])
        yield End(policies, point["costs_by_agent"], int(point["reached"]), bool(point["converged"]), text)
