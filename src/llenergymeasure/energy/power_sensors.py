"""The power sensors of boards: which field of power is read of each, by which model, and what a calibration changes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from labledger.errors import UnreadableFileError
from llenergymeasure.domain.figures import PowerSensor, UsedCalibration
from llenergymeasure.energy.calibration.stored import Calibration, load_calibration
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensor_phase import SEARCHED_SHARE
from llenergymeasure.energy.sensors.nvml import Board
from llenergymeasure.energy.sensors.nvml_models import UNKNOWN, PowerQuantity, sensor_model

SENSOR = "sensor"
"""The part of a calibration that is the model of the power sensor, as `used` names it."""

ORIGINS = {
    "table": "by published measurements of such boards",
    "measured": "as calibrated",
    "assumed": "assumed: no measurement of such a board is published",
}


class BoardCalibration(NamedTuple):
    """The calibration of a board that is used; None, with the reason where there is one that cannot be."""

    calibration: Calibration | None = None
    not_used: str | None = None


Calibrations = Mapping[str, BoardCalibration]
"""By the UUID of the board."""


class FieldSensor(NamedTuple):
    """A field of power of a board, and the model of the sensor behind it."""

    field: PowerQuantity
    model: SensorModel


def field_sensors(board: Board, calibration: Calibration | None) -> list[FieldSensor]:
    """Return the fields that a board answers, the one that sees most first: each value the mean of its own period, then
    means of more than that, then part-time ones, and last those of which nobody knows what they see. A calibration
    stands before the table for the field that it is of."""
    found = [FieldSensor(field, _model(board, field, calibration)) for field in board.power_fields]
    return sorted(found, key=lambda each: _rank(each.model))


def _model(board: Board, field: PowerQuantity, calibration: Calibration | None) -> SensorModel:
    """Return the model that was measured, as far as it was; the table's has no say on a sensor of another period."""
    table = sensor_model(board.name, field, board.driver)
    if calibration is None or calibration.field != field:
        return table
    period_s = calibration.period_s or table.period_s
    if calibration.sensor is None and calibration.power_is_part_time:
        return SensorModel(period_s, 0.0, source="measured")
    if calibration.sensor is None and abs(period_s / table.period_s - 1) > SEARCHED_SHARE:
        return replace(UNKNOWN, period_s=period_s, window_s=period_s * UNKNOWN.window_s / UNKNOWN.period_s)
    return calibration.sensor or table


def _rank(model: SensorModel) -> int:
    if model.is_part_time:
        return 3 if model.source == "assumed" or model.window_s == 0 else 2
    return 1 if model.window_s > model.period_s or model.shape == "low_pass" else 0


def sensor_beside_counter(board: Board, calibration: Calibration | None) -> FieldSensor | None:
    """Return the field of power that is read beside a counter; None where the board has none.

    It is the one that a calibration found to be part-time, for its values are those that the counter may integrate;
    else the instantaneous one; else the one that sees most.
    """
    fields = field_sensors(board, calibration)
    measured = [each for each in fields if each.model.source == "measured" and each.model.is_part_time]
    instant = [each for each in fields if each.field == "instant"]
    return next(iter([*measured, *instant, *fields]), None)


def sampled_board(board: Board, known: BoardCalibration, *, scaled: bool) -> tuple[MeteredDevice, PowerQuantity]:
    """Return a board whose power is the source, and the field to read; its scale is corrected if `scaled`."""
    field, model = field_sensors(board, known.calibration)[0]
    calibration = known.calibration if known.calibration and known.calibration.field == field else None
    scale = calibration.power_scale if calibration and scaled else None
    note = f"The power of {board.uuid} is sampled: {described(field, model, calibration)}."
    device = MeteredDevice(
        board.uuid,
        "gpu",
        board.index,
        board.limit_w,
        sensor=model,
        scale=scale,
        calibration=_used(calibration, sensor=model.source == "measured", scale=scale is not None),
        notes=(note, *_not_used(known)),
    )
    return device, field


def counted_board(board: Board, known: BoardCalibration, *, scaled: bool) -> tuple[MeteredDevice, PowerQuantity | None]:
    """Return a board whose counter is the source, and the field of its power to read beside it."""
    calibration = known.calibration
    beside = sensor_beside_counter(board, calibration)
    sensor = beside.model if beside is not None else None
    scale = calibration.counter_scale if calibration and scaled else None
    part_time = calibration.counter_is_part_time if calibration else None
    device = MeteredDevice(
        board.uuid,
        "gpu",
        board.index,
        board.limit_w,
        sensor=sensor,
        scale=scale,
        counter_is_part_time=part_time,
        calibration=_used(
            calibration,
            sensor=sensor is not None and sensor.source == "measured",
            counter=part_time is not None,
            scale=scale is not None,
        ),
        notes=_not_used(known),
    )
    return device, beside.field if beside is not None else None


def board_lines(board: Board, known: BoardCalibration) -> list[str]:
    """Return the lines of `llem doctor` on a board's power sensor: each field, the best first, and the calibration."""
    calibration = known.calibration
    lines = [described(*each, calibration) for each in field_sensors(board, calibration)] or ["reports no power"]
    if known.not_used is not None:
        return [*lines, known.not_used]
    if calibration is None:
        return [*lines, f"not calibrated; llem calibrate --gpu {board.index} finds its sensors out"]
    counter = "; its energy counter misses a part of the time" if calibration.counter_is_part_time else ""
    return [*lines, f"calibrated on {calibration.measured_at:%Y-%m-%d %H:%M} UTC{counter}"]


def described(field: PowerQuantity, model: SensorModel, calibration: Calibration | None) -> str:
    """Return a field and its sensor in words, as `instant, a value every 100 ms, the mean of the last 25 ms (...)`."""
    origin = ORIGINS[model.source]
    if model.source == "measured" and calibration is not None:
        origin += f" on {calibration.measured_at:%Y-%m-%d}"
        origin += ", its lag not found and taken as 0" if calibration.lag_s is None else ""
    return f"field {field}, {as_figures(model).described} ({origin})"


def as_figures(model: SensorModel) -> PowerSensor:
    """Return a model as a result holds it; a window of 0 is one that is not known."""
    window_ms = model.window_s * 1e3 if model.window_s else None
    return PowerSensor(period_ms=model.period_s * 1e3, window_ms=window_ms, shape=model.shape, source=model.source)


def sees(model: SensorModel) -> str:
    """Return a part-time sensor's share of the time in words: `sees 25 of every 100 ms`."""
    return f"{'is taken to see' if model.source == 'assumed' else 'sees'} {as_figures(model).seen}"


def find_calibration(board: Board) -> BoardCalibration:
    """Return the calibration of a board; with another driver since, or where its file is broken, it is not used."""
    try:
        found = load_calibration(board.uuid)
    except UnreadableFileError as error:
        why = "; ".join(line.strip() for line in str(error).splitlines())
        return BoardCalibration(not_used=f"The calibration of {board.uuid} is not used: {why}.")
    if found is None or found.driver == board.driver:
        return BoardCalibration(found)
    return BoardCalibration(
        not_used=(
            f"The calibration of {board.uuid} was made with driver {found.driver} and is not used with "
            f"{board.driver}: what its fields mean may have changed; run llem calibrate again."
        )
    )


def _used(calibration: Calibration | None, **parts: bool) -> UsedCalibration | None:
    used = [name for name, taken in parts.items() if taken]
    return UsedCalibration(measured_at=calibration.measured_at, used=used) if calibration and used else None


def without_sensor(calibration: UsedCalibration) -> UsedCalibration | None:
    """Return what is used of a calibration whose sensor's values came otherwise; None where that was all."""
    left = [part for part in calibration.used if part != SENSOR]
    return UsedCalibration(measured_at=calibration.measured_at, used=left) if left else None


def _not_used(known: BoardCalibration) -> tuple[str, ...]:
    return (known.not_used,) if known.not_used else ()
