"""A file of payments, or a table, as it was read: its own columns, and where its rows stand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.untrusted_text import clean

if TYPE_CHECKING:
    import pyarrow

SHOWN_CELL = 60
Lines = Callable[[Sequence[int]], list[int | None]]


@dataclass(frozen=True, eq=False)
class Source:
    """The rows that are kept of a file or a table, called `name` in messages.

    `columns` is the file's own name of each column, by ours. `numbers` are the places of the table's rows in the file,
    None where none was left out. `lines` finds the lines of rows in a text, None where the file has none.
    `words` are the priorities of the file's kind, `decimal` its sign before decimals. `unread` are its columns that are
    not in the table, or not asked for.
    """

    name: str
    table: "pyarrow.Table"
    columns: Mapping[str, str]
    separator: str | None = None
    numbers: NDArray[np.int64] | None = None
    lines: Lines | None = None
    words: Mapping[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    decimal: Literal["."] | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, ours: str) -> "pyarrow.ChunkedArray | None":
        """Return a column by our name, None where the file has no such one."""
        name = self.columns.get(ours)
        return None if name is None else self.table[name]

    def shown_column(self, ours: str) -> str:
        """Return the file's name of a column for a message."""
        return clean(self.columns.get(ours, ours), SHOWN_CELL)

    def cells(self, rows: Sequence[int], ours: str) -> list[str]:
        """Return cells for a message: texts in double quotes."""
        column = self.column(ours)
        if column is None:
            return [""] * len(rows)
        return [_shown(column[row]) for row in rows]

    def places(self, rows: Sequence[int]) -> list[str]:
        """Return `file:line` of each row of the table; without lines `file: row n`, counted from 1."""
        numbers = [row if self.numbers is None else int(self.numbers[row]) for row in rows]
        lines = [None] * len(numbers) if self.lines is None else self.lines(numbers)
        name = clean(self.name, 300)
        return [
            f"{name}: row {number + 1}" if line is None else f"{name}:{line}"
            for number, line in zip(numbers, lines, strict=True)
        ]


def _shown(scalar: "pyarrow.Scalar") -> str:
    import pyarrow as pa

    try:
        value = scalar.as_py()
    except (
        pa.ArrowException,
        OverflowError,
        ValueError,
        KeyError,
    ):  # a time beyond Python's, or of a zone that is none
        return f"of {clean(str(scalar.type), SHOWN_CELL)}"
    if value is None:
        return "empty"
    return f'"{clean(value, SHOWN_CELL)}"' if isinstance(value, str) else clean(str(value), SHOWN_CELL)
