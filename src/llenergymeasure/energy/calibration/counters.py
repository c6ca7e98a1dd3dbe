"""A cumulative counter beside a load whose period is nearly that of a sensor: full-time, it shows no beat."""

from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.responses import Response, harmonic_design, load_at, load_frequency_hz
from llenergymeasure.energy.polls import Changes, Polls

PERIODS_PER_STEP = 4  # of the load: over whole ones a full-time counter gains the same, whatever their phase
LEAST_STEPS = 20
ALIASES, DOES_NOT, VISIBLE = 0.15, 0.08, 0.05
"""Shares of the response of a sensor without a window. Beside a full-time power sensor, a counter above the first
misses a part of the time, and below the second it does not. From the third on, the beat of the power is one to compare
with."""
SAME, APART, MORE = 0.6, 0.3, 1.5
"""Shares of that: above the first a counter integrates the same values, below the second it does not, and above the
last it misses more than they do."""
SURE, CLEAR = 3.0, 12.0  # standard errors


class Beat(NamedTuple):
    """The responses of power and counter to a load next to the frequency of a sensor of the period `own_s`, or to a
    multiple of it, and the one that a sensor without a window would have, in watts (0: not known)."""

    power: Response | None
    counter: Response | None
    full_w: float
    own_s: float


def beat_of_counter(trace: LoadTrace, polled: Polls, period_s: float, settle_s: float) -> Response | None:
    """Return the beat of a counter's power between a square load and `period_s`, the period of a sensor, per unit of
    load; None where there is no counter.

    The counter is read every few whole periods of the load, on the line between its changes.
    """
    seen = Changes.of(polled)
    frequency_hz = load_frequency_hz(trace.busy)
    step_s = PERIODS_PER_STEP / frequency_hz
    first_s = trace.busy[0][0]
    if len(seen.middle_s) < LEAST_STEPS:
        return None
    moments_s = np.arange(first_s + settle_s, min(trace.busy[-1][1], seen.middle_s[-1]), step_s)
    if len(moments_s) < LEAST_STEPS:
        return None
    power_w = np.diff(np.interp(moments_s, seen.middle_s, polled.values[seen.row])) / step_s
    beat_hz = abs(frequency_hz - 1 / period_s)
    design = harmonic_design(moments_s[1:] - first_s, beat_hz, drift=True)
    found, *_ = np.linalg.lstsq(design, power_w, rcond=None)
    left = power_w - design @ found
    error_w = (float(left @ left) / (len(power_w) - design.shape[1]) * 2 / len(power_w)) ** 0.5
    load = abs(load_at(trace.busy, first_s, frequency_hz))
    return Response(frequency_hz, complex(found[2], -found[3]) / load, error_w / load)


def is_part_time(beats: list[Beat], multiples: list[Beat], power_is_part_time: bool | None) -> bool | None:
    """Return True if a counter misses a part of the time; None where that is not sure, or there is no counter.

    Next to `multiples` of the sensors' frequencies a beat is evidence if the power sensor is known, and none is not.
    """
    judged = [_judged(each, each.counter, power_is_part_time) for each in beats if each.counter is not None]
    is_told = power_is_part_time is not None
    if any(judged) or (is_told and any(_samples_inside(each) for each in multiples)):
        return True
    return False if judged and all(each is False for each in judged) else None


def _judged(beat: Beat, counter: Response, power_is_part_time: bool | None) -> bool | None:
    """Compare the counter's beat with that of a power sensor that is known to miss a part, else with the load itself.

    Next to a power sensor of which nothing is known, no beat is sure evidence, and a beat is none.
    """
    seen_w, error_w = abs(counter.watts), SURE * counter.error_w
    power, full_w = beat.power, beat.full_w
    many_w, few_w = np.inf, 0.0
    if power is not None and abs(power.watts) > max(CLEAR * power.error_w, VISIBLE * full_w):
        few_w = APART * abs(power.watts)
        many_w = SAME * abs(power.watts) if power_is_part_time else np.inf
    if power_is_part_time is False:
        # a counter of values that overlap has their beat, and misses nothing
        many_w, few_w = max(ALIASES * full_w, MORE * abs(power.watts) if power else 0.0), DOES_NOT * full_w
    if seen_w - error_w > many_w:
        return True
    return False if seen_w + error_w < few_w else None


def _samples_inside(beat: Beat) -> bool:
    counter = beat.counter
    return counter is not None and abs(counter.watts) > max(CLEAR * counter.error_w, ALIASES * beat.full_w)
