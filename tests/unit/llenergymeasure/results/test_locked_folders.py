"""A results folder that another program keeps locked: what was measured is saved, and nothing waits for ever."""

import os

import pytest

from foreign_locks import locked, noted
from labledger import locks
from labledger.files import held_directory
from llenergymeasure.results.exporters import append_csv
from llenergymeasure.results.flat import flat_row
from small_result import make_result


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(locks, "TOLD_AFTER_S", 0.02)


def test_a_result_is_saved_in_a_folder_that_another_program_keeps_locked_and_both_are_told(tmp_path):
    with locked(tmp_path), noted() as texts:
        paths = [make_result().save(tmp_path) for _ in range(2)]
    assert [path.is_file() for path in paths] == [True, True]
    assert paths[0].parent != paths[1].parent
    assert [f"by process {os.getpid()} (" in text for text in texts] == [True] * 4
    assert [text.endswith("going on without the lock") for text in texts] == [False, True] * 2


def test_a_row_is_not_added_to_a_csv_whose_folder_another_program_keeps_locked_and_the_file_stays(tmp_path):
    path = append_csv(flat_row(make_result()), tmp_path / "all.csv")
    before = path.read_bytes()
    with locked(tmp_path), pytest.raises(TimeoutError, match=rf"in use for 0\.1 s by process {os.getpid()} \("):
        append_csv(flat_row(make_result()), path)
    assert path.read_bytes() == before
    with held_directory(tmp_path):
        pass
