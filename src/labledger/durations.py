"""Lengths of time as a user writes and reads them: a number with s, m or h."""

import math
import re

UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}
WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


def seconds_in(text: str) -> float:
    """Return the seconds of a written length: 90, 90s, 1.5m, 2h.

    Raises:
        ValueError: it is none.
    """
    found = WRITTEN.fullmatch(text.strip())
    seconds = float(found[1]) * UNITS_S[found[2]] if found else math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is not a length of time, as 30s, 5m or 1h")
    return seconds


def rough_duration(seconds: float) -> str:
    """Return a length of time as people tell it: 0.3 s, 34 s, 6 min, 2 h 5 min, 3 d 4 h."""
    if seconds < 1:
        return f"{round(seconds, 1):g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return _parts((minutes // 60, "h"), (minutes % 60, "min"))
    return _parts((minutes // 1440, "d"), (minutes // 60 % 24, "h"))


def _parts(*parts: tuple[int, str]) -> str:
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
