"""A directory that several processes hold together, and whether anyone still does."""

import os
import select
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from labledger.files import joined_directory, unheld

JOIN = """
import sys
from pathlib import Path
from labledger.files import joined_directory

print("begins", flush=True)
with joined_directory(Path(sys.argv[1])):
    print("joined", flush=True)
    sys.stdin.readline()
"""
WAITS_S = 0.3
PATIENCE_S = 30.0


class Joiner:
    """A process that joins a directory and holds it until it is told to leave, or is killed."""

    def __init__(self, directory):
        self._process = subprocess.Popen(
            [sys.executable, "-c", JOIN, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout.readline() == b"begins\n"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.communicate()

    def has_joined(self, within_s=PATIENCE_S):
        """Return True if it holds the directory before so much time has passed."""
        found, _, _ = select.select([self._process.stdout], [], [], within_s)
        return bool(found) and self._process.stdout.readline() == b"joined\n"

    def leave(self):
        self._process.communicate(b"\n", timeout=PATIENCE_S)

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def joining():
    """Start a process that joins a directory; none is left behind."""
    with ExitStack() as started:
        yield lambda directory: started.enter_context(Joiner(directory))


def is_unheld(directory):
    with unheld(directory) as is_free:
        return is_free


def test_a_directory_that_is_missing_is_made_with_its_parents_and_stays(tmp_path):
    directory = tmp_path / "a" / "b" / "run"
    with joined_directory(directory):
        (directory / "file").write_bytes(b"content")
    assert (directory / "file").read_bytes() == b"content"


def test_a_directory_that_is_there_is_joined_with_what_is_in_it(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_bytes(b"content")
    with joined_directory(tmp_path / "run"):
        assert (tmp_path / "run" / "file").read_bytes() == b"content"


def test_a_directory_that_is_made_is_synced_into_its_parent(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def recording(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    with joined_directory(tmp_path / "run"):
        assert synced == [tmp_path.stat().st_ino]


def test_whoever_joins_does_not_wait_for_another_who_holds(tmp_path, joining):
    first, second = joining(tmp_path / "run"), joining(tmp_path / "run")
    assert first.has_joined()
    assert second.has_joined()


def test_a_directory_is_held_until_the_last_of_two_has_left(tmp_path, joining):
    first, second = joining(tmp_path / "run"), joining(tmp_path / "run")
    assert first.has_joined()
    assert second.has_joined()
    assert not is_unheld(tmp_path / "run")
    first.leave()
    assert not is_unheld(tmp_path / "run")
    second.leave()
    assert is_unheld(tmp_path / "run")


def test_a_killed_process_holds_nothing_and_takes_nothing_from_another(tmp_path, joining):
    killed, other = joining(tmp_path / "run"), joining(tmp_path / "run")
    assert killed.has_joined()
    assert other.has_joined()
    killed.kill()
    assert not is_unheld(tmp_path / "run")
    other.kill()
    assert is_unheld(tmp_path / "run")


def test_a_process_that_joins_after_one_was_killed_holds_the_same_directory(tmp_path, joining):
    killed = joining(tmp_path / "run")
    assert killed.has_joined()
    (tmp_path / "run" / "file").write_bytes(b"content")
    killed.kill()
    assert joining(tmp_path / "run").has_joined()
    assert not is_unheld(tmp_path / "run")
    assert (tmp_path / "run" / "file").read_bytes() == b"content"


def test_an_error_inside_leaves_the_directory_unheld(tmp_path):
    with pytest.raises(ValueError, match="inside"), joined_directory(tmp_path / "run"):
        raise ValueError("inside")
    assert is_unheld(tmp_path / "run")


def test_one_run_that_is_held_does_not_hold_another_beside_it(tmp_path, joining):
    (tmp_path / "other").mkdir()
    assert joining(tmp_path / "run").has_joined()
    assert is_unheld(tmp_path / "other")


def test_whoever_joins_waits_while_another_looks_and_makes_anew_what_that_one_removed(tmp_path, joining):
    directory = tmp_path / "run"
    directory.mkdir()
    with unheld(directory) as is_free:
        assert is_free
        joiner = joining(directory)
        assert not joiner.has_joined(within_s=WAITS_S)
        directory.rmdir()
    assert joiner.has_joined()
    assert directory.is_dir()
    assert not is_unheld(directory)


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_in_the_way_is_an_error_that_names_the_directory(tmp_path, name):
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(NotADirectoryError) as refused, joined_directory(tmp_path / name):
        pass
    assert refused.value.filename == str(tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b"content"
