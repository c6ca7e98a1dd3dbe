"""The results in a directory: read anew each time, so there is no index to go stale."""

import contextlib
import os
import shlex
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.documents import OtherKindError, named_kind, read_document
from labledger.errors import UnreadableFileError
from labledger.lookup import by_prefix
from labledger.regular_files import behind_link, opened_to_read, read_regular
from labledger.schema_versions import one_per_version
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.persistence import RESULT_FILE, load_result

if TYPE_CHECKING:
    import pyarrow

HEAD_BYTES = 200
OWN_KINDS = "llem."
SHOWN_FOLDERS = 3


@dataclass(frozen=True)
class Unreadable:
    """A result's file that cannot be read, with the reason."""

    path: Path
    reason: str


def result_files(directory: Path, *, recursive: bool = False) -> Iterator[Path]:
    """The result.json of every folder in `directory`, oldest name first; with `recursive` also of those further down.

    Folders of which the name begins with a dot are not looked into, nor, further down, links to folders. `directory`
    may be one result's folder, or its file. A folder further down that cannot be looked into is a UserWarning.

    Raises:
        ConfigError: there is no such directory.
        OtherKindError: it is one folder or file, and of another kind.
    """
    files, waiting = files_and_others(directory)
    yield from files
    waiting.reverse()
    while recursive and waiting:
        folder = waiting.pop()
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            files, others = _files_and_others(folder)
        except ConfigError as error:
            warnings.warn(f"{str(error).partition(';')[0]}; left out", stacklevel=2)
        else:
            yield from files
            waiting += reversed(others)


def files_and_others(directory: Path) -> tuple[list[Path], list[Path]]:
    """Return the result.json of every folder in `directory`, and what else there is in it. Raises as `result_files`."""
    files, others = _files_and_others(directory)
    if not files:
        _check_no_document(others)
    return files, others


def _files_and_others(directory: Path) -> tuple[list[Path], list[Path]]:
    if directory.is_file() or _is_there(directory / RESULT_FILE):
        named = behind_link(directory) if directory.is_file() else directory / RESULT_FILE
        _check_kind(named)
        return [named], []
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}; name the directory that results were saved in") from error
    place, files, others = os.fspath(directory), list[Path](), list[Path]()
    for name in names:
        path = Path(place, name, RESULT_FILE)
        if _is_there(path):
            files.append(path)
        else:
            others.append(path.parent)
    return files, others


def results_below(others: Iterable[Path]) -> str:
    """Return `4 results one level down, in results/july`; empty where no folder of `others` has results in it."""
    below: dict[Path, int] = {}
    for folder in others:
        if folder.is_dir():
            with contextlib.suppress(ConfigError):  # nobody asked for what is in there
                if count := sum(map(_may_be_ours, _files_and_others(folder)[0])):
                    below[folder] = count
    if not below:
        return ""
    total, names = sum(below.values()), [*map(str, below)]
    shown = ", ".join([*names[:SHOWN_FOLDERS], *["..."] * (len(names) > SHOWN_FOLDERS)])
    return f"{total} result{'' if total == 1 else 's'} one level down, in {shown}"


def _may_be_ours(path: Path) -> bool:
    """Return True if there is a result that does not begin as a document of another kind."""
    return _named_kind(path, otherwise="unreadable") in (None, ExperimentResult.document_kind)


def _named_kind(path: Path, otherwise: str | None = None) -> str | None:
    """Return the kind that a file names, None where it names none, `otherwise` where it cannot be read."""
    try:
        with opened_to_read(path) as file:
            return named_kind(file.read(HEAD_BYTES))
    except OSError:
        return otherwise


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


def _check_no_document(entries: Iterable[Path]) -> None:
    """Raise OtherKindError where one of a folder's entries is a document of another instrument, as a kept day is."""
    for path in entries:
        if path.suffix == ".json" and (kind := _named_kind(path)) and not kind.startswith(OWN_KINDS):
            _check_kind(path)


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


def load_results(directory: Path | str, *, recursive: bool = False) -> list[ExperimentResult]:
    """Every result in a directory, in the order of their folders' names; one that cannot be read is a UserWarning.

    A study's folder is such a directory; with `recursive` results in folders further down are taken as well.

    Those of another schema version are one SchemaVersionWarning for each version.

    What is of another kind, as the experiments of payment-sim are, is passed over.

    Raises:
        ConfigError: there is no such directory.
        OtherKindError: it is one folder or file, and of another kind.
    """
    with _warning_at_the_end():
        return [result for _, result in _readable(Path(directory), recursive=recursive)]


@contextlib.contextmanager
def _warning_at_the_end() -> Iterator[None]:
    """Catch warnings and give them to the caller of the function inside which this is, those of a version as one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in one_per_version(each.message for each in caught if isinstance(each.message, Warning)):
        warnings.warn(warning, stacklevel=4)


def _readable(directory: Path, *, recursive: bool) -> Iterator[tuple[Path, ExperimentResult]]:
    for path in result_files(directory, recursive=recursive):
        result = read_result(path)
        if isinstance(result, Unreadable):
            warnings.warn(f"{result.path}: {result.reason}; left out", stacklevel=3)
        elif result is not None:
            yield path, result


def results_table(directory: Path | str, *, recursive: bool = False) -> "pyarrow.Table":
    """The flat rows of every result in a directory, as an Arrow table; with `recursive` also of those further down.

    Beside the columns of every table it has one for each field of the configurations that is not default in some, by
    its path, as `config.decoder.top_k`: null where it had no effect.

    Raises and warns as `load_results`, and warns as `arrow_table`.
    """
    from llenergymeasure.results.flat import arrow_table, flat_row

    with _warning_at_the_end():
        found = _readable(Path(directory), recursive=recursive)
        return arrow_table(flat_row(result, path.parent) for path, result in found)


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
    known = [*_with_ids(directory)] if directory.is_dir() else []
    try:
        path, _ = by_prefix(
            known, target, id_of=itemgetter(1), name_of=lambda each: each[0].parent.name, kind="result", where=directory
        )
    except ConfigError as error:
        for place in filter(Path.is_dir, (Path(target), directory / target)):
            _check_no_document(sorted(place.iterdir()))
            raise ConfigError(
                f"{place}: is a directory, not a result; llem results list {shlex.quote(str(place))} lists those in it"
            ) from error
        if directory.is_dir() and (below := results_below(files_and_others(directory)[1])):
            raise ConfigError(f"{error}; {below}") from error
        raise
    return path


def _with_ids(directory: Path) -> Iterator[tuple[Path, str]]:
    """Yield the results in a directory that have an id, without their warnings: one is asked for, not all."""
    for path in result_files(directory):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = read_result(path)
        if isinstance(result, ExperimentResult) and result.experiment_id is not None:
            yield path, result.experiment_id
