"""Connections to databases, which anybody may have made: opening one reads and executes nothing but our own tables.

DuckDB is told to keep to the one file: no other is read or written, no extension is loaded, and nothing in the file can
change that. Then the file's catalogue is read, through functions of the `system` catalogue, which a macro in the file
cannot stand in for; a file is used only if our tables in it are as our migrations make them, and it holds nothing that
DuckDB would execute when one is read or written.
"""

import functools
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from labledger.errors import ConfigError
from labledger.extras import install_command
from labledger.untrusted_text import clean
from payment_simulator.experiments.persistence import schema
from payment_simulator.experiments.persistence.statements import fetch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "1GB"
# One thread opens and closes faster than many. Extensions: DuckDB would fetch one from the network to open a file that
# looks like another database's.
SETTINGS: dict[str, Any] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "memory_limit": MEMORY_LIMIT,
    "max_temp_directory_size": "4GB",
    "lock_configuration": True,
}
MAX_TABLE_ROWS = 20_000_000
"""The rows of a table that is read, at most: a run stores some hundred. A small file can hold a table of any size."""
SHOWN_NAME = 80

EXECUTED = """
    SELECT 'a view', view_name FROM system.main.duckdb_views() WHERE NOT internal
    UNION ALL SELECT 'a type of its own', type_name FROM system.main.duckdb_types() WHERE NOT internal
    UNION ALL SELECT 'an index of an expression', index_name FROM system.main.duckdb_indexes()
        WHERE system.main.contains(expressions, '(')
"""
MACROS = "SELECT function_name FROM system.main.duckdb_functions() WHERE NOT internal"
TABLES = "SELECT table_name, sql, estimated_size FROM system.main.duckdb_tables() WHERE schema_name = 'main'"
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM system.main.duckdb_columns() WHERE NOT internal AND schema_name = 'main'
"""
CONSTRAINTS = """
    SELECT table_name, constraint_text FROM system.main.duckdb_constraints() WHERE schema_name = 'main'
"""


class Made(NamedTuple):
    """The tables of a version: the statement that makes each one, as DuckDB writes it; each one's columns (type, NULL
    allowed, default); and the texts of its constraints."""

    statements: dict[str, str]
    columns: dict[str, dict[str, tuple[Any, ...]]]
    constraints: dict[str, set[str]]


def duckdb_module() -> ModuleType:
    """Return DuckDB.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(
            f"experiments are kept in DuckDB, which is not installed; run {install_command('payments')}"
        ) from error
    return duckdb


def connect(path: Path | None = None, *, read_only: bool = False) -> "DuckDBPyConnection":
    """Return a connection to the file, or to a new database in memory.

    Raises:
        duckdb.Error: it could not be opened.
    """
    place = ":memory:" if path is None else str(path)
    connection: DuckDBPyConnection = duckdb_module().connect(place, read_only=read_only, config=SETTINGS)
    return connection


@functools.cache
def warm_up() -> None:
    """Let DuckDB's client import what it needs for calls like ours, before anybody waits for us."""
    with connect() as memory:
        _learn(memory, schema.MIGRATIONS)
        memory.execute("INSERT INTO schema_versions VALUES (1, system.main.now())")
        fetch(memory, "SELECT since FROM schema_versions WHERE since <= ?", [datetime.now(UTC)])


class ForeignPartsError(ValueError):
    """A file has something in it that no version of ours has made, or too much of it; its text says what."""


def _foreign(part: str) -> ForeignPartsError:
    return ForeignPartsError(f"has {part}: labledger makes no such database, and reads none")


def version_of(connection: "DuckDBPyConnection") -> int | None:
    """Return the version of a file's tables; 0 of a file without any, None of one that has others than ours.

    Raises:
        ForeignPartsError: there is something in it that DuckDB would execute, our tables are not as our migrations
            make them, or one is too large.
        duckdb.Error: its catalogue could not be read.
    """
    if found := connection.execute(EXECUTED).fetchone():
        raise _foreign(f"{found[0]} ({clean(found[1], SHOWN_NAME)})")
    statements = {}
    for table, statement, count in connection.execute(TABLES).fetchall():
        statements[table] = statement
        if table in schema.TABLES and count > MAX_TABLE_ROWS:
            raise ForeignPartsError(f"has {count:,} rows in {table}, and at most {MAX_TABLE_ROWS:,} are read")
    if "schema_versions" in statements:
        _refuse_other(connection, statements, _made(0))
    version = schema.version_of(connection)
    if version is not None and 0 < version <= len(schema.MIGRATIONS):
        _refuse_other(connection, statements, _made(version))
    return version


def refuse_macros(connection: "DuckDBPyConnection") -> None:
    """Refuse a file with macros in it. It takes DuckDB some 20 ms to list them.

    No statement of ours calls one: those name the functions of the `system` catalogue.

    Raises:
        ForeignPartsError: it has one.
    """
    if found := connection.execute(MACROS).fetchone():
        raise _foreign(f"a macro ({clean(found[0], SHOWN_NAME)})")


_known: dict[tuple[str, ...], Made] = {}
"""The tables that some migrations make, by those."""


def _made(version: int) -> Made:
    """Return the tables that the first `version` of the migrations make."""
    migrations = schema.MIGRATIONS[:version]
    if migrations not in _known:
        with connect() as memory:
            _learn(memory, migrations)
    return _known[migrations]


def _learn(memory: "DuckDBPyConnection", migrations: tuple[str, ...]) -> None:
    """Run the migrations on an empty database, and note the tables of each version on the way."""
    for version, statement in enumerate((schema.VERSIONS, *migrations)):
        memory.execute(statement)
        statements = {table: text for table, text, _ in memory.execute(TABLES).fetchall()}
        _known[migrations[:version]] = Made(statements, _columns(memory), _constraints(memory))


def _columns(connection: "DuckDBPyConnection") -> dict[str, dict[str, tuple[Any, ...]]]:
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for table, name, *facts in connection.execute(COLUMNS).fetchall():
        found.setdefault(table, {})[name] = tuple(facts)
    return found


def _constraints(connection: "DuckDBPyConnection") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, text in connection.execute(CONSTRAINTS).fetchall():
        found.setdefault(table, set()).add(text)
    return found


def _refuse_other(connection: "DuckDBPyConnection", statements: dict[str, str], made: Made) -> None:
    """Refuse tables that are not as they were made, but for further columns that are empty unless filled."""
    if statements.items() >= made.statements.items():
        return
    columns, constraints = _columns(connection), _constraints(connection)
    for table, made_columns in made.columns.items():
        found = columns.get(table, {})
        for name, facts in made_columns.items():
            if name not in found:
                raise _foreign(f"no column {table}.{name}")
            if found[name] != facts:
                raise _foreign(f"a column {table}.{name} of another type or default")
        for name in sorted(found.keys() - made_columns.keys()):
            if found[name][1:] != (True, None):
                raise _foreign(f"a column that DuckDB fills ({clean(f'{table}.{name}', SHOWN_NAME)})")
        if constraints.get(table, set()) != made.constraints.get(table, set()):
            raise _foreign(f"other constraints on {table}")
