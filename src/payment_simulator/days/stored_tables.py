"""The tables of a kept day, read and checked: a folder may come from anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.errors import UnreadableFileError
from labledger.parquet_files import read_parquet
from labledger.untrusted_text import reason_of

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[Any]
MAX_ROWS = 100_000_000


@dataclass(frozen=True)
class StoredTable:
    """A table in its file. Everything raises UnreadableFileError where it cannot be read, or is not as asked for."""

    path: Path

    @cached_property
    def table(self) -> "pyarrow.Table":
        """The whole table; texts are of Arrow's dictionary type."""
        try:
            return read_parquet(self.path, max_rows=MAX_ROWS)
        except OSError as error:
            raise self.unreadable(reason_of(error)) from error

    def column(self, name: str) -> "pyarrow.ChunkedArray":
        """Return a column."""
        if name not in self.table.column_names:
            raise self.unreadable(f"no column {name}")
        return self.table[name]

    def texts(self, name: str) -> "pyarrow.ChunkedArray":
        """Return a column of texts."""
        import pyarrow as pa

        try:
            return self.column(name).cast(pa.string())
        except pa.ArrowException as error:
            raise self.unreadable(f"{name}: {reason_of(error)}") from error

    def values(self, name: str, kind: Any = np.int64, missing: int | None = None) -> Ints:
        """Return the numbers in a column, `missing` for a null; None: no null may be there."""
        import pyarrow as pa

        try:
            column = self.column(name).cast(pa.from_numpy_dtype(kind))
        except pa.ArrowException as error:
            raise self.unreadable(f"{name}: {reason_of(error)}") from error
        if column.null_count and missing is None:
            raise self.unreadable(f"{name}: {column.null_count:,} values are missing")
        found: Ints = (column.fill_null(missing) if column.null_count else column).to_numpy()
        return found

    def places(self, name: str, names: Sequence[str]) -> Ints:
        """Return the place of each text of a column among `names`, -1 of one that is not among them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: Ints = pc.index_in(self.texts(name), pa.array(names, pa.string())).fill_null(-1).to_numpy()
        return found

    def unreadable(self, problem: str) -> UnreadableFileError:
        """Return the error of a table that cannot be used."""
        return UnreadableFileError(f"{self.path}: {problem}")
