"""Settings of a DuckDB in which a query that somebody else wrote reaches nothing but the tables that it is given."""

from typing import Any

# What a query may not change either. No extension is fetched or loaded, and a large sort is in memory, not in files.
SEALED: dict[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "temp_directory": "",
    "python_enable_replacements": False,  # no variable of ours is a table
    "lock_configuration": True,
}
"""No file, network, environment variable or setting: the `config` of `duckdb.connect`."""
