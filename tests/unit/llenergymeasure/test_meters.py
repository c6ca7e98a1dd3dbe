"""One suite that every energy source passes."""

import itertools
import subprocess
import sys
import time

import pytest
from replays import SteadyGpu

from llenergymeasure.config.models import BaselineConfig, UserConfig
from llenergymeasure.energy.idle import measure_baseline
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.energy.meters.none import NoMeter
from llenergymeasure.energy.selection import choose_meter

METERS = {
    "estimate": lambda: CpuTimeEstimate(None),
    "estimate, stated": lambda: CpuTimeEstimate(6.5),
    "none": NoMeter,
}


@pytest.fixture(params=METERS, ids=str)
def meter(request):
    return METERS[request.param]()


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def total(devices):
    return sum(device.energy_j for device in devices)


def test_it_has_a_name_and_says_whether_it_measures(meter):
    assert meter.source
    assert meter.is_measurement in (True, False)


def test_a_window_inside_answers_while_it_is_open_and_after_it_is_closed(meter):
    with meter:
        start_s = time.monotonic()
        work(0.02)
        end_s = time.monotonic()
        meter.mark()
        before = meter.energy(start_s, end_s)
    assert meter.energy(start_s, end_s) == before


def test_adjoining_windows_add_up(meter):
    with meter:
        moments = [time.monotonic()]
        for _ in range(3):
            work(0.02)
            meter.mark()
            moments.append(time.monotonic())
    parts = [total(meter.energy(a, b)) for a, b in itertools.pairwise(moments)]
    assert sum(parts) == pytest.approx(total(meter.energy(moments[0], moments[-1])))


def test_every_device_names_its_source_and_its_kind(meter):
    with meter:
        start_s = time.monotonic()
    for device in meter.energy(start_s, start_s):
        assert device.source == meter.source
        assert device.kind in ("gpu", "cpu", "dram")


def test_closing_twice_is_no_error(meter):
    meter.open()
    moment_s = time.monotonic()
    meter.close()
    once = meter.energy(moment_s, moment_s)
    meter.close()
    assert meter.energy(moment_s, moment_s) == once


def estimated(watts, seconds):
    with CpuTimeEstimate(watts) as meter:
        start_s = time.monotonic()
        work(seconds)
        end_s = time.monotonic()
    (device,) = meter.energy(start_s, end_s)
    return device


def test_the_estimate_is_cpu_seconds_times_the_power_of_a_core():
    assert estimated(20.0, 0.3).energy_j == pytest.approx(6.0, rel=0.1)


def test_the_estimates_bound_is_all_of_it_or_60_percent_where_the_user_stated_the_power():
    guessed, stated = estimated(None, 0.05), estimated(10.0, 0.05)
    assert guessed.gain_j == pytest.approx(guessed.energy_j)
    assert stated.gain_j == pytest.approx(0.6 * stated.energy_j)
    assert guessed.edge_j is None


def test_the_estimate_counts_children_that_ended_and_idle_time_costs_nothing():
    with CpuTimeEstimate(10.0) as meter:
        start_s = time.monotonic()
        busy = "import time\nwhile time.process_time() < 0.5: pass"
        subprocess.run([sys.executable, "-c", busy], check=True)
        middle_s = time.monotonic()
        meter.mark()
        idle_from_s = time.monotonic()
        time.sleep(0.2)
        idle_to_s = time.monotonic()
        meter.mark()
    assert total(meter.energy(start_s, middle_s)) == pytest.approx(5.0, rel=0.3)
    assert total(meter.energy(idle_from_s, idle_to_s)) < 0.2


def test_a_window_outside_of_what_was_watched_is_refused():
    with CpuTimeEstimate(None) as meter:
        pass
    with pytest.raises(ValueError, match="outside"):
        meter.energy(0.0, time.monotonic())


def test_none_says_why_the_estimate_was_not_taken():
    meter, not_used = choose_meter("none", UserConfig())
    assert meter.source == "none"
    assert "energy.source: none" in not_used["estimate"]


@pytest.mark.parametrize("meter", [CpuTimeEstimate(None), NoMeter()], ids=["estimate", "none"])
def test_a_baseline_is_skipped_with_the_reason_where_nothing_measures_power(meter):
    found = measure_baseline(meter, BaselineConfig(), sleep=lambda seconds: pytest.fail("it waited"))
    assert found.power_w is None
    assert f"energy source {meter.source} measures no power" in found.skipped


def test_a_baseline_of_a_device_that_cannot_be_read_is_unknown():
    found = measure_baseline(SteadyGpu(unreadable=True), BaselineConfig(duration_seconds=0.01))
    assert (found.power_w, found.skipped) == (None, "no baseline: a device could not be read")
