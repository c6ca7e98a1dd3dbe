"""Gain and offset of a board's sensors from an external meter's joules over two intervals, one idle and one busy."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.energy.calibration.stored import (
    CELL_S,
    GAIN_ERROR,
    LEAST_GAIN,
    MAX_GAIN_ERROR,
    MAX_OFFSET_W,
    MOST_GAIN,
    OFFSET_ERROR_W,
    Hold,
    Holds,
    Scale,
)
from llenergymeasure.errors import ConfigError

FORM = "JOULES:START:END, times as 2026-11-30T09:00:00 or as seconds since 1970"
LEAST_INTERVAL_S = 10.0
LEAST_APART = 0.15  # of the greater power
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
        return f"{self.joules:g} J from {clock(self.start_s)} to {clock(self.end_s)}"


def parse_interval(text: str) -> Interval:
    """Return the interval that a user wrote as JOULES:START:END.

    Raises:
        ConfigError: it is none, and why.
    """
    joules_text, _, times = text.partition(":")
    parts = times.split(":")
    joules = number(joules_text)
    pairs = [
        (start_s, end_s)
        for cut in range(1, len(parts))
        if (start_s := moment_s(":".join(parts[:cut]))) is not None
        and (end_s := moment_s(":".join(parts[cut:]))) is not None
    ]
    if joules is None or len(pairs) != 1:
        raise ConfigError(f"--meter {clean(text, SHOWN)}: expected {FORM}")
    return checked(Interval(joules, *pairs[0]), f"--meter {clean(text, SHOWN)}")


def checked(interval: Interval, where: str) -> Interval:
    """Return the interval as it is.

    Raises:
        ConfigError: no board draws so little, or it is too short.
    """
    if interval.joules <= 0:
        raise ConfigError(f"{where}: {interval.joules:g} J: an idle board draws power too; give the meter's joules")
    if interval.end_s <= interval.start_s:
        raise ConfigError(f"{where}: its end is not after its start")
    if interval.end_s - interval.start_s < LEAST_INTERVAL_S:
        seconds = interval.end_s - interval.start_s
        raise ConfigError(f"{where}: {seconds:.1f} s are too short; give {LEAST_INTERVAL_S:.0f} s or more")
    return interval


def scales(holds: Holds, intervals: Sequence[Interval]) -> tuple[Scale | None, Scale | None]:
    """Return the scale of the power sensor and that of the counter; None where the board has no such sensor.

    Raises:
        ConfigError: the intervals are not two, overlap, lie outside of what was recorded, have nearly the same power,
            or a meter cannot read so beside this board.
    """
    if len(intervals) != 2:
        count = f"{len(intervals)} interval{'' if len(intervals) == 1 else 's'} of the meter"
        raise ConfigError(f"{count}: two are needed, one idle and one busy ({FORM})")
    first, last = sorted(intervals, key=lambda each: each.start_s)
    if last.start_s < first.end_s:
        raise ConfigError(f"{first}, and {last}: they overlap; give one of the idle hold and one of the busy one")
    within = [_hold_around(holds, each) for each in (first, last)]
    power = _scale([_sensor(each, *pair, power_cells) for each, pair in zip((first, last), within, strict=True)])
    counter = _scale([_sensor(each, *pair, _counter_cells) for each, pair in zip((first, last), within, strict=True)])
    if power is None and counter is None:
        raise ConfigError("nothing was read of the sensors in these intervals; run llem calibrate again")
    return power, counter


def _hold_around(holds: Holds, interval: Interval) -> tuple[Hold, float]:
    """Return the hold that an interval lies in, and the start of that."""
    for hold in holds.holds:
        start_s, end_s = bounds_s(hold)
        if start_s - CELL_S <= interval.start_s and interval.end_s <= end_s + CELL_S:
            return hold, start_s
    recorded = "; ".join(map(describe_hold, holds.holds))
    raise ConfigError(f"{interval}: not inside of a time in which the board was held: {recorded}")


_Cells = Callable[[Hold], np.ndarray]


def power_cells(hold: Hold) -> np.ndarray:
    """Return the sensor's mean power (W) in each `CELL_S` of a hold; NaN where nothing was read."""
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
    if np.median(blocks) <= 0:
        raise ConfigError(
            f"the sensor reads 0 W while the board was held {hold.state}: what this board draws then is below what the "
            f"sensor can show, and no gain and offset hold for it"
        )
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
    if not LEAST_GAIN <= gain <= MOST_GAIN or abs(offset_w) > MAX_OFFSET_W:
        raise ConfigError(
            f"the meter has {low.meter_w:.1f} and {high.meter_w:.1f} W where the sensor has {low.sensor_w:.1f} and "
            f"{high.sensor_w:.1f} W (gain {gain:.2f}, offset {offset_w:.0f} W): no such board is known; {AT_ITS_SUPPLY}"
        )
    noise = gain * (low.error_w + high.error_w) / (high.meter_w - low.meter_w)
    gain_error, offset_error_w = GAIN_ERROR + noise, OFFSET_ERROR_W + gain * low.error_w
    if gain_error > MAX_GAIN_ERROR or offset_error_w > MAX_OFFSET_W:
        raise ConfigError(
            f"the sensor was not steady in the two intervals: it leaves the gain open by {gain_error:.0%} and the "
            f"offset by {offset_error_w:.0f} W; run llem calibrate again, with nothing else on the GPU"
        )
    return Scale(gain=gain, offset_w=offset_w, gain_error=gain_error, offset_error_w=offset_error_w)


def describe_hold(hold: Hold) -> str:
    """Return a hold in words, as `idle from 2026-11-30T09:00:00Z to 2026-11-30T09:01:00Z`, within whole seconds."""
    start_s, end_s = bounds_s(hold)
    return f"{hold.state} from {clock(math.ceil(start_s))} to {clock(math.floor(end_s))}"


def bounds_s(hold: Hold) -> tuple[float, float]:
    """Return start and end of a hold in seconds since 1970.

    Raises:
        ConfigError: it was kept without.
    """
    if hold.start is None or hold.end is None:
        raise ConfigError("what was kept of the holds has no times; run llem calibrate again")
    return hold.start.timestamp(), hold.end.timestamp()


def number(text: str) -> float | None:
    """Return the finite number that a text is; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def moment_s(text: str) -> float | None:
    """Return seconds since 1970; a time without a zone is this machine's."""
    if (seconds := number(text)) is not None:
        return seconds
    if not re.match(r"\s*\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}", text):
        return None
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def clock(seconds: float) -> str:
    """Return seconds since 1970 as `2026-11-30T09:00:00Z`."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
