"""Parquet files: how ours are written, and reading of those that others may have written.

They are opened only where they are regular files, and read only up to a size.
"""

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.arrow_files import arrow_file
from labledger.regular_files import MAX_BYTES, opened_to_read

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ColumnSchema, ParquetFile

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, "BYTE_ARRAY": 4}
"""Bytes in memory of a value, by its physical type; of text, of its place among those that differ."""
STREAMED_ROWS = 1 << 16


def parquet_bytes(table: "pyarrow.Table") -> bytes:
    """Return a table as a Parquet file: zstd, with checksums of its pages; the same bytes for the same table."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_parquet(
    path: Path, columns: Sequence[str] | None = None, *, max_rows: int, read_before: int = 0, follow: bool = False
) -> "pyarrow.Table":
    """Return the table in a file, or of it these `columns`, as far as it has them; its page checksums are verified.

    Text is of Arrow's dictionary type. `max_rows`, less `read_before` (of other files, held together with these), are
    read, and of all of those no more than have `MAX_BYTES` in memory: a small file can hold any number of rows. A link
    is opened only with `follow`.

    Raises:
        OSError: it cannot be read, is not Parquet, has more rows or more bytes, or a checksum does not hold.
    """
    with _opened(path, max_rows, read_before, follow=follow) as parquet:
        width = _width(parquet, columns)
        if (size := width * (parquet.metadata.num_rows + read_before)) > MAX_BYTES:
            found = f"{parquet.metadata.num_rows:,} rows" + _after(read_before)
            most = f"at most {MAX_BYTES // width:,} of its columns are held in memory"
            raise OSError(errno.EFBIG, f"has {found}, {size / 1e9:,.1f} GB, and {most}", os.fspath(path))
        return parquet.read(columns=None if columns is None else list(columns))


def check_parquet(path: Path, *, max_rows: int) -> None:
    """Read a file to its end, some rows at a time, and verify its page checksums. A link is not opened.

    Raises:
        OSError: it cannot be read, is not Parquet, has more rows, or a checksum does not hold.
    """
    with _opened(path, max_rows, 0, follow=False) as parquet:
        for _ in parquet.iter_batches(STREAMED_ROWS):
            pass


def _width(parquet: "ParquetFile", columns: Sequence[str] | None) -> int:
    """Return the bytes in memory of a row of these columns, or of all, at least 1."""
    chosen = [each for each in _columns(parquet) if columns is None or each.path.partition(".")[0] in columns]
    return sum(WIDTHS.get(each.physical_type) or each.length for each in chosen) or 1


def _columns(parquet: "ParquetFile") -> "list[ColumnSchema]":
    return [parquet.schema.column(number) for number in range(len(parquet.schema))]


def _after(read_before: int) -> str:
    return f", after {read_before:,} of other files" if read_before else ""


@contextlib.contextmanager
def _opened(path: Path, max_rows: int, read_before: int, *, follow: bool) -> "Iterator[ParquetFile]":
    """Yield an open file of no more rows than that; an error of the reader inside is an OSError that names it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened_to_read(path, follow=follow) as file:
            parquet = pq.ParquetFile(arrow_file(file), page_checksum_verification=True)
            # A small file can name one long text any number of times: text is read as one list of those that differ.
            if texts := [each.path for each in _columns(parquet) if each.physical_type == "BYTE_ARRAY"]:
                again = arrow_file(file)
                parquet = pq.ParquetFile(again, read_dictionary=texts, page_checksum_verification=True)
            if (rows := parquet.metadata.num_rows) > max_rows - read_before:
                found = f"{rows:,} rows" + _after(read_before)
                raise OSError(errno.EFBIG, f"has {found}, and at most {max_rows:,} are read", os.fspath(path))
            yield parquet
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged footer can ask for anything, or name no text
        if isinstance(error, OSError) and error.filename is not None:  # Arrow's own names no file
            raise
        reason = " ".join(str(error).split())
        raise OSError(errno.EIO, f"not readable as Parquet: {reason}", os.fspath(path)) from error
