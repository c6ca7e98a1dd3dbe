"""Rows of a file of payments that a SQL expression keeps, by a DuckDB that reaches no file and no network."""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.extras import require
from labledger.sealed_duckdb import SEALED
from labledger.untrusted_text import SHOWN, clean, first_line
from payment_simulator.scenario.payment_files.columns import listed
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

SETTINGS: dict[str, Any] = {**SEALED, "memory_limit": "2GB"}
UNSTEADY = """
    SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT' AND function_name IN $1
"""
ELSEWHERE = {"current_setting", "getenv", "getvariable"}
"""Functions whose answer depends on the machine."""
GROWING = {
    *("range", "generate_series", "repeat", "lpad", "rpad", "list_resize", "array_resize", "list_pad_left"),
    *("list_pad_right", "levenshtein", "editdist3", "damerau_levenshtein"),
}
"""Functions that make much out of little, beyond the memory and time that a filter may take."""
MAX_S = 60.0
CLOSED = "it should be one expression over the file's own columns, as: currency = 'EUR' and status <> 'REVOKED'"


def filter_columns(expression: str, names: Sequence[str]) -> list[str]:
    """Return those of the file's columns that an expression names, all of them where it has a star.

    Raises:
        PaymentsKeyError: DuckDB is not installed, or it is no single expression, or asks other tables, or answers
            otherwise each time, or names a column that stands twice.
    """
    require("payments.filter", "duckdb")
    import duckdb

    with duckdb.connect(config=SETTINGS) as database:
        nodes = list(_nodes(_parsed(database, expression)))
        called = {str(node["function_name"]).lower() for node in nodes if node.get("function_name")}
        unsteady = [name for (name,) in database.execute(UNSTEADY, [sorted(called)]).fetchall()] if called else []
    if any(node.get("class") in ("SUBQUERY", "PARAMETER") for node in nodes):
        raise PaymentsKeyError("filter", CLOSED)
    if outside := called & ELSEWHERE:
        raise PaymentsKeyError("filter", f"{min(outside)}() is another on each machine; {CLOSED}")
    if growing := called & GROWING:
        raise PaymentsKeyError("filter", f"{min(growing)}() may take any memory and time; {CLOSED}")
    if unsteady:
        raise PaymentsKeyError("filter", f"{min(unsteady)}() gives another answer each time; {CLOSED}")
    if any(node.get("class") == "STAR" for node in nodes):
        return list(names)
    named = [str(node["column_names"][0]) for node in nodes if node.get("column_names")]
    known = {name.lower() for name in names}
    if strange := [name for name in named if name.lower() not in known]:
        about = f"no column {clean(strange[0], 60)!r}; the file has {listed(names)}{_in_quotes(strange[0], names)}"
        raise PaymentsKeyError("filter", about)
    asked = {name.lower() for name in named}
    found = [name for name in names if name.lower() in asked]
    if len(found) > len(asked):
        both = next(name for name in found if sum(name.lower() == each.lower() for each in found) > 1)
        raise PaymentsKeyError("filter", f"more than one column is called {clean(both, 60)!r}, in letters of any case")
    return found


def _in_quotes(part: str, names: Sequence[str]) -> str:
    """Return the advice on a name that was read in parts, for it has other signs than letters."""
    whole = next((name for name in names if not name.isidentifier() and part.lower() in name.lower()), None)
    return "" if whole is None else f'; put a name with such signs in double quotes: "{clean(whole, 60)}"'


def kept_rows(table: "pyarrow.Table", expression: str) -> NDArray[np.bool_]:
    """Return for each row of a table whether an expression that `filter_columns` took is true of it.

    Raises:
        PaymentsKeyError: DuckDB cannot work it out.
    """
    import duckdb
    import pyarrow as pa

    place = "row of the file"
    while place in table.column_names:
        place += "_"
    numbered = table.append_column(place, pa.array(np.arange(len(table))))
    try:
        with duckdb.connect(config=SETTINGS) as database, _ended_after(database, MAX_S):
            rows = database.from_arrow(numbered)
            wanted = duckdb.SQLExpression(f"CAST({duckdb.SQLExpression(expression)} AS BOOLEAN)")
            kept = rows.filter(wanted).select(duckdb.ColumnExpression(place)).fetchnumpy()[place]
    except duckdb.InterruptException as error:
        raise PaymentsKeyError("filter", f"it has no answer after {MAX_S:.0f} s") from error
    except duckdb.Error as error:
        raise PaymentsKeyError("filter", first_line(error)) from error
    found = np.zeros(len(table), dtype=np.bool_)
    found[np.asarray(kept, dtype=np.int64)] = True
    return found


@contextlib.contextmanager
def _ended_after(database: "DuckDBPyConnection", seconds: float) -> Iterator[None]:
    """End what the database works on if it takes longer."""
    timer = threading.Timer(seconds, database.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _parsed(database: "DuckDBPyConnection", expression: str) -> Any:
    """Return the tree of a single expression."""
    import duckdb

    try:
        single = str(duckdb.SQLExpression(expression))
    except duckdb.Error as error:
        raise PaymentsKeyError("filter", f"{first_line(error, SHOWN)}; {CLOSED}") from error
    ((text,),) = database.execute("SELECT json_serialize_sql($1)", [f"SELECT 1 WHERE {single}"]).fetchall()
    tree = json.loads(text)
    if tree.get("error") or len(tree["statements"]) != 1:
        raise PaymentsKeyError("filter", CLOSED)
    return tree["statements"][0]["node"]["where_clause"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a parsed expression."""
    if isinstance(tree, dict):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(part)
