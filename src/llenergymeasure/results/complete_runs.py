"""The result of a run in `.state/` whose processes had all finished before one of them was killed."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from labledger.errors import UnreadableFileError
from labledger.files import unheld
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.errors import ExperimentError
from llenergymeasure.results.aggregation import aggregate_results
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.merging import SAME, combine
from llenergymeasure.results.parts import load_part, load_samples
from llenergymeasure.results.persistence import save_result
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.results.state import discard_run, is_regular
from llenergymeasure.results.timeseries import temporary_timeseries
from llenergymeasure.results.verification import verify

UNKNOWN_HASH = "unknown"


class SavedResults:
    """The results in a directory by their experiment's id. Each file is read once, also one that is saved meanwhile.

    A result counts that is as it was saved, by its digest, and lies in the directory itself: no link leads to it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: set[Path] = set()
        self._by_id: dict[str, list[Path]] = {}

    def path(self, experiment_id: str | None) -> Path | None:
        """Return the result.json of that experiment; None where it has none."""
        return next((path for path in self._paths(experiment_id) if _is_as_saved(path)), None)

    def path_with(self, raws: Sequence[RawProcessResult]) -> Path | None:
        """Return the result.json that holds these results of processes whole; None where there is none."""
        for path in self._paths(raws[0].experiment_id):
            result = read_result(path) if _is_as_saved(path) else None
            if isinstance(result, ExperimentResult) and list(result.process_results) == list(raws):
                return path
        return None

    def _paths(self, experiment_id: str | None) -> list[Path]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about other runs
            for path in result_files(self._directory):
                result = read_result(path) if path not in self._read and not path.parent.is_symlink() else None
                self._read.add(path)
                if isinstance(result, ExperimentResult):
                    self._by_id.setdefault(str(result.experiment_id), []).append(path)
        return self._by_id.get(str(experiment_id), [])


def _is_as_saved(path: Path) -> bool:
    checked = verify(path) if is_regular(path) else None
    return checked is not None and checked.status == "ok"


def aggregate(folder: Path, directory: Path, saved: SavedResults) -> Path | None:
    """Make one result of the complete run in `folder`, save it in `directory`, remove the run; return the result.json.

    None where another process has done so, or works on it. Where the part of a process is missing or broken, what it
    alone knew stays unknown: a UserWarning and the result say so.

    Raises:
        ExperimentError: a process's result lacks what the sums need, or they do not fit together.
        UnreadableFileError: a process's result or its timeseries is broken.
        OSError: a file cannot be read, or the result could not be saved; the run is still there.
    """
    try:
        with unheld(folder, within=directory) as is_free:
            return _aggregate(folder, directory, saved) if is_free else None
    except FileNotFoundError:
        if folder.is_dir():
            raise
        return None  # another process was quicker


def _aggregate(folder: Path, directory: Path, saved: SavedResults) -> Path:
    raws = load_raw_results(folder)
    if (path := saved.path_with(raws)) is None:
        try:
            result = _sum(folder, raws)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # A file may hold any values that its types allow, which need not fit together.
            problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise ExperimentError(f"the files in {folder} do not fit together: {problem}") from error
        with temporary_timeseries(load_samples(folder, raws)) as timeseries:
            path = save_result(result, directory, timeseries)
    discard_run(folder)
    return path


def _sum(folder: Path, raws: Sequence[RawProcessResult]) -> ExperimentResult:
    """The result of all processes, of which some may have left no part that can be read."""
    parts: list[ExperimentResult] = []
    lost: list[str] = []
    for raw in raws:
        try:
            part = load_part(folder, raw)
        except (OSError, UnreadableFileError) as error:
            part = None
            lost.append(f"process {raw.process_index}: its part is broken: {_without(folder, error)}")
        else:
            lost += [] if part else [f"process {raw.process_index}: its part is missing"]
        parts += [part] if part else []
    if not lost:
        return combine(raws, parts)
    known: dict[str, object] = {"effective_config": {"model": raws[0].model_name}}
    if parts:
        known = {name: getattr(parts[0], name) for name in SAME}
    config_hash = str(parts[0].measurement_config_hash) if parts else UNKNOWN_HASH
    methodology = (parts[0].measurement_methodology if parts else None) or "total"
    result = aggregate_results(raws, str(raws[0].experiment_id), config_hash, methodology, **known)
    problems = [f"{each}; bounds, verdict and warnings of it are unknown" for each in lost]
    for each in problems:
        warnings.warn(each, stacklevel=2)
    kept = [text for part in parts for text in part.measurement_warnings]
    return result.model_copy(
        update={
            "energy_scope": None if result.total_energy_j is None else result.energy_scope,
            "verdict": "invalid",
            "verdict_reasons": [*problems, *result.verdict_reasons],
            "measurement_warnings": list(dict.fromkeys([*result.measurement_warnings, *problems, *kept])),
        }
    )


def _without(folder: Path, error: Exception) -> str:
    return str(error).replace(f"{folder}/", "")
