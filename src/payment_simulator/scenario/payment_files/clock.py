"""Times of payments as ticks of a run."""

import datetime
import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
from payment_simulator.scenario.payment_files.sections import Clock
from payment_simulator.scenario.payment_files.times import DAY_US

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
DAY_S = 24 * 60 * 60
SECOND_US = 1_000_000
UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
SHOWN_DATES = 5


@dataclass(frozen=True)
class Day:
    """A day of payments in seconds after midnight, and its ticks."""

    open_s: int
    close_s: int
    ticks: int

    @property
    def length_s(self) -> int:
        """The seconds from open to close."""
        return self.close_s - self.open_s

    def tick_of(self, of_day_us: Ints) -> Ints:
        """Return the tick, counted from the day's first, in which times after midnight fall; outside, below 0 or too
        large."""
        found: Ints = (of_day_us - self.open_s * SECOND_US) * self.ticks // (self.length_s * SECOND_US)
        return found


@dataclass(frozen=True)
class Calendar:
    """The days of a run: their dates, in days since 1970, sorted; None of a day without a date."""

    day: Day
    dates: Ints | None

    @property
    def days(self) -> int:
        """The number of days."""
        return 1 if self.dates is None else len(self.dates)

    def ticks_of(self, local_us: Ints) -> Ints:
        """Return the ticks of the run of times on its days, all of them inside the day or before it opens."""
        date, of_day = np.divmod(local_us, DAY_US)
        tick = np.clip(self.day.tick_of(of_day), 0, self.day.ticks - 1)
        return self._place(date)[0] * self.day.ticks + tick

    def last_ticks_of(self, until_us: Ints) -> Ints:
        """Return the last tick that begins before each time; of a time when none is open, the last before it.

        It is -1 before the run.
        """
        date, of_day = np.divmod(until_us, DAY_US)
        place, is_there = self._place(date)
        tick = np.clip(self.day.tick_of(of_day - 1), -1, self.day.ticks - 1)
        return np.where(is_there, place * self.day.ticks + tick, place * self.day.ticks - 1)

    def at_or_near(self, local_us: Ints) -> tuple[Ints, Mask]:
        """Return the ticks of times, those outside the day at its end that is nearer, and which have a date of it."""
        date, of_day = np.divmod(local_us, DAY_US)
        place, is_there = self._place(date)
        tick = np.clip(self.day.tick_of(of_day), 0, self.day.ticks - 1)
        return place * self.day.ticks + tick, is_there

    def _place(self, date: Ints) -> tuple[Ints, Mask]:
        """Return the place of dates among the run's, of others that of the next one, and which are among them."""
        if self.dates is None:
            return np.zeros_like(date), np.ones(len(date), dtype=np.bool_)
        place = np.searchsorted(self.dates, date)
        return place, self.dates[np.minimum(place, len(self.dates) - 1)] == date


def day_of(clock: Clock) -> Day:
    """Return the day of a clock. Raises PaymentsKeyError: a time or a length cannot be read, or they do not fit."""
    opens, closes = _seconds(clock.open, "open"), _seconds(clock.close, "close")
    if closes <= opens:
        raise PaymentsKeyError("clock.close", f"{clock.close} is not after open {clock.open}")
    if clock.ticks is not None:
        return Day(opens, closes, clock.ticks)
    length = re.fullmatch(r"(\d{1,9})\s*(s|sec|m|min|h)", clock.tick or "")
    step = int(length[1]) * UNITS_S[length[2]] if length else 0
    if step == 0:
        raise PaymentsKeyError("clock.tick", f"{clock.tick!r} should be a length, as 60s or 5m")
    if (closes - opens) % step:
        rest = f"{closes - opens:,} s from open to close are no whole number of them"
        raise PaymentsKeyError("clock.tick", f"{clock.tick!r} does not divide the day: {rest}; or say ticks")
    return Day(opens, closes, (closes - opens) // step)


def inside_day(local_us: Ints, day: Day, *, also_before: bool) -> Mask:
    """Return which times are in the day, or before it with `also_before`."""
    of_day = local_us % DAY_US
    inside = of_day < day.close_s * SECOND_US
    return inside if also_before else inside & (of_day >= day.open_s * SECOND_US)


def suggested_clock(local_us: Ints) -> str:
    """Return a clock for a scenario in which all of these times have room: from and to a full hour."""
    of_day = local_us % DAY_US
    first, last = int(of_day.min()) // (3600 * SECOND_US), int(of_day.max()) // (3600 * SECOND_US) + 1
    return f'clock: {{open: "{first:02}:00", close: "{last:02}:00", tick: 60s}}'


def shown_times(local_us: Ints, *, dated: bool) -> str:
    """Return the first and the last of times for a message."""
    first, last = (_shown(int(each), dated=dated) for each in (local_us.min(), local_us.max()))
    return f"{first} to {last}"


def shown_offset(offset_us: int) -> str:
    """Return an offset from UTC for a message, as UTC+01:00."""
    hours, minutes = divmod(abs(offset_us) // (60 * SECOND_US), 60)
    return f"UTC{'-' if offset_us < 0 else '+'}{hours:02}:{minutes:02}"


def about_dates(dates: Ints) -> list[str]:
    """Return a remark on the dates of several days, and those between them that are none."""
    if len(dates) < 2:
        return []
    absent = sorted(set(range(int(dates[0]), int(dates[-1]) + 1)) - set(dates.tolist()))
    if not absent:
        return [f"{len(dates)} days, {_date(int(dates[0]))} to {_date(int(dates[-1]))}"]
    some = ", ".join(map(_date, absent[:SHOWN_DATES]))
    rest = f" and {len(absent) - SHOWN_DATES:,} more" if len(absent) > SHOWN_DATES else ""
    no_days = f"without payments and no days of the run: {some}{rest}"
    return [f"{len(dates)} days, {_date(int(dates[0]))} to {_date(int(dates[-1]))}; {no_days}"]


def _date(days: int) -> str:
    return str(np.datetime64(days, "D"))


def _shown(local_us: int, *, dated: bool) -> str:
    of_day = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=local_us % DAY_US)
    time = of_day.strftime("%H:%M:%S")
    return f"{_date(local_us // DAY_US)} {time}" if dated else time


def tick_at(text: str, clock: Clock) -> int:
    """Return the tick in which a time of day falls, as `ticks_until`."""
    return math.floor(ticks_until(text, clock))


def ticks_until(text: str, clock: Clock) -> Fraction:
    """Return the ticks from the day's open until a time of day, exact: a part of one where it falls inside a tick.

    Raises:
        PaymentsKeyError: it is no time of day, or not of the clock's.
    """
    day, seconds = day_of(clock), _seconds(text, "time")
    if not day.open_s <= seconds <= day.close_s:
        raise PaymentsKeyError("clock.time", f"{text} is outside the day, {clock.open} to {clock.close}")
    return Fraction((seconds - day.open_s) * day.ticks, day.length_s)


def time_of(tick: int, day: Day) -> str:
    """Return the time of day, HH:MM or HH:MM:SS, at which a tick of the run begins."""
    seconds = day.open_s + tick % day.ticks * day.length_s // day.ticks
    shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return f"{shown}:{seconds % 60:02}" if seconds % 60 else shown


def _seconds(text: str, key: str) -> int:
    found = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?", text)
    if found is not None and int(found[2]) < 60 and int(found[3] or 0) < 60:
        seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
        if seconds <= DAY_S:
            return seconds
    raise PaymentsKeyError(f"clock.{key}", f"{text!r} is not a time of day; write HH:MM")
