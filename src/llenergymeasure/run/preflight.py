"""Check, before anything is loaded, all that would keep a run from finishing."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from labledger.redaction import LEAST_PART, redactor
from labledger.regular_files import A_DIRECTORY, kind_of
from labledger.secret_rules import is_random
from labledger.written_keys import WRITTEN_DOWN
from llenergymeasure.backends.openai.settings import run_keys
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.fields import takes_all_prompts
from llenergymeasure.config.loading import LoadedConfig, with_fields
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.paths import WORK_FILES
from llenergymeasure.domain.quality import LmEvalMetric, Question
from llenergymeasure.domain.requests import Prompt
from llenergymeasure.energy.sources import Sources, find_sources
from llenergymeasure.energy.sources import problems as source_problems
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.results.persistence import LOGS_FOLDER, STATE_FOLDER
from llenergymeasure.run.boards.problems import board_problems
from llenergymeasure.run.patterns import pattern_problems
from llenergymeasure.workload.lm_eval_results import load_lm_eval
from llenergymeasure.workload.prompts import LoadedPrompts, load_prompts
from llenergymeasure.workload.size import work_of

MIN_FREE_BYTES = 1_000_000  # a result is some tens of kilobytes


class Checked(NamedTuple):
    """A run that can start: its configuration, with the number of its prompts; these (none of a synthetic dataset); a
    line for the result where the dataset goes round; of a task its questions; and the metrics of a file of lm_eval."""

    config: ExperimentConfig
    prompts: list[Prompt]
    note: str | None
    questions: Sequence[Question] = ()
    lm_eval: Sequence[LmEvalMetric] = ()


def check(
    config: ExperimentConfig,
    sources: Sources,
    output_dir: Path | None,
    absent: Mapping[str, str] | None = None,
    *,
    is_loaded: bool = False,
) -> Checked:
    """Return what the run will do; raise if it cannot start.

    `sources` are the energy sources of this machine; `absent` are the lines of `LoadedConfig.absent`. A model that
    `is_loaded` needs no room any more.

    Raises:
        PreFlightError: every problem that was found, a line each.
        ConfigError: the dataset cannot be used, or packages are not installed, and there is no other problem.
    """
    absent, checks = absent or {}, BACKENDS[config.backend].checks()
    gpus = Gpus(tuple(board.uuid for board in sources.nvml.boards), sources.nvml.unavailable)
    problems, found, unusable = [*_key_problems(config), *board_problems(config, sources)], list[str](), list[str]()
    try:
        found.extend(checks.problems(config, gpus))
    except ConfigError as error:  # packages, without which it cannot look at the rest
        unusable.append(str(error))
    told = tuple(f"{field.partition('.')[0]}{sign}" for field in absent for sign in ".:")
    problems += [line for line in found if not line.startswith(told)] + [*source_problems(config.energy, sources)]
    if output_dir is not None:
        problems += _output_problems(output_dir)
    problems += [line for field, line in absent.items() if field not in WORK_FILES]
    loaded, lm_eval = LoadedPrompts([]), list[LmEvalMetric]()
    unusable += [absent[field] for field in WORK_FILES if field in absent]
    try:
        lm_eval = _lm_eval(config, absent)
        if not {"dataset", "quality.task"} & absent.keys():
            loaded = load_prompts(config)
            config = _with_their_number(config, len(loaded.prompts))
            unusable += pattern_problems(config.task or "", loaded.questions)
    except ConfigError as error:
        unusable.append(str(error))
    prompts = loaded.prompts
    if not unusable:
        problems += checks.prompt_problems(config, prompts)
    if not problems and not unusable and not is_loaded:  # these build on what the others have found in order
        problems += checks.size_problems(config, work_of(config, prompts), gpus)
    if problems or unusable:
        raise (PreFlightError if problems else ConfigError)("\n".join([*problems, *unusable]))
    return Checked(config, prompts, loaded.note, loaded.questions, lm_eval)


def _lm_eval(config: ExperimentConfig, absent: Mapping[str, str]) -> list[LmEvalMetric]:
    """Return the metrics of the file of lm_eval; none without one, or where it is absent. Raises ConfigError."""
    path = config.quality.lm_eval if config.quality is not None else None
    return [] if path is None or "quality.lm_eval" in absent else load_lm_eval(path)


def require_paths(loaded: LoadedConfig, output_dir: Path | None) -> None:
    """Make sure that every path in a configuration's files leads somewhere.

    Raises:
        PreFlightError, ConfigError: one does not; as `check`, with every other problem.
    """
    if loaded.absent:
        check(loaded.experiment, find_sources(), output_dir, loaded.absent)
        loaded.require_paths()


def _with_their_number(config: ExperimentConfig, prompts: int) -> ExperimentConfig:
    """Return the configuration with the number of prompts where it is that of the dataset."""
    if not prompts or not takes_all_prompts(config):
        return config
    try:
        return with_fields(config, {"num_prompts": prompts})
    except ConfigError as error:
        again = "" if config.task else f", or set dataset_repeat: true (dataset {config.dataset})"
        raise ConfigError(f"{error}{again}") from error


def remarks(config: ExperimentConfig, prompts: Sequence[Prompt]) -> list[str]:
    """Return the warnings that the run of a configuration that was checked will have, as far as they are known."""
    return [*BACKENDS[config.backend].checks().remarks(config, work_of(config, prompts))]


def refuse_environment_keys(config: ExperimentConfig) -> None:
    """Refuse a configuration that holds what a variable of the environment keeps secret.

    Raises:
        PreFlightError: it does; every field, a line each.
    """
    if problems := [*_key_problems(config)]:
        raise PreFlightError("\n".join(problems))


def _key_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield a line for each field that holds a secret of the environment: the result would keep it."""
    fields = config.in_effect()
    for name, key in run_keys(config).items():
        for field, value in fields.items():
            if _holds(value, key):
                yield f"{field}: holds the value of {name}, or a part of it: {WRITTEN_DOWN}; leave it in the variable"


def _holds(value: object, key: str) -> bool:
    """Return True if a field has a key in it: a part of what was drawn at random, or the whole of a long one.

    Servers without keys are given words (`ollama`), which configurations are full of.
    """
    if is_random(key):
        return bool(redactor(key).hide_in(value) != value)
    return len(key) >= LEAST_PART and key in str(value)


def _output_problems(output_dir: Path) -> Iterator[str]:
    """Yield a line for each reason why results cannot be written; nothing is made to find out."""
    nearest = next(path for path in [output_dir, *output_dir.absolute().parents] if os.path.lexists(path))
    if not nearest.exists():
        yield f"output: {output_dir}: {nearest} is a symbolic link that leads nowhere; name a directory"
    elif not nearest.is_dir():
        yield f"output: {output_dir}: {nearest} is a file; name a directory"
    elif not (disk := shutil.disk_usage(nearest)).total:
        yield f"output: {output_dir}: {nearest} is on no disk: its file system keeps no files; choose another with -o"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield f"output: {output_dir}: {nearest} cannot be written to; choose another with -o"
    elif disk.free < MIN_FREE_BYTES:
        yield f"output: {output_dir}: {disk.free / 1e6:.1f} MB free on its disk; make room or choose another with -o"
    for place in (output_dir / STATE_FOLDER, output_dir / LOGS_FOLDER):
        if os.path.lexists(place) and (kind := kind_of(place)) != A_DIRECTORY:
            yield f"output: {place} is {kind}, and runs need it for a directory; move it away or choose another with -o"
