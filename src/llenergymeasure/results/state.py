"""Folders of unfinished work: the names that are written there, and the removal of such a folder.

A results directory is copied between people, so what lies in a folder of ours may be somebody else's. Only a folder in
which everything is a regular file of a name that we write is removed; any other stays as it is, our files in it too.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from labledger.files import opened_directory
from labledger.regular_files import A_REGULAR_FILE, kind_of
from llenergymeasure.results.persistence import RAW_FILE, TIMESERIES_FILE, UnsavedResultError

MARKER = ".completed_{index}"
EXPECTED = ".expected"
PART_FILE = "part_{index}.json"
SAMPLES_FILE = "timeseries_{index}.parquet"
JOURNAL_FILE = "process_{index}.jsonl"
RECOVERED_FILE = "process_{index}.recovered.json"

OUR_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""A file that `labledger.files` was writing."""


def names_of(template: str) -> re.Pattern[str]:
    """The names of a file that every process has; its index is as it is written, and there are at most 10,000."""
    return re.compile(re.escape(template).replace(r"\{index\}", "(?:0|[1-9][0-9]{0,3})"))


def _any_of(*patterns: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile("|".join(pattern.pattern for pattern in patterns))


RUN_FILES = _any_of(
    OUR_TEMPORARY, *map(names_of, (RAW_FILE, MARKER, EXPECTED, PART_FILE, SAMPLES_FILE, JOURNAL_FILE, RECOVERED_FILE))
)
"""The names in a run's folder in `.state/`."""

UNFINISHED_RESULT_FILES = _any_of(OUR_TEMPORARY, names_of(TIMESERIES_FILE))
"""The names in a result's folder before its result.json."""


def is_regular(path: Path) -> bool:
    """Return True if there is a regular file at `path`; a link is none."""
    try:
        return kind_of(path) == A_REGULAR_FILE
    except (FileNotFoundError, NotADirectoryError):
        return False


def strangers(folder: Path, ours: re.Pattern[str], results_dir: Path) -> list[str]:
    """The names in `folder` that are not `ours`, with its kind in brackets after each that is not a regular file.

    Raises:
        OSError: it cannot be read, or a link below `results_dir` leads to it.
    """
    with opened_directory(folder, within=results_dir) as descriptor:
        return _strangers(descriptor, ours)


def remove_folder(folder: Path, ours: re.Pattern[str], results_dir: Path) -> list[str]:
    """Remove `folder` with all in it or, where `strangers` are among it, nothing; these are returned.

    Raises:
        OSError: it could not be removed, or a link below `results_dir` leads to it.
    """
    # By descriptors: a name that is replaced by a link meanwhile leads nowhere else.
    with (
        opened_directory(folder.parent, within=results_dir) as beside,
        opened_directory(folder, within=results_dir) as descriptor,
    ):
        if found := _strangers(descriptor, ours):
            return found
        for name in sorted(os.listdir(descriptor)):
            if ours.fullmatch(name):
                _unlink(name, descriptor)
        os.rmdir(folder.name, dir_fd=beside)
        return []


def remove_file(path: Path, results_dir: Path | None) -> None:
    """Remove one file of ours, if it is there.

    Raises:
        OSError: it could not be removed, or a link below `results_dir` leads to its folder.
    """
    with opened_directory(path.parent, within=results_dir) as folder:
        _unlink(path.name, folder)


def discard_run(folder: Path) -> list[str]:
    """Remove a run from `.state/`, and that with it where no other is in there; the names that kept it from that.

    What cannot be removed stays, and `llem results recover` names it.
    """
    state, found = folder.parent, list[str]()
    with contextlib.suppress(OSError):
        found = remove_folder(folder, RUN_FILES, state.parent)
        state.rmdir()
    return found


@contextlib.contextmanager
def superseding(folder: Path) -> Iterator[None]:
    """Remove a run's folder in `.state/` once the result that is saved inside is anywhere."""
    try:
        yield
    except UnsavedResultError as error:
        if error.kept_at is not None:
            discard_run(folder)
        raise
    discard_run(folder)


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _strangers(folder: int, ours: re.Pattern[str]) -> list[str]:
    found = []
    for name in sorted(os.listdir(folder)):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            if (kind := kind_of(name, folder)) != A_REGULAR_FILE:
                found.append(f"{name} ({kind})")
            elif not ours.fullmatch(name):
                found.append(name)
    return found
