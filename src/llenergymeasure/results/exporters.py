"""Flat rows as files that other programs read."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from labledger.files import write_durably
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import Value, arrow_table, columns

Format = Literal["csv", "parquet", "json"]
Rows = Sequence[dict[str, Value]]


def export(rows: Rows, format: Format, path: Path) -> Path:  # noqa: A002 - the option's own name
    """Write the rows to `path`, durably, and return it. What is unknown is an empty cell, or null.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
        ValueError: an integer does not fit into Parquet's 64 bits.
    """
    contents = {"csv": to_csv, "json": to_json, "parquet": to_parquet}
    write_durably(path, contents[format](rows))
    return path


def append_csv(row: dict[str, Value], path: Path) -> Path:
    """Add a row to a CSV file with the same columns, or begin one.

    Raises:
        OSError: it could not be read or written.
        ConfigError: there is a file with other columns.
    """
    before = path.read_bytes() if path.exists() else b""
    content = to_csv([row])
    header = content.partition(b"\r\n")[0]
    check_csv(path)
    body = before if not before or before.endswith(b"\n") else before + b"\r\n"
    write_durably(path, body + content.removeprefix(header + b"\r\n") if body else content)
    return path


def check_csv(path: Path) -> None:
    """Refuse a file that a result's row cannot be added to, before anything is measured for it.

    Raises:
        ConfigError: it has other columns, or cannot be read.
    """
    try:
        before = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name another file") from error
    if before and before.partition(b"\r\n")[0] != to_csv([]).rstrip():
        raise ConfigError(f"{path}: has other columns than a result's row; name another file")


def to_csv(rows: Rows) -> bytes:
    """A header and a line a row (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(columns()))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def to_json(rows: Rows) -> bytes:
    """A list of objects."""
    return (json.dumps(list(rows), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_parquet(rows: Rows) -> bytes:
    """An Arrow table as Parquet, zstd, with page checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(arrow_table(rows), buffer, compression="zstd", write_page_checksum=True)
    return bytes(buffer.getvalue().to_pybytes())
