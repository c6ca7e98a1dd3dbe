"""The times from which rows of balances hold, as ticks of the run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from payment_simulator.scenario.payment_files.clock import Day
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError, Problems
from payment_simulator.scenario.payment_files.source import Source
from payment_simulator.scenario.payment_files.times import DAY_US, Times, times_of

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
NO_TIME = "is no time that is known; write YYYY-MM-DD, HH:MM:SS, or both"
EARLIEST = np.iinfo(np.int64).min
"""The place in time of a row that says no time: before all others."""


@dataclass(frozen=True)
class RunDays:
    """The days and ticks of a run: its clock, and its dates in days since 1970, each None where there is none."""

    ticks_per_day: int
    days: int
    day: Day | None = None
    dates: Ints | None = None
    timezone: str | None = None

    def moments(self, source: Source, problems: Problems) -> tuple[Ints, Ints]:
        """Return the tick from which each row holds, and a number by which rows stand in the order of their times.

        That of a time before the day is the day's first tick; of a day that the run leaves out it is the next day's. A
        row from before the run, or without a time, holds from the first tick on; of one past the end the tick is past
        the last. What is no time is noted.
        """
        date, time = (self._read(source, ours, problems) for ours in ("date", "time"))
        if date is not None and date.kind != "dated":
            problems.add(source, date.usable, "date", "is no date; write YYYY-MM-DD")
            date = None
        if date is not None:
            problems.add(
                source, date.usable & (date.values % DAY_US != 0), "date", "has a time of day: call the column time"
            )
        if time is None or time.kind == "of_day":
            return self._of_clock(source, date, time, problems)
        if time.kind == "number":
            return self._of_numbers(source, date, time, problems)
        if date is not None:
            problems.add(source, time.usable & date.usable, "time", "has a date of its own, beside the column of dates")
        return self._dated(source, time.values, time.usable, time.usable, problems)

    def _read(self, source: Source, ours: str, problems: Problems) -> Times | None:
        column = source.column(ours)
        if column is None:
            return None

        def report(bad: Mask, text: Callable[[str], str] | str) -> None:  # there is no time_format to name
            problems.add(source, bad, ours, NO_TIME if callable(text) else text)

        try:
            found = times_of(column, self.timezone, None, report)
        except PaymentsKeyError:
            report(np.ones(len(column), dtype=np.bool_), "may be of more than one day; write YYYY-MM-DD")
            return None
        return found if found.usable.any() else None

    def _of_numbers(self, source: Source, date: Times | None, time: Times, problems: Problems) -> tuple[Ints, Ints]:
        if self.day is not None:
            problems.add(source, time.usable, "time", "is no time of day; write HH:MM")
        elif date is not None:
            problems.add(source, date.usable, "date", "without payments.clock, times are ticks, and there are no dates")
        tick = np.where(time.usable, time.values, 0)
        return np.maximum(tick, 0), np.where(time.usable, time.values, EARLIEST)

    def _of_clock(
        self, source: Source, date: Times | None, time: Times | None, problems: Problems
    ) -> tuple[Ints, Ints]:
        of_day = np.zeros(len(source), dtype=np.int64) if time is None else np.where(time.usable, time.values, 0)
        has_time = np.zeros(len(source), dtype=np.bool_) if time is None else time.usable
        if date is not None:
            midnight = date.values // DAY_US * DAY_US
            return self._dated(source, midnight + of_day, date.usable, has_time, problems)
        if time is None:
            return np.zeros(len(source), dtype=np.int64), np.full(len(source), EARLIEST)
        if self.day is None:
            problems.add(source, has_time, "time", "without payments.clock, times are whole numbers: ticks")
        if self.days > 1:
            problems.add(source, has_time, "time", f"a run of {self.days} days needs a date beside the time")
        return self._tick_of_day(of_day, has_time), np.where(has_time, of_day, EARLIEST)

    def _dated(self, source: Source, at: Ints, usable: Mask, has_time: Mask, problems: Problems) -> tuple[Ints, Ints]:
        ours = "date" if "date" in source.columns else "time"
        if self.dates is None:
            problems.add(source, usable, ours, "the payments have no dates; leave them out here too")
            return np.zeros_like(at), at
        date, of_day = np.divmod(at, DAY_US)
        place = np.searchsorted(self.dates, date)
        is_day = self.dates[np.minimum(place, len(self.dates) - 1)] == date
        tick = place * self.ticks_per_day + np.where(is_day, self._tick_of_day(of_day, has_time), 0)
        return np.where(usable, tick, 0), np.where(usable, at, EARLIEST)

    def _tick_of_day(self, of_day: Ints, has_time: Mask) -> Ints:
        if self.day is None:
            return np.zeros_like(of_day)
        return np.where(has_time, np.clip(self.day.tick_of(of_day), 0, self.day.ticks), 0)
