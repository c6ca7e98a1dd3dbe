"""The response of a sensor to square loads: amplitude and phase at the load's frequency, whatever the load's own shape.

A sensor whose values are the means of a window w has no response at 1/w: every window holds whole periods of the load.
That is true of any periodic load, so it needs no knowledge of how power rises and falls. Around 1/w the response goes
through zero: its phase turns by half a circle.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.publications import Series

HARMONICS = 3
LEAST_VALUES = 24
SHIFTS = (0.0, 0.005, -0.005, 0.01, -0.01, 0.015, -0.015, 0.02, -0.02, 0.025, -0.025, 0.03, -0.03)
RESOLVED = 1.6  # the condition of the fit; 1.41 is the best
LEAD_S = 0.3
"""Seconds before the first piece of load of a trace."""


class Response(NamedTuple):
    """The response at one frequency, in watts per unit of load (busy = 1, idle = 0), and the standard error of its real
    and of its imaginary part."""

    frequency_hz: float
    watts: complex
    error_w: float


def square(frequency_hz: float, seconds: float) -> list[tuple[float, float]]:
    """Return the busy intervals of a load that is on for half of each period, for `seconds` in all."""
    period_s = 1 / frequency_hz
    starts_s = LEAD_S + period_s * np.arange(int((seconds - LEAD_S) / period_s))
    return [(start_s, start_s + period_s / 2) for start_s in starts_s.tolist()]


def load_frequency_hz(busy: Sequence[tuple[float, float]]) -> float:
    """Return the frequency of a square load as it was done."""
    starts_s = np.array([start_s for start_s, _ in busy])
    return float(1 / np.polyfit(np.arange(len(starts_s)), starts_s, 1)[0])


def response(trace: LoadTrace, published: Series, settle_s: float) -> Response | None:
    """Return the response to a square load, `settle_s` after its begin; None where there are too few values.

    The values are fitted with a line, the load's frequency and its next multiples. A multiple that the moments of the
    sensor cannot tell from the frequency is not there: loads are chosen so.
    """
    frequency_hz = load_frequency_hz(trace.busy)
    first_s = trace.busy[0][0]
    is_used = (published.moments_s > first_s + settle_s) & (published.moments_s < trace.busy[-1][1])
    times_s, values = published.moments_s[is_used] - first_s, published.values[is_used]
    if len(values) < LEAST_VALUES:
        return None
    design = harmonic_design(times_s, frequency_hz, drift=True)
    found, *_ = np.linalg.lstsq(design, values, rcond=None)
    left = values - design @ found
    variance = float(left @ left) / max(len(values) - design.shape[1], 1)
    covariance = variance * np.linalg.pinv(design.T @ design)
    load = load_at(trace.busy, first_s, frequency_hz)
    error_w = float(np.sqrt((covariance[2, 2] + covariance[3, 3]) / 2))
    return Response(frequency_hz, complex(found[2], -found[3]) / load, error_w / abs(load))


def harmonic_design(times_s: np.ndarray, frequency_hz: float, *, drift: bool) -> np.ndarray:
    """Return the columns of a fit: 1, time (if `drift`), then cosine and sine of each multiple of the frequency."""
    turns = 2 * np.pi * frequency_hz * times_s
    line = [np.ones_like(times_s)] + ([times_s / np.ptp(times_s)] if drift else [])
    waves = [wave(n * turns) for n in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    return np.column_stack([*line, *waves])


def load_at(busy: Sequence[tuple[float, float]], first_s: float, frequency_hz: float) -> complex:
    """Return the complex amplitude of a load at its frequency, `first_s` being time zero: busy is 1, idle 0."""
    edges = np.exp(-2j * np.pi * frequency_hz * (np.array(busy) - first_s))
    return complex((edges[:, 0] - edges[:, 1]).mean() / (1j * np.pi))


def resolvable_hz(wanted_hz: float, every_s: float, values: int) -> float:
    """Return a frequency near `wanted_hz` whose multiples are told apart by moments that are `every_s` apart."""
    moments_s = every_s * np.arange(values)
    found: list[tuple[float, float]] = []
    for share in SHIFTS:
        hz = wanted_hz * (1 + share)
        condition = float(np.linalg.cond(harmonic_design(moments_s, hz, drift=False)))
        if condition < RESOLVED:
            return hz
        found.append((condition, hz))
    return min(found)[1]
