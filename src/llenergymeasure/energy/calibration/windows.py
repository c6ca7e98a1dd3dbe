"""The window that a sensor's values are the mean of, from its responses to square loads of many frequencies."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.calibration.responses import Response

MODEL_ERROR = 0.03  # the share of a response by which a first-order rise of power may be wrong
STARTS = 2
LEAST_S, LONGEST_RISE_S = 0.001, 0.5
BELOW, ABOVE = 0.55, 1.6
"""The frequencies, in units of that of the null, of the responses from which it is worked out."""
SURE = 4.0  # standard errors
MAX_ACROSS = 0.35
MAX_SPREAD = 6.0
LEAST_NEAR = 5


class Curve(NamedTuple):
    """A model of all responses: `swing_w` watts between idle and busy, `delay_s` in all, power that rises and falls
    with the time constant `rise_s`, and values that are the mean of `window_s`; `misfit` is the mean square of what is
    left, in standard errors, and `delay_error_s` the standard error of the delay."""

    swing_w: float
    delay_s: float
    rise_s: float
    window_s: float
    misfit: float = 0.0
    delay_error_s: float = 0.0

    def without_window(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Return the response of a sensor without a window, as a share of the swing."""
        turns = 2j * np.pi * frequency_hz
        return np.asarray(np.exp(-turns * self.delay_s) / (1 + turns * self.rise_s))

    def full_time_w(self, frequency_hz: float) -> complex:
        """Return the response of a sensor without a window, in watts."""
        return complex(self.swing_w * self.without_window(np.array(frequency_hz)))

    def at_w(self, frequency_hz: float) -> complex:
        """Return the response, in watts."""
        return self.full_time_w(frequency_hz) * float(np.sinc(frequency_hz * self.window_s))


class Null(NamedTuple):
    """The lowest frequency without response, and its standard error."""

    frequency_hz: float
    error_hz: float


def fit_curve(responses: Sequence[Response], delay_s: float, longest_s: float) -> Curve:
    """Return the model that fits the responses best, with a window of `longest_s` at most; `delay_s` is a first guess
    of the whole delay."""
    from scipy.optimize import least_squares

    hz = np.array([each.frequency_hz for each in responses])
    watts = np.array([each.watts for each in responses])
    error_w = np.hypot([each.error_w for each in responses], MODEL_ERROR * np.abs(watts))
    starts = _starts(hz, watts / error_w, 1 / error_w, delay_s, longest_s)
    low, high = (
        [-np.inf, -0.1, *np.log([LEAST_S, LEAST_S / 2])],
        [np.inf, 2.0, *np.log([LONGEST_RISE_S, 2 * longest_s])],
    )

    def curve(x: np.ndarray) -> Curve:
        return Curve(float(x[0]), float(x[1]), *np.exp(x[2:]).tolist())

    def misses(x: np.ndarray) -> np.ndarray:
        model = curve(x)
        left = (model.swing_w * model.without_window(hz) * np.sinc(hz * model.window_s) - watts) / error_w
        return np.concatenate([left.real, left.imag])

    found = [least_squares(misses, np.clip(x, low, high), bounds=(low, high), max_nfev=80) for x in starts]
    best = min(found, key=lambda each: float(each.cost))
    misfit = float(2 * best.cost / max(2 * len(hz) - 4, 1))
    delay_error_s = float(np.linalg.pinv(best.jac.T @ best.jac)[1, 1] * max(misfit, 1.0)) ** 0.5
    return curve(best.x)._replace(misfit=misfit, delay_error_s=delay_error_s)


def _starts(
    hz: np.ndarray, weighed: np.ndarray, weights: np.ndarray, delay_s: float, longest_s: float
) -> list[np.ndarray]:
    """Return the best points of a coarse grid of windows, rises and delays, each with the best swing."""
    windows_s, rises_s = np.geomspace(0.003, longest_s, 40), np.geomspace(0.004, 0.15, 6)
    delays_s = delay_s + np.linspace(-0.16, 0.08, 49)
    shape = (
        np.sinc(hz * windows_s[:, None])[:, None, None, :]
        / (1 + 2j * np.pi * hz * rises_s[:, None])[None, :, None, :]
        * np.exp(-2j * np.pi * hz * delays_s[:, None])[None, None, :, :]
        * weights
    )
    swings_w = (shape.conj() * weighed).sum(axis=-1).real / (np.abs(shape) ** 2).sum(axis=-1)
    gained = swings_w * (shape.conj() * weighed).sum(axis=-1).real
    by_window = [np.unravel_index(int(np.argmax(each)), each.shape) for each in gained]
    best = np.argsort([-gained[n][place] for n, place in enumerate(by_window)])[:STARTS]
    return [
        np.array(
            [swings_w[n][by_window[n]], delays_s[by_window[n][1]], *np.log([rises_s[by_window[n][0]], windows_s[n]])]
        )
        for n in best.tolist()
    ]


def find_null(responses: Sequence[Response], curve: Curve, near_hz: float) -> Null | None:
    """Return where the response goes through zero near `near_hz`; None where that is not sure.

    Without the delay and the rise, which `curve` has, the response is real near its null, and changes its sign there:
    on both sides it has to be far from zero, with opposite signs, and little of it may lie across. What is left of the
    load's own shape is taken to be a straight line.
    """
    near = [each for each in responses if BELOW < each.frequency_hz / near_hz < ABOVE]
    if len(near) < LEAST_NEAR:
        return None
    hz = np.array([each.frequency_hz for each in near])
    scale = hz / near_hz / curve.without_window(hz)
    weights = 1 / (np.array([each.error_w for each in near]) * np.abs(scale))
    turned = np.array([each.watts for each in near]) * scale
    turned *= np.exp(-0.5j * np.angle((turned**2 * weights**2).sum()))
    along, across = turned.real * weights, turned.imag * weights
    nulls_hz = near_hz * np.linspace(0.75, 1.3, 551)
    left = np.array([_left(hz, along, weights, null_hz) for null_hz in nulls_hz.tolist()])
    best = int(np.argmin(left))
    null_hz, spread = float(nulls_hz[best]), max(1.0, left[best] / (len(near) - 3))
    likely = nulls_hz[left <= left[best] + spread]
    below, above = along[hz < null_hz], along[hz > null_hz]
    is_edge = best in (0, len(nulls_hz) - 1)
    if is_edge or not len(below) or not len(above) or not _opposite(below, above) or spread > MAX_SPREAD:
        return None
    if np.abs(across).max() > max(SURE, MAX_ACROSS * np.abs(along).max()):
        return None
    return Null(null_hz, max(float(np.ptp(likely)) / 2, 0.0005 * near_hz))


def _left(hz: np.ndarray, along: np.ndarray, weights: np.ndarray, null_hz: float) -> float:
    """Return the sum of squares that responses with this null leave, in standard errors."""
    wave = np.sin(np.pi * hz / null_hz) * weights
    design = np.column_stack([wave, wave * (hz / null_hz - 1)])
    found, *_ = np.linalg.lstsq(design, along, rcond=None)
    return float(((along - design @ found) ** 2).sum())


def _opposite(below: np.ndarray, above: np.ndarray) -> bool:
    """Return True if both sides are far from zero, with opposite signs."""
    low, high = below[np.argmax(np.abs(below))], above[np.argmax(np.abs(above))]
    return bool(low * high < 0 and abs(low) > SURE and abs(high) > SURE)
