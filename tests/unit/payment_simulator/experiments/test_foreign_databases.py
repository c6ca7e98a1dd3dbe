"""A database that came from somebody else: opened, it reads no other file, executes nothing, and ends soon."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest
from scripted import config_of
from typer.testing import CliRunner

from labledger.errors import UnreadableFileError
from labledger.json_text import dump_json
from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence import (
    DatabaseError,
    ExperimentRepository,
    UnusableDatabaseError,
    connections,
    tables,
)
from payment_simulator.experiments.stored_run import StoredRun
from small_experiment import event, experiment, iteration

KEPT = "the text of a file of the user's"
COMMANDS = [
    ["results"],
    ["show", "latest"],
    ["compare", "latest", "latest"],
    ["replay", "latest"],
    ["export", "latest", "--output", "out"],
    ["chart", "latest", "--output", "out.svg"],
    ["policy-evolution", "latest"],
    ["run", "again.yaml", "--resume", "run-1"],
]
REFUSED = {
    "a view that reads a file": (
        "DROP TABLE experiments; CREATE VIEW experiments AS SELECT content AS experiment_id FROM read_text('{secret}')",
        r"has a view \(experiments\)",
    ),
    "a view without an end": (
        "DROP TABLE events; CREATE VIEW events AS SELECT 'run-1' experiment_id, range event_id, 1 iteration, 'x' "
        "event_type, '{{}}'::JSON event_data, now() \"timestamp\" FROM range(10000000000)",
        r"has a view \(events\)",
    ),
    "a view beside our tables": ("CREATE VIEW best AS SELECT 1", r"has a view \(best\)"),
    "a view of versions": (
        "DROP TABLE schema_versions; CREATE VIEW schema_versions AS SELECT 2 AS version",
        r"has a view \(schema_versions\)",
    ),
    "a macro": ("CREATE MACRO max(a) AS 1", r"has a macro \(max\)"),
    "a macro of a table": ("CREATE MACRO duckdb_tables() AS TABLE SELECT 1 AS table_name", "has a macro"),
    "a type": ("CREATE TYPE mood AS ENUM ('sad')", r"has a type of its own \(mood\)"),
    "an index of an expression": ("CREATE INDEX i ON events ((iteration + 1))", "has an index of an expression"),
    "a generated column": (
        "ALTER TABLE events RENAME TO old; CREATE TABLE events (experiment_id VARCHAR, event_id BIGINT, iteration "
        "BIGINT NOT NULL, event_type VARCHAR NOT NULL, event_data JSON NOT NULL, timestamp TIMESTAMPTZ NOT NULL, "
        "more VARCHAR AS (repeat('a', 9)), PRIMARY KEY (experiment_id, event_id)); "
        "INSERT INTO events SELECT * FROM old; DROP TABLE old",
        r"has a column that DuckDB fills \(events\.more\)",
    ),
    "a default that is worked out": (
        "ALTER TABLE events ADD COLUMN more VARCHAR DEFAULT repeat('a', 9)",
        "has a column that DuckDB fills",
    ),
    "a default in a column of ours": (
        "ALTER TABLE events ALTER COLUMN iteration SET DEFAULT 7",
        "has a column events.iteration of another",
    ),
    "another type": (
        "ALTER TABLE iterations ALTER total_cost TYPE VARCHAR",
        r"has a column iterations\.total_cost of another",
    ),
    "a table that is not there": ("DROP TABLE iterations", r"has no column iterations\.experiment_id"),
    "a check": (
        "ALTER TABLE schema_versions RENAME TO old; CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, "
        "since TIMESTAMPTZ, CHECK (version < 9)); INSERT INTO schema_versions SELECT * FROM old; DROP TABLE old",
        "has other constraints on schema_versions",
    ),
}
STORED = {
    "config": ("'[]'", "list where a dict belongs"),
    "scenario": ("repeat('[', 200000) || repeat(']', 200000)", "scenario of a stored ExperimentRecord is unusable"),
    "environment": ("'{\"a\": ' || repeat('9', 100000) || '}'", "environment of a stored ExperimentRecord"),
    "final_policies": ("'NaN'", "final_policies of a stored ExperimentRecord"),
    "final_costs_by_agent": ('\'{"A": "much"}\'', "A: 'much' .* is not an int"),
    "owner": ("'{\"pid\": 1}'", "has pid, not host"),
    "resting_points": ("'[1]'", "not every item is a dict"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A database with a run."""
    path = tmp_path_factory.mktemp("stored") / "exp1.db"
    with ExperimentRepository(path) as repository, repository.transaction() as step:
        step.save_experiment(experiment())
        step.save_iteration(iteration())
        step.save_event(event())
    return path


@pytest.fixture
def path(stored, tmp_path, monkeypatch):
    """A copy of it, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(stored, tmp_path / "exp1.db"))


def changed(path, statements):
    """Change the database as a shell does."""
    (path.parent / "secret.txt").write_text(KEPT)
    with duckdb.connect(str(path)) as shell:
        shell.execute(statements.format(secret=path.parent / "secret.txt"))


def call(*words):
    return CliRunner().invoke(app, ["experiment", *words])


@pytest.mark.parametrize(("statements", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_database_with_something_that_we_do_not_make_is_refused_by_its_name(path, statements, reason):
    changed(path, statements)
    before = path.read_bytes()
    with pytest.raises(UnusableDatabaseError, match=rf"exp1\.db: {reason}.*name another one"):
        ExperimentRepository(path, must_exist=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_no_command_reads_the_file_that_a_view_leads_to(path, words):
    changed(path, REFUSED["a view that reads a file"][0])
    if words[0] == "run":
        path.with_name("again.yaml").write_text(dump_json(config_of(path.parent).model_dump(mode="json")))
        path.rename("runs.db")
        answer = call(*words)
    else:
        answer = call(*words, "--db", str(path))
    assert (answer.exit_code, "has a view" in answer.output, KEPT in answer.output) == (2, True, False)
    assert not list(path.parent.glob("out*"))


def test_a_file_that_becomes_another_while_it_is_used_is_refused(path):
    with ExperimentRepository(path) as repository:
        changed(path, REFUSED["a view that reads a file"][0])
        for use in (repository.list_experiments, lambda: repository.save_iteration(iteration(2))):
            with pytest.raises(UnusableDatabaseError, match="has a view"):
                use()


def test_a_macro_that_comes_while_a_database_is_used_is_called_by_nothing(path):
    with ExperimentRepository(path) as repository:
        names = ("count", "max", "sum", "strlen", "now", "decode", "unhex", "contains")
        changed(path, "".join(f"CREATE MACRO {name}(a) AS error('called');" for name in names))
        repository.save_event(event(event_type="évaluation"))
        assert [each.event_id for each in repository.get_events("run-1")] == [1, 2]
        assert [each.num_iterations for each in repository.list_experiments()] == [1]


def test_a_connection_reads_no_other_file_and_its_settings_stay(path):
    with connections.connect(path) as connection:
        for statement in ("SELECT * FROM read_text('/etc/hostname')", "ATTACH 'b.db'", "COPY events TO 'o.csv'"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(statement)
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute("SET enable_external_access = true")
    assert os.listdir(path.parent) == ["exp1.db"]


def test_a_table_or_a_column_of_the_users_own_beside_ours_is_no_reason_to_refuse(path):
    changed(path, "CREATE TABLE notes (text VARCHAR DEFAULT 'a'); ALTER TABLE events ADD COLUMN note VARCHAR")
    with ExperimentRepository(path) as repository:
        repository.save_event(event())
        assert [each.event_id for each in repository.get_events("run-1")] == [1, 2]


def test_a_table_of_too_many_rows_is_refused(path, monkeypatch):
    changed(path, "INSERT INTO events SELECT 'run-2', range, 1, 'x', '{{}}', now() FROM range(5000)")
    monkeypatch.setattr(tables, "MAX_ROWS", 4000)
    with ExperimentRepository(path) as repository:
        assert len(repository.get_events("run-1")) == 1
        changed(path, "INSERT INTO experiments SELECT * REPLACE ('run-2' AS experiment_id) FROM experiments")
        with pytest.raises(
            DatabaseError, match=r"events has 5,000 rows and 0\.0 GB to read at once, and at most 4,000"
        ):
            repository.get_events("run-2")
        monkeypatch.setattr(tables, "MAX_BYTES", 10)
        with pytest.raises(DatabaseError, match=r"experiments has 1 row and .* to read at once"):
            repository.list_experiments()
        monkeypatch.setattr(connections, "MAX_TABLE_ROWS", 4000)
        with pytest.raises(UnusableDatabaseError, match=r"has 5,001 rows in events, and at most 4,000 are read"):
            repository.list_experiments()


def test_events_of_too_many_json_values_are_refused_however_short_they_are(path, monkeypatch):
    changed(path, """UPDATE events SET event_data = '{{"a": [' || repeat('[],', 5000) || '"[[[["]}}'""")
    monkeypatch.setattr(tables, "MAX_VALUES", 10_003)  # each list has a bracket and a comma
    with ExperimentRepository(path) as repository:
        assert len(repository.get_events("run-1")) == 1
        monkeypatch.setattr(tables, "MAX_VALUES", 10_002)
        with pytest.raises(DatabaseError, match=r"events has 10,003 JSON values to read at once, and at most 10,002"):
            repository.get_events("run-1")


def test_more_text_than_duckdb_has_memory_for_is_refused_in_our_words(path, monkeypatch):
    changed(path, "INSERT INTO events SELECT 'run-1', range + 9, 1, 'x', repeat('1', 90000), now() FROM range(350)")
    monkeypatch.setitem(connections.SETTINGS, "memory_limit", "16MB")
    with ExperimentRepository(path) as repository, pytest.raises(DatabaseError) as refused:
        repository.get_events("run-1")
    assert str(refused.value) == f"{path}: has more in it than DuckDB can work on in 1GB of memory"


@pytest.mark.parametrize(("column", "value", "reason"), [(name, *each) for name, each in STORED.items()])
def test_a_stored_value_that_we_never_store_is_named_and_is_no_defect(path, column, value, reason):
    statement = f"UPDATE experiments SET {column} = {value}"  # noqa: S608 - the test's own words
    changed(path, statement.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(DatabaseError, match=rf"exp1\.db: .*{reason}.*; it was not stored by labledger"):
        ExperimentRepository(path, must_exist=True).list_experiments()


ODD_RUNS = {
    'UPDATE iterations SET policies = \'{"A": 1, "B": {}}\'': r"iteration 1: policies: A: Input should be a valid",
    "UPDATE iterations SET policies = '{\"C\": {}}'": "iteration 1: costs or policies are of other banks",
    "UPDATE experiments SET final_policies = '{\"A\": {}}'": "final_policies are of other banks than those of the iter",
    'UPDATE experiments SET final_policies = \'{"A": [], "B": {}}\'': "final_policies: A: Input should be a valid",
    "UPDATE events SET event_type = 'policy_accepted', event_data = '{\"old_cost\": \"a\"}'": "old_cost: Input should",
    "UPDATE events SET event_type = 'llm_interaction', event_data = '{\"prompt_tokens\": []}'": "prompt_tokens: Input",
}


@pytest.mark.parametrize(("statement", "reason"), ODD_RUNS.items())
def test_a_run_with_a_value_that_no_run_stores_is_named_and_is_no_defect(path, statement, reason):
    changed(path, statement.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(UnreadableFileError, match=rf"run-1: .*{reason}.*; it was not stored by a run"):
        StoredRun.load(ExperimentRepository(path, must_exist=True), "latest")
