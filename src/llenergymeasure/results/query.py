"""SQL over results, in an in-memory DuckDB."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.extras import install_command
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import Value, arrow_table
from llenergymeasure.results.persistence import TIMESERIES_FILE
from llenergymeasure.results.timeseries import load_timeseries_parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def query_results(
    query: str, folders: Sequence[Path], rows: Sequence[dict[str, Value]]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names and rows that `query` gives over `results` (these rows) and `timeseries` (the sidecars in `folders`).

    A row of `timeseries` has its result's `experiment_id` beside the sidecar's columns. The sidecars are read
    only for a query that may ask for them, and at most `timeseries.MAX_ROWS` rows of all together. One that cannot be
    read, or is beyond that, is a UserWarning, and left out; so is a number that `arrow_table` has no room for.

    Raises:
        ConfigError: DuckDB is not installed, or does not understand the query.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"sql: DuckDB is not installed; run {install_command('sql')}") from error
    with duckdb.connect() as database:
        database.execute("SET python_enable_replacements = false")  # no variable of ours is a table
        is_asked = _may_ask_for_timeseries(database, query)
        database.register("results", arrow_table(rows))
        database.register("timeseries", _timeseries(zip(folders, rows, strict=True) if is_asked else ()))
        try:
            found = database.execute(query)
            return [column[0] for column in found.description or []], found.fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"sql: {' '.join(str(error).split())}") from error


def _may_ask_for_timeseries(database: "DuckDBPyConnection", query: str) -> bool:
    """Return False if DuckDB finds no such name among the query's tables. To be asked before there is such a table."""
    import duckdb

    try:
        return "timeseries" in map(str.lower, database.get_table_names(query))
    except duckdb.Error:  # several statements, a name that is worked out, a column that only the table would tell
        return True


def _timeseries(results: Iterable[tuple[Path, dict[str, Value]]]) -> Any:
    """The sidecars of the results, below each other."""
    import pyarrow as pa

    kinds = {"timestamp_s": pa.float64(), "gpu_power_w": pa.float64(), "gpu_temperature_c": pa.float64()}
    kinds |= {"gpu_index": pa.int32(), "cpu_power_w": pa.float64()}
    # The id once per file and not once per row: somebody else's can be of any length.
    id_kind = pa.dictionary(pa.int8(), pa.string())
    tables = [pa.schema([("experiment_id", id_kind), *kinds.items()]).empty_table()]
    read = 0
    for folder, row in results:
        path = folder / TIMESERIES_FILE
        if row["timeseries"] is None or not os.path.lexists(path):
            continue
        try:
            table = load_timeseries_parquet(path, list(kinds), read_before=read)
            known = pa.schema([(name, kind) for name, kind in kinds.items() if name in table.column_names])
            table = table.select(known.names).cast(known)
        except OSError as error:
            warnings.warn(f"{path}: {error.strerror or error}; left out", stacklevel=2)
        except (pa.ArrowException, LookupError, ValueError) as error:
            warnings.warn(f"{path}: other columns than a timeseries: {error}; left out", stacklevel=2)
        else:
            read += len(table)
            ids = pa.DictionaryArray.from_arrays(
                pa.repeat(pa.scalar(0, pa.int8()), len(table)), pa.array([row["experiment_id"]], pa.string())
            )
            tables.append(table.append_column("experiment_id", ids))
    return pa.concat_tables(tables, promote_options="default")
