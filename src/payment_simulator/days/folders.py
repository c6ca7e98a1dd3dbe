"""The folder of a day: outcome.json, and beside it a Parquet file for each of its tables.

The tables are written first and outcome.json last, so a folder with an outcome.json is complete. That file's seal
covers the digests of the tables.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from labledger.documents import COMMANDS, named_kind
from labledger.errors import ConfigError
from labledger.files import claimed_directory, held_directory
from labledger.regular_files import opened_to_read
from labledger.untrusted_text import SHOWN, clean, reason_of
from payment_simulator.days.record import StoredDay

DOCUMENT = "outcome.json"
TABLES = ("payments", "balances", "costs")
"""The tables of a day, in `NAME.parquet` each; the seal has the digest of each as `NAME_sha256`."""
UNFINISHED = "a run is writing to it, or was ended before it was done"
MOST_ENTRIES = 1_000
"""Entries of a folder that are looked through for what it is."""
HEAD_BYTES = 4_096


def table_file(name: str) -> str:
    """Return the name of a table's file."""
    return f"{name}.parquet"


def check_new_folder(path: Path) -> None:
    """Refuse a folder for a new day that is not new, or cannot be made.

    Raises:
        ConfigError: something is at `path` that is no empty folder, or no folder can be made there.
    """
    try:
        if os.path.lexists(path) and not path.is_dir():
            raise ConfigError(f"{path}: is a file, and a day is kept in a folder of its own; name another")
        if path.is_dir() and not _is_empty(path):
            has = _taken_by(path)
            raise ConfigError(f"{path}: {has}; name another folder, or move it away: nothing is written over")
        above = next(each for each in path.absolute().parents if os.path.lexists(each))
        if not above.is_dir():
            raise ConfigError(f"{path}: {above} is a file, not a folder; name another")
        if not os.access(path if path.is_dir() else above, os.W_OK | os.X_OK):
            raise ConfigError(f"{path}: no folder can be made in {above}, where you may not write; name another")
    except OSError as error:
        raise ConfigError(f"{clean(str(path), SHOWN)}: {reason_of(error)}; name another folder") from error


def _taken_by(folder: Path) -> str:
    if os.path.lexists(folder / DOCUMENT):
        return "a day is there already"
    is_unfinished = any(os.path.lexists(folder / table_file(name)) for name in TABLES)
    return f"has no {DOCUMENT}: {UNFINISHED}" if is_unfinished else "is not empty"


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield the folder at `path`, made, or empty until now, to be filled; where another run was quicker, the first free
    of `path_1`, `path_2`, ….

    Whatever interrupts the filling takes away what was written.

    Raises:
        OSError: it cannot be made.
    """
    while True:  # until one is ours that nobody has filled since it was seen, or made
        if path.is_dir():
            with held_directory(path):
                if _is_empty(path):
                    yield from _filled(path)
                    return
        with claimed_directory(path) as folder:
            if _is_empty(folder):
                yield folder
                return


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _filled(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    except BaseException:
        for name in (DOCUMENT, *map(table_file, TABLES)):
            (folder / name).unlink(missing_ok=True)
        raise


def day_folder(path: Path) -> Path:
    """Return the folder of the day at `path`: that folder, or the one of its outcome.json.

    Raises:
        ConfigError: there is no day; the message says what there is, and which command reads it.
    """
    try:
        if path.name == DOCUMENT and path.is_file():
            return path.parent
        if not os.path.lexists(path):
            raise ConfigError(f"{path}: no such folder; `payment-sim run SCENARIO -o {path}` keeps a day in it")
        if not path.is_dir():
            raise ConfigError(f"{path}: {_file_found(path)}; a day is a folder, kept by `payment-sim run -o DIR`")
        if not os.path.lexists(path / DOCUMENT):
            raise ConfigError(f"{path}: {_found(path)}")
    except OSError as error:
        raise ConfigError(f"{clean(str(path), SHOWN)}: {reason_of(error)}") from error
    return path


def _file_found(path: Path) -> str:
    kind = _kind(path)
    return "is a file" if kind is None else _of_kind("is a file", kind)


def _of_kind(found: str, kind: str) -> str:
    command = COMMANDS.get(kind)
    return f"{found} of kind {kind}" + (f", which `{command}` reads" if command else "")


def _found(folder: Path) -> str:
    """Return what a folder without an outcome.json holds, and what to do."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for _, entry in zip(range(MOST_ENTRIES), entries, strict=False))
    for name in names:
        if name.endswith(".json") and (kind := _kind(folder / name)) is not None:
            return f"is a folder and no day: {_of_kind(clean(name, SHOWN) + ' in it is', kind)}"
    if any(table_file(name) in names for name in TABLES):
        return f"has no {DOCUMENT}: {UNFINISHED}; keep the day in another folder"
    days = [name for name in names if os.path.lexists(folder / name / DOCUMENT)]
    if days:
        return f"is a folder and no day, and has {len(days):,} in it: {clean(', '.join(days[:10]), SHOWN)}; name one"
    return f"is a folder and no day: no {DOCUMENT} in it; `payment-sim run SCENARIO -o DIR` keeps one"


def _kind(path: Path) -> str | None:
    try:
        with opened_to_read(path) as file:
            kind = named_kind(file.read(HEAD_BYTES))
    except OSError:
        return None
    return None if kind == StoredDay.document_kind else kind
