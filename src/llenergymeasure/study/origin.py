"""Where a study was begun, and what lies there: when it goes on, its relative paths mean the same files as before."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labledger.regular_files import open_regular
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.config.paths import WORK_FILES, WrittenPath, written_paths
from llenergymeasure.domain.study import StudyManifest
from llenergymeasure.errors import ConfigError


def inputs_of(configs: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Return the files and folders that configurations name, by their paths: the SHA-256 of a file, else None."""
    named = {path.written: path for config in configs for path in written_paths(config)}
    return {written: _digest(path) for written, path in named.items() if path.must_exist or _is_there(written)}


def directory_of(begun: StudyManifest) -> Path | None:
    """Return the directory in which a study was begun; None where that is the working directory, or not known.

    Raises:
        ConfigError: it is not there, and paths of the study begin in it.
    """
    if begun.directory is None or _is_here(begun.directory):
        return None
    if os.path.isdir(begun.directory):
        return Path(begun.directory)
    if relative := _relative(begun):
        raise ConfigError(
            f"the study was begun in {clean(begun.directory, SHOWN)}, which is not there, and its paths begin there "
            f"({relative}): put it back, or a link to where its files are now"
        )
    return None


def origin_problems(begun: StudyManifest, planned: StudyManifest) -> Iterator[str]:
    """Yield a line for each reason why the paths of a study do not mean now what they meant when it was begun."""
    if begun.directory is not None and not _is_here(begun.directory) and (relative := _relative(begun)):
        yield (
            f"the study was begun in {clean(begun.directory, SHOWN)}, where its paths begin ({relative}): go on with "
            "it there, or with llem study resume"
        )
        return
    fields = {each.written: ".".join(each.location) for cell in begun.cells for each in written_paths(cell.config)}
    for path, before in begun.inputs.items():
        if None not in (before, now := planned.inputs.get(path)) and now != before:
            yield f"{fields.get(path, 'file')} {clean(path, SHOWN)}: has changed since the study was begun"


def _is_here(directory: str) -> bool:
    try:
        return os.path.samefile(directory, os.curdir)
    except OSError:
        return False


def _relative(begun: StudyManifest) -> str:
    """Return the paths of a study that begin in the working directory, in words."""
    return ", ".join(clean(path, SHOWN) for path in begun.inputs if not os.path.isabs(os.path.expanduser(path)))


def _is_there(written: str) -> bool:
    return os.path.lexists(os.path.expanduser(written)) if "\0" not in written else False


def _digest(path: WrittenPath) -> str | None:
    if ".".join(path.location) not in WORK_FILES:
        return None
    try:
        with os.fdopen(open_regular(Path(os.path.expanduser(path.written)), os.O_RDONLY, follow=True), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None  # a check of the run says so
