"""Places that a user names for a table of results: never over the results themselves."""

import os
from pathlib import Path

from labledger.files import is_same
from labledger.regular_files import opened_to_read, refuse_special
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.persistence import RESULT_FILE, TIMESERIES_FILE


def refuse_output(option: str, path: Path, source: Path, *, may_be_folder: bool = False) -> None:
    """Refuse a file that would be written over a saved result, read from `source` or not, or that is no regular file.

    Where it `may_be_folder`, one that holds results, or lies among those of `source`, is refused as well.

    Raises:
        ConfigError: it would, whatever name or link it is called by.
    """
    if "\0" in str(path):
        raise ConfigError(f"{option}: {str(path)!r} has a NUL in it, which no path can have")
    try:
        refuse_special(path)
    except OSError as error:
        raise ConfigError(f"{option}: {path} {error.strerror}") from error
    if path.is_dir():
        if may_be_folder and _holds_results(Path(os.path.realpath(path)), Path(os.path.realpath(source))):
            raise ConfigError(f"{option}: {path} is a folder that holds results; name another")
    elif is_same(path, source) or _is_saved(path):
        raise ConfigError(f"{option}: {path} would be written over a saved result; name another")


def _is_saved(path: Path) -> bool:
    """Return True if a result, or what belongs to one, lies at a path, or behind a link there."""
    real = Path(os.path.realpath(path))
    if real.name != RESULT_FILE:
        return real.name == TIMESERIES_FILE and real.is_file() and (real.parent / RESULT_FILE).is_file()
    try:
        with opened_to_read(real) as file:
            return file.read(1).strip() != b"["  # a list is an earlier export of this name
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _holds_results(folder: Path, source: Path) -> bool:
    is_around = folder == source or folder in source.parents or source in folder.parents
    return is_around or (folder / RESULT_FILE).exists() or any(folder.glob(f"*/{RESULT_FILE}"))
