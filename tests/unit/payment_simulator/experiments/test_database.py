"""A database is shared with other processes and threads, kept whole, and never taken for what it is not."""

import contextlib
import os
import platform
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from labledger.errors import ConfigError
from payment_simulator.experiments.persistence import (
    Database,
    DatabaseBusyError,
    DatabaseError,
    ExperimentRepository,
    UnusableDatabaseError,
    schema,
)
from payment_simulator.experiments.persistence.file_lock import FileLock
from small_experiment import event, experiment, iteration

HOLD = """
import sys
from payment_simulator.experiments.persistence import Database
with Database(sys.argv[1]).write():
    print("held", flush=True)
    sys.stdin.read()
"""
HOLD_AS_A_SHELL = """
import duckdb, sys
shell = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
LOOK_AS_A_SHELL = """
import duckdb, sys, time
began_s = time.monotonic()
while True:
    try:
        print(duckdb.connect(sys.argv[1]).execute("SELECT count(*) FROM experiments").fetchall()[0][0])
        break
    except duckdb.IOException:
        time.sleep(0.01)
print(time.monotonic() - began_s)
"""
LEAVE_A_LOG = """
import duckdb, os, sys
shell = duckdb.connect(sys.argv[1])
shell.execute("CREATE TABLE t (n INT)")
os._exit(0)
"""
GET_IN = """
import sys, time
from payment_simulator.experiments.persistence import Database
database = Database(sys.argv[1])
for _ in range(10):
    began_s = time.monotonic()
    with database.write():
        pass
    database.close()
    print(time.monotonic() - began_s)
"""
LOG_IMPORTS_AND_LOCKS = """
import sys
sys.path.append(sys.argv[2])
from payment_simulator.experiments.persistence import ExperimentRepository, RecordError
from small_experiment import complete, event, experiment, iteration

def log(event, arguments):
    if event == "fcntl.flock" or (event == "import" and arguments[0] not in sys.builtin_module_names):
        print(event, *arguments)

sys.addaudithook(log)
with ExperimentRepository(sys.argv[1]) as repository:
    repository.save_experiment(experiment())
    with repository.transaction() as step:
        step.save_iteration(iteration())
        step.save_events([event(), event()])
    complete(repository)
    repository.list_experiments()
    repository.get_events("run-1")
    try:
        repository.load_experiment("run-2")
    except RecordError:
        print("pandas is loaded" if "pandas" in sys.modules else "pandas is not loaded")
"""
SAVE = """
import sys
sys.path.append(sys.argv[2])
from small_experiment import experiment
from payment_simulator.experiments.persistence import ExperimentRepository
ExperimentRepository(sys.argv[1]).save_experiment(experiment())
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "exp1.db"


def visible(folder):
    """Each file with what is in it, but for the lock files."""
    return {each.name: each.read_bytes() for each in folder.iterdir() if not each.name.startswith(".")}


@contextlib.contextmanager
def held_by(program, path):
    """Another process has the file."""
    process = subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.communicate()


def ended(program, *arguments):
    """Another process that has ended."""
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)


def sqlite_file(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (n)")


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(b""), lambda path: path.write_text("name: exp1\n" * 999), sqlite_file]
)
def test_a_file_that_is_not_duckdbs_is_refused_and_stays_as_it_is(path, make):
    make(path)
    before = visible(path.parent), path.stat().st_mtime_ns
    for must_exist in (True, False):
        with pytest.raises(UnusableDatabaseError, match=r"exp1\.db: not a DuckDB file"):
            Database(path, must_exist=must_exist)
    assert (visible(path.parent), path.stat().st_mtime_ns) == before


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UnusableDatabaseError, match="is a directory, not a regular file"):
        Database(tmp_path)


def test_somebody_elses_duckdb_file_is_refused_and_stays_as_it_is_even_with_a_log_beside_it(path):
    ended(LEAVE_A_LOG, path)
    before = visible(path.parent)
    assert set(before) == {"exp1.db", "exp1.db.wal"}
    with pytest.raises(UnusableDatabaseError, match="a DuckDB file, but not one of experiments"):
        Database(path)
    assert visible(path.parent) == before


def test_a_database_that_must_exist_is_not_made(path):
    with pytest.raises(UnusableDatabaseError, match=r"exp1\.db: there is no such file") as refused:
        ExperimentRepository(path, must_exist=True)
    assert refused.value.exit_code == 2
    assert list(path.parent.iterdir()) == []


def test_a_database_that_is_removed_while_it_is_used_is_not_made_anew(path):
    with ExperimentRepository(path) as repository:
        path.unlink()
        with pytest.raises(UnusableDatabaseError, match="there is no such file"):
            repository.save_experiment(experiment())
    assert visible(path.parent) == {}


def test_a_database_where_none_can_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"file/exp1\.db: a database cannot be made there: Not a directory"):
        Database(tmp_path / "file" / "exp1.db")


def test_a_newer_schema_is_refused_and_stays_as_it_is(path):
    Database(path).close()
    with duckdb.connect(path) as shell:
        shell.execute("INSERT INTO schema_versions VALUES (9, now())")
    before = visible(path.parent)
    with pytest.raises(UnusableDatabaseError, match=r"written by a newer labledger \(schema 9; this one knows 2\)"):
        Database(path)
    assert visible(path.parent) == before


def test_a_schema_that_becomes_newer_while_the_database_is_used_is_refused(path):
    with ExperimentRepository(path) as repository:
        with duckdb.connect(path) as shell:
            shell.execute("INSERT INTO schema_versions VALUES (9, now())")
        with pytest.raises(UnusableDatabaseError, match="newer"):
            repository.save_experiment(experiment())


def test_an_empty_duckdb_file_becomes_a_database(path):
    duckdb.connect(path).close()
    with ExperimentRepository(path, must_exist=True) as repository:
        repository.save_experiment(experiment())
        assert len(repository.list_experiments()) == 1


def test_an_older_schema_is_brought_forward_with_all_that_is_in_it(path, monkeypatch):
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment())
    add = "ALTER TABLE experiments ADD COLUMN note VARCHAR; UPDATE experiments SET note = 'old'"
    known = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, add, "CREATE TABLE notes (text VARCHAR)"))
    with ExperimentRepository(path) as repository:
        assert [each.experiment_id for each in repository.list_experiments()] == ["run-1"]
        repository.save_experiment(experiment("run-2"))
    with duckdb.connect(path) as shell:
        assert shell.execute("SELECT note FROM experiments ORDER BY 1").fetchall() == [("old",), (None,)]
        versions = shell.execute("SELECT version FROM schema_versions ORDER BY 1").fetchall()
        assert versions == [(number,) for number in range(1, known + 3)]


def test_a_migration_that_fails_leaves_nothing_of_it(path, monkeypatch):
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment())
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "DROP TABLE iterations", "DROP TABLE nothing"))
        with pytest.raises(DatabaseError, match="nothing"):
            ExperimentRepository(path).save_iteration(iteration())
    with ExperimentRepository(path) as repository:
        assert repository.get_iterations("run-1") == []


def test_without_duckdb_the_error_says_how_to_install_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=re.escape("pip install -e '.[payments]'")):
        Database(path)


def test_duckdb_is_imported_when_a_database_is_opened_and_not_before():
    loaded = "import sys, payment_simulator.experiments.persistence; print('duckdb' in sys.modules)"
    assert ended(loaded).stdout == "False\n"


def test_all_that_is_imported_is_imported_before_anybody_waits_for_us_and_pandas_is_not(path):
    logged = ended(LOG_IMPORTS_AND_LOCKS, path, Path(__file__).parents[3]).stdout.splitlines()
    words = [line.split()[0] for line in logged]
    assert "import" in words
    assert "import" not in words[words.index("fcntl.flock") :]
    assert logged[-1] != "pandas is loaded"
    assert "pandas is not loaded" in logged


def test_a_duckdb_shell_gets_in_soon_after_a_write_though_the_database_is_not_closed(path):
    repository = ExperimentRepository(path)
    repository.save_experiment(experiment())
    count, waited_s = ended(LOOK_AS_A_SHELL, path).stdout.split()
    assert (count, float(waited_s) < 0.5) == ("1", True)
    repository.save_iteration(iteration())
    assert len(repository.get_iterations("run-1")) == 1


def test_another_process_gets_in_within_half_a_second_while_one_writes_without_a_pause(path):
    database = Database(path)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            with database.write() as connection:
                connection.execute("SELECT 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        waits_s = [float(line) for line in ended(GET_IN, path).stdout.split()]
    finally:
        stop.set()
        writer.join()
    assert len(waits_s) == 10
    assert sorted(waits_s)[-2] < 0.5  # but for one that the machine's other work may have held up


def test_waiting_ends_in_an_error_that_names_who_has_the_file(path):
    Database(path).close()
    with held_by(HOLD, path) as holder:
        began_s = time.monotonic()
        with pytest.raises(DatabaseBusyError) as refused:
            Database(path, patience_s=0.3)
        assert 0.3 <= time.monotonic() - began_s < 5
    told = rf"exp1\.db: in use for the last 0\.3 s, now by process {holder.pid} on {platform.node()} since 20\d\d-.*T"
    assert re.search(told, str(refused.value))
    Database(path, patience_s=5).close()


def test_a_duckdb_shell_that_keeps_the_file_is_named_and_waited_for(path):
    repository = ExperimentRepository(path, patience_s=0.3)
    with held_by(HOLD_AS_A_SHELL, path) as shell:
        with pytest.raises(DatabaseBusyError, match=rf"\(PID {shell.pid}\), which does not take turns, at least since"):
            repository.save_experiment(experiment())
        with pytest.raises(DatabaseBusyError, match=rf"\(PID {shell.pid}\)"):
            ExperimentRepository(path, patience_s=0.3)
    repository.save_experiment(experiment())


def test_every_wait_for_a_shell_reports_since_when_the_shell_has_the_file(path):
    repositories, told = [ExperimentRepository(path, patience_s=0.3) for _ in range(3)], []

    def save(repository):
        with pytest.raises(DatabaseBusyError) as refused:
            repository.save_experiment(experiment())
        told.append(str(refused.value))

    with held_by(HOLD_AS_A_SHELL, path) as shell:
        threads = [threading.Thread(target=save, args=[each]) for each in repositories]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len(told) == 3
    assert len({text.partition(f"(PID {shell.pid}), which does not take turns, at least")[2] for text in told}) == 1


def test_patience_lasts_for_as_long_as_the_file_changes_hands(path):
    file_lock, served = FileLock(path, patience_s=0.1), iter([False] * 40 + [True])
    with file_lock.acquired(file_lock.wait()) as held_lock:

        def attempt():
            held_lock.publish()  # as the next one that has it does
            return next(served)

        file_lock.wait().until(attempt, every_s=0.005)
    assert list(served) == []


def test_a_waiter_that_was_stopped_has_not_spent_its_patience(path):
    file_lock, served = FileLock(path, patience_s=0.1), iter([False] * 4 + [True])

    def attempt():
        time.sleep(0.11)  # the machine does something else
        return next(served)

    file_lock.wait().until(attempt, every_s=0)
    assert list(served) == []


def test_who_waits_for_a_shell_gets_in_when_it_ends(path):
    Database(path).close()
    with held_by(HOLD_AS_A_SHELL, path) as shell:
        ending = threading.Timer(0.3, shell.communicate)
        ending.start()
        ExperimentRepository(path).save_experiment(experiment())
        ending.join()
    assert [record.experiment_id for record in ExperimentRepository(path).list_experiments()] == ["run-1"]


def test_threads_share_a_repository_and_each_event_gets_a_number_of_its_own(path):
    with ExperimentRepository(path) as shared:
        shared.save_experiment(experiment())

        def save(repository):
            for _ in range(20):
                repository.save_event(event())
                repository.get_events("run-1")

        own = [ExperimentRepository(path) for _ in range(2)]
        threads = [threading.Thread(target=save, args=[each]) for each in [shared] * 4 + own]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert [each.event_id for each in shared.get_events("run-1")] == list(range(1, 121))


def test_a_write_inside_of_a_write_is_refused_at_once(path):
    with ExperimentRepository(path) as repository:
        with repository.transaction() as step:
            step.save_experiment(experiment())
            with pytest.raises(RuntimeError, match="inside"):
                repository.list_experiments()
            with pytest.raises(RuntimeError, match="inside"):
                repository.close()
        assert len(repository.list_experiments()) == 1


def test_nothing_is_written_inside_of_a_read(path):
    database = Database(path)
    for _ in range(2):  # with a connection of its own, and with that of a lease
        with pytest.raises(DatabaseError, match="read-only"), database.read() as connection:
            connection.execute("DELETE FROM schema_versions")
        with database.write():
            pass


def test_an_error_of_duckdb_is_an_error_of_the_database_and_the_next_write_succeeds(path):
    database = Database(path)
    with pytest.raises(DatabaseError, match=r"exp1\.db: Catalog Error"), database.write() as connection:
        connection.execute("INSERT INTO nothing VALUES (1)")
    with database.write() as connection:
        assert connection.execute("SELECT count(*) FROM experiments").fetchall() == [(0,)]


def test_a_process_that_forks_shares_nothing_with_its_child(path):
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment())
        if (child := os.fork()) == 0:
            code = 1
            with contextlib.suppress(BaseException):
                for _ in range(20):
                    repository.save_event(event("of the child"))
                repository.close()
                code = 0
            os._exit(code)
        for _ in range(20):
            repository.save_event(event("of the parent"))
        assert os.waitpid(child, 0)[1] == 0
        events = repository.get_events("run-1")
        assert [each.event_id for each in events] == list(range(1, 41))
        assert {each.event_type for each in events} == {"of the child", "of the parent"}


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("raise KeyError", 1), ("sys.exit(3)", 3), ("import os; os._exit(4)", 4)]
)
def test_a_process_that_ends_without_closing_has_stored_all(path, end, code):
    assert ended(SAVE + end, path, Path(__file__).parents[3]).returncode == code
    assert len(ExperimentRepository(path, must_exist=True).list_experiments()) == 1
