"""The calibration of a board's sensors, as it is kept: a file per board in the user configuration's folder."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from labledger.documents import Document, check_seal, dump_document, read_document, sealed
from labledger.errors import UnreadableFileError
from labledger.files import write_durably
from labledger.regular_files import read_regular
from labledger.schema_versions import SHOWN_VERSION, OpenWhenRead, Record, Timestamp, is_same_version
from labledger.untrusted_text import clean
from llenergymeasure.config.loading import user_config_path
from llenergymeasure.energy.sensor_model import SensorModel, Shape
from llenergymeasure.energy.sensors.nvml_models import PowerQuantity

CALIBRATION_VERSION = "1"
CELL_S = 0.1
HOLDS = ".holds.json"
UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")

LEAST_GAIN, MOST_GAIN, MAX_GAIN_ERROR, MAX_OFFSET_W = 0.5, 2.0, 1.0, 60.0
"""Beyond these no board is known: published ones are off by 13 % and 20 W."""
GAIN_ERROR, OFFSET_ERROR_W = 0.01, 1.0
"""The error that a straight line through two points leaves on the boards of the published study, beside the noise."""
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.005, 5.0
"""A sensor is polled every 5 ms at the most: a shorter period shows in no value. The longest known is 0.1 s."""
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 0.001, 10.0
EARLIEST_LAG_S, LATEST_LAG_S = -0.05, 2.0

D = TypeVar("D", "Calibration", "Holds")


def _of_this_version(version: str | None) -> str | None:
    if not is_same_version(version, CALIBRATION_VERSION):
        found = "is missing" if version is None else f"is {clean(version, SHOWN_VERSION)}"
        raise ValueError(f"{found}: this version of labledger reads {CALIBRATION_VERSION} alone")
    return version


Version = Annotated[str | None, AfterValidator(_of_this_version)]
"""The version of a file. What another one means by its figures is not known, and joules are not guessed from it."""


class Scale(Record):
    """The reading of an external meter where a sensor reads `x` watts: `gain` times `x`, plus `offset_w`.

    `gain_error` (a share) and `offset_error_w` bound what is left after that correction.
    """

    gain: Annotated[float, Field(ge=LEAST_GAIN, le=MOST_GAIN)]
    offset_w: Annotated[float, Field(ge=-MAX_OFFSET_W, le=MAX_OFFSET_W)]
    gain_error: Annotated[float, Field(ge=GAIN_ERROR, le=MAX_GAIN_ERROR)]
    offset_error_w: Annotated[float, Field(ge=OFFSET_ERROR_W, le=MAX_OFFSET_W)]

    def corrected_j(self, energy_j: float, seconds: float) -> float:
        """Return the meter's energy for the sensor's `energy_j` over `seconds`."""
        return self.gain * energy_j + self.offset_w * seconds

    def bound_j(self, corrected_j: float, seconds: float) -> float:
        """Return the bound of the gain that remains for a corrected energy over `seconds`: the `gain_j` of a result."""
        return self.gain_error * abs(corrected_j) + self.offset_error_w * seconds


class Calibration(Document):
    """The findings of `llem calibrate` on the sensors of one board; None is "not found". Figures that no board can
    have, or that contradict one another, are refused, in a file too.

    `field` is the field of power that was read, `uuid` the board's. The power sensor publishes a value every
    `period_s`, the mean of the `window_s` before (`shape` boxcar) or a low-pass with that time constant, `lag_s` late.
    `power_is_part_time` and `counter_is_part_time` are True where they miss what happens between two windows; a board
    without a counter has None. `idle_noise_w` is the standard deviation of the values that an idle board publishes.

    A run that reads the same `field` of the board uses it so: `sensor` in place of the table's model, where it is not
    None; `power_scale` for energy from sampled power, and `counter_scale` for the counter's (None: no meter was given,
    and what holds for an uncalibrated board stays): energy becomes `corrected_j(energy_j, window_s)`, `gain_j` becomes
    `bound_j(that, window_s)`, and `edge_j` and `coverage_j` are multiplied by `gain`.
    """

    document_kind = "llem.calibration"
    known_by = "calibration_uuid"

    schema_version: Version = CALIBRATION_VERSION
    calibration_uuid: str
    measured_at: Timestamp
    board: str | None
    driver: str | None
    field: PowerQuantity | None
    period_s: Annotated[float, Field(ge=SHORTEST_PERIOD_S, le=LONGEST_PERIOD_S)] | None
    window_s: Annotated[float, Field(ge=SHORTEST_WINDOW_S, le=LONGEST_WINDOW_S)] | None
    lag_s: Annotated[float, Field(ge=EARLIEST_LAG_S, le=LATEST_LAG_S)] | None
    shape: Shape | None
    power_is_part_time: bool | None
    counter_is_part_time: bool | None
    idle_noise_w: Annotated[float, Field(ge=0)] | None
    power_scale: Scale | None = None
    counter_scale: Scale | None = None

    @property
    def uuid(self) -> str:
        """The board's UUID."""
        return self.calibration_uuid

    @property
    def sensor(self) -> SensorModel | None:
        """The model of the power sensor; None where its period was not found, or where its window was not and nothing
        says that it is part-time.

        A full-time sensor without a window is a low-pass whose time constant is not sure: neither its delay nor its
        edges are known, and the table stands.
        """
        if self.period_s is None:
            return None
        if self.window_s is not None and self.shape is not None:
            return SensorModel(self.period_s, self.window_s, self.lag_s or 0.0, self.shape, "measured")
        return (
            SensorModel(self.period_s, 0.0, self.lag_s or 0.0, source="measured") if self.power_is_part_time else None
        )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.measured_at is None:
            raise ValueError("measured_at: is missing")
        sensor, told = self.sensor, self.power_is_part_time
        if sensor is not None and told is not None and told != sensor.is_part_time:
            figures = f"period_s {sensor.period_s:.4g} and window_s {sensor.window_s:.4g}"
            raise ValueError(f"power_is_part_time: is {str(told).lower()}, and {figures} say the opposite")
        return self


class Hold(Record):
    """A stretch of time in which a board was held idle, or busy: mean power in watts, and the counter in joules at the
    end, of each `CELL_S` from `start` on; None where nothing was read."""

    state: Annotated[Literal["idle", "busy"], OpenWhenRead()]
    start: Timestamp
    end: Timestamp
    power_w: list[float | None] = Field(default_factory=list)
    joules: list[float | None] = Field(default_factory=list)


class Holds(Document):
    """The readings of a board's sensors while it was held, for an external meter's readings of the same time.

    `calibrated_at` is the `measured_at` of the calibration that they belong to.
    """

    document_kind = "llem.calibration_holds"
    known_by = "holds_uuid"

    schema_version: Version = CALIBRATION_VERSION
    holds_uuid: str
    driver: str | None
    field: Annotated[PowerQuantity | None, OpenWhenRead()]
    calibrated_at: Timestamp = None
    holds: list[Hold] = Field(default_factory=list)

    @property
    def uuid(self) -> str:
        """The board's UUID."""
        return self.holds_uuid


def calibrations_folder() -> Path:
    """Return the folder of all calibrations."""
    return user_config_path().parent / "calibrations"


def calibration_path(uuid: str) -> Path:
    """Return the path of a board's calibration.

    Raises:
        ValueError: `uuid` is no name of a board: it would lead elsewhere.
    """
    return _path(uuid, ".json")


def save_calibration(calibration: Calibration) -> Path:
    """Keep `calibration` in place of an earlier one of the same board, durably, and return its path.

    Raises:
        OSError: it could not be written; an earlier one is unharmed.
    """
    return _save(calibration, calibration_path(calibration.uuid))


def save_holds(holds: Holds) -> Path:
    """Keep `holds` as `save_calibration` keeps a calibration."""
    return _save(holds, _path(holds.uuid, HOLDS))


def load_calibration(uuid: str) -> Calibration | None:
    """Return the calibration of a board; None where there is none.

    A caller that can do without one catches the error, measures as on an uncalibrated board, and repeats its message
    as a remark.

    Raises:
        UnreadableFileError: the file cannot be read, or does not hold the calibration of this board.
    """
    return _load(Calibration, uuid, ".json")


def load_holds(uuid: str) -> Holds | None:
    """Return what was kept of a board's holds; None where there is nothing. Raises as `load_calibration`."""
    return _load(Holds, uuid, HOLDS)


def _path(uuid: str, ending: str) -> Path:
    if not UUID.fullmatch(uuid):
        raise ValueError(f"{uuid!r} is not the UUID of a board")
    return calibrations_folder() / f"{uuid}{ending}"


def _save(document: Document, path: Path) -> Path:
    write_durably(path, sealed(dump_document(document)))
    return path


def _load(model: type[D], uuid: str, ending: str) -> D | None:
    if not UUID.fullmatch(uuid):
        return None
    path = _path(uuid, ending)
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror}; {_remedy(uuid)}") from error
    try:
        document, data = read_document(model, content, str(path))
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{error}\n  {_remedy(uuid)}") from error
    if check_seal(content, data) == "broken":
        raise UnreadableFileError(f"{path}: was changed since it was written; {_remedy(uuid)}")
    if document.uuid != uuid:
        raise UnreadableFileError(f"{path}: holds the calibration of another board; {_remedy(uuid)}")
    return document


def _remedy(uuid: str) -> str:
    return f"remove it, or measure again: llem calibrate --gpu {uuid}"
