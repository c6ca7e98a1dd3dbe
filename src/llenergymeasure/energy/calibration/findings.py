"""What is said of a board's sensors, and the tests that a figure passes before it is said."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from llenergymeasure.energy.calibration.counters import Beat, is_part_time
from llenergymeasure.energy.calibration.steps import Steps, width_s
from llenergymeasure.energy.calibration.windows import Curve, Null
from llenergymeasure.energy.sensor_model import Shape

GOOD_MISFIT, FAIR_MISFIT = 4.0, 10.0
GOOD_WINDOW, SAME_WINDOW = 0.05, 0.15
"""Shares of a window: how uncertain it may be, and how far from the window of the whole curve."""
SURE, LEAST_APART, FULL_TIME = 3.0, 0.012, 0.04
"""Window and period differ if by so many standard errors and by so much of the period; beyond the last share they do in
any case."""
CLEAR, PART_TIME_RESPONSE, PART_TIME_WINDOW, FAST_RISE_S = 6.0, 0.15, 0.85, 0.03
"""Without a null, a sensor is part-time if its response at its own frequency is so clear, in standard errors and as a
share of that of a sensor without a window, and the curve has so short a window, as a share of the period, and rise."""
SLOW_RISE_S, ALIKE = 0.04, 0.35
LOW_PASS_ERROR, MAX_LOW_PASS_ERROR_S, MAX_LAG_ERROR_S = 0.15, 0.01, 0.004
"""The share by which overshoot shortens a low-pass, its greatest error, and the greatest standard error of a lag."""

OF_THE_SENSORS = ("period_s", "window_s", "lag_s", "power_is_part_time", "counter_is_part_time")
"""The figures that are None, with a reason, where they are not found; beside them, the noise."""


class Evidence(NamedTuple):
    """What was seen of a power sensor of known period, and of the counter beside it: the answers to steps of load, the
    curve and the null of the responses to square ones, and the responses next to the sensors' own frequencies, of which
    the first `own_beats` are next to the power's."""

    period_s: float
    up: Steps
    down: Steps
    curve: Curve | None
    null: Null | None
    beats: list[Beat]
    own_beats: int


@dataclass(frozen=True)
class Findings:
    """What is known of a board's sensors, in seconds and watts; `reasons` has one for each figure that is None.

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
    beats, reasons = seen.beats, dict[str, str]()
    shape, window_s, error_s = _window(seen)
    if window_s is None:
        reasons["window_s"] = "no load was found to which there is surely no response"
    late_s = _lag_s(seen, shape, window_s)
    if late_s is None:
        reasons["lag_s"] = "it needs the window" if window_s is None else "the delay of the answers is not sure"
    power = _power_is_part_time(seen)
    if power is None:
        reasons["power_is_part_time"] = "the window is too close to the period to tell, or not found"
    if power is False and window_s is not None and abs(window_s / seen.period_s - 1) < FULL_TIME:
        window_s = seen.period_s  # what is not told from it is taken for it: else a sensor would be blind at times
    if shape == "low_pass":  # what a sensor shows that is no low-pass itself
        beats = [each._replace(full_w=seen.up.swing_w) for each in beats]
    counter = is_part_time(beats, power)
    if counter is None:
        is_there = any(each.counter is not None for each in beats)
        reasons["counter_is_part_time"] = "its beat is neither clear nor absent" if is_there else "there is no counter"
    return replace(
        found,
        period_s=seen.period_s,
        window_s=window_s,
        window_error_s=error_s,
        lag_s=late_s,
        shape=shape,
        power_is_part_time=power,
        counter_is_part_time=counter,
        swing_w=seen.up.swing_w,
        reasons=reasons,
    )


def _window(seen: Evidence) -> tuple[Shape | None, float | None, float | None]:
    """Return shape, window and its standard error, as far as they are sure.

    Power itself rises in another time than it falls; a low-pass that is slower than both makes them alike.
    """
    curve, null = seen.curve, seen.null
    if curve is None:
        return None, None, None
    if null is not None:
        window_s = 1 / null.frequency_hz
        error_s = window_s * null.error_hz / null.frequency_hz
        is_sure = error_s < GOOD_WINDOW * window_s and abs(curve.window_s - window_s) < SAME_WINDOW * window_s
        return ("boxcar", window_s, error_s) if is_sure else (None, None, None)
    widths_s = width_s(seen.up), width_s(seen.down)
    are_alike = max(widths_s) < (1 + ALIKE) * min(widths_s)
    if curve.misfit > GOOD_MISFIT or curve.rise_s < SLOW_RISE_S or curve.window_s > curve.rise_s or not are_alike:
        return None, None, None
    error_s = LOW_PASS_ERROR * curve.rise_s
    return "low_pass", curve.rise_s if error_s < MAX_LOW_PASS_ERROR_S else None, error_s


def _lag_s(seen: Evidence, shape: Shape | None, window_s: float | None) -> float | None:
    """Return how late values are: the delay of the answers, less half a window, which a mean is late by itself."""
    curve = seen.curve
    if curve is None or window_s is None or curve.misfit > GOOD_MISFIT or curve.delay_error_s > MAX_LAG_ERROR_S:
        return None
    return max(curve.delay_s - (window_s / 2 if shape == "boxcar" else 0.0), 0.0)


def _power_is_part_time(seen: Evidence) -> bool | None:
    """Return True if the window is shorter than the period, by more than it is uncertain."""
    shape, window_s, error_s = _window(seen)
    if shape == "low_pass":
        return False
    if window_s is not None and error_s is not None:
        apart, error = window_s / seen.period_s - 1, error_s / seen.period_s
        if abs(apart) > max(SURE * error, LEAST_APART):
            return apart < 0
        return False if error < LEAST_APART else None
    curve = seen.curve
    if curve is None or curve.misfit > FAIR_MISFIT or curve.rise_s > FAST_RISE_S:
        return None
    if curve.window_s > PART_TIME_WINDOW * seen.period_s:
        return None
    clear = [
        each.power is not None
        and abs(each.power.watts) > max(CLEAR * each.power.error_w, PART_TIME_RESPONSE * each.full_w)
        for each in seen.beats[: seen.own_beats]
    ]
    return True if all(clear) else None
