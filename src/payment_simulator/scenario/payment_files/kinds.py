"""Types of columns: those from which each of our columns is read, out of dictionaries and runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labledger.untrusted_text import SHOWN, clean, reason_of

if TYPE_CHECKING:
    import pyarrow

Refuse = Callable[[str, str], Exception]


@dataclass(frozen=True)
class Kind:
    """Types from which something is read: tests of `pyarrow.types`, one of which is passed, and a message's words."""

    tests: tuple[str, ...]
    words: str


TEXT = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_binary_view", "is_null")
TIME = Kind(
    (*TEXT, "is_integer", "is_floating", "is_timestamp", "is_date", "is_time"),
    "text, timestamps, dates, times of day or whole numbers",
)
AMOUNT = Kind((*TEXT, "is_integer", "is_floating", "is_decimal"), "text, whole numbers, decimals or doubles")
NAME = Kind((*TEXT, "is_integer", "is_floating"), "text or whole numbers")
FLAG = Kind((*NAME.tests, "is_boolean"), "booleans, text or whole numbers")
OF_PAYMENTS = {
    **dict.fromkeys(("time", "date", "deadline", "settled"), TIME),
    "amount": AMOUNT,
    **dict.fromkeys(("sender", "receiver", "priority", "currency", "id"), NAME),
    "divisible": FLAG,
}
"""The kind of each column of payments, by our name."""


def plain(
    table: "pyarrow.Table", columns: Mapping[str, str], kinds: Mapping[str, Kind], refuse: Refuse
) -> "pyarrow.Table":
    """Return a table whose `columns`, its names by ours, are of types that are read; all text of them is Arrow's first.

    `refuse` makes the error of one that is of another type, or of bytes that are no text. A column that is not among
    the `kinds` is left as it is.
    """
    for ours, name in columns.items():
        if ours in kinds:
            place = table.column_names.index(name)
            found = _plain(table.column(place), kinds[ours])
            if isinstance(found, str):
                shown = clean(name, SHOWN), clean(str(table.schema.types[place]), SHOWN)
                raise refuse(ours, f"{shown[0]} is of {shown[1]}, and cannot be read as the {ours}: {found}")
            table = table.set_column(place, name, found)
    return table


def _plain(column: "pyarrow.ChunkedArray", kind: Kind) -> "pyarrow.ChunkedArray | str":
    """Return a column as one that is read, or what is wrong with it."""
    import pyarrow as pa

    found = _value_type(column.type)
    if not _is_one(found, kind.tests):
        return f"it should be {kind.words}"
    wanted = pa.string() if _is_one(found, TEXT) else found
    try:
        return pa.chunked_array([_values(chunk, wanted) for chunk in column.chunks], wanted)
    except pa.ArrowException as error:  # as of bytes that are no text
        return reason_of(error)


def _is_one(kind: "pyarrow.DataType", tests: Sequence[str]) -> bool:
    import pyarrow as pa

    return any(getattr(pa.types, test)(kind) for test in tests)


def _value_type(kind: "pyarrow.DataType") -> "pyarrow.DataType":
    import pyarrow as pa

    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def _values(chunk: "pyarrow.Array", wanted: "pyarrow.DataType") -> "pyarrow.Array":
    """Return the values of an array, of which each cell is a place among those of a dictionary, or in a run."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(chunk.type):
        return _values(chunk.dictionary, wanted).take(chunk.indices)
    if pa.types.is_run_end_encoded(chunk.type):
        return _values(pc.run_end_decode(chunk), wanted)
    return chunk.cast(wanted)
