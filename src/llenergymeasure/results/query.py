"""SQL over results, in an in-memory DuckDB."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labledger.extras import install_command
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import Value, arrow_table
from llenergymeasure.results.persistence import TIMESERIES_FILE
from llenergymeasure.results.timeseries import load_timeseries_parquet


def query_results(
    query: str, folders: Sequence[Path], rows: Sequence[dict[str, Value]]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names and rows that `query` gives over `results` (these rows) and `timeseries` (the sidecars in `folders`).

    A row of `timeseries` has its result's `experiment_id` beside the sidecar's columns. A sidecar that cannot be read
    is a UserWarning, and left out.

    Raises:
        ConfigError: DuckDB is not installed, or does not understand the query.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"sql: DuckDB is not installed; run {install_command('sql')}") from error
    with duckdb.connect() as database:
        database.register("results", arrow_table(rows))
        database.register("timeseries", _timeseries(folders, rows))
        try:
            database.execute("SET python_enable_replacements = false")  # no variable of ours is a table
            found = database.execute(query)
            return [column[0] for column in found.description or []], found.fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"sql: {' '.join(str(error).split())}") from error


def _timeseries(folders: Sequence[Path], rows: Sequence[dict[str, Value]]) -> Any:
    """All sidecars below each other."""
    import pyarrow as pa

    kinds = {"timestamp_s": pa.float64(), "gpu_power_w": pa.float64(), "gpu_temperature_c": pa.float64()}
    kinds |= {"gpu_index": pa.int32(), "cpu_power_w": pa.float64()}
    tables = [pa.table({name: pa.array([], kind) for name, kind in {"experiment_id": pa.string(), **kinds}.items()})]
    for folder, row in zip(folders, rows, strict=True):
        path = folder / TIMESERIES_FILE
        if row["timeseries"] is None or not os.path.lexists(path):
            continue
        try:
            table = load_timeseries_parquet(path)
            known = pa.schema([(name, kind) for name, kind in kinds.items() if name in table.column_names])
            table = table.select(known.names).cast(known)
        except OSError as error:
            warnings.warn(f"{path}: {error.strerror or error}; left out", stacklevel=2)
        except (pa.ArrowException, LookupError, ValueError) as error:
            warnings.warn(f"{path}: other columns than a timeseries: {error}; left out", stacklevel=2)
        else:
            tables.append(table.append_column("experiment_id", pa.array([row["experiment_id"]] * len(table))))
    return pa.concat_tables(tables, promote_options="default")
