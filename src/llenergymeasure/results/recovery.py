"""What killed processes have left in a results directory."""

import contextlib
import functools
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labledger.documents import dump_document
from labledger.errors import UnreadableFileError
from labledger.files import unheld
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.results.aggregation import (
    aggregate_results,
    expected_processes,
    load_raw_results,
    validate_process_completeness,
)
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.journal import JOURNAL_FILE
from llenergymeasure.results.journal_reading import read_journal
from llenergymeasure.results.parts import combine, discard_run, load_parts, load_samples
from llenergymeasure.results.persistence import RESULT_FILE, STATE_FOLDER, TIMESERIES_FILE, save_result
from llenergymeasure.results.timeseries import temporary_timeseries

OUR_FOLDER = re.compile(r"[a-z0-9._-]+_[a-z0-9._-]+_\d{4}-\d\d-\d\dT\d\d-\d\d(_\d+)?")
UNKNOWN_HASH = "unknown"
RECOVERED_SUFFIX = ".recovered.json"
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

    Of such a process's journal the raw result is written beside it, where that can be done.
    """
    if not directory.is_dir():
        return []
    found = [*_runs(directory), *_temporaries(directory)]
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


def _runs(directory: Path) -> Iterator[Leftover]:
    state = directory / STATE_FOLDER
    if not state.is_dir():
        return
    yield from _temporaries(state)
    saved = functools.cache(lambda: _saved(directory))
    for folder in sorted(path for path in state.iterdir() if path.is_dir()):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            with unheld(folder) as is_free:
                pass
            if is_free:
                yield _run(folder, saved)


def _run(folder: Path, saved: Callable[[], dict[str, Path]]) -> Leftover:
    """What a folder holds that nobody works on; reading it takes its time, in which others may begin a run."""
    try:
        raws, expected = load_raw_results(folder), expected_processes(folder)
        of_killed, problems = _recovered(folder)
    except (OSError, UnreadableFileError) as error:
        if not folder.is_dir():
            raise FileNotFoundError from error
        return Leftover("run", folder, f"a run that ended early; broken: {error}")
    raws += of_killed
    if not raws:
        what = "; ".join(["a run that ended early", *problems])
        return Leftover("run", folder, what if problems else "a run that ended before any process had kept anything")
    requests = sum(len(raw.per_request_latencies_ms) for raw in raws)
    what = f"{requests} finished requests of {len(raws)} process(es)"
    if expected is None:
        result = saved().get(str(raws[0].experiment_id))
        ending = "it ended early" if result is None else f"its result is in {result.parent}"
        return Leftover("run", folder, "; ".join([what, ending, *problems]))
    report = validate_process_completeness(str(raws[0].experiment_id), raws, expected, folder.parent.parent)
    return Leftover("run", folder, "; ".join([what, report.error_message or "complete", *problems]), report.is_complete)


def _recovered(folder: Path) -> tuple[list[RawProcessResult], list[str]]:
    """What the journals of processes hold that have left no result of their own, and what is wrong with them.

    It is written beside each for people to read; the journal stays, should its process live.
    """
    pattern, found, problems = re.compile(JOURNAL_FILE.format(index=r"\d+")), [], []
    for path in sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)):
        if path.with_suffix(".json").exists():
            continue
        try:
            recovered = read_journal(path)
        except (OSError, UnreadableFileError) as error:
            problems.append(f"broken: {error}")
            continue
        if recovered is None:
            continue
        found.append(recovered.raw)
        if recovered.broken_lines:
            problems.append(f"{recovered.broken_lines} broken lines of {path} are left out")
        with contextlib.suppress(OSError):  # a full disk, or one that is read only
            path.with_suffix(RECOVERED_SUFFIX).write_text(dump_document(recovered.raw), encoding="utf-8")
    return found, problems


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
    if path := _saved(directory).get(str(raws[0].experiment_id)):
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


def _saved(directory: Path) -> dict[str, Path]:
    """The result.json of each run; of one that was cut short once it had saved, too."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are about other runs
        for path in result_files(directory):
            result = read_result(path)
            if isinstance(result, ExperimentResult):
                found[str(result.experiment_id)] = path
    return found
