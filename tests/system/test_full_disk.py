"""Saving where it must fail - a disk that fills, a limit, an interruption - at whatever stage it fails."""

import errno
import math
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from disks import PAGE_BYTES, leave_free, mounted, remount
from interrupts import ctrl_c_when_the_timer_rings
from saving import everything_in, make_sidecar, moments_of, with_folder_and_sidecar

from labledger.console import Silent
from llenergymeasure.api import measure_and_save
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.results import state
from llenergymeasure.results.catalog import result_files
from llenergymeasure.results.journal import Journal
from llenergymeasure.results.persistence import UnsavedResultError, load_result, save_or_keep, save_result
from llenergymeasure.results.verification import verify
from llenergymeasure.run import harness
from small_result import make_result


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "size=256k") as folder:
        yield folder


@pytest.fixture
def sidecar(tmp_path):
    return make_sidecar(tmp_path, rows=1000)


@pytest.fixture
def unsaved(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "llenergymeasure" / "unsaved"


@contextmanager
def descriptors_left(number: int):
    """This process may open `number` files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 16, limits[1]))
    try:
        while True:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        for _ in range(number):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)


@contextmanager
def files_limited_to(size: int):
    """No file may grow over `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def error_of(action: Callable[[], object]) -> OSError | None:
    try:
        action()
    except OSError as error:
        return error
    return None


def seconds_of(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_a_disk_that_fills_at_any_page_of_a_save_harms_nothing_and_saves_again_once_there_is_room(disk, sidecar):
    results = disk / "results"
    save_result(make_result(), results, sidecar)
    before, errors = everything_in(results), []
    for pages in count():
        leave_free(disk, pages)
        error = error_of(lambda: save_result(make_result(), results, sidecar))
        if error is None:
            break
        errors.append(error)
        assert everything_in(results) == before
    assert {error.errno for error in errors} == {errno.ENOSPC}
    assert {Path(error.filename).relative_to(results).name for error in errors} == {"timeseries.parquet", "result.json"}
    assert [verify(path).status for path in result_files(results)] == ["ok", "ok"]


def test_a_disk_that_has_no_room_for_another_name_harms_nothing(tmp_path, sidecar):
    errors = []
    for names in count(1):
        with mounted(tmp_path / "disk", f"nr_inodes={names}") as disk:
            error = error_of(lambda: save_result(make_result(), disk / "results", sidecar))
            if error is None:
                break
            errors.append(error)
            assert set(everything_in(disk)) <= {disk / "results"}
    assert {error.errno for error in errors} == {errno.ENOSPC}
    names = [Path(error.filename).relative_to(tmp_path / "disk" / "results").name for error in errors]
    assert {"timeseries.parquet", "result.json"} <= set(names)
    assert names[0].startswith("gpt2_pytorch_")


@pytest.mark.parametrize("sidecar_fits", [False, True])
def test_what_a_full_disk_does_not_take_is_in_the_unsaved_folder_with_its_timeseries(
    disk, sidecar, unsaved, sidecar_fits
):
    leave_free(disk, math.ceil(sidecar.stat().st_size / PAGE_BYTES) if sidecar_fits else 1)
    with pytest.raises(UnsavedResultError, match="No space left on device") as refused:
        save_or_keep(make_result(), disk / "results", sidecar)
    assert list(result_files(unsaved)) == [refused.value.kept_at]
    assert verify(refused.value.kept_at).status == "ok"
    assert load_result(refused.value.kept_at) == make_result(timeseries="timeseries.parquet")


def test_a_disk_that_becomes_read_only_keeps_what_it_has_and_the_result_goes_to_the_unsaved_folder(
    disk, sidecar, unsaved
):
    save_result(make_result(), disk / "results", sidecar)
    before = everything_in(disk)
    remount(disk, "ro")
    with pytest.raises(UnsavedResultError, match=f"{disk}/results: Read-only file system") as refused:
        save_or_keep(make_result(), disk / "results", sidecar)
    assert everything_in(disk) == before
    assert verify(refused.value.kept_at).status == "ok"
    remount(disk, "rw")
    assert verify(save_or_keep(make_result(), disk / "results", sidecar)).status == "ok"


def test_a_process_that_may_open_no_more_files_leaves_no_half_folder(tmp_path, sidecar):
    results = tmp_path / "results"
    save_result(make_result(), results, sidecar)
    before, errors = everything_in(results), []
    for number in count():
        with descriptors_left(number):
            error = error_of(lambda: save_result(make_result(), results, sidecar))
        if error is None:
            break
        errors.append(error)
        assert everything_in(results) == before
    assert {error.errno for error in errors} == {errno.EMFILE}
    assert {Path(error.filename).parent for error in errors[:-1]} == {results}
    assert errors[-1].filename == str(sidecar)  # while its folder was being filled
    assert [verify(path).status for path in result_files(results)] == ["ok", "ok"]


def test_a_result_that_no_file_can_be_opened_for_comes_with_the_error(tmp_path, sidecar, unsaved):
    with descriptors_left(0), pytest.raises(UnsavedResultError, match="Too many open files") as refused:
        save_or_keep(make_result(), tmp_path / "results", sidecar)
    assert (refused.value.result, refused.value.kept_at) == (make_result(), None)
    assert [path for path in everything_in(tmp_path) if path.name == "result.json"] == []


@pytest.mark.parametrize(("size", "file"), [(0, "timeseries.parquet"), (2000, "result.json")])
def test_a_limit_on_the_size_of_files_is_an_error_that_names_the_file_and_leaves_no_half_folder(tmp_path, size, file):
    small = make_sidecar(tmp_path, rows=3)
    results = tmp_path / "results"
    save_result(make_result(), results, small)
    before = everything_in(results)
    with files_limited_to(size), pytest.raises(OSError, match="File too large") as refused:
        save_result(make_result(), results, small)
    assert Path(refused.value.filename).name == file
    assert everything_in(results) == before
    assert verify(save_result(make_result(), results, small)).status == "ok"


def test_ctrl_c_at_any_moment_of_a_save_leaves_it_whole_or_nothing_of_it(tmp_path, sidecar):
    results, moments, interrupted = tmp_path / "results", moments_of(5), 0
    save_s = seconds_of(lambda: save_result(make_result(), results, sidecar))
    before = everything_in(results)
    with ctrl_c_when_the_timer_rings():
        while interrupted < 100:
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, save_s))
                save_result(make_result(), results, sidecar)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    complete = set(result_files(results))
    assert before.items() <= everything_in(results).items()
    assert {verify(path).status for path in complete} == {"ok"}
    assert set(results.rglob("*")) == with_folder_and_sidecar(complete)


def test_ctrl_c_at_any_moment_after_a_run_was_measured_leaves_its_result_saved_once(tmp_path, monkeypatch):
    result = make_result(effective_config={"model": "gpt2", "longer": {str(n): [n, n / 7] for n in range(500)}})
    samples = [PowerSample(n * 0.1, 100.0, 50.0, 0) for n in range(100)]
    monkeypatch.setattr(harness, "run", lambda *_, **__: harness.Finished(result, samples, Journal()))
    moments, of_gpt2 = moments_of(6), (ExperimentConfig(model="gpt2"), UserConfig())
    save_s = seconds_of(lambda: measure_and_save(*of_gpt2, tmp_path / "results", Silent()))
    with ctrl_c_when_the_timer_rings():
        for number in range(100):
            results = tmp_path / str(number)
            results.mkdir()
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(save_s / 10, save_s))
                measure_and_save(*of_gpt2, results, Silent())
                signal.setitimer(signal.ITIMER_REAL, 0)
            saved = set(result_files(results))
            assert [verify(path).status for path in saved] == ["ok"]
            assert set(results.rglob("*")) == with_folder_and_sidecar(saved)


def test_a_second_ctrl_c_once_the_result_is_saved_does_not_save_it_again(tmp_path, monkeypatch):
    def impatient(folder):
        if not folders:
            folders.append(folder)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    folders = []
    finished = harness.Finished(make_result(effective_config={"model": "gpt2"}), [], Journal())
    monkeypatch.setattr(harness, "run", lambda *_, **__: finished)
    monkeypatch.setattr(state, "discard_run", impatient)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    try:
        with pytest.raises(KeyboardInterrupt) as interrupted:
            measure_and_save(ExperimentConfig(model="gpt2"), UserConfig(), tmp_path, Silent())
    finally:
        signal.signal(signal.SIGINT, before)
    (saved,) = result_files(tmp_path)
    assert interrupted.value.__notes__ == [f"the result was complete and is saved in {saved.parent}"]
