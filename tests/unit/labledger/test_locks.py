"""Locks of other programs: a wait for one is bounded and told, and nothing is lost by it."""

import itertools
import os
import re

import pytest

from foreign_locks import locked, noted
from labledger import files, locks
from labledger.console import StderrProgress
from labledger.files import claimed_directory, joined_directory
from labledger.locks import lock_soon
from labledger.notices import NOTICES, notify, show_notices


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(locks, "TOLD_AFTER_S", 0.02)


def told(folder, then):
    name = rf"{re.escape(str(folder))}: locked (for 0\.1 s )?by process {os.getpid()} \(.+\); "
    return [name + r"waiting for it up to 0\.1 s", name + then]


def matches(texts, patterns):
    return len(texts) == len(patterns) and all(map(re.fullmatch, patterns, texts))


def test_a_lock_that_passes_from_one_process_to_the_next_is_waited_for_and_not_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "holder", lambda descriptor: next(holders))
    holders = (f"process {number}" for number in itertools.count())
    looks = iter([False] * 30 + [True])
    monkeypatch.setattr(locks, "lock", lambda *_, **__: next(looks))
    monkeypatch.setattr(locks, "LOOK_EVERY_S", 0.01)
    with noted() as texts:
        assert lock_soon(0, tmp_path, exclusive=True, otherwise="")
    assert texts == []


def test_a_lock_that_is_free_soon_costs_no_word(tmp_path):
    with noted() as texts, claimed_directory(tmp_path / "run") as directory:
        (directory / "a").touch()
    assert texts == []


def test_a_folder_is_claimed_though_another_program_keeps_its_parent_locked(tmp_path):
    with locked(tmp_path), noted() as texts, claimed_directory(tmp_path / "run") as directory:
        (directory / "a").touch()
    assert matches(texts, told(tmp_path, "going on without the lock"))


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_is_joined_though_another_program_keeps_it_or_its_parent_locked(tmp_path, inside):
    (tmp_path / "run").mkdir()
    place = tmp_path / "run" if inside else tmp_path
    with locked(place), noted() as texts, joined_directory(tmp_path / "run"):
        pass
    assert matches(texts, told(place, "going on without the lock"))


def test_a_folder_that_is_taken_away_before_it_is_held_is_claimed_anew(tmp_path, monkeypatch):
    taken, real = [], files.lock_soon

    def take_away(descriptor, path, **words):
        if path.name == "run" and not taken:
            taken.append(path)
            path.rmdir()
        return real(descriptor, path, **words)

    monkeypatch.setattr(files, "lock_soon", take_away)
    for hold in (claimed_directory, joined_directory):
        taken.clear()
        with hold(tmp_path / "run"):
            assert taken == [tmp_path / "run"]
            assert (tmp_path / "run").is_dir()
        (tmp_path / "run").rmdir()


@pytest.mark.parametrize(
    "content", [None, b"", b"1: FLOCK  ADVISORY  WRITE x\n\xff", b"1: FLOCK ADVISORY WRITE 0 0:0:0 0"]
)
def test_where_the_kernel_does_not_say_who_holds_a_lock_it_is_another_process(tmp_path, monkeypatch, content):
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "locks")
    if content is not None:
        (tmp_path / "locks").write_bytes(content)
    with locked(tmp_path), noted() as texts, joined_directory(tmp_path):
        pass
    assert all("by another process; " in text for text in texts)


def test_a_notice_is_a_line_above_that_of_the_progress_and_no_control_byte_of_it_is_obeyed(capsys, monkeypatch):
    monkeypatch.setattr(NOTICES, "handlers", [])
    monkeypatch.setattr(NOTICES, "propagate", True)
    show_notices()
    show_notices()
    with StderrProgress() as progress:
        progress.phase("measuring")
        notify("the disk\x1b[31m is full")
    notify("later")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "warning" in line] == ["warning: the disk\ufffd[31m is full", "warning: later"]
