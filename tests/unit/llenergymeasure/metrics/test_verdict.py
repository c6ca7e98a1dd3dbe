"""Reasons for an invalid or uncertain energy, each provoked where it happens: on a board."""

import functools
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
from measurements import OPENED_S, batch, gpu_energy, measurement, model_facts
from recorded import counter_trace
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure import measure_energy
from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.energy.meters.replay import Replay
from llenergymeasure.metrics.summary import summarise
from llenergymeasure.run import harness
from warm import without_interpreter

pytestmark = pytest.mark.usefixtures("small_heap")

ALWAYS = (0.0, 1e9)
UNKNOWN_PID = 2**22 + 1  # above the highest that Linux gives


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def gpus(gpus):
    """Boards whose counters tick five times as often as NVIDIA's: whoever waits for ticks waits less."""
    gpus.board = functools.partial(gpus.board, tick_s=0.02, seconds=60.0)
    return gpus


def measured(seconds=0.3, **fields):
    with measure_energy(**{"source": "nvml_counter", **fields}) as window:
        time.sleep(seconds)
    return window.found


def every_second(*rest):
    """Spans of a third of a second, one in each second of a board's time, wherever a window of a second begins."""
    return [[second + 0.3, second + 0.6, *rest] for second in range(60)]


def one_of(sentences, pattern):
    return [sentence for sentence in sentences if re.search(pattern, sentence)]


def test_an_energy_that_nothing_speaks_against_is_valid(gpus):
    gpus(gpus.board(400.0, limit_w=400.0, tick_s=0.05))
    until_s = time.monotonic() + 40.0  # for one that a busy machine does not disturb
    while (found := measured(3.0)).verdict != "valid" or found.warnings:
        assert time.monotonic() < until_s, found
    assert found.verdict_reasons == ()


def test_a_window_whose_edges_are_over_one_percent_is_invalid_and_told_to_be_longer(gpus):
    gpus(gpus.board())
    found = measured(0.2)
    assert found.verdict == "invalid"
    assert one_of(
        found.verdict_reasons, r"edges are sure to ±\d+.* J, \d+.*% of the energy, over 1%: measure for longer"
    )


def test_a_foreign_process_on_the_gpu_makes_it_invalid(gpus):
    gpus(gpus.board(processes=[[*ALWAYS, os.getppid()]]))
    found = measured()
    assert found.verdict == "invalid"
    assert one_of(found.verdict_reasons, rf"another process was on GPU-1: .*process {os.getppid()}\b")


def test_a_process_of_another_namespace_that_was_there_before_is_foreign(gpus):
    gpus(gpus.board(processes=[[*ALWAYS, UNKNOWN_PID]]))
    assert one_of(measured().verdict_reasons, f"another process was on GPU-1: process {UNKNOWN_PID}")


def test_our_own_processes_on_the_gpu_are_not_foreign(gpus):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        gpus(gpus.board(processes=[[*ALWAYS, child.pid], [*ALWAYS, os.getpid()]]))
        found = measured()
        child.communicate(b"\n")
    assert one_of(found.verdict_reasons, "process") == []


def test_a_gap_of_more_than_three_ticks_makes_it_invalid(gpus):
    gpus(gpus.board(lost=every_second()))
    while (time.monotonic() - gpus.began_s) % 1.0 < 0.65:  # to ask the board what it has when it answers
        time.sleep(0.005)
    found = measured(1.0)
    assert found.verdict == "invalid"
    assert one_of(found.verdict_reasons, r"GPU-1 was not seen for \d+ ms, over 3 ticks")


def test_a_counter_that_is_reset_makes_energy_unknown_and_invalid(gpus):
    board = gpus.board(400.0)
    for row in board["rows"]:
        row[1] = 1000.0 + 400.0 * (row[0] % 0.5)
    gpus(board)
    found = measured(0.8)
    assert (found.energy_j, found.energy_uncertainty_j, found.mean_power_w, found.peak_power_w) == (None,) * 4
    assert found.verdict == "invalid"
    assert "the counter of GPU-1 was reset during the window" in found.verdict_reasons


def test_a_gpu_that_slows_itself_down_for_heat_makes_it_invalid_and_a_warning_says_for_how_long(gpus):
    gpus(gpus.board(throttle=[[*ALWAYS, 0x40]]))
    found = measured()
    assert found.verdict == "invalid"
    assert one_of(found.verdict_reasons, r"GPU-1 slowed itself down for heat in 100% of the window \(hw_thermal\)")
    assert one_of(found.warnings, r"GPU-1 was slowed down \(hw_thermal\) in 100% of the window: ")


def test_a_gpu_that_is_slowed_down_by_software_is_a_warning_with_its_share(gpus):
    gpus(gpus.board(throttle=every_second(0x20)))
    found = measured(1.0)
    assert one_of(found.warnings, r"GPU-1 was slowed down \(sw_thermal\) in [234]\d% of the window: ")
    assert one_of(found.verdict_reasons, "slowed") == []


def test_a_gpu_that_vanishes_makes_energy_unknown_and_invalid(gpus):
    gpus(gpus.board(uuid="GPU-a"), gpus.board(uuid="GPU-b", gone=[[0.7, 1e9]]))
    found = measured(max(gpus.began_s + 1.0 - time.monotonic(), 0.0))
    known = {device.device: device.energy_j is not None for device in found.devices}
    assert known == {"GPU-a": True, "GPU-b": False}
    assert (found.energy_j, found.verdict) == (None, "invalid")
    assert "energy is unknown: GPU-b could not be read throughout" in found.verdict_reasons
    assert one_of(found.verdict_reasons, "GPU-b was not seen for")


def test_a_sampler_that_dies_makes_energy_unknown_and_invalid(gpus):
    gpus(gpus.board())
    with measure_energy(source="nvml_counter") as window:
        (sampler,) = without_interpreter(psutil.Process().children())
        sampler.kill()
        time.sleep(0.3)
    assert (window.energy_j, window.verdict) == (None, "invalid")


@pytest.mark.parametrize("source", ["estimate", "none"])
def test_what_reads_no_sensor_is_not_measured(source):
    found = measured(0.0, source=source)
    assert found.verdict == "not_measured"
    assert len(found.verdict_reasons) == 1
    assert (found.mean_power_w, found.peak_power_w) == (None, None)


def test_a_drift_of_more_than_ten_degrees_is_a_warning(gpus):
    gpus(gpus.board(temperature_c=lambda at_s: 40.0 + 40.0 * at_s))
    assert one_of(measured(0.5).warnings, r"Temperature moved by (1[5-9]|2\d) C")


def test_a_counter_and_a_power_that_disagree_are_a_warning_with_both_figures_and_part_of_the_bound(gpus):
    board = gpus.board(400.0, tick_s=0.1)
    for row in board["rows"]:
        row[2] *= 0.5
    gpus(board)
    found = measured(1.0)
    (warning,) = one_of(found.warnings, "energy counter of GPU-1 has")
    counter_j, power_j = map(float, re.findall(r"([\d.]+) J[,:]", warning))
    assert counter_j == pytest.approx(found.energy_j, rel=1e-3)
    assert power_j == pytest.approx(counter_j / 2, rel=0.1)
    assert found.energy_uncertainty.disagreement_j == pytest.approx(counter_j - power_j, rel=1e-2)


def test_a_slice_of_a_gpu_is_a_warning_because_its_sensors_are_of_the_whole_board(gpus, monkeypatch):
    gpus(gpus.board())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5c4e")
    assert one_of(measured(0.2).warnings, "MIG")


def test_a_run_on_a_slice_of_a_gpu_is_warned(gpus):
    sliced = replace(model_facts(device="cuda:0"), device_uuids=("MIG-5c4e",))
    environment = EnvironmentSnapshot(gpus=[GpuInfo(index=0, uuid="GPU-1", mig_enabled=True)])
    result = summarise(
        measurement([batch(OPENED_S)], devices=[gpu_energy(1, 60.0)], model=sliced, environment=environment)
    )
    assert result.total_energy_j == 60.0
    assert one_of(result.measurement_warnings, "MIG slices")


def run(power_w, **baseline):
    meter = Replay(counter_trace(power_w, seconds=60.0, tick_s=0.01), kind="cpu", limit_w=300.0)
    config = tiny_config(baseline=baseline)
    return harness.run(config, UserConfig(), Silent(), meter=meter).result


def test_idle_power_that_is_not_steady_is_a_warning_with_the_figure():
    result = run(lambda at_s: 100.0 if at_s % 2.0 < 1.0 else 200.0, duration_seconds=1.5)
    for name, power_w, spread_w in (
        ("loaded", result.baseline_power_w, result.baseline_power_spread_w),
        ("bare", result.idle_power_w, result.idle_power_spread_w),
    ):
        (said,) = one_of(result.measurement_warnings, rf"Idle power \({name}\) was not steady")
        assert f"{power_w:.1f} ± {spread_w:.1f} W" in said


def test_a_baseline_that_is_switched_off_is_left_out_and_the_result_says_so():
    result = run(100.0, enabled=False)
    unknown = (result.baseline_power_w, result.idle_power_w, result.energy_adjusted_j)
    assert unknown == (None, None, None)
    assert result.total_energy_j is not None
    assert one_of(result.measurement_warnings, r"baseline\.enabled: false; energy is gross")
