"""SQL over results, in an in-memory DuckDB that reaches no file, no network and no variable of ours."""

import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.extras import install_command
from labledger.sealed_duckdb import SEALED
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import Value, arrow_table
from llenergymeasure.results.outputs import refuse_output
from llenergymeasure.results.persistence import sidecar_in
from llenergymeasure.results.timeseries import load_timeseries_parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


BARE_COLUMN = re.compile(r'(?<![\w."])config(?:\.[\w-]+)+')
PLAIN_WORD = re.compile(r"[A-Za-z]+\b")
PLAIN_TEXT = re.compile(r"'((?:[^']|'')*+)'")
WRITING = ("copy", "export", "attach")
LOG = "enablelogging"
"""The function that lets DuckDB write what it does to standard output or files, whatever the settings say."""
CLOSED = "a query reads the tables results and timeseries alone"


def query_results(
    query: str,
    results: Iterable[tuple[Path, dict[str, Value]]],
    *,
    allow_write: bool = False,
    source: Path = Path("results"),
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names and rows that `query` gives over the tables `results` and `timeseries`; of several statements, the
    last one's.

    Each result is its folder and its flat row; they are taken one after another, and not kept.

    A row of `timeseries` has its result's `experiment_id` beside the sidecar's columns. The sidecars are read only for
    a query that may ask for them, and as many rows of all together as memory is to hold. One that cannot be read, or is
    beyond that, is a UserWarning, and left out; so is a number that `arrow_table` has no room for.

    A query reads and writes nothing else. With `allow_write` it may write files, as `COPY ... TO` does, and then DuckDB
    reads any that this process may read as well: it has one permission for both. No saved result, and none of those in
    `source`, is written over, and nothing but a file or a folder.

    Raises:
        ConfigError: DuckDB is not installed, does not understand the query, or refuses it; or the query is empty.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"sql: DuckDB is not installed; run {install_command('sql')}") from error
    with duckdb.connect(config={**SEALED, "enable_external_access": allow_write}) as database:
        _check(database, query, source, allow_write=allow_write)
        is_asked = _may_ask_for_timeseries(database, query)
        asked: list[tuple[Path, dict[str, Value]]] | None = [] if is_asked else None
        table = arrow_table(_rows(results, asked))
        database.register("results", table)
        _warn_of_names(database, table.column_names)
        database.register("timeseries", _timeseries(asked or ()))
        try:
            found = database.execute(query)
            return [column[0] for column in found.description or []], found.fetchall()
        except duckdb.PermissionException as error:
            raise ConfigError(f"sql: {CLOSED}; to write a file, give --allow-write: {_line(error)}") from error
        except duckdb.Error as error:
            raise ConfigError(f"sql: {_line(error)}{_about_quotes(query, error)}") from error


def _warn_of_names(database: "DuckDBPyConnection", columns: Sequence[str]) -> None:
    """Warn of columns that have another name in SQL, since it takes theirs for one that differs by case only."""
    described = database.execute("SELECT * FROM results LIMIT 0").description or []
    for column, (name, *_) in zip(columns, described, strict=True):
        if name != column:
            shown = f'"{clean(column, SHOWN)}" is "{clean(name, SHOWN)}"'
            warnings.warn(f"sql: {shown} here: another column differs from it by case only", stacklevel=3)


def _about_quotes(query: str, error: Exception) -> str:
    """Return what to write where a column of the configuration was taken for one of a table; else nothing."""
    column = BARE_COLUMN.search(query)
    if column is None or "config" not in str(error):
        return ""
    return f'; a column with dots stands in double quotes: "{clean(column[0], SHOWN)}"'


def _check(database: "DuckDBPyConnection", query: str, source: Path, *, allow_write: bool) -> None:
    """Refuse, before the results are read, what is no query, starts DuckDB's log, or would write over a result."""
    import duckdb

    try:
        statements = database.extract_statements(query)
    except duckdb.Error as error:
        raise ConfigError(f"sql: {_line(error)}") from error
    if not statements:
        raise ConfigError("sql: the query is empty; write one, as: SELECT * FROM results")
    if LOG in "".join(filter(str.isalpha, query.casefold())):
        raise ConfigError(f"sql: {CLOSED}; it starts no log of DuckDB's, which is written elsewhere than the answer")
    database.execute("CREATE MACRO enable_logging() AS TABLE SELECT 1")  # also where its name is put together
    if allow_write:
        for target in _targets(query):
            refuse_output("sql", Path(target), source, may_be_folder=True)


def _targets(query: str) -> Iterator[str]:
    """Yield the files and folders that the statements of a query write to, or attach.

    Raises:
        ConfigError: one is not written in single quotes: what it is cannot be seen beforehand.
    """
    import duckdb

    encoded = query.encode()  # the places of tokens are those of bytes
    begins = [begin for begin, _ in duckdb.tokenize(query)]
    words = [encoded[begin:end].decode() for begin, end in itertools.pairwise([*begins, len(encoded)])]
    kind, before = "", ""
    for word in words:  # each with the blanks and comments after it
        name = PLAIN_WORD.match(word)
        if before == "to" and kind:
            if not (text := PLAIN_TEXT.match(word)):
                raise ConfigError(f"sql: {clean(word, SHOWN)}: write the name of the file in single quotes")
            yield text[1].replace("''", "'")
        elif kind in ("attach", "export") and (text := PLAIN_TEXT.match(word)):
            yield text[1].replace("''", "'")
        before = name[0].casefold() if name else ""
        kind = "" if word.startswith(";") else before if before in WRITING else kind


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _may_ask_for_timeseries(database: "DuckDBPyConnection", query: str) -> bool:
    """Return False if DuckDB finds no such name among the query's tables. To be asked before there is such a table."""
    import duckdb

    try:
        return "timeseries" in map(str.lower, database.get_table_names(query))
    except duckdb.Error:  # several statements, a name that is worked out, a column that only the table would tell
        return True


def _rows(
    results: Iterable[tuple[Path, dict[str, Value]]], asked: list[tuple[Path, dict[str, Value]]] | None
) -> Iterator[dict[str, Value]]:
    """Yield the rows; into `asked` goes of each what its sidecar is found and named by."""
    for folder, row in results:
        if asked is not None:
            asked.append((folder, {name: row[name] for name in ("experiment_id", "timeseries")}))
        yield row


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
        path = sidecar_in(folder, is_named=row["timeseries"] is not None)
        if path is None:
            continue
        try:
            table = load_timeseries_parquet(path, list(kinds), read_before=read)
            known = pa.schema([(name, kind) for name, kind in kinds.items() if name in table.column_names])
            if any(map(pa.types.is_dictionary, table.schema.types)):  # Arrow would write each of its texts out
                raise ValueError("one is of text")
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
