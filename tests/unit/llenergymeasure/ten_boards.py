"""Ten kinds of board that a calibration may meet, in simulated time, made without knowledge of how it works.

`board(kind, seed)` is a `Bench`. What it draws, how its sensor works and how it is polled are drawn from `seed`;
`.truth` is what a calibration should find, and nothing of it is shown to the calibration. A few kinds more, on which
one once erred, are `more_boards`'.
"""

import math
import random
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.samples import SensorSample

STEP_S = 1e-4
BEFORE_S = 3.0  # idle, before the first record: as long as the widest window and the longest lag together
PAUSE_S = 0.3  # between two records
ALMOST_ALL = 0.95  # of the period: no board is between this and the whole of it, where the two cannot be told apart


class Truth(NamedTuple):
    """The figures that a calibration should find; `gain` and `offset_w` make watts of the sensor from real ones."""

    period_s: float
    window_s: float
    lag_s: float
    shape: str
    power_is_part_time: bool
    counter_is_part_time: bool | None
    gain: float
    offset_w: float


class Board:
    """A board that draws two levels of power, with an ideal sensor; each kind overrides what it does otherwise."""

    periods_s = (0.05, 0.12)
    shares = (0.2, 0.9)  # of the period that the window has
    shape = "boxcar"
    counters = ("exact", "same", None)
    noise = 0.02
    resolution_w = 1e-3
    idle_range_w = (30.0, 80.0)
    busy_range_w = (200.0, 450.0)

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311 - they are no secret
        self.numbers = np.random.default_rng(seed)
        draw = self.random.uniform
        self.uuid = f"GPU-{seed:08x}-ten-{type(self).__name__.lower()}"
        self.idle_w, self.busy_w = draw(*self.idle_range_w), draw(*self.busy_range_w)
        self.limit_w = float(round(self.busy_w * 1.15))
        self.counter = self.random.choice(self.counters)
        self.poll_s = draw(0.005, 0.012)
        self.period_s = draw(*self.periods_s)
        self.window_s = self.draw_window_s()
        self.lag_s = draw(0.0, 0.15)
        self.gain, self.offset_w = draw(0.9, 1.1), draw(-20.0, 20.0)
        self.first_publication_s = BEFORE_S / 2 + draw(0.0, self.period_s)
        self.counter_period_s = draw(0.02, 0.1)
        self.start()
        self.power = [self.draws(False, round(BEFORE_S / STEP_S))]
        self.now_s, self.kept_from_s, self.counted_j = BEFORE_S, 0.0, 0.0
        self.published = np.empty(0)

    def start(self):
        """Draw what the kind needs besides, and begin as a board that has long been idle."""

    def draw_window_s(self):
        share = self.random.uniform(*self.shares)
        return self.period_s * (share if share < ALMOST_ALL else 1.0)

    @property
    def truth(self):
        part_time = self.shape == "boxcar" and self.window_s < self.period_s
        counter = None if self.counter is None else part_time and self.counter == "same"
        return Truth(self.period_s, self.window_s, self.lag_s, self.shape, part_time, counter, self.gain, self.offset_w)

    # What the board draws

    def draws(self, busy, steps):
        """Return the watts of the next `steps` steps, all of them busy or all idle."""
        return np.full(steps, self.busy_w if busy else self.idle_w)

    def record(self, seconds, busy=()):
        start_s = self.now_s
        pieces = self._as_it_went(start_s, busy)
        for piece_start_s, piece_end_s in pieces:
            self._go_on(False, piece_start_s + 5e-5)
            self._go_on(True, piece_end_s - 5e-5)
        end_s = max(start_s + seconds, self.now_s)
        self._go_on(False, end_s)
        trace = LoadTrace(start_s, end_s, tuple(pieces), tuple(self._samples(start_s, end_s)))
        self._go_on(False, end_s + PAUSE_S)
        return trace

    def _as_it_went(self, start_s, busy):
        """Return the busy intervals: a host starts a little late, and work comes in pieces that it cannot stop."""
        went, free_s = [], start_s
        for from_s, to_s in busy:
            began_s = max(start_s + from_s, free_s) + self.random.uniform(0.0, 3e-4)
            free_s = max(start_s + to_s, began_s + 5e-4) + self.random.uniform(0.0, 8e-4)
            went.append((began_s, free_s))
        return went

    def _go_on(self, busy, until_s):
        steps = round((until_s - self.now_s) / STEP_S)
        if steps > 0:
            self.power.append(self.draws(busy, steps))
            self.now_s += steps * STEP_S

    # What its sensors say

    def _samples(self, start_s, end_s):
        power_w = np.concatenate(self.power)
        joules = self.counted_j + np.concatenate([[0.0], np.cumsum(power_w) * STEP_S])
        clock_s = self.kept_from_s + np.arange(len(joules)) * STEP_S
        forgotten = len(power_w) - round(BEFORE_S / STEP_S)
        self.power, self.counted_j, self.kept_from_s = [power_w[forgotten:]], joules[forgotten], clock_s[forgotten]
        published_s, values = self._publications(end_s, clock_s, joules)
        counted_s, counts = self._counts(end_s, clock_s, joules, published_s, values)
        for before_s, read_s, after_s in self.polls(start_s, end_s):
            at = np.searchsorted(published_s, read_s, side="right") - 1
            joule = None if counts is None else float(counts[np.searchsorted(counted_s, read_s, side="right") - 1])
            yield SensorSample(self.uuid, before_s, after_s, joule, float(values[at]), 50.0)

    def _publications(self, end_s, clock_s, joules):
        """Return the moments of all values so far, and the values, of which none ever changes."""
        moments_s = np.arange(self.first_publication_s, end_s, self.period_s)
        new_s = moments_s[len(self.published) :]
        seen_w = self.sees(new_s - self.lag_s, clock_s, joules)
        noisy_w = (self.gain * seen_w + self.offset_w) * (1 + self.noise * self.numbers.standard_normal(len(new_s)))
        rounded_w = np.maximum(np.round(noisy_w / self.resolution_w) * self.resolution_w, 0.0)
        self.published = np.concatenate([self.published, rounded_w])
        return moments_s, self.published

    def sees(self, at_s, clock_s, joules):
        """Return the watts that the sensor would give, without error, for each of the moments `at_s`."""
        return (np.interp(at_s, clock_s, joules) - np.interp(at_s - self.window_s, clock_s, joules)) / self.window_s

    def _counts(self, end_s, clock_s, joules, published_s, values):
        if self.counter is None:
            return None, None
        if self.counter == "same":
            return published_s, np.round(np.cumsum(values) * self.period_s, 3)
        moments_s = np.arange(0.0, end_s, self.counter_period_s)
        return moments_s, np.round(self.gain * np.interp(moments_s, clock_s, joules), 3)

    def polls(self, start_s, end_s):
        """Yield the clock before a read, at the moment of the values that it gets, and after it."""
        at_s = start_s + self.random.uniform(0.0, self.poll_s)
        while at_s < end_s - 0.003:
            took_s = self.random.uniform(2e-4, 2e-3)
            yield at_s, at_s + self.random.random() * took_s, at_s + took_s
            at_s += max(self.poll_s * self.random.uniform(0.9, 1.2), took_s)


class SlowRise(Board):
    """Power rises over some 0.1 s, as clocks are raised step by step, and falls as slowly or faster."""

    shares = (0.2, 1.4)

    def start(self):
        self.rise_s = self.random.uniform(0.04, 0.2)
        self.fall_s = self.rise_s * self.random.uniform(0.2, 1.0)
        self.last_w = self.idle_w

    def draws(self, busy, steps):
        level_w = self.busy_w if busy else self.idle_w
        decay = np.exp(-STEP_S * np.arange(1, steps + 1) / (self.rise_s if busy else self.fall_s))
        watts = level_w + (self.last_w - level_w) * decay
        self.last_w = watts[-1]
        return watts


class BoostOvershoot(Board):
    """A rested board draws a third more for the first tenth of a second, until its boost has been used up."""

    periods_s = (0.09, 0.11)
    shares = (0.25, 0.25)
    boost, drain_s, refill_s = 0.35, 0.06, 0.3

    def start(self):
        self.left = 1.0

    def draws(self, busy, steps):
        elapsed_s = STEP_S * np.arange(1, steps + 1)
        aim, in_s = (0.0, self.drain_s) if busy else (1.0, self.refill_s)
        lefts = aim + (self.left - aim) * np.exp(-elapsed_s / in_s)
        self.left = lefts[-1]
        return self.busy_w * (1 + self.boost * lefts) if busy else np.full(steps, self.idle_w)


class CapOscillates(Board):
    """The cap on power is met by a controller that hunts: a triangle of some 10 Hz, as long as the board is busy."""

    shares = (0.3, 0.6)
    swing = 0.12

    def start(self):
        self.hunt_s = self.random.uniform(0.07, 0.13)
        self.phase = 0.0

    def draws(self, busy, steps):
        if not busy:
            return np.full(steps, self.idle_w)
        phase = self.phase + STEP_S * np.arange(1, steps + 1) / self.hunt_s
        self.phase = phase[-1] % 1.0
        return self.busy_w * (1 + self.swing * (4 * np.abs(phase % 1.0 - 0.5) - 1))


class ThermalDrift(Board):
    """Leakage grows with temperature: up to a seventh more when hot, over some 20 s; the sensor gives means of 1 s."""

    periods_s = (0.095, 0.105)
    warm_s, leak = 20.0, 0.15

    def draw_window_s(self):
        return 1.0

    def start(self):
        self.heat = 0.0

    def draws(self, busy, steps):
        aim = 1.0 if busy else 0.0
        heats = aim + (self.heat - aim) * np.exp(-STEP_S * np.arange(1, steps + 1) / self.warm_s)
        self.heat = heats[-1]
        return (self.busy_w if busy else self.idle_w) * (1 + self.leak * heats)


class DeepIdle(Board):
    """A board that has been idle for 0.3 s falls asleep, to a third, and then takes 25 ms to wake."""

    shares = (0.4, 1.0)
    sleep_after, wake = round(0.3 / STEP_S), round(0.025 / STEP_S)

    def start(self):
        self.rested, self.waking = self.sleep_after, 0

    def draws(self, busy, steps):
        index, rested = np.arange(steps), self.rested
        if not busy:
            self.rested += steps
            return np.where(rested + index >= self.sleep_after, self.idle_w / 3, self.idle_w)
        waking = self.waking if rested < self.sleep_after else self.wake
        self.rested, self.waking = 0, max(waking - steps, 0)
        return np.where(index < waking, self.idle_w, self.busy_w)


class CoilWhine(Board):
    """A busy board's power rings at some hundred hertz, and its matrix products are not all alike."""

    periods_s = (0.015, 0.03)
    shares = (0.5, 1.0)
    ring, uneven = 0.08, 0.06

    def start(self):
        self.tone_hz = self.random.uniform(130.0, 400.0)
        self.played = 0

    def draws(self, busy, steps):
        if not busy:
            return self.idle_w * (1 + 0.02 * self.numbers.standard_normal(steps))
        tone = np.sin(2 * math.pi * self.tone_hz * STEP_S * (self.played + np.arange(steps)))
        self.played += steps
        products = np.repeat(self.numbers.standard_normal(steps // 10 + 1), 10)[:steps]
        return self.busy_w * (1 + self.ring * tone + self.uneven * products)


class CoarseWatts(Board):
    """A small card: whole watts, little difference between idle and busy, no other noise."""

    shares = (0.3, 0.8)
    idle_range_w, busy_range_w = (22.0, 30.0), (55.0, 75.0)
    resolution_w, noise = 1.0, 0.005
    counters = ("same", None)


class DisplayBoard(Board):
    """A board that draws the screen: 60 times a second it works for some milliseconds, while it is idle."""

    shares = (0.25, 0.7)
    frame_s, frame_work_s, frame_w = 1 / 59.94, 0.004, 45.0

    def start(self):
        self.past = 0

    def draws(self, busy, steps):
        clock_s = STEP_S * (self.past + np.arange(steps))
        self.past += steps
        drawing = clock_s % self.frame_s < self.frame_work_s
        return np.where(drawing, self.frame_w, 0.0) * (0.3 if busy else 1.0) + (self.busy_w if busy else self.idle_w)


class LatePolls(Board):
    """The machine is full: reads take milliseconds, and now and then no poll comes for a tenth of a second."""

    shares = (0.25, 1.0)

    def polls(self, start_s, end_s):
        at_s = start_s + self.random.uniform(0.0, self.poll_s)
        while at_s < end_s - 0.02:
            took_s = min(self.random.expovariate(1 / 0.003) + 3e-4, 0.02)
            yield at_s, at_s + self.random.random() * took_s, at_s + took_s
            late_s = self.random.uniform(0.05, 0.25) if self.random.random() < 0.015 else 0.0
            at_s += max(self.poll_s * self.random.uniform(0.7, 1.6), took_s) + late_s


class LowPass(Board):
    """An old board: a low-pass over some 0.1 s, a value every 15 to 25 ms, no counter."""

    shape = "low_pass"
    periods_s = (0.015, 0.025)
    counters = (None,)

    def draw_window_s(self):
        return self.random.uniform(0.06, 0.13)

    def sees(self, at_s, clock_s, joules):
        block = 10  # steps, for speed
        blocks_w = np.diff(joules[::block]) / (block * STEP_S)
        share, level_w, filtered = 1 - math.exp(-block * STEP_S / self.window_s), blocks_w[0], []
        for block_w in blocks_w:
            level_w += share * (block_w - level_w)
            filtered.append(level_w)
        return np.interp(at_s, clock_s[::block][1:], filtered)


KINDS = (
    SlowRise,
    BoostOvershoot,
    CapOscillates,
    ThermalDrift,
    DeepIdle,
    CoilWhine,
    CoarseWatts,
    DisplayBoard,
    LatePolls,
    LowPass,
)
NAMES = tuple(kind.__name__ for kind in KINDS)


def board(kind, seed):
    """Return the board of that kind, one of `NAMES`."""
    return KINDS[NAMES.index(kind)](seed)
