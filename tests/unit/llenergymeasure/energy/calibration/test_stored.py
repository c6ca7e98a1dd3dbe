"""A calibration as it is kept: whole, by board, and read again or named."""

import json
from datetime import UTC, datetime

import pytest

from labledger.errors import UnreadableFileError
from llenergymeasure.energy.calibration.stored import (
    Calibration,
    Scale,
    calibration_path,
    load_calibration,
    save_calibration,
)
from llenergymeasure.energy.sensor_model import SensorModel

UUID = "GPU-12345678-9abc"
SCALE = Scale(gain=1.05, offset_w=3.0, gain_error=0.01, offset_error_w=1.0)


@pytest.fixture(autouse=True)
def own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def calibration(**fields):
    given = {
        "calibration_uuid": UUID,
        "measured_at": datetime(2026, 11, 30, 9, tzinfo=UTC),
        "board": "NVIDIA H200",
        "driver": "580.00",
        "field": "instant",
        "period_s": 0.1,
        "window_s": 0.025,
        "lag_s": 0.02,
        "shape": "boxcar",
        "power_is_part_time": True,
        "counter_is_part_time": None,
        "idle_noise_w": 0.5,
        "power_scale": SCALE,
    }
    return Calibration(**given | fields)


def test_a_calibration_that_was_saved_is_loaded_again_and_one_of_another_board_is_not():
    saved = calibration()
    path = save_calibration(saved)
    assert path == calibration_path(UUID)
    assert load_calibration(UUID) == saved
    assert load_calibration("GPU-other") is None
    assert load_calibration("../config") is None


def test_a_later_calibration_takes_the_place_of_an_earlier_one():
    save_calibration(calibration())
    save_calibration(calibration(period_s=0.05))
    assert load_calibration(UUID).period_s == 0.05


def test_the_sensor_of_a_calibration_is_known_where_both_period_and_window_were_found():
    assert calibration().sensor == SensorModel(0.1, 0.025, 0.02, "boxcar", "measured")
    assert calibration(window_s=None, power_is_part_time=None).sensor is None
    assert calibration(period_s=None).sensor is None


def test_a_part_time_sensor_whose_window_was_not_found_is_sure_to_see_none_of_the_time():
    assert calibration(window_s=None, shape=None).sensor == SensorModel(0.1, 0.0, 0.02, "boxcar", "measured")
    assert calibration(window_s=None, shape="low_pass", power_is_part_time=False).sensor is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"kind": "llem.cal', "not JSON"),
        ("[]", "expected an object"),
        (f'{{"kind": "llem.calibration", "calibration_uuid": "{UUID}", "period_s": -1}}', "period_s"),
        ('{"kind": "llem.result"}', "is no llem.calibration"),
    ],
)
def test_a_broken_calibration_is_named_with_what_to_do(content, problem):
    save_calibration(calibration())
    calibration_path(UUID).write_text(content)
    with pytest.raises(UnreadableFileError) as error:
        load_calibration(UUID)
    assert str(calibration_path(UUID)) in str(error.value)
    assert problem in str(error.value)
    assert f"llem calibrate --gpu {UUID}" in str(error.value)


def written(**changes):
    """Write a calibration by hand: without a seal, with any values."""
    path = save_calibration(calibration())
    held = json.loads(path.read_text())
    del held["integrity"]
    path.write_text(json.dumps(held | changes))


SCALED = {"gain": 1.0, "offset_w": 0.0, "gain_error": 0.01, "offset_error_w": 1.0}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"calibration_uuid": "GPU-other"}, "holds the calibration of another board"),
        ({"schema_version": "2"}, "schema_version: is 2: this version of labledger reads 1 alone"),
        ({"schema_version": None}, "schema_version: is missing"),
        ({"measured_at": None}, "measured_at: is missing"),
        ({"field": "strange"}, "field: "),
        ({"shape": "strange"}, "shape: "),
        ({"period_s": 1e-9, "window_s": 1e-9}, "period_s: "),
        ({"period_s": 0.0049}, "period_s: "),
        ({"period_s": 5.1}, "period_s: "),
        ({"window_s": 1e-300}, "window_s: "),
        ({"window_s": 10.1, "power_is_part_time": False}, "window_s: "),
        ({"lag_s": -0.06}, "lag_s: "),
        ({"lag_s": 2.1}, "lag_s: "),
        (
            {"power_is_part_time": False},
            "power_is_part_time: is false, and period_s 0.1 and window_s 0.025 say the opp",
        ),
        ({"window_s": 0.1}, "power_is_part_time: is true, and period_s 0.1 and window_s 0.1 say the opposite"),
        ({"power_scale": SCALED | {"gain": 10.0}}, "power_scale.gain: "),
        ({"counter_scale": SCALED | {"gain": 0.49}}, "counter_scale.gain: "),
        ({"counter_scale": SCALED | {"offset_w": -300.0}}, "counter_scale.offset_w: "),
        ({"power_scale": SCALED | {"gain_error": 0.0}}, "power_scale.gain_error: "),
        ({"power_scale": SCALED | {"gain_error": -0.1}}, "power_scale.gain_error: "),
        ({"power_scale": SCALED | {"gain_error": 1e308}}, "power_scale.gain_error: "),
        ({"power_scale": SCALED | {"offset_error_w": 0.0}}, "power_scale.offset_error_w: "),
        ({"power_scale": SCALED | {"offset_error_w": 61.0}}, "power_scale.offset_error_w: "),
    ],
    ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else "",
)
def test_figures_that_no_board_has_or_that_contradict_one_another_are_named_and_not_used(changes, problem):
    written(**changes)
    with pytest.raises(UnreadableFileError) as error:
        load_calibration(UUID)
    assert str(calibration_path(UUID)) in str(error.value)
    assert problem in str(error.value)
    assert f"llem calibrate --gpu {UUID}" in str(error.value)


def test_a_calibration_at_the_limits_is_used():
    written(period_s=5.0, window_s=10.0, lag_s=2.0, power_is_part_time=False, power_scale=SCALED | {"gain": 2.0})
    assert load_calibration(UUID).sensor == SensorModel(5.0, 10.0, 2.0, "boxcar", "measured")
    written(period_s=0.005, window_s=0.001, lag_s=-0.05, power_scale=SCALED | {"gain": 0.5, "offset_w": -60.0})
    assert load_calibration(UUID).sensor.window_s == 0.001


def test_a_calibration_whose_figures_were_changed_by_hand_is_refused():
    path = save_calibration(calibration())
    path.write_text(path.read_text().replace("0.025", "0.050"))
    with pytest.raises(UnreadableFileError, match="was changed"):
        load_calibration(UUID)


def test_a_calibration_that_lacks_figures_keeps_what_it_has():
    path = save_calibration(calibration())
    head = f'"kind": "llem.calibration", "schema_version": "1", "calibration_uuid": "{UUID}"'
    path.write_text(f'{{{head}, "measured_at": "2026-11-30T09:00:00Z", "period_s": 0.1, "news": 1}}')
    found = load_calibration(UUID)
    assert (found.period_s, found.window_s, found.sensor, found.power_scale) == (0.1, None, None, None)


def test_energy_is_corrected_and_bounded_by_gain_and_offset():
    corrected_j = SCALE.corrected_j(1000.0, 10.0)
    assert corrected_j == pytest.approx(1080.0)
    assert SCALE.bound_j(corrected_j, 10.0) == pytest.approx(20.8)
