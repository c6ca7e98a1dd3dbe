"""The raw results of a run's processes: read, named, and their main figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from labledger.documents import read_document
from labledger.errors import UnreadableFileError
from labledger.regular_files import read_regular
from labledger.schema_versions import SchemaVersionWarning, one_per_version, version_warning
from llenergymeasure.domain.experiment import SCHEMA_VERSION, RawProcessResult
from llenergymeasure.metrics.arithmetic import ratio
from llenergymeasure.results.persistence import RAW_FILE, RERUN_COMMAND
from llenergymeasure.results.state import names_of


class ProcessFigures(NamedTuple):
    """The main figures of a raw result; None is unknown.

    `requests` is the number that finished. `is_estimate` is True of joules of which no power was measured.
    """

    process: int
    requests: int
    output_tokens_per_second: float | None
    energy_j: float | None
    energy_per_output_token_j: float | None
    is_estimate: bool


def figures_of(raw: RawProcessResult) -> ProcessFigures:
    """Return the main figures of a process."""
    inference, energy = raw.inference_metrics, raw.energy_metrics
    tokens = inference.output_tokens if inference else None
    joules = energy.total_energy_j if energy else None
    return ProcessFigures(
        process=raw.process_index or 0,
        requests=len(raw.per_request_latencies_ms),
        output_tokens_per_second=ratio(tokens, inference.inference_time_sec if inference else None),
        energy_j=joules,
        energy_per_output_token_j=ratio(joules, tokens),
        is_estimate=energy is not None and energy.gpu_power_w is None and energy.cpu_power_w is None,
    )


def load_raw_result(path: Path) -> RawProcessResult:
    """Load the raw result of a process. Warns (SchemaVersionWarning) of another schema version.

    Raises:
        OSError: the file cannot be read.
        OtherKindError: it is of another kind.
        UnreadableFileError: it is not JSON, or a value has a wrong type.
    """
    raw, warning = _read(path)
    if warning:
        warnings.warn(warning, stacklevel=2)
    return raw


def _read(path: Path) -> tuple[RawProcessResult, SchemaVersionWarning | None]:
    raw, data = read_document(RawProcessResult, read_regular(path), str(path))
    return raw, version_warning(raw, data, str(path), current=SCHEMA_VERSION, rerun=RERUN_COMMAND)


def load_raw_results(folder: Path) -> list[RawProcessResult]:
    """The results of the processes in a folder of `.state/`, by their index. Warns once of each other schema version.

    Raises:
        UnreadableFileError: one is broken.
        OSError: one cannot be read.
    """
    files = [path for path in folder.iterdir() if names_of(RAW_FILE).fullmatch(path.name)]
    read = [_read(path) for path in files]
    for warning in one_per_version(warning for _, warning in read if warning):
        warnings.warn(warning, stacklevel=2)
    raws = [raw for raw, _ in read]
    for path, raw in zip(files, raws, strict=True):
        if raw.process_index is None or raw.experiment_id is None:
            raise UnreadableFileError(f"{path}: names no experiment_id and process_index")
    return sorted(raws, key=lambda raw: raw.process_index or 0)


def processes(indices: Sequence[int]) -> str:
    """The processes in words: `process 2`, `processes 0, 1`."""
    return f"process{'es' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"
