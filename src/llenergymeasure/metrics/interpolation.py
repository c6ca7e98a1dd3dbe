"""A quantity that grows and is read at marks only."""

import bisect


class Marks:
    """Readings of a growing quantity; between two of them it is taken to grow evenly."""

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._values: list[float] = []

    def add(self, moment_s: float, value: float) -> None:
        """Add a reading, later than the one before; one that fell (clocks of different grain) counts as unchanged."""
        self._times_s.append(moment_s)
        self._values.append(max(value, self._values[-1]) if self._values else value)

    @property
    def last(self) -> tuple[float, float]:
        """The last moment, and what was read then."""
        return self._times_s[-1], self._values[-1]

    def grown(self, start_s: float, end_s: float) -> float:
        """The growth from `start_s` to `end_s`.

        Raises:
            ValueError: the window reaches beyond the marks.
        """
        return self._at(end_s) - self._at(start_s)

    def _at(self, moment_s: float) -> float:
        times = self._times_s
        if not times or not times[0] <= moment_s <= times[-1]:
            raise ValueError(f"the moment {moment_s} s is outside of what was watched")
        after = max(bisect.bisect_left(times, moment_s), 1) if len(times) > 1 else 0
        if after == 0:
            return self._values[0]
        before = after - 1
        span_s = times[after] - times[before]
        share = (moment_s - times[before]) / span_s if span_s else 1.0
        return self._values[before] + share * (self._values[after] - self._values[before])
