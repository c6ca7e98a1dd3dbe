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
from llenergymeasure.metrics.energy import ReportedDevices, run_energy
from llenergymeasure.metrics.verdict import verdict

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
    device, field = counted_board(board("NVIDIA H100 80GB HBM3"), NOT_CALIBRATED, scaled=True)
    assert (field, device.sensor.window_s, device.counter_is_part_time, device.calibration) == (
        "instant",
        0.025,
        None,
        None,
    )


def test_beside_the_counter_of_a_board_without_instantaneous_power_the_field_that_sees_most_is_read():
    device, field = counted_board(board("Tesla V100", ("draw",)), NOT_CALIBRATED, scaled=True)
    assert (field, device.sensor.window_s) == ("draw", 0.010)
    device, field = counted_board(board("NVIDIA H100", ("average", "draw")), NOT_CALIBRATED, scaled=True)
    assert (field, device.sensor.window_s) == ("average", 1.0)
    device, field = counted_board(board("NVIDIA H100", ()), NOT_CALIBRATED, scaled=True)
    assert (field, device.sensor) == (None, None)


def test_a_field_that_was_found_to_be_part_time_is_read_beside_the_counter_in_place_of_the_instantaneous_one():
    known = BoardCalibration(calibrated(field="draw", window_s=0.025, power_is_part_time=True))
    device, field = counted_board(L40S, known, scaled=True)
    assert (field, device.sensor.window_s, device.calibration.used) == ("draw", 0.025, ["sensor", "counter"])


def test_a_part_time_sensor_whose_window_was_not_found_is_not_taken_for_the_tables():
    known = BoardCalibration(calibrated(period_s=0.1176, window_s=None, shape=None, power_is_part_time=True))
    device, field = sampled_board(L40S, known, scaled=True)
    assert field == "average"  # it sees all of the time
    device, field = sampled_board(board("NVIDIA L40S", ("instant",)), known, scaled=True)
    assert (device.sensor.period_s, device.sensor.window_s, device.sensor.source) == (0.1176, 0.0, "measured")
    assert "the mean of an unknown part of them (as calibrated on 2026-11-30)" in device.notes[0]
    assert board_lines(L40S, known)[-2].startswith("field instant, a value every 117.6 ms, the mean of an unknown part")
    (found,) = sampled(board("NVIDIA L40S", ("instant",)), BoardCalibration(known.calibration.model_copy(
        update={"period_s": 0.1}
    ))).energy(*WINDOW_S)  # fmt: skip
    assert found.coverage_j >= 6.0 * 400.0
    assert found.sensor.seen == "an unknown part of every 100 ms"
    assert found.calibration.used == ["sensor"]


@pytest.mark.parametrize(
    ("found", "window_s", "source"),
    [
        ({"power_is_part_time": False, "shape": "low_pass"}, 0.1, "table"),
        ({"power_is_part_time": None}, 0.1, "table"),
        ({"power_is_part_time": None, "period_s": 0.2}, 0.05, "assumed"),
        ({"power_is_part_time": True, "period_s": None}, 0.0, "measured"),
    ],
    ids=["low-pass", "nothing known", "another period", "part-time of no period"],
)
def test_a_sensor_without_a_window_has_the_tables_model_unless_that_is_of_another_sensor(found, window_s, source):
    known = BoardCalibration(calibrated(**{"window_s": None, "shape": None} | found))
    device, _ = counted_board(L40S, known, scaled=True)
    assert (device.sensor.window_s, device.sensor.source) == (pytest.approx(window_s), source)
    assert device.sensor.period_s == (found.get("period_s") or 0.1)


def test_a_full_time_sensor_whose_window_was_not_found_is_still_read_as_the_tables_part_time_one():
    known = BoardCalibration(calibrated(window_s=None, shape="low_pass", power_is_part_time=False))
    device, _ = counted_board(H200, known, scaled=True)
    assert (device.sensor.is_part_time, device.sensor.source) == (True, "table")


def test_a_lag_that_was_not_found_is_named_where_the_calibration_is():
    device, _ = sampled_board(L40S, BoardCalibration(calibrated(lag_s=None)), scaled=True)
    assert "(as calibrated on 2026-11-30, its lag not found and taken as 0)" in device.notes[0]


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
        calibrated(
            window_s=0.025,
            power_is_part_time=True,
            power_scale=Scale(gain=1.1, offset_w=2.0, gain_error=0.01, offset_error_w=1.0),
        )
    )
    device, field = sampled_board(board("NVIDIA H100 80GB HBM3"), known, scaled=True)
    assert (field, device.scale, device.calibration) == ("average", None, None)


@pytest.mark.parametrize(
    ("known", "last"),
    [
        (NOT_CALIBRATED, "not calibrated; llem calibrate --gpu 0 finds its sensors out"),
        (BoardCalibration(calibrated()), "calibrated on 2026-11-30 00:00 UTC"),
        (
            BoardCalibration(calibrated(counter_is_part_time=True)),
            "calibrated on 2026-11-30 00:00 UTC; its energy counter misses a part of the time",
        ),
        (BoardCalibration(not_used="The calibration is broken."), "The calibration is broken."),
    ],
    ids=["not calibrated", "calibrated", "part-time counter", "not used"],
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
    for device, _ in (counted_board(L40S, known, scaled=True), sampled_board(L40S, known, scaled=True)):
        assert device.notes[-1] == known.not_used
        assert (device.sensor.source, device.calibration) == ("table", None)


def counted(of, known=NOT_CALIBRATED, *, scaled=True, power=True, value_s=0.1):
    """A closed meter of a counter at 400 W, and of the power beside it, a new value every `value_s`."""
    samples = counter_trace(400.0, seconds=LENGTH_S, tick_s=0.1, device="GPU-1").samples("GPU-1")
    powers = [
        SensorSample("GPU-1", at / 50, at / 50, power_w=400.0 - at // round(value_s * 50) % 3)
        for at in range(int(LENGTH_S * 50))
    ]
    feed = ReadAlready(sorted([*samples, *(powers if power else [])], key=lambda sample: sample.before_s))
    device, _ = counted_board(of, known, scaled=scaled)
    meter = CounterMeter("nvml_counter", [device], feed, 0.13, pace_s=0.02)
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
        found = calibrated(window_s=0.025, power_is_part_time=True, counter_is_part_time=part_time)
        meter = counted(H200, BoardCalibration(found))
        (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
        assert (device.coverage_j is not None) == part_time
        assert [note for note in watch.notes if "nobody has published it" in note] == []
        assert device.calibration.used == ["sensor", "counter"]


@pytest.mark.parametrize(
    ("of", "found"),
    [
        (L40S, {"field": "draw", "window_s": 0.025, "power_is_part_time": True}),
        (L40S, {"window_s": None, "power_is_part_time": True}),
        (L40S, {"window_s": None, "power_is_part_time": True, "period_s": None}),
        (L40S, {"window_s": None, "power_is_part_time": None}),
        (L40S, {}),
        (board("NVIDIA L40S", ("draw",)), {"field": "draw", "window_s": 0.025, "power_is_part_time": True}),
        (board("NVIDIA L40S", ()), {"window_s": 0.025, "power_is_part_time": True}),
    ],
    ids=["draw", "no window", "no period", "nothing", "full-time power", "draw alone", "no power"],
)
def test_a_counter_that_was_found_to_be_part_time_is_never_without_its_coverage(of, found):
    meter = counted(of, BoardCalibration(calibrated(**{"counter_is_part_time": True} | found)))
    (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
    assert device.coverage_j >= 0.75 * 6.0 * 400.0
    assert "counter" in device.calibration.used
    assert [note for note in watch.notes if "was found to integrate the values of a sensor that sees " in note]
    word, reasons = verdict(run_energy([device], ReportedDevices(True), "nvml_counter"))
    assert (word, len(reasons)) == ("invalid", 1)


def test_a_part_time_counter_beside_which_no_power_was_read_is_sure_to_the_most_that_the_board_draws():
    known = BoardCalibration(calibrated(window_s=0.025, power_is_part_time=True, counter_is_part_time=True))
    (device,) = counted(H200, known, power=False).energy(*WINDOW_S)
    assert device.coverage_j == pytest.approx(1.1 * 700.0 * 6.0)


def test_a_draw_field_alone_that_is_part_time_is_a_remark_on_the_counter_of_an_uncalibrated_board():
    (watch,) = counted(board("Tesla V100", ("draw",))).watch(*WINDOW_S)
    assert [note for note in watch.notes if "may integrate the values of that sensor alone" in note]


def test_a_counter_and_power_that_are_not_compared_because_power_is_late_are_a_remark():
    meter = counted(L40S, BoardCalibration(calibrated(lag_s=1.5)))
    for end_s, compared in ((8.0, True), (9.0, False)):
        (watch,) = meter.watch(2.0, end_s)
        assert (watch.power_integral_j is not None) == compared
        assert bool([note for note in watch.notes if "and the 1500 ms by which it is late" in note]) != (compared)


def test_a_calibration_whose_sensor_gives_values_at_other_times_is_not_said_to_be_used():
    known = BoardCalibration(calibrated(period_s=0.05, window_s=0.05, power_scale=SCALE))
    (device,) = sampled(L40S, known).energy(*WINDOW_S)
    assert (device.sensor.source, device.calibration.used) == ("assumed", ["scale"])
    (device,) = sampled(L40S, BoardCalibration(calibrated(period_s=0.05, window_s=0.05))).energy(*WINDOW_S)
    assert (device.sensor.source, device.calibration) == ("assumed", None)


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


def test_a_part_time_counter_of_a_board_with_plain_power_alone_has_the_coverage_of_that_field(gpus):
    gpus(gpus.board(400.0, name="NVIDIA A100-SXM4-80GB", no_instant=True))
    save_calibration(calibrated(field="draw", window_s=0.025, power_is_part_time=True, counter_is_part_time=True))
    with measure_energy(source="nvml_counter") as window:
        time.sleep(0.3)
    assert (window.found.sensor.seen, window.found.sensor.source) == ("25 of every 100 ms", "measured")
    assert window.found.energy_uncertainty.coverage_j > 0.5 * window.energy_j
    assert window.verdict == "invalid"


def test_power_that_a_calibration_found_to_be_late_is_waited_for_and_compared_with_the_counter(gpus):
    gpus(gpus.board(400.0, name="NVIDIA L40S"))
    save_calibration(calibrated(lag_s=0.5))
    with measure_energy(source="nvml_counter") as window:
        time.sleep(0.3)
    assert window.found.energy_uncertainty.disagreement_j is not None


@pytest.mark.parametrize("known", [NOT_CALIBRATED, BoardCalibration(calibrated(counter_is_part_time=None))])
def test_power_whose_values_come_at_other_times_than_expected_is_not_compared_with_the_counter(known):
    meter = counted(L40S, known, value_s=0.06)
    (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
    assert (device.sensor.source, device.calibration, watch.power_integral_j) == ("assumed", None, None)
    for words in ("gives a new power every 60 ms", "are not compared: the power sensor is taken to", "may integrate"):
        assert [note for note in watch.notes if words in note]
