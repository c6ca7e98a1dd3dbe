"""The sensor of a result, what it does not see, and the calibration: on figures worked out by hand."""

from datetime import timedelta

import pytest
from measurements import OPENED_AT, gpu_energy, make_part, measurement, merged, nth_batch

from llenergymeasure.cli.presentation import print_result
from llenergymeasure.domain.figures import EnergyUncertainty, PowerSensor, UsedCalibration
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.metrics.energy import ReportedDevices, run_energy
from llenergymeasure.metrics.summary import summarise
from llenergymeasure.metrics.verdict import verdict

PART_TIME = PowerSensor(period_ms=100.0, window_ms=25.0, shape="boxcar", source="table")
FULL_TIME = PowerSensor(period_ms=100.0, window_ms=100.0, shape="boxcar", source="table")
LOW_PASS = PowerSensor(period_ms=15.0, window_ms=60.0, shape="low_pass", source="table")
CALIBRATION = UsedCalibration(measured_at=OPENED_AT, used=["sensor", "scale"])
DIFFER = "The devices of the total differ in their {}, so the result has none; see device_energy."


def on_gpu(number, energy_j=100.0, **fields):
    return make_part(number, gpu=number, devices=[gpu_energy(number, energy_j, edge_j=0.1, **fields)])


def energy_of(*devices):
    return run_energy(devices, ReportedDevices(True), "nvml_power")


def test_a_run_without_energy_is_printed_with_the_reason_once(capsys):
    print_result(make_part(0), None)
    printed = " ".join(capsys.readouterr().out.split())
    assert "energy/output token unknown (so is the energy)" in printed
    assert printed.count("energy is unknown: ") == 1


@pytest.mark.parametrize(("coverage_j", "word"), [(0.0, "valid"), (3.0, "valid"), (3.1, "invalid")])
def test_what_a_sensor_missed_makes_an_energy_invalid_where_it_is_over_three_percent(coverage_j, word):
    device = gpu_energy(0, 100.0, edge_j=0.1, coverage_j=coverage_j, sensor=PART_TIME)
    found, reasons = verdict(energy_of(device))
    assert found == word
    assert reasons == ([] if word == "valid" else [
        "the sensor sees 25 of every 100 ms: what it missed is sure to ±3.1 J, 3.1% of the energy, over 3%"
    ])  # fmt: skip


def test_a_sensor_that_is_never_blind_but_uneven_is_named_as_one():
    _, (reason,) = verdict(energy_of(gpu_energy(0, 100.0, edge_j=0.1, coverage_j=5.0, sensor=LOW_PASS)))
    assert reason.startswith("the sensor weighs some moments more than others, and may misjudge a load that repeats in")


def test_the_bound_of_a_result_has_what_its_sensor_missed_and_the_devices_are_added():
    devices = [gpu_energy(number, 100.0, edge_j=1.0, coverage_j=2.0, gain_j=3.0) for number in (0, 1)]
    energy = energy_of(*devices)
    assert energy.uncertainty == EnergyUncertainty(edge_j=2.0, coverage_j=4.0, gain_j=6.0)
    assert energy.bound_j == 12.0
    assert [device.bound_j for device in devices] == [6.0, 6.0]


def test_a_phase_has_what_its_sensor_missed_in_its_bound():
    phases = {
        "prefill": [gpu_energy(0, 10.0, edge_j=1.0, coverage_j=4.5)],
        "decode": [gpu_energy(0, 90.0, edge_j=1.0, coverage_j=9.0, gain_j=9.0)],
    }
    found = summarise(measurement([nth_batch(0)], devices=[gpu_energy(0, 100.0)], on="cuda:0", energy=phases))
    assert (found.energy_prefill_j, found.energy_decode_uncertainty_j) == (None, 19.0)


def test_the_parts_that_sensors_of_several_processes_missed_are_added():
    result = merged(on_gpu(0, coverage_j=2.0), on_gpu(1, coverage_j=3.0))
    assert result.energy_uncertainty.coverage_j == 5.0
    assert merged(on_gpu(0), on_gpu(1)).energy_uncertainty.coverage_j is None


def test_devices_with_one_sensor_and_calibration_give_them_to_the_result():
    both = {"sensor": FULL_TIME, "calibration": CALIBRATION}
    results = [on_gpu(0, **both), merged(on_gpu(0, **both), on_gpu(1, **both))]
    for result in results:
        assert (result.sensor, result.calibration) == (FULL_TIME, CALIBRATION)
        assert [warning for warning in result.measurement_warnings if "differ in their" in warning] == []


def test_devices_that_differ_leave_the_result_without_a_sensor_or_calibration_and_a_warning_says_so():
    other = UsedCalibration(measured_at=OPENED_AT + timedelta(days=1), used=["sensor"])
    first, second = {"sensor": FULL_TIME, "calibration": CALIBRATION}, {"sensor": PART_TIME, "calibration": other}
    devices = [gpu_energy(0, 50.0, **first), gpu_energy(1, 50.0, **second)]
    of_one = summarise(measurement([nth_batch(0)], devices=devices, on="cuda:0"))
    of_two = merged(on_gpu(0, **first), on_gpu(1, **second))
    for result in (of_one, of_two):
        assert (result.sensor, result.calibration) == (None, None)
        assert [device.sensor for device in result.device_energy] == [FULL_TIME, PART_TIME]
        for field in ("sensor", "calibration"):
            assert DIFFER.format(field) in result.measurement_warnings


def test_counter_and_power_are_apart_only_by_what_the_powers_own_bound_leaves():
    def warned(bound_j):
        watch = DeviceWatch("GPU-0", ticks=99, power_integral_j=90.0, power_integral_bound_j=bound_j)
        parts = {"devices": [gpu_energy(0, 100.0)], "energy": {"watches": [watch]}}
        found = summarise(measurement([nth_batch(0)], on="cuda:0", **parts))
        assert found.energy_uncertainty.disagreement_j == 10.0
        return [warning for warning in found.measurement_warnings if "apart" in warning]

    assert warned(7.5) == []
    (warning,) = warned(6.5)
    assert "90 J, sure to ±6.5 J; they are 10.0% apart, over 3%" in warning


def test_the_sensor_and_the_calibration_are_shown_to_the_reader(capsys):
    print_result(on_gpu(0, sensor=PART_TIME, calibration=CALIBRATION), None)
    shown = " ".join(capsys.readouterr().out.split())
    assert "power sensor a value every 100 ms, the mean of the last 25 ms (table)" in shown
    assert f"calibration {OPENED_AT:%Y-%m-%d %H:%M} UTC (sensor, scale)" in shown
