"""Days kept where it must fail: a disk that is full at any page, and Ctrl-C at any moment."""

import os
import signal
import time

import pytest
from disks import leave_free, mounted
from interrupts import ctrl_c_when_the_timer_rings
from payment_sim_files import EXAMPLES
from saving import moments_of

from payment_simulator import draw_arrivals, load_day, load_scenario, save_day, simulate

INTERRUPTIONS = 30
FILES = ["balances.parquet", "costs.parquet", "outcome.json", "payments.parquet"]


@pytest.fixture(scope="module")
def outcome():
    scenario = load_scenario(EXAMPLES / "gridlock.yaml")
    return simulate(scenario, draw_arrivals(scenario), record_events=True, engine="reference")


def test_a_disk_that_is_full_at_any_page_holds_no_half_day(tmp_path, outcome):
    with mounted(tmp_path / "disk", "size=128k") as disk:
        for pages in range(30):
            leave_free(disk, pages)
            try:
                saved = save_day(outcome, disk / "day")
            except OSError as error:
                assert error.filename.startswith(str(disk / "day"))  # noqa: PT017 - or it was saved
                assert os.listdir(disk) == ["filling"]
            else:
                break
            (disk / "filling").unlink()
        assert pages > 0
        assert load_day(saved).record.report["arrived"] == int(outcome.arrived.sum())


def test_a_run_that_cannot_be_kept_has_printed_its_figures(tmp_path, sim):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        leave_free(disk, 1)
        ended = sim("run", "small.yaml", "-o", disk / "day")
        assert (ended.returncode, "total cost" in ended.stdout) == (1, True)
        assert "No space left on device" in ended.stderr
        assert "written" not in ended.stdout
        assert os.listdir(disk) == ["filling"]


def test_ctrl_c_at_any_moment_leaves_a_day_whole_or_nothing_of_it(tmp_path, outcome):
    moments, began = moments_of(7), time.monotonic()
    save_day(outcome, tmp_path / "first")
    save_s = time.monotonic() - began
    with ctrl_c_when_the_timer_rings():
        for number in range(INTERRUPTIONS):
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, 1.2 * save_s))
                save_day(outcome, tmp_path / str(number))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
    for folder in tmp_path.iterdir():
        assert sorted(os.listdir(folder)) == FILES
        load_day(folder)
