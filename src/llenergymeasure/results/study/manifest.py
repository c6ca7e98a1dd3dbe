"""A study's manifest on the disk: sealed, a run a line, and what all configurations have in common only once.

It is written before and after each run, of a study of 60,000 runs too: what has not changed since is not put into words
again.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from labledger.documents import check_seal, dump_document, read_document, sealed
from labledger.errors import UnreadableFileError
from labledger.files import write_durably
from labledger.regular_files import read_regular
from llenergymeasure.config.layers import merge
from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.errors import ConfigError

MANIFEST_FILE = "study_manifest.json"
RESULTS = Path("results")
"""The directory that results are saved in where none is named."""
FOLDER = re.compile(r"(?!\.)[^/\\\0]+")
_NO_RUNS = '"runs": []'


class ManifestWriter:
    """Writes the manifest of one study, each time as it is then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: Sequence[StudyRun] = ()
        self._lines: list[str] = []
        self._of_cells: Sequence[StudyCell] | None = None
        self._compact: dict[str, Any] = {}

    def write(self, manifest: StudyManifest) -> None:
        """Write the manifest, durably.

        Raises:
            OSError: it cannot be written; the one before it is as it was.
        """
        if manifest.cells is not self._of_cells:
            self._compact, self._of_cells = _compact(manifest.cells), manifest.cells
        words = dict(zip(map(id, self._runs), self._lines, strict=True))  # a record never changes
        self._lines = [words.get(id(run)) or run.model_dump_json(exclude_none=True) for run in manifest.runs]
        self._runs = manifest.runs
        text = dump_document(manifest.model_copy(update={"runs": [], **self._compact}))
        before, _, after = text.rpartition(_NO_RUNS)
        runs = ",\n    ".join(self._lines)
        content = sealed(f'{before}"runs": [\n    {runs}\n  ]{after}')
        write_durably(self._folder / MANIFEST_FILE, content, within=self._folder)


def write_manifest(manifest: StudyManifest, folder: Path) -> None:
    """Write the manifest, durably. Raises as `ManifestWriter.write`."""
    ManifestWriter(folder).write(manifest)


def read_manifest(folder: Path) -> StudyManifest:
    """Return the manifest of a study's folder.

    Raises:
        UnreadableFileError: it is no manifest, or was changed or damaged since it was written.
        OSError: it cannot be read.
    """
    path = folder / MANIFEST_FILE
    content = read_regular(path)
    manifest, data = read_document(StudyManifest, content, str(path))
    if check_seal(content, data) != "holds":
        raise UnreadableFileError(
            f"{path}: was changed or damaged after it was written: its digest differs. The results beside it are whole "
            f"by themselves: llem results list {folder}"
        )
    _check_places(manifest, path)
    cells = [each.model_copy(update={"config": merge(manifest.shared_config, each.config)}) for each in manifest.cells]
    return manifest.model_copy(update={"cells": cells, "shared_config": {}})


def manifest_of(folder: Path) -> StudyManifest:
    """Return the manifest in a folder that somebody has named. Raises as `read_manifest`, and:

    Raises:
        ConfigError: it is no study's folder; the line names the one of that name among the results, where there is one.
    """
    try:
        return read_manifest(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        meant = RESULTS / folder
        known = f"{meant} is one; " if os.path.lexists(meant / MANIFEST_FILE) else ""
        raise ConfigError(
            f"{folder}: is no study's folder: it has no {MANIFEST_FILE}; {known}to see them all: llem study list"
        ) from error


def _check_places(manifest: StudyManifest, path: Path) -> None:
    """Refuse a run of no cell, and one whose folder is not beside the manifest: it may be somebody else's file."""
    for number, run in enumerate(manifest.runs):
        if not 0 <= run.cell < len(manifest.cells):
            raise UnreadableFileError(f"{path}: runs[{number}].cell: there is no cell {run.cell}")
        if run.folder is not None and not FOLDER.fullmatch(run.folder):
            raise UnreadableFileError(f"{path}: runs[{number}].folder: is no name of a folder beside it")


def _compact(cells: Sequence[StudyCell]) -> dict[str, Any]:
    """Return the cells without what their configurations have in common, and that."""
    shared = reduce(_common, (cell.config for cell in cells)) if cells else {}
    rest = [cell.model_copy(update={"config": _without(cell.config, shared)}) for cell in cells]
    return {"shared_config": shared, "cells": rest}


def _common(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key in first:
        if key not in second:
            continue
        one, other = first[key], second[key]
        if isinstance(one, dict) and isinstance(other, dict):
            found[key] = _common(one, other)
        elif _is_same(one, other):
            found[key] = one
    return found


def _without(config: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in config.items():
        if key not in shared:
            found[key] = value
        elif isinstance(value, dict) and (rest := _without(value, shared[key])):
            found[key] = rest
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Return True if both are the same JSON: 1, 1.0 and true are three things."""
    return one is other or json.dumps(one) == json.dumps(other)
