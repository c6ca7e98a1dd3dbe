"""A file that somebody else has placed beside a database, or under its name, is neither written nor followed."""

import os
import re
import shutil
from pathlib import Path

import pytest

from payment_simulator.cli.stored_runs import open_database
from payment_simulator.experiments.persistence import (
    Database,
    DatabaseBusyError,
    DatabaseError,
    ExperimentRepository,
    UnusableDatabaseError,
)
from payment_simulator.experiments.persistence.file_lock import FileLock
from small_experiment import experiment, iteration

LOCKS = [".exp1.db.lock", ".exp1.db.next"]
KINDS = ["a symbolic link", "a link to nothing", "a named pipe", "a hard link", "a directory"]
WROTE = "since 2026-11-30T02:34:09+00:00\n"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A database with a run."""
    path = tmp_path_factory.mktemp("stored") / "exp1.db"
    with ExperimentRepository(path) as repository:
        repository.save_experiment(experiment())
    return path


@pytest.fixture
def path(stored, tmp_path):
    """A copy of it in a folder that came from somebody else; beside that, one of the user's own."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kept.txt").write_text("kept")
    (tmp_path / "shared").mkdir()
    return Path(shutil.copy(stored, tmp_path / "shared" / "exp1.db"))


def place(kind, path, home):
    """Something of a kind, at `path`."""
    if kind == "a symbolic link":
        path.symlink_to(home / "kept.txt")
    elif kind == "a link to nothing":
        path.symlink_to(home / "made.txt")
    elif kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a hard link":
        path.hardlink_to(home / "kept.txt")
    elif kind == "a directory":
        path.mkdir()
    else:
        path.write_text("kept")


def kept(home):
    return {each.name: each.read_text() for each in home.iterdir()} == {"kept.txt": "kept"}


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("kind", [*KINDS, "a file with something in it"])
def test_a_foreign_lock_file_is_never_written_and_a_writer_refuses_it(path, kind, name):
    home = path.parents[1] / "home"
    place(kind, path.with_name(name), home)
    repository = ExperimentRepository(path, must_exist=True)
    assert [each.experiment_id for each in repository.list_experiments()] == ["run-1"]
    advice = "move it away; a process that writes needs this file"
    with pytest.raises(DatabaseError, match=rf"{re.escape(name)}: is .*; {advice}"):
        repository.save_iteration(iteration())
    assert kept(home)
    assert (path.parent / name).is_symlink() == ("link" in kind and "hard" not in kind)


def test_one_file_under_both_names_of_locks_is_not_waited_for(path):
    path.with_name(LOCKS[0]).touch()
    path.with_name(LOCKS[1]).hardlink_to(path.with_name(LOCKS[0]))
    repository = ExperimentRepository(path, must_exist=True, patience_s=60.0)
    assert [each.experiment_id for each in repository.list_experiments()] == ["run-1"]
    with pytest.raises(DatabaseError, match="is not a lock file of ours"):
        repository.save_iteration(iteration())


@pytest.mark.parametrize("must_exist", [True, False])
@pytest.mark.parametrize("kind", ["a symbolic link", "a named pipe", "a directory", "a text"])
def test_what_is_no_database_is_named_and_no_lock_file_is_left_beside_it(tmp_path, kind, must_exist):
    path = tmp_path / "mine.db"
    if kind == "a symbolic link":
        path.symlink_to(path.name)  # round in a circle
    else:
        place(kind, path, tmp_path)
    found = "not a DuckDB file" if kind == "a text" else f"is {kind}, not a regular file"
    with pytest.raises(UnusableDatabaseError, match=rf"mine\.db: {found}; name another one"):
        Database(path, must_exist=must_exist)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("left", [b"", bytes(512), f"process 1 on host {WROTE}".ljust(512).encode()])
def test_a_lock_file_of_a_process_that_is_gone_keeps_nobody_out(path, left):
    for name in LOCKS:
        path.with_name(name).write_bytes(left)
    with ExperimentRepository(path) as repository:
        repository.save_iteration(iteration())
        assert [each.iteration_number for each in repository.get_iterations("run-1")] == [1]


@pytest.mark.parametrize("kind", ["a symbolic link", "a named pipe"])
def test_no_database_is_made_where_its_lock_file_is_a_foreign_one(path, kind):
    place(kind, path.with_name(".new.db.lock"), path.parents[1] / "home")
    with pytest.raises(DatabaseError, match=rf"\.new\.db\.lock: is {kind}, not a regular file; move it away"):
        Database(path.with_name("new.db"))
    assert kept(path.parents[1] / "home")
    assert not path.with_name("new.db").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("exp1.db.wal", kind) for kind in KINDS]
    + [("exp1.db.wal.checkpoint", "a symbolic link"), ("exp1.db.wal.recovery", "a symbolic link")],
)
def test_a_database_whose_log_is_a_foreign_file_is_not_opened(path, name, kind):
    home, before = path.parents[1] / "home", path.read_bytes()
    place(kind, path.with_name(name), home)
    with pytest.raises(
        UnusableDatabaseError, match=rf"{re.escape(name)}: is a .*, where the log of .* goes; move it away"
    ):
        Database(path)
    assert kept(home)
    assert path.read_bytes() == before


def test_a_database_whose_log_becomes_a_link_while_it_is_used_is_not_written(path):
    repository = ExperimentRepository(path)
    place("a link to nothing", path.with_name("exp1.db.wal"), path.parents[1] / "home")
    with pytest.raises(UnusableDatabaseError, match=r"exp1\.db\.wal: is a symbolic link"):
        repository.save_iteration(iteration())
    assert kept(path.parents[1] / "home")


def test_a_link_where_duckdb_makes_a_folder_is_refused(path):
    path.with_name("exp1.db.tmp").symlink_to(path.parents[1] / "home")
    with pytest.raises(UnusableDatabaseError, match=r"exp1\.db\.tmp: is a symbolic link"):
        Database(path)


def test_a_database_with_two_names_is_read_and_not_written(path):
    path.with_name("other.db").hardlink_to(path)
    repository = ExperimentRepository(path, must_exist=True)
    assert len(repository.list_experiments()) == 1
    with pytest.raises(UnusableDatabaseError, match=r"exp1\.db: has another name too \(a hard link\)"):
        repository.save_iteration(iteration())


def test_a_link_to_a_database_is_locked_beside_the_database_itself(path):
    link = path.parents[1] / "home" / "mine.db"
    link.symlink_to(path)
    with ExperimentRepository(link) as repository:
        repository.save_iteration(iteration())
    assert sorted(each.name for each in link.parent.iterdir()) == ["kept.txt", "mine.db"]
    assert sorted(each.name for each in path.parent.iterdir()) == sorted([*LOCKS, "exp1.db"])
    assert len(ExperimentRepository(path).get_iterations("run-1")) == 1


def test_the_only_database_in_a_folder_is_none_that_a_link_leads_to(path, monkeypatch):
    monkeypatch.delenv("PAYMENT_SIM_DB", raising=False)
    monkeypatch.chdir(path.parents[1])
    (path.parents[1] / "results").mkdir()
    (path.parents[1] / "results" / "exp1.db").symlink_to(path)
    with pytest.raises(Exception, match="there is no database in results; name one with --db"):
        open_database(None)
    assert open_database(path.parents[1] / "results" / "exp1.db").path == path


def test_what_an_error_repeats_of_a_lock_file_is_printable(path):
    path.with_name(".exp1.db.lock").write_text(f"\x1b[2J\x07 {WROTE}".ljust(512))
    told = str(FileLock(path, patience_s=1).busy())
    assert f"now by �[2J� {WROTE.strip()}; try again" in told
    assert isinstance(FileLock(path, patience_s=1).busy(), DatabaseBusyError)
    assert told.isprintable()
