"""`llem run` of several configurations, or with `--repeat`: rounds of runs, each in a process of its own."""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from labledger.console import print_answer, print_json, print_line, print_table
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from llenergymeasure.config.loading import LoadedConfig
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.domain.requests import Prompt
    from llenergymeasure.run.repeats import Failures, PlannedRun

SHOWN_ROUNDS = 3
HEADS = (
    "round",
    "configuration",
    "energy/output token",
    "tokens/s",
    "median TTFT ms",
    "median TPOT ms",
    "verdict",
    "warnings",
    "saved in",
)


@dataclass(frozen=True)
class Options:
    """The options of `llem run` that the runs have in common."""

    repeats: int
    output: Path
    export_csv: Path | None
    json: bool
    quiet: bool
    verbose: bool
    debug: bool


@dataclass
class _Session:
    """The runs so far of `total`."""

    names: Sequence[str]
    total: int
    failures: "Failures"
    done: list[tuple["PlannedRun", Path, "ExperimentResult"]] = field(default_factory=list)
    failed: list["PlannedRun"] = field(default_factory=list)

    def add(self, run: "PlannedRun", path: Path, result: "ExperimentResult") -> None:
        """Record a run that has a result."""
        self.done.append((run, path, result))
        self.failures.add(run.configuration, failed=False)

    def add_failure(self, run: "PlannedRun") -> None:
        """Record a run that has none."""
        self.failed.append(run)
        self.failures.add(run.configuration, failed=True)

    def results_of(self, configuration: int) -> list["ExperimentResult"]:
        """Return the results of one configuration in the order of its runs."""
        return [result for run, _, result in self.done if run.configuration == configuration]

    @property
    def all_given_up(self) -> bool:
        """True if no configuration is run again."""
        return all(map(self.failures.is_given_up, range(len(self.names))))


def run_repeats(
    paths: Sequence[Path | None],
    flags: dict[str, Any],
    options: Options,
    *,
    settings: Mapping[str, JsonValue] | None = None,
    dry_run: bool = False,
) -> None:
    """Run each configuration once in every round, and print a table of the runs and their comparison.

    `flags` override the files, and so do `settings`, by the dotted paths of fields. A run that fails is reported, and
    the others go on.

    Raises:
        ConfigError, PreFlightError: a configuration cannot run; nothing was run.
        ExperimentError: a run failed.
        KeyboardInterrupt: the present run has kept what it had, and no other is begun.
    """
    from llenergymeasure.cli.run import print_not_used, set_verbosity
    from llenergymeasure.config.loading import load_config
    from llenergymeasure.config.ranks import this_rank
    from llenergymeasure.errors import ConfigError, ExperimentError
    from llenergymeasure.results.exporters import check_csv
    from llenergymeasure.run.preflight import remarks
    from llenergymeasure.run.repeats import Failures

    if this_rank() is not None:
        raise ConfigError(
            "torchrun starts processes for one run: repeat its command, or let llem start them (pytorch.data_parallel)"
        )
    loaded = [load_config(path, flags, settings=settings) for path in paths]
    names = _names(paths, loaded)
    set_verbosity(options.verbose)
    for each in loaded if options.verbose else ():
        print_not_used(each)
    if dry_run:
        try:
            checked = _checked(names, loaded, options)
            loaded = [each for each, _ in checked]
        finally:
            _print_plan(names, loaded, options)
        for name, (each, prompts) in zip(names, checked, strict=True):
            for remark in remarks(each.experiment, prompts):
                print_line(f"warning: {name}: {remark}", to_stderr=True)
        print_line("checked: they can run; nothing was run", to_stderr=True)
        return
    if options.export_csv is not None:
        check_csv(options.export_csv)
    loaded = [each for each, _ in _checked(names, loaded, options)]
    session = _Session(names, len(names) * options.repeats, Failures())
    try:
        for run in _runs(session, options.repeats):
            _run(run, session, loaded[run.configuration], options)
        _print_answer(session, options)
    except BaseException as error:
        error.add_note(_so_far(session, options.output))
        raise
    if session.failed:
        raise ExperimentError(_failures(session))


def _names(paths: Sequence[Path | None], loaded: Sequence["LoadedConfig"]) -> list[str]:
    """Return a name for each configuration: its file, or its model where all is given by flags; one that comes again is
    numbered."""
    names, seen = [], Counter[str]()
    for path, each in zip(paths, loaded, strict=True):
        name = each.experiment.model if path is None else str(path)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _checked(
    names: Sequence[str], loaded: Sequence["LoadedConfig"], options: Options
) -> list[tuple["LoadedConfig", list["Prompt"]]]:
    """Return the configurations with the number of their prompts, and these; raise before any is run if one cannot."""
    from llenergymeasure.energy.sources import find_sources
    from llenergymeasure.errors import ConfigError, LabledgerError, PreFlightError
    from llenergymeasure.run.preflight import check

    sources, problems = find_sources(), list[str]()
    kind: type[LabledgerError] = ConfigError
    found: list[tuple[LoadedConfig, list[Prompt]]] = []
    for name, each in zip(names, loaded, strict=True):
        try:
            checked = check(each.experiment, sources, options.output, each.absent)
            found.append((replace(each, experiment=checked.config), checked.prompts))
        except (ConfigError, PreFlightError) as error:
            problems += [f"{name}: {line}" for line in str(error).splitlines()]
            kind = kind if isinstance(error, ConfigError) else PreFlightError
    if problems:
        raise kind("\n".join(problems))
    return found


def _print_plan(names: Sequence[str], loaded: Sequence["LoadedConfig"], options: Options) -> None:
    """Print the configurations, and the order of the first rounds: the others alternate as these do."""
    from llenergymeasure.cli.config import fields_in_effect, print_config
    from llenergymeasure.run.repeats import rounds

    first = rounds(len(names), min(options.repeats, SHOWN_ROUNDS))
    order = [[names[run.configuration] for run in runs] for _, runs in groupby(first, lambda run: run.round_number)]
    if options.json:
        fields = [
            {"name": name, "config": fields_in_effect(each.experiment)}
            for name, each in zip(names, loaded, strict=True)
        ]
        print_json(dump_json({"rounds": options.repeats, "order": order, "configurations": fields}))
        return
    for each in loaded:
        print_config(each, as_json=False)
        print_answer("")
    rows = [[str(number), ", ".join(runs)] for number, runs in enumerate(order, 1)]
    more = [["...", "and so on"]] if options.repeats > SHOWN_ROUNDS else []
    print_table(["round", "one run of each, in this order"], [*rows, *more])
    print_line(f"runs: {len(names) * options.repeats}, each in a process of its own")


def _runs(session: _Session, repeats: int) -> Iterator["PlannedRun"]:
    """Yield the runs in order, without those of configurations that are given up meanwhile."""
    from llenergymeasure.run.repeats import rounds

    for run in rounds(len(session.names), repeats):
        if session.all_given_up:
            return
        if not session.failures.is_given_up(run.configuration):
            yield run


def _run(run: "PlannedRun", session: _Session, loaded: "LoadedConfig", options: Options) -> None:
    """Have one run made, and record how it ended."""
    from llenergymeasure.cli.loading import load
    from llenergymeasure.cli.presentation import energy_per_token, number
    from llenergymeasure.cli.run import add_to_csv
    from llenergymeasure.parallel.separate import run_separately

    where = f"round {run.round_number} of {options.repeats}, {session.names[run.configuration]}"
    if not options.quiet:
        print_line(f"{where} ({run.number} of {session.total})", to_stderr=True)
    how = {"quiet": options.quiet, "verbose": options.verbose, "debug": options.debug}
    ended = run_separately(loaded.experiment, loaded.user, options.output, sys.argv[1:], **how)
    if ended.path is None:
        session.add_failure(run)
        given_up = "; it is not run again" if session.failures.is_given_up(run.configuration) else ""
        print_line(f"error: {where}: {ended.ending}{given_up}", to_stderr=True)
        return
    result = load(ended.path)
    session.add(run, ended.path, result)
    add_to_csv(result, ended.path, options.export_csv)
    if not options.quiet:
        energy, speed = energy_per_token(result), number(result.output_tokens_per_second)
        figures = f"energy/output token {energy}, {speed} tokens/s, {result.verdict}"
        print_line(f"{figures}; saved in {ended.path.parent}", to_stderr=True)
    elif not options.json:
        print_answer(str(ended.path))


def _print_answer(session: _Session, options: Options) -> None:
    if options.json:
        print_json(dump_json([json.loads(result.to_json()) for _, _, result in session.done]))
    elif session.done and not options.quiet:
        _print_runs(session)
        _print_comparisons(session, options.output)


def _print_runs(session: _Session) -> None:
    from llenergymeasure.cli.presentation import energy_per_token, number

    rows = [
        [
            str(run.round_number),
            session.names[run.configuration],
            "unknown" if result.energy_per_output_token_j is None else energy_per_token(result),
            number(result.output_tokens_per_second),
            number(latency.ttft_ms.median if (latency := result.latency_stats) and latency.ttft_ms else None),
            number(latency.tpot_ms.median if latency and latency.tpot_ms else None),
            str(result.verdict),
            str(len(result.measurement_warnings)),
            str(path.parent),
        ]
        for run, path, result in session.done
    ]
    print_table(HEADS, rows)


def _print_comparisons(session: _Session, output: Path) -> None:
    """Print each configuration that has results against the first, and the command that prints this again."""
    from llenergymeasure.cli.compare_output import print_comparisons
    from llenergymeasure.results.catalog import result_files
    from llenergymeasure.results.comparison import Group, compare_with_first
    from llenergymeasure.results.configurations import by_configuration

    groups = [Group(name, found) for number, name in enumerate(session.names) if (found := session.results_of(number))]
    if len(groups) < 2:
        return
    print_comparisons(compare_with_first(groups))
    again = shlex.join(["llem", "results", "compare", "--by", "config", "--dir", str(output)])
    print_answer("")
    others = sum(1 for _ in result_files(output)) - len(session.done)
    if len(by_configuration(result for _, _, result in session.done)) != len(groups):
        print_line(f"{again} does not group these runs by their files, as they are grouped here")
    elif others > 0:
        print_line(f"again, with the {others} other results in {output}: {again}")
    else:
        print_line(f"again: {again}")


def _so_far(session: _Session, output: Path) -> str:
    if not session.done:
        return f"none of {session.total} runs is finished"
    return f"{len(session.done)} of {session.total} runs are finished; their results are in {output}"


def _failures(session: _Session) -> str:
    """Return a line on the runs that failed, and on those that were not begun for it."""
    by_name: dict[str, list[str]] = {}
    for run in session.failed:
        by_name.setdefault(session.names[run.configuration], []).append(str(run.round_number))
    where = "; ".join(f"{name} in round {', '.join(numbers)}" for name, numbers in by_name.items())
    left = session.total - len(session.done) - len(session.failed)
    return f"{len(session.failed)} of {session.total} runs failed, {left} were not begun: {where}"
