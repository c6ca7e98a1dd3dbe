"""Power over time with its exact energy, and the polls of a sensor of it: for tests of what is made of such polls."""

import numpy as np

from llenergymeasure.energy.sensor_model import SensorModel

STEP_S = 0.0005


class Power:
    """Watts in steps of half a millisecond from second 0, and their energy."""

    def __init__(self, watts):
        self.watts = np.asarray(watts, dtype=float)
        self.length_s = len(self.watts) * STEP_S
        self._moments_s = np.arange(len(self.watts) + 1) * STEP_S
        self._energy_j = np.concatenate([[0.0], np.cumsum(self.watts) * STEP_S])

    def energy_j(self, moment_s):
        """Joules since second 0; before it the power is the first."""
        early_j = np.minimum(moment_s, 0.0) * self.watts[0]
        return np.interp(moment_s, self._moments_s, self._energy_j) + early_j


def square(length_s, low_w, high_w, period_s, duty=0.5, phase=0.0):
    """`high_w` for a share `duty` of each period."""
    moments_s = np.arange(int(length_s / STEP_S)) * STEP_S
    return Power(np.where((moments_s / period_s + phase) % 1 < duty, high_w, low_w))


def levels(length_s, powers_w):
    """Each power for an equal part of the length."""
    return Power(np.repeat(powers_w, int(length_s / STEP_S / len(powers_w)) + 1)[: int(length_s / STEP_S)])


def wandering(length_s, low_w, high_w, seed, mean_s=0.4):
    """Random powers, each for a random time."""
    random = np.random.default_rng(seed)
    count = int(4 * length_s / mean_s) + 10
    steps = np.maximum(random.exponential(mean_s, count) / STEP_S, 1).astype(int)
    return Power(np.repeat(random.uniform(low_w, high_w, count), steps)[: int(length_s / STEP_S)])


def polls(
    power: Power,
    sensor: SensorModel,
    *,
    poll_s=0.01,
    jitter=0.3,
    lost=0.0,
    late_s=0.002,
    noise_w=0.0,
    seed=0,
    name="gpu",
):
    """The readings of a sensor of `power`: its values can be read up to `late_s` after the time that they are of."""
    random = np.random.default_rng(seed)
    ends_s = np.arange(random.uniform(-sensor.period_s, 0), power.length_s, sensor.period_s)
    values_w = values(power, sensor, ends_s) + noise_w * random.standard_normal(len(ends_s))
    values_w = np.round(np.maximum(values_w, 0.0), 2)
    seen_s = np.maximum.accumulate(ends_s + random.uniform(0, late_s, len(ends_s)))
    moments_s = np.cumsum(poll_s * (1 + jitter * random.uniform(-1, 1, int(power.length_s / poll_s))))
    moments_s = moments_s[(moments_s < power.length_s - 1e-3) & (random.uniform(size=len(moments_s)) >= lost)]
    watts = values_w[np.searchsorted(seen_s, moments_s, side="right") - 1]
    return [(name, moment_s - 5e-5, moment_s + 5e-5, float(w)) for moment_s, w in zip(moments_s, watts, strict=True)]


def values(power, sensor, ends_s):
    """The values of a sensor that are published at `ends_s`, exactly."""
    ends_s = ends_s - sensor.lag_s
    if sensor.shape == "boxcar":
        return (power.energy_j(ends_s) - power.energy_j(ends_s - sensor.window_s)) / sensor.window_s
    kept = np.exp(-STEP_S / sensor.window_s)
    smooth_w = np.empty(len(power.watts) + 1)
    smooth_w[0] = power.watts[0]
    for row, watts in enumerate(power.watts):
        smooth_w[row + 1] = kept * smooth_w[row] + (1 - kept) * watts
    return np.interp(ends_s, np.arange(len(smooth_w)) * STEP_S, smooth_w)
