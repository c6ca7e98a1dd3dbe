"""The tables of a database of experiments, and the migration of a file from one version of them to the next.

Version n is the result of the first n of `MIGRATIONS` on an empty file. They are only ever added to: a file that has
version 1 keeps the columns that it has, so a field that `Ending` gains comes with a migration of its own. The first
process that writes to a file of an older version migrates it, in one transaction; those that only read it do not, and
an older program that meets the file later refuses it as newer.
"""

from typing import TYPE_CHECKING

from payment_simulator.experiments.persistence.statements import fetch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MIGRATIONS = (
    """
    CREATE TABLE experiments (
        experiment_id VARCHAR PRIMARY KEY,
        experiment_name VARCHAR NOT NULL,
        experiment_type VARCHAR NOT NULL,
        config JSON NOT NULL,
        scenario JSON,
        environment JSON,
        owner JSON,
        schema_version BIGINT NOT NULL,
        status VARCHAR NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        completed_at TIMESTAMPTZ,
        converged BOOLEAN,
        convergence_reason VARCHAR,
        num_iterations BIGINT,
        final_cost BIGINT,
        final_costs_by_agent JSON,
        final_policies JSON,
        final_nash_gap BIGINT,
        final_nash_gap_half_width BIGINT,
        total_duration_seconds DOUBLE
    );
    CREATE TABLE iterations (
        experiment_id VARCHAR,
        iteration_number BIGINT,
        total_cost BIGINT NOT NULL,
        per_agent_costs JSON NOT NULL,
        policies JSON NOT NULL,
        nash_gap BIGINT,
        nash_gap_half_width BIGINT,
        timestamp TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (experiment_id, iteration_number)
    );
    CREATE TABLE events (
        experiment_id VARCHAR,
        event_id BIGINT,
        iteration BIGINT NOT NULL,
        event_type VARCHAR NOT NULL,
        event_data JSON NOT NULL,
        timestamp TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (experiment_id, event_id)
    );
    """,
    """
    ALTER TABLE experiments ADD COLUMN refused_proposals BIGINT;
    ALTER TABLE experiments ADD COLUMN first_refusal VARCHAR;
    ALTER TABLE experiments ADD COLUMN final_nash_gap_kind VARCHAR;
    ALTER TABLE experiments ADD COLUMN final_nash_gap_values BIGINT;
    ALTER TABLE experiments ADD COLUMN resting_points JSON;
    ALTER TABLE iterations ADD COLUMN nash_gap_kind VARCHAR;
    ALTER TABLE iterations ADD COLUMN nash_gap_values BIGINT;
    ALTER TABLE iterations ADD COLUMN start BIGINT DEFAULT 1;
    """,
)


TABLES = ("schema_versions", "experiments", "iterations", "events")
VERSIONS = "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, since TIMESTAMPTZ)"
# Functions are named with their catalogue: a macro in a file, of the same name, would else be called in their place.
NAMES = "SELECT table_name FROM system.main.duckdb_tables() WHERE schema_name = 'main'"


def version_of(connection: "DuckDBPyConnection") -> int | None:
    """Return the version of a file's tables; 0 of a file without tables, None of one that has others than ours."""
    tables = {name for (name,) in connection.execute(NAMES).fetchall()}
    if "schema_versions" not in tables:
        return None if tables else 0
    row = connection.execute("SELECT system.main.max(version) FROM schema_versions").fetchone()
    return row[0] if row and row[0] is not None and row[0] > 0 else None


def migrate(connection: "DuckDBPyConnection", version: int) -> None:
    """Bring a file of an older `version` to the present one, in one transaction."""
    connection.begin()
    connection.execute(VERSIONS)
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute(migration)
        fetch(connection, "INSERT INTO schema_versions VALUES (?, system.main.now())", [number])
    connection.commit()
