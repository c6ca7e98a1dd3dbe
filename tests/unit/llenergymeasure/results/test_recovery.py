"""`llem results recover` in a folder that holds more than what killed runs have left."""

import errno
import os
import shutil

import pytest
from hostile_folders import llem
from hypothesis import given, settings
from hypothesis import strategies as st
from measurements import make_part, two_gpus
from tiny import tiny_config
from unfinished_runs import RUN, answer, joules, leave_journal, leave_parts, power_samples

from hostile_places import KINDS, NO_FILES, Outside, names_below, place
from labledger import locks
from labledger.errors import LabledgerError
from labledger.files import joined_directory, opened_directory
from labledger.locks import lock
from llenergymeasure.backends.openai.server.launch import ServerLog
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import BackendError, ExperimentError, PreFlightError
from llenergymeasure.results import complete_runs, recovery
from llenergymeasure.results.parts import save_part
from llenergymeasure.results.persistence import server_log, state_folder
from llenergymeasure.results.recovery import aggregate, find_leftovers, remove
from llenergymeasure.results.state import discard_run
from llenergymeasure.run import preflight
from small_result import make_result

HALF = "gpt2_pytorch_2026-11-21T14-00"
NO_FOLDERS = [kind for kind in KINDS if kind != "folder"]


@pytest.fixture
def outside(tmp_path):
    return Outside(tmp_path / "home")


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def recover(results, *options):
    """The output of the command, which must succeed."""
    code, shown = llem("results", "recover", results, *options)
    assert code == 0, shown
    return shown


# What is removed.


def test_all_that_killed_runs_have_left_is_removed(results):
    leave_parts(results, two_gpus(), (power_samples(0, 1.0), power_samples(1, 1.0)))
    (state_folder(results, "e1") / ".completed_1").unlink()
    leave_journal(results, answer(0, 0.0, 2.0), [joules(2.5)])
    (results / HALF).mkdir()
    for folder in (results, results / ".state", state_folder(results, RUN), results / HALF):
        (folder / ".0123456789abcdef.tmp").write_bytes(b"half")
    assert recover(results).endswith(f"\nllem results recover {results} --remove deletes these\n")
    assert (state_folder(results, RUN) / "process_0.recovered.json").is_file()
    assert recover(results, "--remove").count("; removed") == 5
    assert list(results.iterdir()) == []
    assert recover(results) == f"nothing to recover in {results}\n"


def test_a_folder_below_state_that_is_not_ours_stays_and_is_named(results):
    thesis = results / ".state" / "documents" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    (results / ".state" / "Photos").mkdir()
    (results / ".state" / "notes.txt").write_text("mine")
    before = names_below(results)
    shown = recover(results, "--remove")
    assert names_below(results) == before
    assert (
        f"{thesis.parent}: no run of labledger; left alone: it holds thesis.txt, which labledger did not write" in shown
    )
    assert f"{results / '.state' / 'Photos'}: a directory; left alone: labledger did not write it" in shown
    assert f"{results / '.state' / 'notes.txt'}: a regular file; left alone: labledger did not write it" in shown


@pytest.mark.parametrize("name", ["notes.txt", "process_0.jsonl.bak", "process_x.json", "PROCESS_1.JSON", ".hidden"])
def test_a_run_with_a_file_of_others_among_its_own_stays_whole_and_says_so(results, name):
    run = leave_journal(results, answer(0, 0.0, 2.0)).parent
    (run / name).write_text("mine")
    recover(results)
    before = names_below(results)
    assert f"left alone: it holds {name}, which labledger did not write" in recover(results, "--remove")
    assert names_below(results) == before


def test_a_result_that_was_being_saved_with_a_file_of_others_in_it_stays_whole(results):
    (results / HALF).mkdir()
    (results / HALF / "timeseries.parquet").write_bytes(b"half")
    (results / HALF / "notes.txt").write_text("mine")
    assert "; left alone: it holds notes.txt, which labledger did not write" in recover(results, "--remove")
    assert len(names_below(results)) == 3


@pytest.mark.parametrize("kind", NO_FOLDERS)
def test_a_state_folder_that_is_none_is_not_looked_into(results, outside, kind):
    path = place(kind, results / ".state", outside)
    before = names_below(results)
    for options in ([], ["--remove"]):
        assert recover(results, *options).startswith(f"{path}: ")
    assert names_below(results) == before
    assert outside.is_unharmed()


@pytest.mark.parametrize("kind", KINDS)
def test_something_named_like_a_result_does_not_keep_what_comes_after_it(results, outside, kind):
    place(kind, results / HALF, outside)
    (results / f"{HALF}_1").mkdir()
    shown = recover(results, "--remove")
    assert f"{HALF}_1: a result that was being saved; nothing in it was acknowledged; removed" in shown
    assert [path.name for path in results.iterdir()] == [HALF]
    assert outside.is_unharmed()


def test_what_cannot_be_removed_is_said_and_the_rest_goes_on(results, monkeypatch):
    for name in (HALF, f"{HALF}_1"):
        (results / name).mkdir()
    rmdir = os.rmdir

    def refusing(path, **folder):
        if path == HALF:
            raise PermissionError(13, "Permission denied", path)
        rmdir(path, **folder)

    monkeypatch.setattr(os, "rmdir", refusing)
    code, shown = llem("results", "recover", results, "--remove")
    assert code == 1
    assert f"{results / HALF}: a result that was being saved; nothing in it was acknowledged; could not be" in shown
    assert [path.name for path in results.iterdir()] == [HALF]


@pytest.mark.parametrize("place_of", [lambda results: results / ".state", lambda results: state_folder(results, RUN)])
def test_a_run_that_is_replaced_by_a_link_after_it_was_listed_is_not_removed_behind_it(results, outside, place_of):
    leave_journal(results, answer(0, 0.0, 2.0))
    (leftover,) = find_leftovers(results)
    folder = place_of(results)
    shutil.rmtree(folder)
    (outside.folder / RUN).mkdir()
    outside = Outside(results / "another")
    folder.symlink_to(outside.folder)
    with pytest.raises(OSError, match="symbolic link, which is not followed"):
        remove(leftover)
    assert outside.is_unharmed()


def test_a_run_that_has_come_to_life_is_left_alone(results):
    run = leave_journal(results, answer(0, 0.0, 2.0)).parent
    (leftover,) = find_leftovers(results)
    with joined_directory(run):
        assert remove(leftover) == "a process works on it"
    assert run.is_dir()


def test_a_complete_run_with_a_file_of_others_is_saved_and_stays_and_says_so(results):
    run = leave_parts(results, two_gpus())
    (run / "notes.txt").write_text("mine")
    for _ in range(2):
        shown = recover(results)
        assert "complete; saved in " in shown
        assert "; left alone: it holds notes.txt" in shown
    assert len(list(results.glob("*/result.json"))) == 1
    assert (run / "process_0.json").is_file()


def test_the_end_of_a_run_takes_away_its_own_folder_only_where_all_in_it_is_its_own(results, outside):
    run = leave_parts(results, two_gpus())
    (run / "notes.txt").write_text("mine")
    before = names_below(results)
    assert discard_run(run) == ["notes.txt"]
    assert names_below(results) == before
    (run / "notes.txt").unlink()
    assert discard_run(run) == []
    assert list(results.iterdir()) == []
    (results / ".state").symlink_to(outside.folder)
    assert discard_run(results / ".state" / "run") == []
    assert outside.is_unharmed()


TEMPORARY = ".0123456789abcdef.tmp"
NAMES = st.sampled_from(["process_0.json", "process_1.jsonl", ".expected", ".completed_7", TEMPORARY, "notes.txt"])
KINDS_OR_OURS = st.sampled_from([*KINDS, "ours", "ours", "ours"])
FOLDERS = st.sampled_from([".state", ".state/run", ".state/run-2", ".state/Run", HALF, f"{HALF}_1", "mine"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(FOLDERS, NAMES, KINDS_OR_OURS), max_size=8, unique_by=lambda each: each[:2]))
def test_nothing_but_regular_files_of_our_names_alone_in_their_folders_is_ever_removed(tmp_path_factory, placed):
    home = tmp_path_factory.mktemp("user")
    outside, results = Outside(home / "home"), home / "results"
    results.mkdir()
    for folder, name, kind in placed:
        (results / folder).mkdir(parents=True, exist_ok=True)
        if kind == "ours":
            (results / folder / name).write_bytes(b"{}")
        else:
            place(kind, results / folder / name, outside)
    before = names_below(results)
    recover(results, "--remove")
    assert outside.is_unharmed()
    stayed = names_below(results)
    for folder, name, kind in placed:
        beside = [each for each in placed if each[0] == folder]
        removable = all(n != "notes.txt" and k not in NO_FILES for _, n, k in beside)
        path = results / folder / name
        if folder in ("mine", ".state/Run") or (name == "notes.txt" or kind in NO_FILES) or not removable:
            assert path in stayed or (name.endswith(".tmp") and folder == ".state" and kind not in NO_FILES)
        elif folder in (".state/run", ".state/run-2"):
            assert path not in stayed
    assert stayed <= before


# What is written.


@pytest.mark.parametrize("kind", KINDS)
def test_listing_writes_a_recovered_result_through_nothing(results, outside, kind):
    run = leave_journal(results, answer(0, 0.0, 2.0)).parent
    path = place(kind, run / "process_0.recovered.json", outside)
    assert "1 finished requests of 1 process(es)" in recover(results)
    assert outside.is_unharmed()
    if kind in NO_FILES:
        assert not path.is_file() or path.is_symlink()
    else:
        RawProcessResult.model_validate_json(path.read_bytes())


@pytest.mark.parametrize("name", [".state", ".logs"])
@pytest.mark.parametrize("kind", NO_FOLDERS)
def test_a_run_is_refused_where_one_of_its_folders_is_something_else(results, outside, kind, name):
    path = place(kind, results / name, outside)
    with pytest.raises(PreFlightError, match=f"output: {path} is a .*; move it away"):
        preflight.check(tiny_config(), find_sources(), results)
    log = ServerLog(server_log(results, "e1"), [])
    with pytest.raises((OSError, BackendError), match=name):
        save_part(make_part(0), [], results) if name == ".state" else log.open()
    assert outside.is_unharmed()


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_servers_log_goes_through_nothing(results, outside, kind):
    log = ServerLog(place(kind, server_log(results, "e1"), outside), [])
    with pytest.raises(BackendError, match="cannot be written"):
        log.open()
    assert "cannot be read" in log.quoted()
    assert outside.is_unharmed()


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_process_replaces_what_stands_in_the_place_of_its_files_or_says_why_not(results, outside, kind):
    for name in ("process_0.json", "part_0.json", ".completed_0", "timeseries_0.parquet"):
        place(kind, state_folder(results, "e1") / name, outside)
    if kind == "folder":
        with pytest.raises(IsADirectoryError):
            save_part(make_part(0), power_samples(0, 1.0), results)
    else:
        save_part(make_part(0), power_samples(0, 1.0), results)
        assert all(path.is_file() and not path.is_symlink() for path in state_folder(results, "e1").iterdir())
    assert outside.is_unharmed()


def test_a_results_folder_that_is_a_link_of_the_users_own_works_as_any(results, tmp_path):
    (tmp_path / "link").symlink_to(results)
    leave_parts(tmp_path / "link", two_gpus())
    assert "complete; saved in " in recover(tmp_path / "link")
    assert [path.name for path in names_below(results) if path.is_file()] == ["result.json"]


# What the files say.


@pytest.mark.parametrize("count", ["9" * 5000, "10001", "99999999999999999999"])
def test_a_run_of_more_processes_than_there_can_be_is_broken(results, count):
    run = leave_parts(results, two_gpus())
    (run / ".expected").write_text(count)
    assert "broken: " in recover(results)
    assert f".expected: {count[:20]} processes; a run has 10000 at most" in recover(results)


@pytest.mark.parametrize("changed", [{"start_s": [1e308]}, {"output_tokens": [10**400]}, {"e2e_ms": [1e300]}])
def test_a_journal_of_impossible_numbers_is_broken(results, changed):
    path = leave_journal(results, answer(0, 0.0, 2.0))
    text = path.read_text()
    for name, values in changed.items():
        before = text[text.index(f'"{name}":') :]
        text = text.replace(before[: before.index("]") + 1], f'"{name}":{values}')
    path.write_text(text)
    assert "broken: " in recover(results)
    assert "removed" in recover(results, "--remove")


def test_files_that_do_not_fit_together_are_an_error_and_stay(results):
    run = leave_parts(results, two_gpus())
    path = run / "process_1.json"
    path.write_text(path.read_text().replace("Z", ""))  # times without a zone beside times with one
    (leftover,) = find_leftovers(results)
    with pytest.raises(ExperimentError, match="timestamps of process 1 have no time zone"):
        aggregate(leftover, results)
    assert "cannot be aggregated" in recover(results)
    assert path.is_file()


def test_a_timeseries_of_other_columns_is_an_error_and_stays(results):
    run = leave_parts(results, two_gpus(), (power_samples(0, 1.0), power_samples(1, 1.0)))
    make_result().to_parquet(run / "timeseries_1.parquet")
    (leftover,) = find_leftovers(results)
    with pytest.raises(LabledgerError, match=r"timeseries_1\.parquet: other columns than a timeseries"):
        recovery.aggregate(leftover, results)
    assert "cannot be aggregated" in recover(results)


# What is not lost.


def test_a_complete_run_that_cannot_be_saved_stays_also_where_others_are_removed(results, monkeypatch):
    run = leave_parts(results, two_gpus())
    names = sorted(path.name for path in run.iterdir())

    def full_disk(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "result.json")

    monkeypatch.setattr(complete_runs, "save_result", full_disk)
    code, shown = llem("results", "recover", results, "--remove")
    assert code == 1
    assert "could not be read or saved: result.json: No space left on device" in shown
    assert sorted(path.name for path in run.iterdir()) == names
    monkeypatch.undo()
    assert "complete; saved in" in recover(results, "--remove")


def test_a_run_that_another_process_recovers_first_is_told_as_such(results):
    leave_parts(results, two_gpus())
    (first,), (second,) = find_leftovers(results), find_leftovers(results)
    assert aggregate(first, results) is not None
    assert aggregate(second, results) is None
    assert len(list(results.glob("*/result.json"))) == 1


def test_where_a_stopped_process_begins_a_run_recover_ends_with_an_error_and_does_not_wait(results, monkeypatch):
    leave_parts(results, two_gpus())
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_S", 0.1)
    with opened_directory(results / ".state") as descriptor:
        assert lock(descriptor, exclusive=False)
        code, shown = llem("results", "recover", results, "--remove")
    assert code == 1
    assert f"error: {results / '.state'}: in use for 0.1 s by process {os.getpid()} (" in shown
    assert "complete; saved in" in recover(results)


@pytest.mark.parametrize("name", ["process_007.json", f"process_{'9' * 200}.json", "process_10000.jsonl"])
def test_a_name_that_no_process_writes_is_not_ours(results, name):
    other = results / ".state" / "run" / name
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    assert "left alone" in recover(results, "--remove")
    assert other.read_text() == "{}"
