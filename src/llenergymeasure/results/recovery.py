"""What killed processes have left in a results directory."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labledger.errors import UnreadableFileError
from labledger.files import unheld
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.aggregation import (
    aggregate_results,
    expected_processes,
    load_raw_results,
    validate_process_completeness,
)
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.journal import JOURNAL_FILE, read_journal
from llenergymeasure.results.parts import combine, discard_run, load_parts, load_samples
from llenergymeasure.results.persistence import RESULT_FILE, STATE_FOLDER, TIMESERIES_FILE, save_raw_result, save_result
from llenergymeasure.results.timeseries import temporary_timeseries

OUR_FOLDER = re.compile(r"[a-z0-9._-]+_[a-z0-9._-]+_\d{4}-\d\d-\d\dT\d\d-\d\d(_\d+)?")
UNKNOWN_HASH = "unknown"
OUR_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Leftover:
    """One thing that no living process works on.

    A `run` is in `.state/`: the results of processes of an experiment that did not end. A `folder` is a result's that
    was being filled; a `file` was being written. `complete` runs can be aggregated. `what` describes it.
    """

    kind: Literal["run", "folder", "file"]
    path: Path
    what: str
    complete: bool = False


def find_leftovers(directory: Path) -> list[Leftover]:
    """Everything of ours in `directory` that a killed process left; what a living one still fills is not among it.

    What such a process has journalled becomes its raw result.
    """
    if not directory.is_dir():
        return []
    found = [*_runs(directory / STATE_FOLDER), *_temporaries(directory)]
    for folder in sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if (folder / RESULT_FILE).is_file():
            found += _temporaries(folder)
        elif _is_left(folder):
            found.append(Leftover("folder", folder, "a result that was being saved; nothing in it was acknowledged"))
    return found


def remove(leftover: Leftover) -> None:
    """Delete it, and `.state/` with it once that is empty; what has come to life meanwhile is left alone.

    Raises:
        OSError: it could not be deleted.
    """
    if leftover.kind == "file":
        leftover.path.unlink(missing_ok=True)
    else:
        with contextlib.suppress(FileNotFoundError), unheld(leftover.path) as is_free:
            if is_free and not (leftover.path / RESULT_FILE).is_file():
                shutil.rmtree(leftover.path)
    state = leftover.path.parent
    if state.name == STATE_FOLDER and state.is_dir() and not any(state.iterdir()):
        state.rmdir()


def _runs(state: Path) -> Iterator[Leftover]:
    if not state.is_dir():
        return
    yield from _temporaries(state)
    for folder in sorted(path for path in state.iterdir() if path.is_dir()):
        with contextlib.suppress(FileNotFoundError), unheld(folder) as is_free:
            if is_free:
                yield _run(folder)


def _settle_journals(folder: Path) -> None:
    """Make a process's result of what it had journalled when it was killed; one that has left its own needs none."""
    for path in sorted(folder.glob(JOURNAL_FILE.format(index="*"))):
        if not path.with_suffix(".json").exists() and (raw := read_journal(path)) is not None:
            save_raw_result(raw, folder.parent.parent)
        path.unlink()


def _run(folder: Path) -> Leftover:
    try:
        _settle_journals(folder)
        raws, expected = load_raw_results(folder), expected_processes(folder)
    except (OSError, UnreadableFileError) as error:
        return Leftover("run", folder, f"a run that ended early; broken: {error}")
    if not raws:
        return Leftover("run", folder, "a run that ended before any process had kept anything")
    requests = sum(len(raw.per_request_latencies_ms) for raw in raws)
    what = f"{requests} finished requests of {len(raws)} process(es)"
    if expected is None:
        saved = _saved(folder.parent.parent, raws[0].experiment_id)
        return Leftover(
            "run", folder, f"{what}; its result is in {saved.parent}" if saved else f"{what}; it ended early"
        )
    report = validate_process_completeness(str(raws[0].experiment_id), raws, expected, folder.parent.parent)
    return Leftover("run", folder, f"{what}; {report.error_message or 'complete'}", report.is_complete)


def _is_left(folder: Path) -> bool:
    """Whether it is a result's folder that nobody fills any more, and that is not full."""
    if not _was_being_filled(folder):
        return False
    try:
        with unheld(folder) as is_free:
            return is_free and _was_being_filled(folder)
    except FileNotFoundError:  # removed meanwhile
        return False


def _temporaries(folder: Path) -> Iterator[Leftover]:
    for path in sorted(folder.iterdir()):
        if OUR_TEMPORARY.fullmatch(path.name) and path.is_file():
            yield Leftover("file", path, "a file that was being written")


def _was_being_filled(folder: Path) -> bool:
    """Whether it is of our naming, and has nothing in it but what we write."""
    ours = OUR_FOLDER.fullmatch(folder.name) is not None
    try:
        names = [path.name for path in folder.iterdir()] if ours else []
    except FileNotFoundError:
        return False
    return ours and all(name == TIMESERIES_FILE or OUR_TEMPORARY.fullmatch(name) for name in names)


def aggregate(leftover: Leftover, directory: Path) -> Path | None:
    """Make one result of a complete run, save it in `directory`, remove the run, and return the result.json.

    None where another process has done so, or works on it. What the processes' files do not say (where a part is broken
    or missing: the configuration, the environment) stays unknown.

    Raises:
        ExperimentError: a process's result lacks what the sums need.
        OSError: it could not be saved; the run is still there.
    """
    if not leftover.path.is_dir():
        return None
    with unheld(leftover.path) as is_free:
        return _aggregate(leftover.path, directory) if is_free else None


def _aggregate(folder: Path, directory: Path) -> Path:
    raws = load_raw_results(folder)
    if path := _saved(directory, raws[0].experiment_id):
        discard_run(folder)
        return path
    parts: list[ExperimentResult] = []
    with contextlib.suppress(UnreadableFileError):
        parts = load_parts(folder, raws)
    if parts:
        result = combine(raws, parts)
    else:
        result = aggregate_results(raws, str(raws[0].experiment_id), UNKNOWN_HASH)
        result = result.model_copy(update={"effective_config": {"model": raws[0].model_name}})
    with temporary_timeseries(load_samples(folder, raws)) as timeseries:
        path = save_result(result, directory, timeseries)
    discard_run(folder)
    return path


def _saved(directory: Path, experiment_id: str | None) -> Path | None:
    """The result of a run that was cut short after it had saved."""
    for path in result_files(directory):
        result = read_result(path)
        if isinstance(result, ExperimentResult) and result.experiment_id == experiment_id:
            return path
    return None
