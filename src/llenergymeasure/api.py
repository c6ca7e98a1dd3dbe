"""The calls of the public Python API."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from pydantic import JsonValue

from labledger.console import Progress, Silent
from labledger.files import uninterrupted
from llenergymeasure.backends.kept import Kept
from llenergymeasure.config.keywords import EnergyFields, ExperimentFields
from llenergymeasure.config.layers import merge
from llenergymeasure.config.loading import (
    build_config,
    energy_config,
    load_config,
    load_user_config,
    with_fields,
)
from llenergymeasure.config.models import EnergyConfig, ExperimentConfig, UserConfig
from llenergymeasure.config.ranks import this_rank
from llenergymeasure.config.section import STUDY_KEYS
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.domain.study import StudyManifest
from llenergymeasure.domain.study_result import StudyResult
from llenergymeasure.energy.measured_calls import MeasuredFunction, measured_calls
from llenergymeasure.energy.window import EnergyWindow
from llenergymeasure.errors import ConfigError
from llenergymeasure.parallel.launcher import launch
from llenergymeasure.parallel.member import measure_share
from llenergymeasure.results.catalog import load_results, results_table
from llenergymeasure.results.comparison import DEFAULT_MARGIN, Comparison, Group
from llenergymeasure.results.comparison import compare as compare_groups
from llenergymeasure.results.persistence import TIMESERIES_FILE, save_or_keep, state_folder
from llenergymeasure.results.state import superseding
from llenergymeasure.results.study.saved import save_study
from llenergymeasure.results.timeseries import temporary_timeseries
from llenergymeasure.run import harness, preflight
from llenergymeasure.study.checking import checked
from llenergymeasure.study.claim import begun_study, latest_study
from llenergymeasure.study.runner import make_runs
from llenergymeasure.study.workers import RunOptions

__all__ = [
    "compare",
    "energy_window",
    "load_results",
    "measure_and_save",
    "measure_energy",
    "results_table",
    "run_experiment",
    "run_study",
]

P = ParamSpec("P")
R = TypeVar("R")


def run_experiment(
    config: ExperimentConfig | Mapping[str, Any] | Path | str | None = None,
    *,
    output_dir: Path | str | None = None,
    **fields: Unpack[ExperimentFields],
) -> ExperimentResult:
    """Measure what a deployment of a model costs, and return its result.

    `config` is a configuration, as itself or as a dictionary, or the path of a YAML file; `fields` are fields of
    ExperimentConfig (`model="random:llama", num_prompts=32, ...`) that override it, a section's keys one by one.
    Nothing is written unless `output_dir` is given; then the result is in a new folder in there.

    Raises:
        ConfigError: a field is wrong, or a file is (the message has the field, and the file's line); the dataset cannot
            be used, or packages are not installed, and nothing else is in the way.
        PreFlightError: the run cannot start; every reason is in the message.
        MeterError: the energy source cannot be opened.
        BackendError: the model could not be loaded, or generation failed.
        ExperimentError: every warm-up call failed; or, as UnsavedResultError with the `result`, saving did.
    """
    user = load_user_config()
    folder = Path(output_dir) if output_dir is not None else None
    if isinstance(config, str | Path):
        loaded = load_config(Path(config), fields, field_prefix="")
        preflight.require_paths(loaded, folder)
        experiment = loaded.experiment
    elif isinstance(config, ExperimentConfig):
        experiment = with_fields(config, fields)
    else:
        experiment = build_config(merge(_base(config), dict(fields)))
    return measure_and_save(experiment, user, folder, Silent())[0]


class _Unwatched:
    """Nobody is told how a study goes on."""

    def waits(self, manifest: StudyManifest, number: int, words: str) -> None:
        """Hear nothing."""

    def begins(self, manifest: StudyManifest, number: int) -> None:
        """Hear nothing."""

    def ended(self, manifest: StudyManifest, number: int, result: ExperimentResult | None) -> None:
        """Hear nothing."""


def run_study(
    config: ExperimentConfig | Mapping[str, Any] | Path | str | None = None,
    *,
    output_dir: Path | str,
    sweep: Mapping[str, Sequence[JsonValue]] | None = None,
    repeats: int | None = None,
    resume: bool = False,
    **fields: Unpack[ExperimentFields],
) -> StudyResult:
    """Run every configuration of a study in every round, each run in a process of its own, and return what they found.

    `config` is the path of a study's file, or of an experiment's, which is then the base of all cells, or the base
    itself, which may be a dictionary; `sweep` has axes by the dotted paths of their fields (`{"batch_size": [1, 8],
    "decoder.top_k": [1, 50]}`), `repeats` the number of rounds; `fields` are set in every cell, as in `run_experiment`.
    The study is kept in a new folder of its name in `output_dir`. With `resume` it goes on with the one that was begun
    there last, of which runs without a result are made, and further rounds and cells.

    In what is returned cells count from 0, as its lists do; a plan, a table and a message for people count from 1.

    A run that fails is in the result with its error, and the others go on. Nothing is printed, but what the processes
    of the runs write to stderr: warnings and errors.

    Raises:
        ConfigError: a file, an axis or a cell is wrong (each is named), or cannot run with what is installed; or there
            is nothing to resume, or it is of another plan.
        PreFlightError: a cell cannot run; every reason is in the message. Or another process runs this study.
        OSError: the folder cannot be written to; what was done stays.
        KeyboardInterrupt: what was done is kept, and `resume` goes on.
    """
    output, given = Path(output_dir), dict[str, Any](fields)
    sweep = _axes(sweep)
    if not isinstance(config, str | Path):
        given = merge(_beside_axes(_base(config), sweep), given)
    path = Path(config) if isinstance(config, str | Path) else None
    study = load_study(path, given, sweep=sweep, repeats=repeats, field_prefix="")
    begun = latest_study(output, study.name, field_prefix="") if resume else None
    study = checked(study, output)
    options = RunOptions(timeout_s=study.settings.timeout_s)
    with begun_study(output, study.name) if begun is None else contextlib.nullcontext(begun) as folder:
        make_runs(study, folder, _Unwatched(), options)
    found = StudyResult.from_folder(folder)
    save_study(found, folder)
    return found


def _base(config: object) -> dict[str, Any]:
    """Return the fields of a configuration that was given as itself or as a dictionary; none of None.

    Raises:
        ConfigError: it is something else, or has keys that only a study's file has.
    """
    if config is None:
        return {}
    if isinstance(config, ExperimentConfig):
        return config.model_dump(exclude_unset=True)
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        raise ConfigError(
            f"config: should be a configuration, a dictionary of its fields or a path, found {_kind(config)}"
        )
    if own := [key for key in STUDY_KEYS if key in config]:
        raise ConfigError(
            f"config: {', '.join(own)}: stands in a study's file alone; give run_study sweep= and repeats=, or the path"
        )
    return dict(config)


def _axes(sweep: object) -> dict[str, Any]:
    """Return the axes by the dotted paths of their fields, each with its values as a list.

    Raises:
        ConfigError: they are something else.
    """
    if sweep is None:
        return {}
    if not isinstance(sweep, Mapping) or not all(isinstance(path, str) for path in sweep):
        raise ConfigError(f'sweep: should be a dictionary, as {{"batch_size": [1, 8]}}, found {_kind(sweep)}')
    return {path: [*each] if isinstance(each, range) else each for path, each in sweep.items()}


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _beside_axes(fields: dict[str, Any], sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those that axes set: a base gives way to an axis."""
    kept = fields
    for path in (path for paths in sweep for path in paths.split("+")):
        kept = _without(kept, path.split("."))
    return kept


def _without(fields: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return the fields without the one at a path, where there is one."""
    name, *below = path
    if below and isinstance(fields.get(name), dict):
        return {**fields, name: _without(fields[name], below)}
    return {key: value for key, value in fields.items() if key != name} if not below else fields


@overload
def measure_energy(function: Callable[P, R], /) -> MeasuredFunction[P, R]: ...
@overload
def measure_energy(**fields: Unpack[EnergyFields]) -> EnergyWindow: ...
def measure_energy(
    function: Callable[P, R] | None = None, /, **fields: Unpack[EnergyFields]
) -> EnergyWindow | MeasuredFunction[P, R]:
    """Measure the energy of a `with` block, on every visible GPU, or on the CPU where there is none.

    `fields` are those of a configuration's `energy` section (`source="nvml_counter", sensor_gain=0.02`). After the
    block the window has `energy_j`, `energy_uncertainty_j`, `duration_s`, `verdict` and the rest of MeteredEnergy.

    As a decorator, `@measure_energy` or `@measure_energy(source=...)`, it measures each call in a window of its own:
    of a function, a coroutine, or a generator from its first step to its end. The function's `measured` has the
    figures of its last calls, the latest last. Windows that are open at once count the same joules, and warn of it.

    Raises:
        ConfigError: a field is wrong, or the user configuration cannot be read.
        MeterError: the source is not there, or (on entering) cannot be opened.
        TypeError: what is decorated is no function.
    """
    if function is not None:
        return measured_calls(function, lambda: EnergyWindow(EnergyConfig(), load_user_config()))
    return EnergyWindow(energy_config(fields), load_user_config())


def energy_window(source: str, *, of_all_processes: bool) -> EnergyWindow:
    """Open a window on a source that a flag names; an estimate may be of the CPU time of all processes.

    Raises what `measure_energy` raises.
    """
    config = energy_config({"source": source}, field_prefix="--")
    return EnergyWindow(config, load_user_config(), of_all_processes=of_all_processes)


def compare(
    first: Sequence[ExperimentResult],
    second: Sequence[ExperimentResult],
    *,
    margin: float = DEFAULT_MARGIN,
    spread: float | None = None,
) -> Comparison:
    """Compare runs of two configurations: `different`, `same` or `cannot tell` for each headline metric.

    `margin` is the share (0.05: 5 %) by which the second may differ from the first and still be the same; `spread` is
    the standard deviation of the logarithm of one run, where that is known. Runs of both that were made by turns (AB,
    BA, AB, ..., as `llem run A B --repeat 6` does) are compared round by round. All runs of one and then all of the
    other are one observation each, and tell nothing of times and joules: docs/results.md has the rules.

    Raises:
        ValueError: one of them is empty, `margin` is below 0, or `spread` is not above 0.
    """
    if not first or not second:
        raise ValueError(f"{len(first)} and {len(second)} results: each side needs one at least")
    if not 0 <= margin < math.inf:
        raise ValueError(f"margin: {margin} is no share of 0 or more")
    if spread is not None and not 0 < spread < math.inf:
        raise ValueError(f"spread: {spread} is no standard deviation above 0")
    return compare_groups(Group("first", first), Group("second", second), margin, spread=spread)


def measure_and_save(
    experiment: ExperimentConfig,
    user: UserConfig,
    output_dir: Path | None,
    progress: Progress,
    *,
    kept: Kept | None = None,
    prompt_mark: int | None = None,
) -> tuple[ExperimentResult, Path | None]:
    """The result, and the path of its result.json where it was saved. Raises what `run_experiment` raises.

    `kept` and `prompt_mark`, of a run in one process: see `run.harness.run`.

    With `data_parallel` it is of all processes. Where torchrun has started this process, it measures its share: the
    first returns what all have found, the others their own part and no path.
    """
    try:
        if experiment.load.search is not None:
            raise ConfigError(
                "load.search: looks for a load in several runs, and this is one; run_study, or llem run with the file, "
                "makes them; for one run set load: {request_rate} or {concurrency}"
            )
        if (rank := this_rank()) is not None:
            return measure_share(experiment, user, output_dir, progress, rank)
        if experiment.pytorch.data_parallel > 1:
            return launch(experiment, user, output_dir, progress)
        result, samples, journal = harness.run(
            experiment, user, progress, output_dir=output_dir, kept=kept, prompt_mark=prompt_mark
        )
        try:
            return (result, None) if output_dir is None else _save(result, samples, output_dir)
        except BaseException as error:
            journal.leave(error)
            raise
        finally:
            journal.close()
    finally:
        progress.finish()


def _save(result: ExperimentResult, samples: Sequence[PowerSample], output_dir: Path) -> tuple[ExperimentResult, Path]:
    """Save, with the timeseries where there is one; an interrupt is heeded once the finished result is safe."""
    path, state = None, state_folder(output_dir, result.experiment_id)
    try:
        with uninterrupted(), temporary_timeseries(samples) as source, superseding(state):
            saved = result.model_copy(update={"timeseries": TIMESERIES_FILE}) if source else result
            path = save_or_keep(result, output_dir, source)
    except KeyboardInterrupt as error:
        with superseding(state):
            path = path or save_or_keep(result, output_dir)  # the second Ctrl-C did not wait
            error.add_note(f"the result was complete and is saved in {path.parent}")
        raise
    return saved, path
