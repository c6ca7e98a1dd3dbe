"""Flat rows as files that other programs read."""

import codecs
import contextlib
import csv
import io
import itertools
import operator
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from labledger.csv_files import csv_line, ends_in_a_cell, to_csv
from labledger.files import held_directory, joined_directory, write_durably
from labledger.json_text import dump_json
from labledger.parquet_files import parquet_bytes
from labledger.regular_files import A_REGULAR_FILE, kind_of, read_regular
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.config_columns import ConfigValues, as_text, config_table
from llenergymeasure.results.flat import Value, arrow_table, columns, config_of, whole_rows

Format = Literal["csv", "parquet", "json"]
Rows = Iterable[Mapping[str, Value]]
CRLF = "\r\n"
EMPTY = (b"", codecs.BOM_UTF8)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def export(rows: Rows, format: Format, path: Path) -> Path:  # noqa: A002 - the option's own name
    """Write the rows to `path`, durably, and return it. What is unknown is an empty cell, or null.

    Warns of what Parquet has no room for, as `arrow_table` does.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    contents = {"csv": _csv, "json": to_json, "parquet": to_parquet}
    write_durably(path, contents[format](rows))
    return path


def append_csv(row: dict[str, Value], path: Path) -> Path:
    """Add a row to a CSV file with the same columns, or begin one; a link is followed, and stays.

    Any number of processes may add to one file at the same time. What is there stays byte for byte, and is there in
    full with the new row or without it. The row's line ends as the header does.

    Raises:
        OSError: it could not be read or written; it is as it was.
        ConfigError: there is something that no row can be added to, as in `check_csv`.
    """
    target = _target(path)
    with joined_directory(target.parent):
        pass  # it is there now
    with held_directory(target.parent):  # not the file, which each row replaces
        before = _read(target)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        line_end = _check_content(before, path)
        header, added = to_csv(list(columns()), [], line_end), to_csv(list(columns()), [row], line_end)
        if before not in EMPTY:
            added = added.removeprefix(header) if before.endswith((b"\n", b"\r")) else line_end + added[len(header) :]
        write_durably(target, before + added.encode())
        if mode is not None:
            target.chmod(mode)
    return path


def check_csv(path: Path) -> None:
    """Refuse a file that a result's row cannot be added to, before anything is measured for it.

    It may have been saved by a spreadsheet: with a byte order mark, other ends of lines, its header in quotes.

    Raises:
        ConfigError: it is not a file, cannot be read, has other columns or another sign between them, is not UTF-8, or
            ends inside of a cell.
    """
    try:
        before = _read(_target(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name another file") from error
    _check_content(before, path)


def _target(path: Path) -> Path:
    """Return the file that `path` leads to: a link that a user names is the user's own.

    Raises:
        ConfigError: what is there is not a regular file.
    """
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and (found := kind_of(target)) != A_REGULAR_FILE:
        raise ConfigError(f"{path}: is {found}, not {A_REGULAR_FILE}; name another one")
    return target


def _read(path: Path) -> bytes:
    """The bytes of a file; none where there is no file."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        return b""


def _check_content(content: bytes, path: Path) -> str:
    """Return what ends a line of the file.

    Raises:
        ConfigError: a row that is added would not be one.
    """
    line_end = _check_header(content, path)
    if ends_in_a_cell(content.removeprefix(codecs.BOM_UTF8)):
        raise ConfigError(
            f"{path}: ends inside of a cell, whose quotes are not closed, as a file that was cut short does; take its "
            "last row away, or name another file"
        )
    return line_end


def _check_header(content: bytes, path: Path) -> str:
    """Return what ends the header's line; of a file without one, what is to end it.

    Raises:
        ConfigError: it is not the header of a result's row.
    """
    if content in EMPTY:
        return CRLF
    try:
        first = next(iter(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8; save it as CSV in UTF-8, or name another file") from error
    for separator, name in SEPARATORS.items():
        with contextlib.suppress(csv.Error):  # a cell that is too long to be a column's name
            if next(csv.reader([first], delimiter=separator), None) != list(columns()):
                continue
            if separator != ",":
                raise ConfigError(f"{path}: has {name} between its columns; save it with commas, or name another file")
            return first[len(first.rstrip("\r\n")) :] or CRLF
    raise ConfigError(f"{path}: has other columns than a result's row; name another file")


def _csv(rows: Rows) -> bytes:
    lines, configs = list[str](), list[ConfigValues]()
    for row in rows:
        lines.append(csv_line([row.get(name) for name in columns()], ""))
        configs.append(config_of(row))
    table = config_table(configs)
    cells = [
        [as_text(each) if kind is bool and each is not None else each for each in column]
        for kind, column in table.values()
    ]
    # A line goes on after the comma that an empty first cell begins with.
    ends = (csv_line(["", *each]) for each in zip(*cells, strict=True)) if cells else itertools.repeat(CRLF)
    header = csv_line([*columns(), *table])
    return "".join([header, *map(operator.add, lines, ends)]).encode()


def to_json(rows: Rows) -> bytes:
    """A list of objects."""
    return f"{dump_json(whole_rows(rows))}\n".encode()


def to_parquet(rows: Rows) -> bytes:
    """An Arrow table as Parquet, zstd, with page checksums."""
    return parquet_bytes(arrow_table(rows))
