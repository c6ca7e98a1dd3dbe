"""Boards of which a calibration has little to go by: slow ones, and sensors that sample in ways of their own."""

import numpy as np
from ten_boards import BEFORE_S, Board, LowPass, SlowRise


class SlowAlike(SlowRise):
    """Power rises as slowly as it falls, beside a part-time sensor: like a low-pass, to all values."""

    shares = (0.1, 0.9)
    counters = ("same",)

    def start(self):
        super().start()
        self.rise_s = self.random.uniform(0.04, 0.3)
        self.fall_s = self.rise_s * self.random.uniform(0.85, 1.2)


class SlowAlikeOften(SlowAlike):
    """The same beside a sensor that publishes often."""

    periods_s = (0.015, 0.03)


class LowPassOfAPeriod(LowPass):
    """A low-pass that forgets about as fast as it publishes."""

    counters = ("same", None)

    def draw_window_s(self):
        return self.period_s * self.random.uniform(0.4, 1.7)


class AlmostFull(Board):
    """A window that lacks up to a seventh of the period."""

    shares = (0.85, 0.949)


class MeansOfSamples(Board):
    """Each value is the mean of the last ten part-time samples, and the counter integrates them."""

    periods_s = (0.095, 0.105)
    shares = (0.2, 0.5)
    counters = ("same",)
    samples = 10

    def sees(self, at_s, clock_s, joules):
        sample = super().sees
        return np.mean([sample(at_s - n * self.period_s, clock_s, joules) for n in range(self.samples)], axis=0)


class FourWindows(Board):
    """Each value is the mean of four short windows, a quarter of the period apart."""

    shares = (0.1, 0.15)
    counters = ("exact", None)

    def sees(self, at_s, clock_s, joules):
        window = super().sees
        return np.mean([window(at_s - n * self.period_s / 4, clock_s, joules) for n in range(4)], axis=0)


class CounterSamplesInside(Board):
    """A counter that is published with every fifth of its part-time samples, beside a sensor that sees all."""

    shares = (1.0, 1.0)
    counters = ("exact",)
    inside_s, every = 0.02, 5

    @property
    def truth(self):
        return super().truth._replace(counter_is_part_time=True)

    def _counts(self, end_s, clock_s, joules, published_s, values):
        at_s = np.arange(BEFORE_S / 2, end_s, self.inside_s)
        seen_j = 2 * (np.interp(at_s, clock_s, joules) - np.interp(at_s - self.inside_s / 2, clock_s, joules))
        counted_j = np.concatenate([[0.0], np.cumsum(seen_j)])
        return np.concatenate([[0.0], at_s])[:: self.every], np.round(counted_j, 3)[:: self.every]


class Overlapping(Board):
    """Windows of 1.5 to 3 periods: neighbours overlap, and miss nothing."""

    def draw_window_s(self):
        return self.period_s * self.random.choice([1.5, 2, 3])


KINDS = (
    SlowAlike,
    SlowAlikeOften,
    LowPassOfAPeriod,
    AlmostFull,
    MeansOfSamples,
    FourWindows,
    CounterSamplesInside,
    Overlapping,
)
NAMES = tuple(kind.__name__ for kind in KINDS)


def board(kind, seed):
    """Return the board of that kind, one of `NAMES`."""
    return KINDS[NAMES.index(kind)](seed)
