"""Gain and offset of a board's sensors from an external meter's joules over two intervals, one idle and one busy."""

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.energy.calibration.stored import CELL_S, Hold, Holds, Scale
from llenergymeasure.errors import ConfigError

FORM = "JOULES:START:END, times as 2026-11-30T09:00:00 or as seconds since 1970"
LEAST_INTERVAL_S = 10.0
LEAST_APART = 0.15  # of the greater power
GAINS, MAX_OFFSET_W = (0.5, 2.0), 60.0
GAIN_ERROR, OFFSET_ERROR_W = 0.01, 1.0
"""What a straight line through two points leaves open on the boards of the published study, beside the noise."""
BLOCK_CELLS = 10
AT_ITS_SUPPLY = "the meter has to be on the board's own supply (slot and cables), and its clock right"


@dataclass(frozen=True)
class Interval:
    """The joules that a meter read from `start_s` to `end_s`, seconds since 1970."""

    joules: float
    start_s: float
    end_s: float

    @property
    def watts(self) -> float:
        """The mean power."""
        return self.joules / (self.end_s - self.start_s)

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.joules:g} J from {_clock(self.start_s)} to {_clock(self.end_s)}"


def parse_interval(text: str) -> Interval:
    """Return the interval that a user wrote as JOULES:START:END.

    Raises:
        ConfigError: it is none, and why.
    """
    joules_text, _, times = text.partition(":")
    parts = times.split(":")
    joules = _number(joules_text)
    pairs = [
        (start_s, end_s)
        for cut in range(1, len(parts))
        if (start_s := _moment_s(":".join(parts[:cut]))) is not None
        and (end_s := _moment_s(":".join(parts[cut:]))) is not None
    ]
    if joules is None or len(pairs) != 1:
        raise ConfigError(f"--meter {clean(text, SHOWN)}: expected {FORM}")
    return _checked(Interval(joules, *pairs[0]), f"--meter {clean(text, SHOWN)}")


def _checked(interval: Interval, where: str) -> Interval:
    if interval.joules <= 0:
        raise ConfigError(f"{where}: {interval.joules:g} J: an idle board draws power too; give the meter's joules")
    if interval.end_s <= interval.start_s:
        raise ConfigError(f"{where}: its end is not after its start")
    if interval.end_s - interval.start_s < LEAST_INTERVAL_S:
        seconds = interval.end_s - interval.start_s
        raise ConfigError(f"{where}: {seconds:.1f} s are too short; give {LEAST_INTERVAL_S:.0f} s or more")
    return interval


def intervals_in_csv(path: Path, holds: Sequence[Hold]) -> list[Interval]:
    """Return the meter's joules during each hold, from a CSV with a column `time` and one `joules` or `watts`.

    Times are as `2026-11-30T09:00:00` or seconds since 1970; joules count up; watts hold until the next row.

    Raises:
        ConfigError: it cannot be read, lacks a column, has a cell that is no number, or does not cover a hold.
    """
    times_s, joules = _cumulative(path)
    return [_covering(path, times_s, joules, hold) for hold in holds]


def _covering(path: Path, times_s: np.ndarray, joules: np.ndarray, hold: Hold) -> Interval:
    start_s, end_s = _bounds_s(hold)
    inside = np.flatnonzero((times_s >= start_s) & (times_s <= end_s))
    if len(inside) < 2 or times_s[inside[-1]] - times_s[inside[0]] < LEAST_INTERVAL_S:
        raise ConfigError(
            f"{path}: {len(inside)} rows while the board was held {hold.state}, {_clock(start_s)} to {_clock(end_s)}; "
            f"they have to cover {LEAST_INTERVAL_S:.0f} s of it"
        )
    first, last = inside[0], inside[-1]
    found = Interval(float(joules[last] - joules[first]), float(times_s[first]), float(times_s[last]))
    return _checked(found, f"{path}: while the board was held {hold.state}")


def _cumulative(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return times and cumulative joules of a CSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = [name.strip().lower() for name in rows.fieldnames or ()]
            rows.fieldnames = names
            quantity = next((name for name in ("joules", "watts") if name in names), None)
            if "time" not in names or quantity is None:
                raise ConfigError(f"{path}: line 1: expected the columns time and joules, or time and watts")
            cells = [_row(path, rows.line_num, row, quantity) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    times_s, values = np.array(cells).reshape(-1, 2).T
    if (np.diff(times_s) <= 0).any():
        raise ConfigError(f"{path}: column time: has to rise from row to row")
    if quantity == "watts":
        return times_s, np.concatenate([[0.0], np.cumsum(values[:-1] * np.diff(times_s))])[: len(times_s)]
    if (np.diff(values) < 0).any():
        raise ConfigError(f"{path}: column joules: has to count up; watts belong into a column of that name")
    return times_s, values


def _row(path: Path, line: int, row: dict[str, str], quantity: str) -> tuple[float, float]:
    moment_s, value = _moment_s(row.get("time") or ""), _number(row.get(quantity) or "")
    if moment_s is None or value is None:
        name, expected = ("time", "a time") if moment_s is None else (quantity, "a number")
        raise ConfigError(f"{path}: line {line}: {name}: expected {expected}, found {clean(str(row.get(name)), SHOWN)}")
    return moment_s, value


def scales(holds: Holds, intervals: Sequence[Interval]) -> tuple[Scale | None, Scale | None]:
    """Return the scale of the power sensor and that of the counter; None where the board has no such sensor.

    Raises:
        ConfigError: the intervals are not two, overlap, lie outside of what was recorded, have nearly the same power,
            or a meter cannot read so beside this board.
    """
    if len(intervals) != 2:
        raise ConfigError(f"{len(intervals)} interval of the meter: two are needed, one idle and one busy ({FORM})")
    first, last = sorted(intervals, key=lambda each: each.start_s)
    if last.start_s < first.end_s:
        raise ConfigError(f"{first}, and {last}: they overlap; give one of the idle hold and one of the busy one")
    within = [_hold_around(holds, each) for each in (first, last)]
    power = _scale([_sensor(each, *pair, _power_cells) for each, pair in zip((first, last), within, strict=True)])
    counter = _scale([_sensor(each, *pair, _counter_cells) for each, pair in zip((first, last), within, strict=True)])
    if power is None and counter is None:
        raise ConfigError("nothing was read of the sensors in these intervals; run llem calibrate again")
    return power, counter


def _hold_around(holds: Holds, interval: Interval) -> tuple[Hold, float]:
    """Return the hold that an interval lies in, and the start of that."""
    for hold in holds.holds:
        start_s, end_s = _bounds_s(hold)
        if start_s - CELL_S <= interval.start_s and interval.end_s <= end_s + CELL_S:
            return hold, start_s
    recorded = "; ".join(map(describe_hold, holds.holds))
    raise ConfigError(f"{interval}: not inside of a time in which the board was held: {recorded}")


_Cells = Callable[[Hold], np.ndarray]


def _power_cells(hold: Hold) -> np.ndarray:
    return np.array([math.nan if each is None else each for each in hold.power_w], dtype=float)


def _counter_cells(hold: Hold) -> np.ndarray:
    joules = np.array([math.nan if each is None else each for each in hold.joules], dtype=float)
    return np.diff(joules, prepend=math.nan) / CELL_S


@dataclass(frozen=True)
class _Point:
    """The mean power of sensor and meter over an interval, and the bound of the sensor's noise."""

    sensor_w: float
    meter_w: float
    error_w: float


def _sensor(interval: Interval, hold: Hold, start_s: float, cells: _Cells) -> _Point | None:
    first = max(math.ceil((interval.start_s - start_s) / CELL_S), 0)
    own = cells(hold)[first : math.floor((interval.end_s - start_s) / CELL_S)]
    own = own[~np.isnan(own)]
    blocks = own[: len(own) // BLOCK_CELLS * BLOCK_CELLS].reshape(-1, BLOCK_CELLS).mean(axis=1)
    if len(blocks) < LEAST_INTERVAL_S / BLOCK_CELLS / CELL_S / 2:
        return None
    return _Point(float(own.mean()), interval.watts, float(2 * blocks.std() / len(blocks) ** 0.5))


def _scale(points: Sequence[_Point | None]) -> Scale | None:
    """Return the line through two points."""
    known = sorted((each for each in points if each is not None), key=lambda each: each.sensor_w)
    if len(known) < 2:
        return None
    low, high = known
    if high.sensor_w - low.sensor_w < LEAST_APART * high.sensor_w or high.meter_w <= low.meter_w:
        raise ConfigError(
            f"the sensor has {low.sensor_w:.1f} and {high.sensor_w:.1f} W in the two intervals, the meter "
            f"{low.meter_w:.1f} and {high.meter_w:.1f} W: give one interval of the idle hold and one of the busy one"
        )
    gain = (high.meter_w - low.meter_w) / (high.sensor_w - low.sensor_w)
    offset_w = low.meter_w - gain * low.sensor_w
    if not GAINS[0] <= gain <= GAINS[1] or abs(offset_w) > MAX_OFFSET_W:
        raise ConfigError(
            f"the meter has {low.meter_w:.1f} and {high.meter_w:.1f} W where the sensor has {low.sensor_w:.1f} and "
            f"{high.sensor_w:.1f} W (gain {gain:.2f}, offset {offset_w:.0f} W): no such board is known; {AT_ITS_SUPPLY}"
        )
    noise = gain * (low.error_w + high.error_w) / (high.meter_w - low.meter_w)
    return Scale(
        gain=gain,
        offset_w=offset_w,
        gain_error=GAIN_ERROR + noise,
        offset_error_w=OFFSET_ERROR_W + gain * low.error_w,
    )


def describe_hold(hold: Hold) -> str:
    """Return a hold in words, as `idle from 2026-11-30T09:00:00Z to 2026-11-30T09:01:00Z`, within whole seconds."""
    start_s, end_s = _bounds_s(hold)
    return f"{hold.state} from {_clock(math.ceil(start_s))} to {_clock(math.floor(end_s))}"


def _bounds_s(hold: Hold) -> tuple[float, float]:
    if hold.start is None or hold.end is None:
        raise ConfigError("what was kept of the holds has no times; run llem calibrate again")
    return hold.start.timestamp(), hold.end.timestamp()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _moment_s(text: str) -> float | None:
    """Return seconds since 1970; a time without a zone is this machine's."""
    if (seconds := _number(text)) is not None:
        return seconds
    if not re.match(r"\s*\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}", text):
        return None
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _clock(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
