"""A disk that fills, or goes away, under a run: the journal tells it at once."""

import pytest
from disks import files_up_to, leave_free, mounted, remount
from unfinished_runs import OPENED_AT, OPENED_S, answer, begun, writing

from foreign_locks import noted
from llenergymeasure.results import journal as journal_module
from llenergymeasure.results.journal_recovery import read_journal


def test_a_disk_that_fills_under_a_run_is_told_at_once_and_once_and_what_was_written_stays(tmp_path):
    with noted() as texts, writing(tmp_path, begun()) as journal:
        journal.opened(OPENED_AT, OPENED_S)
        journal.take(answer(0, 0.0, 2.0))
        with files_up_to(journal.path.stat().st_size + 30):
            journal.take(answer(1, 0.0, 2.0))
            told = list(texts)
            journal.take(answer(2, 0.0, 2.0))
    assert told == texts
    assert [text.startswith(f"{journal.path}: No space left on device. The run goes on") for text in told] == [True]
    assert len(read_journal(journal.path).raw.requests.e2e_ms) == 1


def test_a_full_disk_under_a_run_is_told_at_once(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk, noted() as texts, writing(disk, begun()) as journal:
        leave_free(disk, 0)
        for number in range(40):
            journal.take(answer(number, 0.0, 2.0))
        assert [text.startswith(f"{journal.path}: No space left on device.") for text in texts] == [True]
        remount(disk, "size=256k")  # there is room again, but a journal with a gap in it would be wrong
        journal.take(answer(41, 0.0, 2.0))
        assert len(texts) == 1


def test_a_disk_that_becomes_read_only_under_a_run_is_told_when_the_journal_begins(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        remount(disk, "ro")
        with noted() as texts, writing(disk, begun()):
            pass
    assert [": Read-only file system. The run goes on" in text for text in texts] == [True]


@pytest.mark.parametrize("away", [lambda path: path.unlink(), lambda path: path.rename(path.with_name("other"))])
def test_a_journal_that_is_taken_away_under_a_run_is_told(tmp_path, monkeypatch, away):
    monkeypatch.setattr(journal_module, "LOOK_EVERY_S", 0.0)
    with noted() as texts, writing(tmp_path, begun()) as journal:
        journal.take(answer(0, 0.0, 2.0))
        away(journal.path)
        journal.take(answer(1, 0.0, 2.0))
    assert [text.startswith(f"{journal.path}: it is no longer there") for text in texts] == [True]
