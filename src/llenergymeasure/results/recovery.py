"""Leftovers of killed processes in a results directory: found, removed or made a result.

Results directories are copied between people: what is in the place of a leftover and is not ours is named, and neither
followed, where it is a link, nor removed.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from labledger.documents import dump_document
from labledger.errors import UnreadableFileError
from labledger.files import unheld, write_durably
from labledger.regular_files import kind_of
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.results import complete_runs
from llenergymeasure.results.aggregation import (
    expected_processes,
    validate_process_completeness,
)
from llenergymeasure.results.complete_runs import SavedResults
from llenergymeasure.results.journal_recovery import read_journal
from llenergymeasure.results.persistence import RAW_FILE, RESULT_FILE, STATE_FOLDER, safe_name
from llenergymeasure.results.raw_results import ProcessFigures, figures_of, load_raw_results
from llenergymeasure.results.state import (
    JOURNAL_FILE,
    OUR_TEMPORARY,
    RUN_FILES,
    UNFINISHED_RESULT_FILES,
    is_regular,
    names_of,
    remove_file,
    remove_folder,
    strangers,
)

OUR_FOLDER = re.compile(r"[a-z0-9._-]+_[a-z0-9._-]+_[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}(_[1-9][0-9]{0,8})?")
RECOVERED_SUFFIX = ".recovered.json"
SHOWN_NAMES = 3


class KeptProcess(NamedTuple):
    """The figures of a process of a run, and its raw result; `path` is None where that could not be written."""

    figures: ProcessFigures
    path: Path | None


@dataclass(frozen=True)
class Leftover:
    """One thing in `directory`, where results are, that no living process works on.

    A `run` is in `.state/`: the results of processes of an experiment that did not end. A `folder` is a result's that
    was being filled; a `file` was being written; an `other` is in the place of one of these and is none. `complete`
    runs can be aggregated. `what` describes it; `kept` is the reason why it is not removed, None where it can be.
    `processes` are those of a run that have finished requests. `saved` are the results that stand in `directory`: a run
    that was cut short once it had saved is among them.
    """

    kind: Literal["run", "folder", "file", "other"]
    path: Path
    directory: Path
    what: str
    complete: bool = False
    kept: str | None = None
    processes: tuple["KeptProcess", ...] = ()
    saved: SavedResults | None = field(default=None, compare=False, repr=False)


def find_leftovers(directory: Path) -> list[Leftover]:
    """Everything in `directory` that a killed process left; what a living one still fills is not among it.

    What only is in the place of such a thing is in the list, too. No link in `directory` is followed. Of a killed
    process's journal the raw result is written beside it, where that can be done.

    Raises:
        TimeoutError: a process that begins or ends in `directory` does not get on.
    """
    if not directory.is_dir():
        return []
    found = [*_runs(directory), *_temporaries(directory, directory)]
    for entry in _entries(directory):
        if not entry.name.startswith("."):
            found += _in_result_folder(entry, directory)
    return found


def folders_of_runs(directory: Path) -> list[Path]:
    """Return the folders in `directory` that runs have saved in, or have begun to: leftovers may be in these."""
    if not directory.is_dir():
        return []
    found = [Path(entry.path) for entry in _entries(directory) if not entry.is_symlink()]
    return [folder for folder in found if os.path.isdir(folder / STATE_FOLDER)]  # False where it cannot be looked into


def remove(leftover: Leftover) -> str | None:
    """Delete it, and `.state/` with it once that is empty; None, or why it is left alone.

    A folder that has anything of others in it is left alone with all that it has, and so is what has come to life.

    Raises:
        OSError: it could not be deleted.
    """
    path, directory, kept = leftover.path, leftover.directory, leftover.kept
    if leftover.kind == "other":
        return kept
    if leftover.kind == "file":
        remove_file(path, directory)
    else:
        ours = RUN_FILES if leftover.kind == "run" else UNFINISHED_RESULT_FILES
        with contextlib.suppress(FileNotFoundError), unheld(path, within=directory) as is_free:
            kept = _because_of(remove_folder(path, ours, directory)) if is_free else "a process works on it"
    if path.parent == directory / STATE_FOLDER:
        with contextlib.suppress(OSError):  # others are in there
            path.parent.rmdir()
    return kept


def _runs(directory: Path) -> Iterator[Leftover]:
    state = directory / STATE_FOLDER
    if not os.path.lexists(state):
        return
    if state.is_symlink() or not state.is_dir():
        yield from _other(state, directory)
        return
    saved = SavedResults(directory)
    try:
        entries = _entries(state)
    except OSError as error:
        yield _closed(state, directory, error)
        return
    yield from _temporaries(state, directory)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and safe_name(entry.name) == entry.name:
            yield from _unheld_run(state / entry.name, directory, saved)
        elif not _is_temporary(entry):
            yield from _other(state / entry.name, directory)


def _unheld_run(folder: Path, directory: Path, saved: SavedResults) -> Iterator[Leftover]:
    try:
        with unheld(folder, within=directory) as is_free:
            pass
        if is_free:
            yield _run(folder, directory, saved)
    except FileNotFoundError:  # removed meanwhile
        return
    except TimeoutError:
        raise
    except OSError as error:
        yield _closed(folder, directory, error)


def _run(folder: Path, directory: Path, saved: SavedResults) -> Leftover:
    """The run in a folder that nobody works on. Reading it takes its time, in which others may begin a run."""
    kept = None
    try:
        others = strangers(folder, RUN_FILES, directory)
        kept = _because_of(others)
        if others and len(others) == len(os.listdir(folder)):
            return Leftover("other", folder, directory, "no run of labledger", kept=kept)
        what, is_complete, processes = _contents(folder, directory, saved)
    except (OSError, UnreadableFileError) as error:
        if not folder.is_dir():
            raise FileNotFoundError from error
        return Leftover("run", folder, directory, f"a run that ended early; broken: {_reason(error)}", kept=kept)
    return Leftover("run", folder, directory, what, is_complete, kept, tuple(processes), saved)


def _contents(folder: Path, directory: Path, saved: SavedResults) -> tuple[str, bool, list[KeptProcess]]:
    """Return the content of a run's folder in words, True if that is a complete run, and its processes."""
    raws, expected = load_raw_results(folder), expected_processes(folder)
    kept = [KeptProcess(figures_of(raw), folder / RAW_FILE.format(index=raw.process_index)) for raw in raws]
    of_killed, paths, problems = _recovered(folder, directory)
    raws += of_killed
    kept += [KeptProcess(figures_of(raw), path) for raw, path in zip(of_killed, paths, strict=True)]
    if not raws:
        what = "; ".join(["a run that ended early", *problems])
        return what if problems else "a run that ended before any process had kept anything", False, []
    requests = sum(len(raw.per_request_latencies_ms) for raw in raws)
    what = f"{requests} finished requests of {len(raws)} process(es)"
    if expected is None:
        result = saved.path(raws[0].experiment_id)
        ending = "it ended early" if result is None else f"its result is in {result.parent}"
        return "; ".join([what, ending, *problems]), False, kept
    report = validate_process_completeness(str(raws[0].experiment_id), raws, expected, directory)
    return "; ".join([what, report.error_message or "complete", *problems]), report.is_complete, kept


def _recovered(folder: Path, directory: Path) -> tuple[list[RawProcessResult], list[Path | None], list[str]]:
    """Return the raw results in the journals of processes that left no result, and the problems of these journals.

    Each raw result is written beside its journal for people to read; where it is, None where it could not be written,
    is returned too. The journal stays, should its process live.
    """
    found: list[RawProcessResult] = []
    paths: list[Path | None] = []
    problems: list[str] = []
    for path in sorted(path for path in folder.iterdir() if names_of(JOURNAL_FILE).fullmatch(path.name)):
        if path.with_suffix(".json").exists():
            continue
        try:
            recovered = read_journal(path)
        except (OSError, UnreadableFileError) as error:
            problems.append(f"broken: {_reason(error)}")
            continue
        if recovered is None:
            continue
        found.append(recovered.raw)
        if recovered.broken_lines:
            problems.append(f"{recovered.broken_lines} broken lines of {path} are left out")
        paths.append(_written_beside(path, recovered.raw, directory))
    return found, paths, problems


def _written_beside(journal: Path, raw: RawProcessResult, directory: Path) -> Path | None:
    """Write the raw result in a journal beside it, and return its path; None where that is not possible."""
    beside = journal.with_suffix(RECOVERED_SUFFIX)
    if os.path.lexists(beside) and not is_regular(beside):
        return None
    try:
        write_durably(beside, dump_document(raw).encode(), within=directory)
    except OSError:  # a full disk, or one that is read only
        return None
    return beside


def _in_result_folder(entry: "os.DirEntry[str]", directory: Path) -> Iterator[Leftover]:
    """Yield the leftovers in a result's folder, or the folder itself."""
    folder, has_our_name = directory / entry.name, OUR_FOLDER.fullmatch(entry.name) is not None
    if entry.is_symlink():  # a result that lies elsewhere may be linked from here
        if has_our_name and not os.path.exists(folder / RESULT_FILE):
            yield from _other(folder, directory)
    elif entry.is_dir():
        try:
            if is_regular(folder / RESULT_FILE):
                yield from _temporaries(folder, directory)
            elif has_our_name:
                yield from _unfinished(folder, directory)
        except FileNotFoundError:  # removed meanwhile
            return
        except TimeoutError:
            raise
        except OSError as error:
            if has_our_name:
                yield _closed(folder, directory, error)


def _unfinished(folder: Path, directory: Path) -> Iterator[Leftover]:
    """A folder of our naming without a result.json that nobody fills any more, unless no name in it is ours."""
    with unheld(folder, within=directory) as is_free:
        if not is_free or is_regular(folder / RESULT_FILE):
            return
        others, names = strangers(folder, UNFINISHED_RESULT_FILES, directory), os.listdir(folder)
    if not names or any(map(UNFINISHED_RESULT_FILES.fullmatch, names)):
        what = "a result that was being saved; nothing in it was acknowledged"
        yield Leftover("folder", folder, directory, what, kept=_because_of(others))


def _temporaries(folder: Path, directory: Path) -> Iterator[Leftover]:
    for entry in _entries(folder):
        if _is_temporary(entry):
            yield Leftover("file", folder / entry.name, directory, "a file that was being written")


def _is_temporary(entry: "os.DirEntry[str]") -> bool:
    return OUR_TEMPORARY.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:  # removed meanwhile
        return []


def _other(path: Path, directory: Path) -> Iterator[Leftover]:
    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
        yield Leftover("other", path, directory, kind_of(path), kept="labledger did not write it")


def _closed(path: Path, directory: Path, error: OSError) -> Leftover:
    return Leftover("other", path, directory, "a directory", kept=f"it cannot be looked into: {error.strerror}")


def _reason(error: OSError | UnreadableFileError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _because_of(names: Sequence[str]) -> str | None:
    """Return the reason for leaving a folder alone that has these names of others in it."""
    if not names:
        return None
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"it holds {', '.join(names[:SHOWN_NAMES])}{more}, which labledger did not write"


def aggregate(leftover: Leftover, directory: Path) -> Path | None:
    """Aggregate a complete run, see `complete_runs.aggregate`, which it returns and raises as."""
    return complete_runs.aggregate(leftover.path, directory, leftover.saved or SavedResults(directory))
