"""The studies below a directory, and how far each is."""

import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from labledger.errors import UnreadableFileError
from labledger.untrusted_text import reason_of
from llenergymeasure.domain.study import StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.persistence import RESULT_FILE
from llenergymeasure.results.study.held import runner_of
from llenergymeasure.results.study.manifest import MANIFEST_FILE, read_manifest


class ListedStudy(NamedTuple):
    """One study: `done` of `runs` have a result, `began` is None before the first; `runner` is who runs it now.

    Others have `failed`, or were `given_up`: their cell failed twice in a row.
    """

    name: str
    cells: int
    done: int
    runs: int
    state: Literal["running", "finished", "unfinished"]
    runner: str | None
    began: datetime | None
    folder: Path
    failed: int = 0
    given_up: int = 0


class UnreadableStudy(NamedTuple):
    """A folder with a manifest that cannot be read, and the reason, which names it."""

    folder: Path
    reason: str


def listed_studies(directory: Path, *, recursive: bool = False) -> Iterator[ListedStudy | UnreadableStudy]:
    """Yield the study in `directory`, or those in the folders in it; with `recursive` also of those further down.

    Folders of which the name begins with a dot are not looked into, nor links to folders.

    Raises:
        ConfigError: there is no such directory.
    """
    if os.path.lexists(directory / MANIFEST_FILE):
        yield _listed(directory)
        return
    waiting = [*reversed(_folders(directory))]
    while waiting:
        folder = waiting.pop()
        if os.path.lexists(folder / MANIFEST_FILE):
            yield _listed(folder)
        elif recursive:
            try:
                waiting += reversed(_folders(folder))
            except ConfigError as error:
                yield UnreadableStudy(folder, str(error).partition(";")[0])


def _folders(directory: Path) -> list[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}; name the directory that results were saved in") from error
    return [path for name in names if _is_folder(path := directory / name)]


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _has_result(folder: Path, run: StudyRun) -> bool:
    return os.path.lexists(folder / str(run.folder) / RESULT_FILE)


def _listed(folder: Path) -> ListedStudy | UnreadableStudy:
    try:
        manifest = read_manifest(folder)
    except UnreadableFileError as error:
        return UnreadableStudy(folder, str(error))
    except OSError as error:
        return UnreadableStudy(folder, f"{folder / MANIFEST_FILE}: {reason_of(error)}")
    runner, done = runner_of(folder), sum(run.state == "done" and _has_result(folder, run) for run in manifest.runs)
    state: Literal["running", "finished", "unfinished"] = "finished" if done == len(manifest.runs) else "unfinished"
    began = min((run.started_at for run in manifest.runs if run.started_at is not None), default=None)
    return ListedStudy(
        str(manifest.study_name),
        len(manifest.cells),
        done,
        len(manifest.runs),
        "running" if runner else state,
        runner,
        began,
        folder,
        sum(run.state == "failed" for run in manifest.runs),
        sum(run.state == "given up" for run in manifest.runs),
    )
