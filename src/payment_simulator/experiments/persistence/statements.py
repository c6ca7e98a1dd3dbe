"""SQL with values in it, without DuckDB's parameters: to look at the first one, its client imports pandas.

That takes seconds of a processor, in which the process may have the database, and nothing here needs pandas. So each
value is written into the statement. Whatever a user wrote, none of it is read as SQL: between quotes stands only what
has no quote and is printable ASCII, and every other text is written as hexadecimal digits.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLAIN = re.compile(r"[ -&(-~]*")
Value = str | int | float | bool | datetime | None


def fetch(connection: "DuckDBPyConnection", statement: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
    """Execute `statement`, in which each `?` stands for the next of the `values`, and return its rows.

    Raises:
        TypeError: a value is of a type that no column has.
        UnicodeEncodeError: a text has a lone surrogate, as no text of a database has.
        duckdb.Error: it failed.
    """
    first, *rest = statement.split("?")
    written = first + "".join(literal(value) + part for value, part in zip(values, rest, strict=True))
    return connection.execute(written).fetchall()


def literal(value: Value) -> str:
    """Return a value as SQL: one that DuckDB reads as exactly the same."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case float():  # a plain 0.1 would be a DECIMAL
            return f"'{value!r}'::DOUBLE"
        case datetime():
            return f"'{value.isoformat()}'::TIMESTAMPTZ"
        case str():
            return f"'{value}'" if PLAIN.fullmatch(value) else _hexadecimal(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) is not a value of a column")


def _hexadecimal(text: str) -> str:
    """Functions are named with their catalogue: a macro in a file, of the same name, would else be called."""
    return f"system.main.decode(system.main.unhex('{text.encode().hex()}'))"
