"""Check, before anything is loaded, all that would keep a run from finishing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from labledger.redaction import LEAST_PART, redactor
from labledger.regular_files import A_DIRECTORY, kind_of
from labledger.secret_rules import is_random
from labledger.written_keys import WRITTEN_DOWN
from llenergymeasure.backends.openai.settings import run_keys
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import Prompt
from llenergymeasure.energy.sources import Sources
from llenergymeasure.energy.sources import problems as source_problems
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.results.persistence import LOGS_FOLDER, STATE_FOLDER
from llenergymeasure.workload.prompts import load_prompts
from llenergymeasure.workload.size import largest_batch

MIN_FREE_BYTES = 1_000_000  # a result is some tens of kilobytes


def check(config: ExperimentConfig, sources: Sources, output_dir: Path | None) -> list[Prompt]:
    """Return the prompts that the run will send (none for a synthetic dataset); raise if it cannot start.

    `sources` are the energy sources of this machine.

    Raises:
        PreFlightError: every problem that was found, a line each.
        ConfigError: the dataset cannot be used, and that is the only problem.
    """
    checks = BACKENDS[config.backend].checks()
    gpus = Gpus(tuple(board.uuid for board in sources.nvml.boards), sources.nvml.unavailable)
    problems = [*_key_problems(config), *checks.problems(config, gpus), *source_problems(config.energy, sources)]
    if output_dir is not None:
        problems += _output_problems(output_dir)
    prompts: list[Prompt] = []
    try:
        prompts = load_prompts(config)
    except ConfigError as error:
        if not problems:
            raise
        problems.append(str(error))
    problems += checks.prompt_problems(config, prompts)
    if not problems:  # these build on what the others have found in order
        problems += checks.size_problems(config, largest_batch(config), gpus)
    if problems:
        raise PreFlightError("\n".join(problems))
    return prompts


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
    nearest = next(path for path in [output_dir, *output_dir.absolute().parents] if path.exists())
    if not nearest.is_dir():
        yield f"output: {output_dir}: {nearest} is a file; name a directory"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield f"output: {output_dir}: {nearest} cannot be written to; choose another with -o"
    elif (free := shutil.disk_usage(nearest).free) < MIN_FREE_BYTES:
        yield f"output: {output_dir}: {free / 1e6:.1f} MB free on its disk; make room or choose another with -o"
    for place in (output_dir / STATE_FOLDER, output_dir / LOGS_FOLDER):
        if os.path.lexists(place) and (kind := kind_of(place)) != A_DIRECTORY:
            yield f"output: {place} is {kind}, and runs need it for a directory; move it away or choose another with -o"
