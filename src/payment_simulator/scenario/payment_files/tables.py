"""Payments, or balances, in a table of Arrow, pandas, polars, or of lists."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean, reason_of

if TYPE_CHECKING:
    import pyarrow

INDEX = "__index_level_"
"""The columns in which pandas keeps the labels of rows."""


class ClockKeywords(TypedDict, total=False):
    """Times of day as ticks; see the section `payments.clock` of a scenario."""

    open: str
    close: str
    tick: str
    ticks: int
    before_open: Literal["first_tick", "refuse"]
    timezone: str


class PaymentsKeywords(TypedDict, total=False):
    """Keywords that say how payments are read; see the section `payments` of a scenario."""

    columns: Mapping[str, str]
    amounts: Literal["currency", "cents"]
    currency: str
    priorities: Literal["t2"] | Mapping[str, int]
    clock: ClockKeywords
    filter: str
    reversals: Literal["skip", "swap"]
    skip: list[Literal["outside_day", "unknown_bank", "self", "zero", "past_deadline"]]
    bic: Literal[8]
    separator: str
    decimal: Literal[".", ","]
    encoding: str
    time_format: str


def arrow_table(table: Any, name: str) -> "pyarrow.Table":
    """Return a table as Arrow: one of Arrow, pandas or polars, another with their interfaces, or a dict of lists.

    Raises:
        ConfigError: it is none, or a column of it has values of several kinds. `name` is what messages call it.
    """
    import pyarrow as pa
    from pyarrow.interchange import from_dataframe

    try:
        if isinstance(table, Mapping) or hasattr(table, "__arrow_c_stream__"):
            found = pa.table(table)
        elif hasattr(table, "__dataframe__"):
            found = from_dataframe(table)
        else:
            kind = type(table).__name__
            raise ConfigError(f"{name}: {kind} is no table; give one of Arrow, pandas or polars, or a dict of lists")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        why = "a whole number beyond 64 bits; give Decimals" if isinstance(error, OverflowError) else reason_of(error)
        column = f"{clean(odd, SHOWN)}: " if (odd := _odd_column(table)) else ""
        raise ConfigError(f"{name}: cannot be read as a table: {column}{why}") from error
    return found.drop_columns([each for each in found.column_names if each.startswith(INDEX)])


def _odd_column(table: Any) -> str:
    """Return the first column of a dict that is none by itself; empty where each is."""
    import pyarrow as pa

    for name, values in table.items() if isinstance(table, Mapping) else ():
        try:
            pa.table({name: values})
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return str(name)
    return ""
