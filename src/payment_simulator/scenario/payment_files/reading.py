"""Files of payments as Arrow tables of their own columns: those that are needed, and the rows that a filter keeps."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.arrow_files import arrow_file
from labledger.counts import counted
from labledger.errors import ConfigError
from labledger.parquet_files import read_parquet
from labledger.regular_files import opened_to_read
from labledger.untrusted_text import clean, reason_of
from payment_simulator.scenario.payment_files.amounts import as_decimals
from payment_simulator.scenario.payment_files.columns import ColumnsError, chosen_columns
from payment_simulator.scenario.payment_files.csv_text import CsvText, csv_text, opened_bytes
from payment_simulator.scenario.payment_files.files import ARROW, PARQUET, XML, kind_of
from payment_simulator.scenario.payment_files.filtering import filter_columns, kept_rows
from payment_simulator.scenario.payment_files.found_currency import SAMPLE_ROWS, Cells, first_cells, with_currency
from payment_simulator.scenario.payment_files.iso20022 import LINE, PRIORITIES, read_messages
from payment_simulator.scenario.payment_files.kinds import OF_PAYMENTS, plain
from payment_simulator.scenario.payment_files.problems import MOST_LINES, PaymentsKeyError, some_of
from payment_simulator.scenario.payment_files.room import MAX_FILE_BYTES, room_for_columns
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.source import Source

if TYPE_CHECKING:
    import pyarrow

REPEATED = ("sender", "receiver", "priority", "currency", "divisible")
"""Columns with few values, each of which is read once."""
BYTES_PER_PAYMENT = 200


def read_source(path: Path, section: Payments) -> Source:
    """Return the rows of a file that the section's filter keeps.

    Raises:
        ConfigError: it cannot be read, lacks a column, or has no room in memory.
    """
    kind = kind_of(path)
    if kind in PARQUET:
        return _of_parquet(path, section)
    if kind in XML:
        return _of_messages(path, section)
    return source_of(_arrow(path), section, str(path)) if kind in ARROW else _of_csv(path, section)


def source_of(table: "pyarrow.Table", section: Payments, name: str, *, decimal: Literal["."] | None = None) -> Source:
    """Return the rows of a table that the section's filter keeps. Raises ConfigError: it lacks a column.

    `decimal` is the sign before decimals of amounts that are text, where the table's kind has one.
    """
    columns = chosen_columns(table.column_names, section.columns, name)
    columns = with_currency(columns, section.columns, first_cells(table), name)
    asked = _asked(section, table.column_names, columns, name)
    unread = _rest(table.column_names, columns, asked)
    source = Source(name, _plain(table, columns, asked, name), columns, unread=unread, decimal=decimal)
    return _filtered(source, section, asked)


def _of_messages(path: Path, section: Payments) -> Source:
    others: list[str] = []
    table = read_messages(path, others)
    lines = np.array(table[LINE].to_pylist(), dtype=np.int64)
    source = source_of(table.drop_columns([LINE]), section, str(path), decimal=".")
    remarks = [*source.remarks, f"messages of other kinds, which are not read: {_kinds(others)}"] if others else []
    return replace(source, words=PRIORITIES, remarks=remarks, lines=partial(_lines_alone, lines))


def _kinds(others: Sequence[str]) -> str:
    numbers = Counter(others)
    return some_of([f"{clean(kind, 60)} ({number:,})" for kind, number in sorted(numbers.items())])


def _lines_alone(lines: NDArray[np.int64], rows: Sequence[int]) -> list[int | None]:
    """Return the lines of rows, None where several begin on one: it does not say which is meant."""
    asked = lines[list(rows)]
    first, last = (np.searchsorted(lines, asked, side=side) for side in ("left", "right"))
    return [int(line) if count == 1 else None for line, count in zip(asked, last - first, strict=True)]


def _of_csv(path: Path, section: Payments) -> Source:
    import pyarrow as pa

    text = csv_text(path, section)
    columns = _columns_of_text(text, section)
    columns = with_currency(columns, section.columns, _first_cells(text), str(path))
    kinds = {
        name: pa.dictionary(pa.int32(), pa.string()) if ours in REPEATED else pa.string()
        for ours, name in columns.items()
    }
    asked = _asked(section, text.names, columns, str(path))
    table = _csv(text, kinds, list(dict.fromkeys([*kinds, *asked])))
    text.refuse_swallowed(table.num_rows)
    guess = ["not UTF-8: read as latin-1 (payments.encoding says another)"] if text.is_guess else []
    unread = _rest(text.names, columns, asked)
    source = Source(str(path), table, columns, text.separator, lines=text.lines, remarks=guess, unread=unread)
    return _filtered(source, section, asked)


def _columns_of_text(text: CsvText, section: Payments) -> dict[str, str]:
    """Return the columns that the first line names; lines above a header are told."""

    def chosen(names: Sequence[str]) -> dict[str, str]:
        return chosen_columns(names, section.columns, str(text.path))

    try:
        return chosen(text.names)
    except ColumnsError:
        text.refuse_lines_above(chosen)
        raise


def _first_cells(text: CsvText) -> Cells:
    """Return the first cells of each column of a text; rows that are longer or shorter are told as it is read."""
    rows = [cells for _, cells in itertools.islice(text.records(), SAMPLE_ROWS) if len(cells) == len(text.names)]
    return dict(zip(text.names, zip(*rows, strict=True), strict=True)) if rows else {}


def _csv(text: CsvText, kinds: "Mapping[str, pyarrow.DataType]", wanted: list[str]) -> "pyarrow.Table":
    """Return the table in a text, of it these columns; `kinds` are the types of some."""
    import pyarrow as pa
    import pyarrow.csv

    parse = pa.csv.ParseOptions(delimiter=text.separator, newlines_in_values=True)
    convert = pa.csv.ConvertOptions(column_types=kinds, include_columns=wanted)
    try:
        with opened_bytes(text.path) as file:
            options = pa.csv.ReadOptions(encoding="utf8" if text.encoding.startswith("utf-8") else text.encoding)
            source = arrow_file(file) if isinstance(file, BufferedReader) else file  # else out of gzip, by Python
            return pa.csv.read_csv(source, options, parse, convert)
    except (pa.ArrowException, ValueError) as error:
        raise _explained(text, error) from error


def _explained(text: CsvText, error: Exception) -> ConfigError:
    """Return the error of a text that Arrow does not read, with its lines where rows are longer or shorter."""
    name, wanted = clean(str(text.path), 300), len(text.names)
    if next(text.records(), None) is None:
        return ConfigError(f"{name}: has a header and no payments")
    shown, number = text.ragged(MOST_LINES)
    if not number:
        return ConfigError(f"{name}: cannot be read as CSV: {reason_of(error)}")
    lines = [f"{name}:{line}: has {counted(cells, 'cell')}, the header {wanted}" for line, cells in shown]
    lines += [f"  and {number - len(shown):,} more"] if number > len(shown) else []
    lines.append(f"  a cell that holds {text.separator!r} or a line break stands in double quotes")
    return ConfigError("\n".join(lines))


def _of_parquet(path: Path, section: Payments) -> Source:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with opened_to_read(path, follow=True) as file:
            names = list(pa.parquet.read_schema(arrow_file(file)).names)
            cells = _first_of_parquet(arrow_file(file))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{clean(str(path), 300)}: cannot be read as Parquet: {reason_of(error)}") from error
    columns = with_currency(chosen_columns(names, section.columns, str(path)), section.columns, cells, str(path))
    asked = _asked(section, names, columns, str(path))
    table = _parquet(path, list(dict.fromkeys([*columns.values(), *asked])))
    unread = _rest(names, columns, asked)
    return _filtered(
        Source(str(path), _plain(table, columns, asked, str(path)), columns, unread=unread), section, asked
    )


def _first_of_parquet(file: Any) -> Cells:
    import pyarrow as pa
    import pyarrow.parquet

    for batch in pa.parquet.ParquetFile(file).iter_batches(SAMPLE_ROWS):
        return first_cells(pa.Table.from_batches([batch]))
    return {}


def _parquet(path: Path, wanted: list[str]) -> "pyarrow.Table":
    rows = room_for_columns(path).available // BYTES_PER_PAYMENT
    try:
        return read_parquet(path, wanted, max_rows=rows, follow=True)
    except OSError as error:
        raise ConfigError(f"{clean(str(path), 300)}: {reason_of(error)}") from error


def _arrow(path: Path) -> "pyarrow.Table":
    import pyarrow as pa

    try:
        with opened_to_read(path, MAX_FILE_BYTES, follow=True) as file:
            return _batches(path, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{clean(str(path), 300)}: cannot be read as Arrow IPC: {reason_of(error)}") from error


def _plain(table: "pyarrow.Table", columns: Mapping[str, str], asked: Sequence[str], file: str) -> "pyarrow.Table":
    """Return the columns of payments, as they are read, and those that the section's filter names.

    Raises:
        PaymentsKeyError: one is of a type that none is read from.
    """

    def refused(ours: str, problem: str) -> PaymentsKeyError:
        return PaymentsKeyError(f"columns.{ours}", f"{clean(file, 300)}: {problem}")

    wanted = {*columns.values(), *asked}
    places = [place for place, name in enumerate(table.column_names) if name in wanted]
    return plain(table.select(places), columns, OF_PAYMENTS, refused)


def _batches(path: Path, file: Any) -> "pyarrow.Table":
    """Return the table in a file or stream of Arrow, one batch at a time: a small file may hold a large one."""
    import pyarrow as pa

    room = room_for_columns(path)
    try:
        reader: Any = pa.ipc.open_file(arrow_file(file))
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pa.ArrowInvalid:
        reader = batches = pa.ipc.open_stream(arrow_file(file))
    found, size = [], 0
    for batch in batches:
        found.append(batch)
        room.check(size := size + batch.nbytes)
    return pa.Table.from_batches(found, reader.schema)


def _asked(section: Payments, names: Sequence[str], columns: Mapping[str, str], file: str) -> list[str]:
    """Return the columns that the section's filter names; refuse payments' columns that stand twice."""
    _refuse_twice(names, columns, file)
    return filter_columns(section.filter, names) if section.filter is not None else []


def _rest(names: Sequence[str], columns: Mapping[str, str], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are not read."""
    read = {*columns.values(), *asked}
    return tuple(name for name in dict.fromkeys(names) if name not in read)


def _refuse_twice(names: Sequence[str], columns: Mapping[str, str], file: str) -> None:
    if twice := [name for name in columns.values() if list(names).count(name) > 1]:
        raise ConfigError(f"{clean(file, 300)}: more than one column is called {clean(twice[0], 60)!r}")


def _filtered(source: Source, section: Payments, asked: Sequence[str]) -> Source:
    """Return the rows of which the section's filter, an expression over the columns `asked`, is true."""
    if section.filter is None:
        return source
    kept = kept_rows(_typed(source, asked, source.decimal or section.decimal), section.filter)
    if kept.all():
        return source
    import pyarrow as pa

    (numbers,) = np.nonzero(kept)
    skipped = {**source.skipped, "filter": len(kept) - len(numbers)}
    return replace(source, table=source.table.filter(pa.array(kept)), numbers=numbers, skipped=skipped)


def _typed(source: Source, asked: Sequence[str], decimal: str | None) -> "pyarrow.Table":
    """Return columns for a filter: those of payments, which are read as text, as what all of their cells are."""
    table = source.table.select([name for name in source.table.column_names if name in asked])
    if source.separator is None and source.decimal is None:
        return table
    for place, name in enumerate(table.column_names):
        if name == source.columns["amount"]:
            exact = as_decimals(table[name], decimal, source.separator)
            table = table if exact is None else table.set_column(place, name, exact)
        elif name in source.columns.values():
            table = table.set_column(place, name, _inferred(table[name]))
    return table


def _inferred(column: "pyarrow.ChunkedArray") -> "pyarrow.ChunkedArray":
    """Return a column of text as whole numbers or times where every cell that is not empty is one, and some is not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = column.cast(pa.string())
    filled = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    for kind in (pa.int64(), pa.timestamp("us")) if filled.null_count < len(filled) else ():
        try:
            return filled.cast(kind)
        except pa.ArrowInvalid:
            continue
    return text
