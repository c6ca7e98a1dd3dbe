"""The results in a directory: read anew each time, so there is no index to go stale."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.documents import OtherKindError, read_document
from labledger.errors import UnreadableFileError
from labledger.lookup import by_prefix
from labledger.regular_files import behind_link, read_regular
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.persistence import RESULT_FILE, load_result

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Unreadable:
    """A result's file that cannot be read, with the reason."""

    path: Path
    reason: str


def result_files(directory: Path) -> Iterator[Path]:
    """The result.json of every folder in `directory`, oldest name first; folders of which the name begins with a dot
    are not looked into. `directory` may be one result's folder, or its file.

    Raises:
        ConfigError: there is no such directory.
        OtherKindError: it is one folder or file, and of another kind.
    """
    if directory.is_file() or _is_there(directory / RESULT_FILE):
        named = behind_link(directory) if directory.is_file() else directory / RESULT_FILE
        _check_kind(named)
        yield named
        return
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}; name the directory that results were saved in") from error
    for name in names:
        path = directory / name / RESULT_FILE
        if _is_there(path):
            yield path


def _is_there(path: Path) -> bool:
    """Return True if anything has that name, or if that cannot be seen: whoever reads it gets the error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _check_kind(path: Path) -> None:
    """Raise OtherKindError where a file that somebody named is of another kind; in a folder it would be passed over."""
    try:
        read_document(ExperimentResult, read_regular(path), str(path))
    except OtherKindError:
        raise
    except (UnreadableFileError, OSError):
        return  # whoever reads it gets the error


def read_result(path: Path) -> ExperimentResult | Unreadable | None:
    """The result at `path`, or why it cannot be read; None of a file that is none, but of another kind.

    Warns as `ExperimentResult.from_json` does.
    """
    try:
        return load_result(path)
    except OtherKindError:
        return None
    except UnreadableFileError as error:
        return Unreadable(path, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))


def load_results(directory: Path | str) -> list[ExperimentResult]:
    """Every result in a directory, in the order of their folders' names; one that cannot be read is a UserWarning.

    What is of another kind, as the experiments of payment-sim are, is passed over.

    Raises:
        ConfigError: there is no such directory.
        OtherKindError: it is one folder or file, and of another kind.
    """
    found = []
    for path in result_files(Path(directory)):
        result = read_result(path)
        if isinstance(result, Unreadable):
            warnings.warn(f"{result.path}: {result.reason}; left out", stacklevel=2)
        elif result is not None:
            found.append(result)
    return found


def results_table(directory: Path | str) -> "pyarrow.Table":
    """The flat rows of every result in a directory, as an Arrow table.

    Raises and warns as `load_results`, and warns as `arrow_table`.
    """
    from llenergymeasure.results.flat import arrow_table, flat_row

    return arrow_table([flat_row(result) for result in load_results(directory)])


def find_result(target: str, directory: Path) -> Path:
    """The result.json that `target` names: a path, a folder in `directory`, or an experiment's id or its start.

    Raises:
        ConfigError: nothing is named so, or more than one.
    """
    for path in (Path(target), directory / target):
        if os.path.lexists(path) and not path.is_dir():
            return behind_link(path)  # whoever reads it gets the error that it is something else
        if _is_there(path / RESULT_FILE):
            return path / RESULT_FILE
    paths = result_files(directory) if directory.is_dir() else ()
    ids = [(path, result.experiment_id) for path in paths if isinstance(result := read_result(path), ExperimentResult)]
    known = [(path, experiment_id) for path, experiment_id in ids if experiment_id is not None]
    path, _ = by_prefix(
        known, target, id_of=itemgetter(1), name_of=lambda each: each[0].parent.name, kind="result", where=directory
    )
    return path
