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
_GAP = {
    "nash_gap": "Cents: the most that one bank could still save alone, the largest over the banks.",
    "nash_gap_kind": "How it is known: exact, bounded, estimated or searched.",
    "nash_gap_half_width": "Cents: half of its 95 % interval, where payments are drawn.",
    "nash_gap_values": "Values that were tried, where it is searched.",
}
MEANINGS: dict[str, dict[str, str]] = {
    "experiments": {
        "experiment_id": "The run's own name: the experiment's, the moment it began (UTC), and random digits.",
        "experiment_name": "The name of its configuration.",
        "experiment_type": "generic: banks that improve their policies in turn.",
        "config": "The configuration, defaults included.",
        "started_at": "The moment it began.",
        "scenario": "The scenario as it ran: files inlined, the observed day and given payments beside it.",
        "environment": "The versions and the machine that it ran on.",
        "owner": "The process that runs it: host, pid, and when that began.",
        "schema_version": "The version of these tables when it was saved.",
        "status": "running, completed, failed or interrupted.",
        "completed_at": "The moment it ended.",
        "converged": "True if nothing moved any more, and the Nash gap does not contradict it.",
        "convergence_reason": "The reason for its end.",
        "num_iterations": "The number of its iterations.",
        "refused_proposals": "Answers that were no policy, or none that is allowed and can be evaluated.",
        "first_refusal": "The bank, iteration and problem of the first of them.",
        "final_cost": "Cents of all banks, on draws that no decision has used.",
        "final_costs_by_agent": "The same by bank.",
        "final_policies": "The policy of each bank in the end.",
        **{f"final_{name}": f"{text} In the end." for name, text in _GAP.items()},
        "resting_points": "The outcomes of several starts; null of a run with one.",
        "total_duration_seconds": "Seconds, those of every part that it was run in together.",
    },
    "iterations": {
        "experiment_id": "Of the run.",
        "iteration_number": "From 1, over all starts.",
        "total_cost": "Cents of all banks.",
        "per_agent_costs": "Cents by bank.",
        "policies": "The policy of each bank.",
        "timestamp": "The moment it was stored.",
        **_GAP,
        "start": "The profile that it began from, from 1.",
    },
    "events": {
        "experiment_id": "Of the run.",
        "iteration": "The iteration that it happened in.",
        "event_type": "What happened: a proposal, its verdict, an answer of a model.",
        "event_data": "Its facts, by type.",
        "timestamp": "The moment it was stored.",
        "event_id": "From 1, as they were saved.",
    },
}
"""The meaning of each column, by table."""
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
