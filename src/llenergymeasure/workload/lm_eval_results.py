"""Results of lm_eval (EleutherAI's lm-evaluation-harness), read from its file as they are.

Under `results` the file has an object for each task: `"acc,none": 0.5` is metric `acc` by filter `none`, and
`"acc_stderr,none"` its standard error, "N/A" where it has none. Versions before 0.4 wrote `"acc"` and `"acc_stderr"`.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.json_text import JsonError, load_json
from labledger.untrusted_text import SHOWN, clean
from labledger.yaml_files import read_text
from llenergymeasure.domain.quality import LmEvalMetric
from llenergymeasure.errors import ConfigError

MOST_BYTES = 100_000_000
MOST_METRICS = 10_000
NOT_METRICS = ("alias", "name", "samples", "sample_len")
STDERR = "_stderr"


def load_lm_eval(written: str) -> list[LmEvalMetric]:
    """Return the metrics of a file of lm_eval, in its order.

    Raises:
        ConfigError: it cannot be read, is not JSON (file:line), or has no metric where lm_eval writes them.
    """
    try:
        value = load_json(read_text(Path(os.path.expanduser(written)), MOST_BYTES), allow_nan=True)
    except ConfigError as error:
        raise ConfigError(f"quality.lm_eval: {error}") from error
    except JsonError as error:
        place = written if error.line is None else f"{written}:{error.line}"
        raise ConfigError(f"quality.lm_eval: {place}: not JSON: {error.reason}") from error
    tasks = value.get("results") if isinstance(value, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(each, dict) for each in tasks.values()):
        raise ConfigError(
            f'quality.lm_eval: {written}:1: no "results" with an object for each task; name the results_*.json that '
            "lm_eval writes with --output_path"
        )
    found = [metric for task, entries in tasks.items() for metric in _metrics(clean(task, SHOWN), entries)]
    if not found:
        raise ConfigError(f'quality.lm_eval: {written}:1: no metric under "results"')
    if len(found) > MOST_METRICS:
        raise ConfigError(f"quality.lm_eval: {written}: {len(found):,} metrics; at most {MOST_METRICS:,} are kept")
    return found


def _metrics(task: str, entries: dict[str, Any]) -> Iterator[LmEvalMetric]:
    for key, value in entries.items():
        name, comma, by = key.partition(",")
        if name in NOT_METRICS or name.endswith(STDERR) or not _is_number(value):
            continue
        shown = name if by in ("", "none") else key
        stderr = entries.get(f"{name}{STDERR}{comma}{by}")
        yield LmEvalMetric(task=task, metric=clean(shown, SHOWN), value=_finite(value), stderr=_finite(stderr))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    """Return a number that a float holds; None of any other value."""
    try:
        return float(value) if _is_number(value) and math.isfinite(value) else None
    except OverflowError:
        return None
