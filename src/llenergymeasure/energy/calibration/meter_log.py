"""The log of an external meter (CSV): the joules of each hold, and the check that its clock is this machine's."""

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from labledger.regular_files import opened_to_read
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.energy.calibration.holds import CLOCK_S, LEAD_S
from llenergymeasure.energy.calibration.meter_scale import (
    LEAST_APART,
    LEAST_INTERVAL_S,
    Interval,
    bounds_s,
    checked,
    clock,
    moment_s,
    number,
    power_cells,
)
from llenergymeasure.energy.calibration.stored import CELL_S, Hold
from llenergymeasure.energy.polls import Reals
from llenergymeasure.errors import ConfigError

if TYPE_CHECKING:
    from _csv import Reader

MAX_BYTES = 200_000_000
INNER_S = 5.0
"""Seconds left out at both ends of a hold that is long enough."""
MAX_GAP_S, LATE = 10.0, 1.1
"""Seconds from row to row at most, and how much longer one may take that is late."""
MAX_BEND = 0.01
"""Bend of the meter's energy in a hold beyond twice the sensor's: so much of its power the mean may be wrong by."""


class _Log(NamedTuple):
    """The rows of a log from the first hold to the last: their times, n, and the watts between them, n - 1."""

    times_s: Reals
    watts: Reals


def intervals_in_csv(path: Path, holds: Sequence[Hold]) -> list[Interval]:
    """Return the meter's joules during each hold, from a CSV with a column `time` and one `joules` or `watts`.

    Times are as `2026-11-30T09:00:00` or seconds since 1970; joules count up; watts hold until the next row. Of rows
    before the first hold and after the last only the time is read, and a count may begin anew between two holds.

    Raises:
        ConfigError: it cannot be read, is larger than `MAX_BYTES`, lacks a column, has a cell that is no number, does
            not cover a hold, or its clock is so far off that a hold has joules of other times.
    """
    log = _read(path, min(bounds_s(hold)[0] for hold in holds), max(bounds_s(hold)[1] for hold in holds))
    inside = [_inside(path, log, hold) for hold in holds]
    _check_clock(path, log, holds)
    return [_interval(path, log, hold, rows) for hold, rows in zip(holds, inside, strict=True)]


def _inside(path: Path, log: _Log, hold: Hold) -> slice:
    """Return the rows well inside of a hold."""
    start_s, end_s = bounds_s(hold)
    left_out_s = min(max((end_s - start_s) / 2 - LEAST_INTERVAL_S, 0.0), INNER_S)
    inside = np.flatnonzero((log.times_s >= start_s + left_out_s) & (log.times_s <= end_s - left_out_s))
    if len(inside) < 2 or log.times_s[inside[-1]] - log.times_s[inside[0]] < LEAST_INTERVAL_S:
        raise ConfigError(
            f"{path}: {len(inside)} rows well inside of the time in which the board was held {hold.state}, "
            f"{clock(start_s)} to {clock(end_s)}; they have to cover {LEAST_INTERVAL_S:.0f} s of it: are the meter's "
            f"clock and time zone right?"
        )
    return slice(inside[0], inside[-1])


def _check_clock(path: Path, log: _Log, holds: Sequence[Hold]) -> None:
    """Refuse a log in which the power rises from idle to busy at another time than the load began.

    The rise is where the rows before and those after differ most: the cut with the greatest variance between them.
    """
    if [hold.state for hold in holds] != ["idle", "busy"]:
        return
    known = log.watts >= 0
    lengths_s, ends_s = np.diff(log.times_s)[known], log.times_s[1:][known]
    before_s, before_j = lengths_s.cumsum()[:-1], (lengths_s * log.watts[known]).cumsum()
    after_s = lengths_s.sum() - before_s
    low_w, high_w = before_j[:-1] / before_s, (before_j[-1] - before_j[:-1]) / after_s
    cut = int(np.argmax(before_s * after_s * (high_w - low_w).clip(0) ** 2))
    if high_w[cut] - low_w[cut] < LEAST_APART * high_w[cut]:
        return  # there is no rise, and no scale by it either
    ahead_s = float(ends_s[cut]) - (bounds_s(holds[1])[0] - LEAD_S)
    gap_s = float(lengths_s[cut : cut + 2].max())
    if gap_s > LATE * MAX_GAP_S:
        raise ConfigError(
            f"{path}: rows are {gap_s:.1f} s apart where the power rises from idle to busy, and do not tell if the "
            f"meter's clock is right: give one every {MAX_GAP_S:.0f} s or less, also between the two holds"
        )
    if abs(ahead_s) > CLOCK_S + gap_s:
        when, clock_is = ("after", "ahead") if ahead_s > 0 else ("before", "behind")
        raise ConfigError(
            f"{path}: the meter's power rises from idle to busy {abs(ahead_s):.1f} s {when} the load began: its "
            f"clock is likely {clock_is}; add {-ahead_s:+.1f} s to its times"
        )


def _interval(path: Path, log: _Log, hold: Hold, rows: slice) -> Interval:
    """Return the joules of these rows of a hold."""
    times_s, watts = log.times_s[rows.start : rows.stop + 1], log.watts[rows]
    if np.isnan(watts).any():
        raise ConfigError(f"{path}: column joules: has to count up; watts belong into a column of that name")
    joules = watts * np.diff(times_s)
    where = f"{path}: while the board was held {hold.state}"
    found = checked(Interval(float(joules.sum()), float(times_s[0]), float(times_s[-1])), where)
    first, last = ((times_s[[0, -1]] - bounds_s(hold)[0]) / CELL_S).round().astype(int)
    own = power_cells(hold)[first:last]
    bend, own_bend = _bend(joules, np.diff(times_s)), _bend(own[~np.isnan(own)])
    if bend > MAX_BEND + 2 * own_bend:
        raise ConfigError(
            f"{where}, the meter's power was not steady: its mean is off by up to {bend:.1%}, the sensor's by "
            f"{own_bend:.1%}; likely its clock is off, so that a part is of another time, or its count is coarse"
        )
    return found


def _bend(joules: Reals, seconds: Reals | None = None) -> float:
    """Return how far the sum of `joules` departs from a straight line over `seconds` (None: all alike), as a share of
    the whole: after a step in the power near an end, the share by which the mean is wrong."""
    if not len(joules) or joules.sum() <= 0:
        return 0.0
    line = np.cumsum(np.ones(len(joules)) if seconds is None else seconds)
    return float(np.abs(joules.cumsum() / joules.sum() - line / line[-1]).max())


def _read(path: Path, first_s: float, last_s: float) -> _Log:
    """Return the rows from `first_s` to `last_s`."""
    times, values = array("d"), array("d")
    try:
        with opened_to_read(path, MAX_BYTES, follow=True) as file:
            rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
            names = [name.strip().lower() for name in next(rows, [])]
            quantity = next((name for name in ("joules", "watts") if name in names), None)
            if "time" not in names or quantity is None:
                raise ConfigError(f"{path}: line 1: expected the columns time and joules, or time and watts")
            for at_s, value in _numbers(path, rows, names, quantity, (first_s, last_s)):
                times.append(at_s)
                values.append(value)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    times_s, numbers = np.array(times), np.array(values)
    if (np.diff(times_s) <= 0).any():
        raise ConfigError(f"{path}: column time: has to rise from row to row")
    if quantity == "watts":
        return _Log(times_s, numbers[:-1])
    watts = np.diff(numbers) / np.diff(times_s)
    return _Log(times_s, np.where(watts < 0, np.nan, watts))


def _numbers(
    path: Path, rows: "Reader", names: list[str], quantity: str, within: tuple[float, float]
) -> Iterator[tuple[float, float]]:
    """Yield time and value of each row whose time is `within`."""
    first_s, last_s = within
    time_at, value_at = names.index("time"), names.index(quantity)
    for row in rows:
        if not row:
            continue
        at_s = moment_s(_cell(row, time_at))
        if at_s is None:
            raise ConfigError(_unexpected(path, rows.line_num, "time", "a time", _cell(row, time_at)))
        if not first_s <= at_s <= last_s:
            continue
        value = number(_cell(row, value_at))
        if value is None:
            raise ConfigError(_unexpected(path, rows.line_num, quantity, "a number", _cell(row, value_at)))
        yield at_s, value


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _unexpected(path: Path, line: int, name: str, expected: str, found: str) -> str:
    return f"{path}: line {line}: {name}: expected {expected}, found {clean(found, SHOWN) or 'nothing'}"
