"""The power sensors of boards: the field that is read, and what a calibration of the board changes."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from recorded import ReadAlready, counter_trace

from llenergymeasure import measure_energy
from llenergymeasure.energy.calibration.stored import Calibration, Scale, calibration_path, save_calibration
from llenergymeasure.energy.meters import nvml_power
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.nvml_power import NvmlPower
from llenergymeasure.energy.power_sensors import (
    BoardCalibration,
    board_lines,
    counted_board,
    find_calibration,
    sampled_board,
)
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.nvml import Board

ALL_FIELDS = ("instant", "average", "draw")
NOT_CALIBRATED = BoardCalibration()
SCALE = Scale(gain=1.5, offset_w=10.0, gain_error=0.01, offset_error_w=2.0)
LENGTH_S, WINDOW_S = 10.0, (2.0, 8.0)
DRIVER = "580.00"


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def board(name, fields=ALL_FIELDS, driver=DRIVER):
    return Board("GPU-1", 0, name, 700.0, True, fields, False, driver)


def calibrated(**changes):
    fields = {
        "calibration_uuid": "GPU-1",
        "measured_at": datetime(2026, 11, 30, tzinfo=UTC),
        "board": "A board",
        "driver": DRIVER,
        "field": "instant",
        "period_s": 0.1,
        "window_s": 0.1,
        "lag_s": 0.02,
        "shape": "boxcar",
        "power_is_part_time": False,
        "counter_is_part_time": False,
        "idle_noise_w": 1.0,
    }
    return Calibration(**(fields | changes))


L40S, H200 = board("NVIDIA L40S"), board("NVIDIA H200")


@pytest.mark.parametrize(
    ("names", "poll_s", "repeat_s"),
    [
        (["NVIDIA L40S"], 0.01, 0.05),
        (["Tesla P100"], 0.005, 0.01),
        (["NVIDIA L40S", "Tesla P100"], 0.005, 0.01),
        (["A board of next year"], 0.005, 0.01),
    ],
)
def test_power_that_is_the_source_is_read_every_tenth_of_its_period(monkeypatch, names, poll_s, repeat_s):
    specs = []
    monkeypatch.setattr(nvml_power, "SamplerProcess", specs.append)
    NvmlPower([replace(board(name), uuid=name) for name in names], 10.0)
    (spec,) = specs
    assert (spec["options"]["power_every_s"], spec["repeat_s"]) == (pytest.approx(poll_s), pytest.approx(repeat_s))
    assert spec["options"]["sampling_hz"] == 10.0


@pytest.mark.parametrize(
    ("name", "fields", "driver", "read"),
    [
        ("NVIDIA GeForce RTX 3090", ALL_FIELDS, "580.00", "instant"),
        ("NVIDIA L40S", ("draw",), "530.30", "draw"),
        ("NVIDIA H100 80GB HBM3", ALL_FIELDS, "580.00", "average"),
        ("NVIDIA H200", ("instant", "draw"), "580.00", "draw"),
        ("NVIDIA A100-PCIE-40GB", ALL_FIELDS, "535.54", "instant"),
        ("Tesla V100-SXM2-16GB", ("draw",), None, "draw"),
        ("Tesla K40m", ALL_FIELDS, None, "draw"),
        ("A board of next year", ALL_FIELDS, "999.1", "instant"),
    ],
)
def test_where_power_is_the_source_the_field_is_read_that_sees_most_of_the_time(name, fields, driver, read):
    _, field = sampled_board(board(name, fields, driver), NOT_CALIBRATED, scaled=True)
    assert field == read


def test_beside_a_counter_the_instantaneous_field_is_read_whatever_it_sees():
    device = counted_board(board("NVIDIA H100 80GB HBM3"), NOT_CALIBRATED, scaled=True)
    assert (device.sensor.window_s, device.counter_is_part_time, device.calibration) == (0.025, None, None)
    assert counted_board(board("Tesla V100", ("draw",)), NOT_CALIBRATED, scaled=True).sensor is None


def test_a_calibrated_field_has_the_model_that_was_measured_and_is_read_where_it_sees_more():
    known = BoardCalibration(calibrated(window_s=0.1))
    device, field = sampled_board(board("NVIDIA H100 80GB HBM3"), known, scaled=True)
    assert (field, device.sensor.source, device.sensor.window_s, device.sensor.lag_s) == (
        "instant",
        "measured",
        0.1,
        0.02,
    )
    assert device.calibration.used == ["sensor"]
    assert "as calibrated on 2026-11-30" in device.notes[0]


def test_the_calibration_of_another_field_changes_nothing():
    known = BoardCalibration(
        calibrated(window_s=0.025, power_scale=Scale(gain=1.1, offset_w=2.0, gain_error=0.01, offset_error_w=1.0))
    )
    device, field = sampled_board(board("NVIDIA H100 80GB HBM3"), known, scaled=True)
    assert (field, device.scale, device.calibration) == ("average", None, None)


@pytest.mark.parametrize(
    ("known", "last"),
    [
        (NOT_CALIBRATED, "not calibrated; llem calibrate --gpu 0 finds its sensors out"),
        (BoardCalibration(calibrated()), "calibrated on 2026-11-30 00:00 UTC"),
        (BoardCalibration(not_used="The calibration is broken."), "The calibration is broken."),
    ],
    ids=["not calibrated", "calibrated", "not used"],
)
def test_doctor_shows_the_fields_of_a_board_the_one_that_is_read_first_and_its_calibration(known, last):
    lines = board_lines(board("NVIDIA H100 80GB HBM3", ("instant", "average")), known)
    measured = known.calibration is not None
    assert [line.split(",")[0] for line in lines[:2]] == [f"field {name}" for name in (
        ("instant", "average") if measured else ("average", "instant")
    )]  # fmt: skip
    assert ("(as calibrated on 2026-11-30)" in lines[0]) == measured
    assert lines[-1] == last


def test_a_calibration_with_another_driver_is_not_used_and_the_reason_is_a_remark():
    save_calibration(calibrated(driver="535.54"))
    found = find_calibration(board("NVIDIA L40S"))
    assert found.calibration is None
    assert found.not_used == (
        "The calibration of GPU-1 was made with driver 535.54 and is not used with 580.00: what its fields mean may "
        "have changed; run llem calibrate again."
    )


def test_a_calibration_that_cannot_be_read_is_a_remark_and_the_board_is_read_without_it():
    save_calibration(calibrated())
    calibration_path("GPU-1").write_text("{")
    known = find_calibration(L40S)
    assert known.calibration is None
    assert "The calibration of GPU-1 is not used: " in known.not_used
    assert "llem calibrate --gpu GPU-1" in known.not_used
    for device in (counted_board(L40S, known, scaled=True), sampled_board(L40S, known, scaled=True)[0]):
        assert device.notes[-1] == known.not_used
        assert (device.sensor.source, device.calibration) == ("table", None)


def counted(of, known=NOT_CALIBRATED, *, scaled=True):
    """A closed meter of a counter at 400 W, and of the power beside it."""
    samples = counter_trace(400.0, seconds=LENGTH_S, tick_s=0.1, device="GPU-1").samples("GPU-1")
    powers = [SensorSample("GPU-1", at / 50, at / 50, power_w=400.0 - at % 5) for at in range(int(LENGTH_S * 50))]
    feed = ReadAlready(sorted([*samples, *powers], key=lambda sample: sample.before_s))
    meter = CounterMeter("nvml_counter", [counted_board(of, known, scaled=scaled)], feed, 0.13, pace_s=0.02)
    with meter:
        pass
    return meter


def sampled(of, known=NOT_CALIBRATED, share=None):
    """A closed meter of power at about 400 W."""
    powers = [SensorSample("GPU-1", at / 100, at / 100, power_w=400.0 - at // 10 % 3) for at in range(1000)]
    meter = NvmlPower([of], 10.0, share, feed=ReadAlready(powers), calibrations={"GPU-1": known})
    with meter:
        pass
    return meter


def test_a_calibrated_scale_corrects_energy_bounds_and_rows_of_the_counter_and_of_power():
    known = BoardCalibration(calibrated(lag_s=0.0, power_scale=SCALE, counter_scale=SCALE))
    for make in (counted, sampled):
        meter, raw = make(L40S, known), make(L40S)
        (device,), (before,) = meter.energy(*WINDOW_S), raw.energy(*WINDOW_S)
        assert device.energy_j == pytest.approx(1.5 * before.energy_j + 10.0 * 6.0)
        assert device.edge_j == pytest.approx(1.5 * before.edge_j)
        assert device.gain_j == pytest.approx(0.01 * device.energy_j + 2.0 * 6.0)
        assert device.calibration.used[-1] == "scale"
        assert max(row.gpu_power_w or 0.0 for row in meter.samples(*WINDOW_S)) == pytest.approx(610.0, rel=0.05)


def test_a_share_that_the_user_states_stands_before_a_calibrated_scale():
    known = BoardCalibration(calibrated(power_scale=SCALE))
    (device,), (before,) = sampled(L40S, known, share=0.02).energy(*WINDOW_S), sampled(L40S).energy(*WINDOW_S)
    assert device.energy_j == pytest.approx(before.energy_j, rel=1e-3)
    assert device.gain_j == pytest.approx(0.02 * device.energy_j)
    assert device.calibration.used == ["sensor"]


def test_the_joules_that_a_run_keeps_while_it_goes_on_are_corrected_too():
    published = []
    counted(L40S, BoardCalibration(calibrated(counter_scale=SCALE))).publish_to(published.append)
    ((last,),) = published
    assert last.energy_j == pytest.approx(1.5 * 400.0 * last.at_s + 10.0 * last.at_s, rel=0.05)


def test_a_board_without_a_power_limit_has_its_bound_from_what_was_seen():
    (watch,) = sampled(replace(L40S, limit_w=None)).watch(*WINDOW_S)
    assert [note for note in watch.notes if "4 times the highest power that was seen, 1600 W" in note]


def test_what_the_counter_of_a_part_time_board_integrates_is_a_remark_until_it_is_calibrated():
    (device,), (watch,) = (read(*WINDOW_S) for read in (counted(H200).energy, counted(H200).watch))
    assert "Counter and power of GPU-1 are not compared: the power sensor sees 25 of every 100 ms." in watch.notes
    assert [note for note in watch.notes if "nobody has published it, and llem calibrate finds it out" in note]
    assert (device.coverage_j, watch.power_integral_j) == (None, None)
    for part_time in (False, True):
        meter = counted(H200, BoardCalibration(calibrated(window_s=0.025, counter_is_part_time=part_time)))
        (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
        assert (device.coverage_j is not None) == part_time
        assert [note for note in watch.notes if "nobody has published it" in note] == []
        assert device.calibration.used == ["sensor", "counter"]


def test_a_load_that_beats_with_a_part_time_sensor_is_a_remark_on_the_counter():
    meter = counted(H200)
    meter.expect_periods((0.05, 0.73))
    (watch,) = meter.watch(*WINDOW_S)
    (note,) = [note for note in watch.notes if "beats" in note]
    assert note.startswith("The load repeats every 50 ms, which beats with that sensor")
    meter.expect_periods((0.73,))
    assert [note for note in meter.watch(*WINDOW_S)[0].notes if "beats" in note] == []


def test_power_of_a_full_time_sensor_is_compared_with_the_counter_on_the_counters_scale():
    for known in (NOT_CALIBRATED, BoardCalibration(calibrated(counter_scale=SCALE))):
        meter = counted(L40S, known)
        (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
        assert watch.power_integral_j == pytest.approx(device.energy_j, rel=0.02)
        assert watch.power_integral_bound_j > 0


def test_a_result_says_from_which_calibration_its_energy_is_and_when(gpus):
    gpus(gpus.board(400.0))
    save_calibration(calibrated(counter_scale=SCALE))
    with measure_energy(source="nvml_counter") as window:
        time.sleep(0.2)
    assert window.energy_j == pytest.approx(610.0 * window.duration_s, rel=0.3)
    assert window.found.to_dict()["calibration"] == {
        "measured_at": "2026-11-30T00:00:00Z", "used": ["sensor", "counter", "scale"]
    }  # fmt: skip
