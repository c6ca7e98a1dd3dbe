"""Many processes that save at once, and processes that are killed while they save."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from saving import make_sidecar, moments_of, savers_of, with_folder_and_sidecar

from llenergymeasure.results.catalog import Unreadable, read_result, result_files
from llenergymeasure.results.persistence import load_result
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.results.recovery import find_leftovers, remove
from llenergymeasure.results.verification import verify


@pytest.fixture
def savers(tmp_path):
    with savers_of(make_sidecar(tmp_path)) as started:
        yield started


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_sixteen_processes_that_save_one_name_at_once_each_get_their_own_folders_under_a_readers_eyes(savers, results):
    seen = []
    savers.start(results, processes=16, saves=25)
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(savers.end)
        while not saving.done():
            seen.append([read_result(path) for path in result_files(results)])
    assert (savers.failed, len(savers.saved)) == ([], 400)
    assert {path: load_result(path).experiment_id for path in result_files(results)} == savers.saved
    assert set(results.rglob("*")) == with_folder_and_sidecar(set(savers.saved))
    assert {re.sub(r"_2.*", "", path.parent.name) for path in savers.saved} == {"gpt2_pytorch"}
    assert [each for listed in seen for each in listed if isinstance(each, Unreadable)] == []
    assert sorted(map(len, seen)) == list(map(len, seen))
    assert any(0 < len(listed) < 400 for listed in seen)  # or nobody looked while they saved


@pytest.mark.parametrize("kills", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_what_was_acknowledged_before_a_kill_is_whole_and_nothing_else_is_left_after_recovery(savers, results, kills):
    moments, acknowledged, leftovers = moments_of(kills), 0, 0
    for number in range(kills):
        folder = results / str(number)
        folder.mkdir()
        savers.killed_while_saving(folder, moments)
        complete = set(result_files(folder))
        assert savers.saved.items() <= {path: load_result(path).experiment_id for path in complete}.items()
        assert len(complete - savers.saved.keys()) <= 1  # complete, and killed before it could report it
        assert {verify(path).status for path in complete} <= {"ok"}
        found = find_leftovers(folder)
        for each in found:
            remove(each)
        assert set(folder.rglob("*")) == with_folder_and_sidecar(complete)
        assert {verify(path).status for path in complete} <= {"ok"}
        acknowledged += len(savers.saved)
        leftovers += len(found)
    assert acknowledged > kills / 2  # or the test shows nothing
    assert leftovers > kills / 4


def test_what_a_killed_process_has_kept_of_a_run_is_readable_and_recovery_can_remove_all_of_it(savers, tmp_path):
    folder, moments, kept = tmp_path / "raw", moments_of(7), 0
    for _ in range(25):
        savers.killed_while_saving(folder, moments)
        assert {load_raw_results(path.parent)[0].experiment_id for path in savers.saved} == {*savers.saved.values()}
        found = find_leftovers(folder)
        assert {path.parent for path in savers.saved} <= {each.path for each in found}
        for each in found:
            remove(each)
        assert [path for path in folder.rglob("*") if path != folder / ".state"] == []
        kept += len(savers.saved)
    assert kept > 12  # or the test shows nothing


def test_a_folder_that_a_living_process_fills_is_no_leftover(savers, results):
    found = []
    savers.start(results, processes=4, saves=50)
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(savers.end)
        while not saving.done():
            found += find_leftovers(results)
    assert found == []


def test_removing_leftovers_from_two_sides_while_others_save_takes_nothing_from_them(savers, results):
    def recover(saving):
        while not saving.done():
            for each in find_leftovers(results):
                remove(each)

    savers.start(results, processes=4, saves=50)
    with ThreadPoolExecutor(3) as pool:
        saving = pool.submit(savers.end)
        recovering = [pool.submit(recover, saving) for _ in range(2)]
    assert [each.exception() for each in recovering] == [None, None]
    assert (savers.failed, len(savers.saved)) == ([], 200)
    assert {path for path in savers.saved if verify(path).status != "ok"} == set()
