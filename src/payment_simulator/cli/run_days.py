"""`payment-sim run -o DIR`, which keeps a day, and `payment-sim run DIR`, which simulates one again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from payment_simulator.days.loading import Day
    from payment_simulator.days.record import InputFile
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.policy.builtin import Policy
    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario
    from payment_simulator.scenario.written import LoadedScenario

Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Keep the day in this new folder.", show_default=False)
]

FROM_FILES = ("payments", "balances", "agent_defaults", "policies")
"""Sections of a scenario that a kept day has already followed."""


@dataclass(frozen=True)
class Source:
    """The source of a run: a scenario's file, or a day that was kept, with changes of the command line.

    `inputs` are the files that it was read from, as they were then; none where it is not to be kept.
    """

    path: Path
    loaded: "LoadedScenario"
    policies: "list[Policy]"
    day: "Day | None"
    inputs: "list[InputFile]"

    @property
    def seed(self) -> int | None:
        """The seed of its draws, if no other is asked for; None of a day whose payments were handed in."""
        seed = self.loaded.scenario.simulation.rng_seed
        is_own = self.day is not None and seed == self.day.scenario.simulation.rng_seed
        return self.day.record.seed if self.day is not None and is_own else seed

    def arrivals(self, seed: int | None) -> "Arrivals":
        """Return its payments: those of a day as they came, unless a seed is asked for or what draws them is changed.

        Raises:
            ConfigError: they cannot be drawn, or no seed is known.
        """
        from labledger.errors import ConfigError
        from payment_simulator.scenario.arrivals import draw_arrivals

        scenario = self.loaded.scenario
        if self.day is not None and seed is None:
            if _draws(scenario) == _draws(self.day.scenario):
                return self.day.arrivals
            if self.seed is None:
                raise ConfigError(f"{self.path}: --set changes its payments, and no seed of them is known; say --seed")
        return draw_arrivals(scenario, self.seed if seed is None else seed)


def _draws(scenario: "Scenario") -> list[Any]:
    """Return what the payments of a scenario follow from, beside its file of payments."""
    banks = [(agent.id, agent.arrival_config, agent.arrival_bands) for agent in scenario.agents_by_id()]
    return [scenario.simulation, scenario.deadline_cap_at_eod, banks, scenario.scenario_events]


def read_source(path: Path, changes: Sequence[str], *, is_kept: bool) -> Source:
    """Read a scenario's file, or a day that was kept; with `is_kept` also the digests of what was read.

    Raises:
        ConfigError: it cannot be read, or a value is wrong: every problem, a line each.
        UnreadableFileError: a file of the day cannot be read.
    """
    from payment_simulator.days.folders import DOCUMENT
    from payment_simulator.days.saving import input_files
    from payment_simulator.policy.policies import policies_of, read_with_policies
    from payment_simulator.scenario.loader import rewritten

    if not path.is_dir() and path.name != DOCUMENT:
        loaded, policies = read_with_policies(path, changes)
        inputs = input_files(loaded.inputs, path.parent) if is_kept else []
        return Source(path, loaded, policies, None, inputs)
    day = read_day(path)
    _check_changes(path, changes)
    written = rewritten(day.record.scenario, str(day.folder / DOCUMENT), changes, day.scenario.given_payments)
    loaded = replace(written.checked(), inputs=day.files)
    inputs = [*day.record.inputs, *input_files(day.files[:1], day.folder)]
    return Source(path, loaded, policies_of(loaded), day, inputs)


def read_day(path: Path) -> "Day":
    """Return the day that was kept in a folder; what it warns of is printed.

    Raises:
        ConfigError: there is no day.
        UnreadableFileError: a file of it cannot be read.
    """
    from labledger.commands import printing_warnings
    from payment_simulator.days.loading import load_day

    with printing_warnings(str(path)):
        return load_day(path)


def _check_changes(path: Path, changes: Sequence[str]) -> None:
    """Refuse a change of what was read from files, and is part of the day now."""
    from labledger.errors import ConfigError

    for change in changes:
        name = change.partition("=")[0]
        if name.split(".")[0] in FROM_FILES:
            raise ConfigError(
                f"--set {name}: would change nothing: no file is read again, what {path} has of it stands in its banks "
                "and payments; set agents.BANK.KEY, or run the scenario's file"
            )


def check_output(output: Path | None, *others: Path | None) -> None:
    """Refuse a folder that a day cannot be kept in, before anything is computed.

    Raises:
        ConfigError: it is there and not empty, cannot be made, or another output is in it.
    """
    from labledger.errors import ConfigError
    from payment_simulator.days.folders import check_new_folder

    if output is None:
        return
    for other in others:
        if other is not None and other.absolute().is_relative_to(output.absolute()):
            raise ConfigError(f"-o {output}: {other} would be in it, and a day has a folder of its own; name another")
    check_new_folder(output)


def keep(outcome: "Outcome", output: Path | None, source: Source, report: Mapping[str, Any]) -> Path | None:
    """Keep a run that was asked to be kept, and return its folder."""
    from payment_simulator.days.saving import write_day

    if output is None:
        return None
    name = str(source.path)
    return write_day(outcome, output, seed=report["seed"], name=name, inputs=source.inputs, report=report)


def print_reality(report: Mapping[str, Any], money: Callable[[int], str]) -> None:
    """Print how the simulation compares with the settlement times of the file, where it has them.

    `money` writes cents as a person reads them.
    """
    from labledger.console import print_facts
    from labledger.counts import counted
    from labledger.percentages import rounded_percent

    found = report.get("reality")
    if found is None:
        return
    both, alone = found["settled_in_both"], (found["settled_only_simulated"], found["settled_only_in_file"])
    facts = [("compared with the file", f"{counted(found['payments'], 'payment')}, of which {both:,} settled in both")]
    facts.append(("settled in one alone", f"{alone[0]:,} in the simulation, {alone[1]:,} in the file"))
    if both:
        mean = found["mean_difference_ticks"]
        words = f"{abs(mean):.2f} ticks {'earlier' if mean < 0 else 'later'} than in the file"
        same = rounded_percent(found["same_tick_share"])
        facts.append(("simulated settlement", f"{words} on average; {same} in the same tick"))
    if (apart := found["furthest_apart"]) is not None:
        values = f"{money(apart['simulated'])} simulated and {money(apart['file'])} in the file"
        facts.append(("settled value", f"furthest apart after tick {apart['tick']:,}: {values}"))
    print_facts("", facts)
