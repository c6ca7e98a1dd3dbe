"""The findings on a board's sensors, and the tests that a figure passes before it is one."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from llenergymeasure.energy.calibration.counters import Beat, is_part_time
from llenergymeasure.energy.calibration.responses import Response
from llenergymeasure.energy.calibration.windows import Curve, Null
from llenergymeasure.energy.sensor_model import Shape

GOOD_MISFIT, FAIR_MISFIT = 4.0, 10.0
GOOD_WINDOW, SAME_WINDOW = 0.05, 0.15
"""Shares of a window: how uncertain it may be, and how far from the window of the whole curve."""
SURE, APART, FULL_TIME = 3.0, 0.04, 0.02
"""A window is shorter than the period if by so many standard errors and by so much of the period; it is as long if it
lacks less than the last share."""
CLEAR, ALIASES, DOES_NOT = 6.0, 0.15, 0.08
"""A response is more than the window lets through if by so many standard errors and by the first share of the response
of a sensor without a window; it is no more if it is by less than the second."""
PART_TIME_WINDOW, SOON = 0.85, 0.25
"""Without a null, a sensor is part-time if it responds so clearly at its own frequency, and the curve has a window and
a rise that are so short, as shares of the period. A low-pass that is as fast has forgotten 98 % by the next value; a
slower answer may be that of the board or of the sensor."""
MAX_LAG_ERROR_S = 0.004

TOO_CLOSE = "the window is too close to the period to tell"
OF_THE_SENSORS = ("period_s", "window_s", "lag_s", "power_is_part_time", "counter_is_part_time")
"""The figures that are None, with a reason, where they are not found; beside them, the noise."""


class Evidence(NamedTuple):
    """The record of a power sensor of known period, and of the counter beside it: the watts that a load adds, the
    curve and the null of the responses to square loads, and the responses next to the frequencies of the two (`beats`)
    and to multiples of these."""

    period_s: float
    swing_w: float
    curve: Curve | None
    null: Null | None
    beats: list[Beat]
    multiples: list[Beat]

    def of_power(self, beats: list[Beat]) -> list[Beat]:
        """Return those of `beats` that are next to the power sensor's own frequency, or to a multiple of it."""
        return [each for each in beats if each.own_s == self.period_s]


class _Window(NamedTuple):
    """A window and its standard error."""

    window_s: float
    error_s: float


@dataclass(frozen=True)
class Findings:
    """The figures of a board's sensors, in seconds and watts; `reasons` has one for each figure that is None.

    `period_s` is the power sensor's; `idle_w` its mean value of an idle board, and `swing_w` what a load adds to it.
    """

    period_s: float | None = None
    window_s: float | None = None
    lag_s: float | None = None
    shape: Shape | None = None
    power_is_part_time: bool | None = None
    counter_is_part_time: bool | None = None
    idle_noise_w: float | None = None
    idle_w: float | None = None
    swing_w: float | None = None
    window_error_s: float | None = None
    counter_period_s: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def nothing_found(reason: str, found: Findings) -> Findings:
    """Return `found` with one reason for all that was not found."""
    return replace(found, reasons=dict.fromkeys(OF_THE_SENSORS, reason) | found.reasons)


def conclude(seen: Evidence, found: Findings) -> Findings:
    """Return the findings of a sensor whose period is sure, with the reason for each that is not."""
    reasons = dict[str, str]()
    window = _window(seen)
    power = _power_is_part_time(seen, window)
    if power is None:
        reasons["power_is_part_time"] = _why_not_told(seen, window)
    if window is None:
        reasons["window_s"] = "no load was found to which there is surely no response"
    elif power and window.window_s > (1 - APART) * seen.period_s:
        window, reasons["window_s"] = None, "values are means of several short samples"
    elif power is None and window.window_s < seen.period_s:
        window, reasons["window_s"] = None, TOO_CLOSE
    elif power is False:
        window = window._replace(window_s=max(window.window_s, seen.period_s))  # else it would be blind at times
    late_s = _lag_s(seen, window)
    if late_s is None:
        reasons["lag_s"] = "it needs the window" if window is None else "the delay of the answers is not sure"
    counter = is_part_time(seen.beats, seen.multiples, power)
    if counter is None:
        is_there = any(each.counter is not None for each in seen.beats)
        reasons["counter_is_part_time"] = "its beat is neither clear nor absent" if is_there else "there is no counter"
    return replace(
        found,
        period_s=seen.period_s,
        window_s=None if window is None else window.window_s,
        window_error_s=None if window is None else window.error_s,
        lag_s=late_s,
        shape=None if window is None else "boxcar",
        power_is_part_time=power,
        counter_is_part_time=counter,
        swing_w=seen.swing_w,
        reasons=reasons,
    )


def _window(seen: Evidence) -> _Window | None:
    """Return the window, if it is sure: only a null is evidence of one.

    A slow answer without a null is no evidence of a low-pass: a board that rises and falls slowly, beside a sensor with
    a short window, gives the same values.
    """
    curve, null = seen.curve, seen.null
    if curve is None or null is None or curve.misfit > FAIR_MISFIT:
        return None
    window_s = 1 / null.frequency_hz
    error_s = window_s * null.error_hz / null.frequency_hz
    is_sure = error_s < GOOD_WINDOW * window_s and abs(curve.window_s - window_s) < SAME_WINDOW * window_s
    return _Window(window_s, error_s) if is_sure else None


def _lag_s(seen: Evidence, window: _Window | None) -> float | None:
    """Return how late values are: the delay of the answers, less half a window, which a mean is late by itself."""
    curve = seen.curve
    if curve is None or window is None or curve.misfit > GOOD_MISFIT or curve.delay_error_s > MAX_LAG_ERROR_S:
        return None
    return max(curve.delay_s - window.window_s / 2, 0.0)


def _power_is_part_time(seen: Evidence, window: _Window | None) -> bool | None:
    """Return True if the sensor misses a part of each period, False if it surely does not.

    A window that is as long as the period may be one of several short ones: then loads next to the frequency of these
    show, of which the window would let nothing through.
    """
    curve = seen.curve
    if window is None or curve is None:
        return _without_window(seen)
    lacks, error = 1 - window.window_s / seen.period_s, window.error_s / seen.period_s
    beats, multiples = seen.of_power(seen.beats), seen.of_power(seen.multiples)
    if lacks > max(SURE * error, APART) or any(_is_more(each, curve) for each in [*beats, *multiples]):
        return True
    return False if lacks < FULL_TIME and all(_is_no_more(each, curve) for each in beats) else None


def _is_more(beat: Beat, curve: Curve) -> bool:
    """Return True if the response is surely more than the window lets through."""
    power = beat.power
    return power is not None and _more_w(power, curve) > max(CLEAR * power.error_w, ALIASES * beat.full_w)


def _is_no_more(beat: Beat, curve: Curve) -> bool:
    power = beat.power
    return power is not None and _more_w(power, curve) + SURE * power.error_w < DOES_NOT * beat.full_w


def _more_w(power: Response, curve: Curve) -> float:
    return abs(power.watts) - abs(curve.at_w(power.frequency_hz))


def _without_window(seen: Evidence) -> bool | None:
    """Return True if a sensor whose window is not known answers fast and at its own frequency, or at multiples of it
    where it seemed to have a window of the whole period; else None."""
    curve = seen.curve
    if curve is not None and any(_is_more(each, curve) for each in seen.of_power(seen.multiples)):
        return True
    if curve is None or curve.misfit > FAIR_MISFIT or curve.rise_s > SOON * seen.period_s:
        return None
    if curve.window_s > PART_TIME_WINDOW * seen.period_s:
        return None
    clear = [
        each.power is not None and abs(each.power.watts) > max(CLEAR * each.power.error_w, ALIASES * each.full_w)
        for each in seen.of_power(seen.beats)
    ]
    return True if all(clear) else None


def _why_not_told(seen: Evidence, window: _Window | None) -> str:
    if window is not None:
        return TOO_CLOSE if window.window_s < seen.period_s else "the responses beside its own frequency are not sure"
    if seen.curve is not None and seen.curve.rise_s > SOON * seen.period_s:
        return "the answer is slow, which may be the board or the sensor"
    return "the window was not found"
