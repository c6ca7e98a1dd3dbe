"""SQL over results, in an in-memory DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import Value, arrow_table
from llenergymeasure.results.persistence import TIMESERIES_FILE

INSTALL = "pip install -e '.[sql]'"


def query_results(
    query: str, directory: Path, rows: Sequence[dict[str, Value]]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names and rows that `query` gives over `results` (these rows) and `timeseries` (their sidecars).

    A row of `timeseries` has its result's `experiment_id` beside the sidecar's columns.

    Raises:
        ConfigError: DuckDB is not installed, or does not understand the query.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"sql: DuckDB is not installed; run {INSTALL}") from error
    with duckdb.connect() as database:
        database.register("results", arrow_table(rows))
        database.register("timeseries", _timeseries(rows))
        try:
            database.execute("SET python_enable_replacements = false")  # no variable of ours is a table
            found = database.execute(query)
            return [column[0] for column in found.description or []], found.fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"sql: {' '.join(str(error).split())}") from error


def _timeseries(rows: Sequence[dict[str, Value]]) -> Any:
    """All sidecars below each other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    empty = {"experiment_id": pa.string(), "timestamp_s": pa.float64(), "gpu_power_w": pa.float64()}
    empty |= {"gpu_temperature_c": pa.float64(), "gpu_index": pa.int32(), "cpu_power_w": pa.float64()}
    tables = [pa.table({name: pa.array([], kind) for name, kind in empty.items()})]
    for row in rows:
        path = Path(str(row["folder"])) / TIMESERIES_FILE
        if row["timeseries"] is not None and path.is_file():
            table = pq.read_table(path, page_checksum_verification=True)
            tables.append(table.append_column("experiment_id", pa.array([row["experiment_id"]] * len(table))))
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables], promote_options="default")
