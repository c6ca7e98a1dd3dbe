"""Boards drawn by lot, each with sensors of its own, in simulated time: what a calibration must find out.

The true power is that of a real board by an external meter (`meter_curves`), scaled. Its sensors are drawn: one that
publishes power, and often a counter of energy. Nothing here knows how a calibration works.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from meter_curves import Curves, curves

from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensor_model import Shape

GRID_S = 0.0005
PAUSE_S = 1.3
"""The board is left alone for so long before each recording: longer than any window and lag."""
HISTORY_S = 4.0
"""Before the pause it is taken to have drawn what it drew at its beginning."""
FALL_S = 0.004
SLOWER_ASLEEP = 10
"""The averaging sensor of an RTX 3090 that sleeps shows every tenth of its values alone (it is in its recordings)."""

FORGOTTEN_AFTER = 3
"""A low-pass has forgotten 95 % after so many of its time constants."""

CounterKind = Literal["exact", "samples"]


@dataclass(frozen=True)
class Truth:
    """The lot that a board has drawn.

    A value is published every `period_s`, `phase_s` after a multiple of it: the mean of the `window_s` before
    (`boxcar`) or a low-pass with that time constant, `lag_s` before, up to `jitter_s` late, with a noise of that share,
    in steps of `quantum_w`. Where it `sleeps`, an idle board shows few of its values. Sensors report `gain` times the
    true watts, plus `offset_w`. The host sees the sensors every `poll_s`, and up to 50 ms later a `late_share` of the
    times; it hands over work in pieces of `work_s`.
    `counter` is None (there is none), "exact" at its ticks, or the sum of the power sensor's own values.
    """

    curves: Curves
    limit_w: float
    limit_is_known: bool
    deep_idle_w: float
    load_w: float
    period_s: float
    window_s: float
    phase_s: float
    lag_s: float
    shape: Shape
    gain: float
    offset_w: float
    noise: float
    quantum_w: float
    jitter_s: float
    sleeps: bool
    counter: CounterKind | None
    counter_tick_s: float
    counter_phase_s: float
    samples_together: bool
    poll_s: float
    late_share: float
    work_s: float

    @property
    def power_is_part_time(self) -> bool:
        """True where power is blind for a part of each period."""
        if self.shape == "low_pass":
            return self.period_s > FORGOTTEN_AFTER * self.window_s
        return self.window_s < self.period_s

    @property
    def boxcar_s(self) -> float:
        """The window of the boxcar that is most like the sensor: a low-pass is as late as one twice as long."""
        return 2 * self.window_s if self.shape == "low_pass" else self.window_s

    @property
    def counter_is_part_time(self) -> bool | None:
        """True where the counter is blind for a part of each period; None where there is none."""
        return None if self.counter is None else self.counter == "samples" and self.power_is_part_time


class DrawnBoard:
    """A board of which the `truth` is known; a `Bench`. `simulated_s` is the time that was spent on it."""

    def __init__(self, truth: Truth, uuid: str, random: np.random.Generator) -> None:
        self.truth, self.uuid, self.simulated_s = truth, uuid, 0.0
        self.limit_w = truth.limit_w if truth.limit_is_known else None
        self._random = random
        self._now_s = random.uniform(1e2, 1e6)
        self._last_work = (self._now_s - 1e3, self._now_s - 9e2)
        self._counted_j = random.uniform(0, 1e6)

    def record(self, seconds: float, busy: Sequence[tuple[float, float]] = ()) -> LoadTrace:
        """Simulate the recording; as on a real board, work begins and ends a little late.

        Raises:
            ValueError: the intervals are not in order.
        """
        if any(end < start for start, end in busy) or any(b[0] < a[1] for a, b in itertools.pairwise(busy)):
            raise ValueError(f"busy intervals out of order: {busy}")
        start_s = self._now_s + PAUSE_S
        seen, worked = self._work(start_s, busy)
        end_s = max([start_s + seconds, *(end for _, end in seen)])
        samples = self._samples(start_s, end_s, *self.power(self._now_s, end_s + 0.1, worked))
        self.simulated_s += end_s - self._now_s
        self._now_s, self._last_work = end_s, [self._last_work, *worked][-1]
        return LoadTrace(start_s, end_s, tuple(seen), tuple(samples))

    def _work(self, start_s: float, busy: Sequence[tuple[float, float]]) -> tuple[list, list]:
        """Return the intervals of work as the host sees them, and as the board does it."""
        seen: list[tuple[float, float]] = []
        worked: list[tuple[float, float]] = []
        free_s = start_s
        for asked_from_s, asked_to_s in busy:
            host_late_s, launch_s, notice_s = self._random.uniform(0, [0.001, 0.003, 0.003]).tolist()
            from_s = max(start_s + asked_from_s + host_late_s, free_s)
            pieces = max(np.ceil((start_s + asked_to_s - from_s - launch_s) / self.truth.work_s), 1)
            worked.append((from_s + launch_s, from_s + launch_s + float(pieces) * self.truth.work_s))
            free_s = worked[-1][1] + notice_s
            seen.append((from_s, free_s))
        return seen, worked

    def power(
        self, start_s: float, end_s: float, worked: Sequence[tuple[float, float]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return moments (s, n of them) and the true power (W) at each, where the board works in `worked`."""
        played = self.truth.curves
        work = np.array([self._last_work, *worked])
        time_s = np.arange(start_s, end_s, GRID_S)
        which = np.searchsorted(work[:, 0], time_s, side="right") - 1
        began_s, ended_s = time_s - work[which, 0], time_s - work[which, 1]
        share = _play(played.rise, began_s)
        if len(played.wake):
            slept = np.append(False, work[1:, 0] - work[:-1, 1] > played.asleep_after_s)[which]
            share = np.where(slept & (began_s < len(played.wake) / 1e3), _play(played.wake, began_s), share)
        share *= self._random.normal(1, 0.005, len(work))[which]  # no two pieces of work are quite alike
        tail_s = (played.tail_share * (work[:, 1] - work[:, 0])).clip(1e-9, 0.15)[which]
        share *= np.interp(1 + ended_s / tail_s, np.linspace(0, 1, len(played.tail)), played.tail, left=1.0)
        share += _loop(played.busy_noise, self._random, len(time_s))
        fallen_s = FALL_S if played.tail_share else 0.0  # the fall is over with the tail
        idle = _play(played.after, ended_s + fallen_s) + _loop(played.idle_noise, self._random, len(time_s))
        share = np.where(ended_s < 0, share, idle)
        return time_s, self.truth.deep_idle_w + (self.truth.load_w - self.truth.deep_idle_w) * share

    def _samples(self, start_s: float, end_s: float, time_s: np.ndarray, true_w: np.ndarray) -> list[SensorSample]:
        """Return all samples from `start_s` to `end_s` in order, and keep the counter for the next recording."""
        truth = self.truth
        earlier_s = time_s[0] - HISTORY_S
        time_s = np.append(earlier_s, time_s)
        energy_j = np.append(0, np.cumsum(np.append(true_w[0] * HISTORY_S, true_w[:-1] * GRID_S)))
        at_s, watts, shown = self.values(time_s, energy_j, np.append(true_w[0], true_w))
        polls = self._polls(start_s, end_s)
        power_w = watts[shown][_latest(self._late(at_s[shown]), polls[1])]
        if truth.counter is None:
            return _rows(self.uuid, polls, power_w=power_w)
        from_s = earlier_s + HISTORY_S
        if truth.counter == "samples":
            counted_j = np.cumsum(np.where(at_s > from_s, watts * truth.period_s, 0))
        else:
            at_s, counted_j = self._exact(time_s, energy_j, from_s)
        counted_j = np.round(self._counted_j + counted_j, 3)
        self._counted_j = float(np.interp(end_s, at_s, counted_j))
        counter_polls = polls if truth.samples_together else self._polls(start_s, end_s)
        joules = counted_j[_latest(self._late(at_s), counter_polls[1])]
        if truth.samples_together:
            return _rows(self.uuid, polls, power_w=power_w, joules=joules)
        rows = _rows(self.uuid, polls, power_w=power_w) + _rows(self.uuid, counter_polls, joules=joules)
        return sorted(rows, key=lambda sample: sample.before_s)

    def values(
        self, time_s: np.ndarray, energy_j: np.ndarray, true_w: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return when the power sensor has each of its values (n), the values (W), and which of them it shows."""
        truth = self.truth
        at_s, numbers = self._ticks(time_s, truth.period_s, truth.phase_s)
        upto_s = at_s - truth.lag_s
        if truth.shape == "boxcar":
            true = np.interp(upto_s, time_s, energy_j) - np.interp(upto_s - truth.window_s, time_s, energy_j)
            true /= truth.window_s
        else:
            true = np.interp(upto_s, time_s, _low_pass(true_w, truth.window_s))
        noisy_w = (truth.gain * true + truth.offset_w) * self._random.normal(1, truth.noise, len(true))
        watts = np.round(noisy_w / truth.quantum_w) * truth.quantum_w
        shown = np.ones(len(true), dtype=bool)
        if truth.sleeps:
            asleep_w = truth.deep_idle_w + 0.05 * (truth.load_w - truth.deep_idle_w)
            shown = (np.interp(at_s, time_s, true_w) > asleep_w) | (numbers % SLOWER_ASLEEP == 0)
        return at_s, watts, shown

    def _exact(self, time_s: np.ndarray, energy_j: np.ndarray, from_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return when the counter ticks, and what it has counted then since `from_s` (J)."""
        truth = self.truth
        at_s, _ = self._ticks(time_s, truth.counter_tick_s, truth.counter_phase_s)
        counted_j = truth.gain * np.interp(at_s, time_s, energy_j) + truth.offset_w * (at_s - from_s)
        counted_j -= truth.gain * np.interp(from_s, time_s, energy_j)
        return at_s, counted_j

    def _ticks(self, time_s: np.ndarray, period_s: float, phase_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of the ticks whose window lies within `time_s`, and their numbers."""
        first_s = time_s[0] + self.truth.window_s + self.truth.lag_s
        numbers = np.arange(np.ceil((first_s - phase_s) / period_s), (time_s[-1] - phase_s) / period_s)
        return phase_s + period_s * numbers, numbers

    def _late(self, at_s: np.ndarray) -> np.ndarray:
        """Return when the driver shows what its sensor has at each moment."""
        return at_s + self._random.uniform(0, self.truth.jitter_s, len(at_s))

    def _polls(self, start_s: float, end_s: float) -> np.ndarray:
        """Return the clock before each poll (n), when its value was taken, and after it: (3, n)."""
        truth = self.truth
        count = int((end_s - start_s) / (0.8 * truth.poll_s)) + 1
        late_s = np.where(self._random.random(count) < truth.late_share, self._random.uniform(0, 0.05, count), 0)
        before_s = start_s + np.cumsum(truth.poll_s * self._random.uniform(0.8, 1.2, count) + late_s)
        took_s = (0.00005 + self._random.exponential(0.0003, count)).clip(max=0.7 * truth.poll_s)
        polls = np.array([before_s, before_s + self._random.random(count) * took_s, before_s + took_s])
        return polls[:, polls[2] < end_s]


def drawn_board(seed: int) -> DrawnBoard:
    """Draw a board; the same one for the same seed."""
    random = np.random.default_rng([2026, seed])
    return DrawnBoard(_drawn_truth(random), f"GPU-drawn-{seed}", random)


def _drawn_truth(random: np.random.Generator) -> Truth:
    played = curves()[random.integers(3)]
    if random.random() < 0.75:
        played = played.without_tail()
    limit_w = float(np.exp(random.uniform(*np.log([75, 700]))))
    deep_idle_w = limit_w * random.uniform(0.08, 0.25)
    kind = random.choice(["full", "part", "average", "low_pass", "a100"], p=[0.44, 0.27, 0.15, 0.08, 0.06])
    period_s = _drawn_period_s(random, kind)
    window_s = {
        "full": period_s,
        "part": period_s * random.uniform(0.1, 0.9),
        "average": random.choice([1.0, random.uniform(max(1.5 * period_s, 0.1), 1.0)]),
        "low_pass": random.uniform(0.04, 0.15),
        # The recorded A100's, published as 25 of 100 ms, is a low-pass of 12 ms (rms 1.6 W; as a boxcar 6.2 W).
        "a100": random.uniform(0.010, 0.015),
    }[kind]
    return Truth(
        curves=played,
        limit_w=limit_w,
        limit_is_known=bool(random.random() < 0.9),
        deep_idle_w=deep_idle_w,
        load_w=limit_w * random.uniform(0.5, 1.2),
        period_s=period_s,
        window_s=float(window_s),
        phase_s=random.uniform(0, period_s),
        lag_s=random.uniform(0, 0.15),
        shape="low_pass" if kind in ("low_pass", "a100") else "boxcar",
        gain=random.uniform(0.9, 1.1),
        offset_w=max(random.uniform(-20, 20), -0.5 * deep_idle_w),  # no board reports power below zero
        noise=random.choice([0.02, random.uniform(0.001, 0.02)]),
        quantum_w=random.choice([0.001, 0.01, 0.1, 1.0]),
        jitter_s=random.uniform(0.0002, 0.004),
        sleeps=bool(kind == "average" and played.name == "RTX 3090"),
        counter=random.choice(
            [None, "exact", "samples"], p=[0.3, 0.2, 0.5] if kind in ("part", "a100") else [0.4, 0.3, 0.3]
        ),
        counter_tick_s=random.uniform(0.02, 0.1),
        counter_phase_s=random.uniform(0, 0.1),
        samples_together=bool(random.random() < 0.2),
        poll_s=random.uniform(0.005, min(0.02, period_s / 2)),
        late_share=random.uniform(0, 0.01),
        work_s=random.uniform(0.001, 0.004),
    )


def _drawn_period_s(random: np.random.Generator, kind: str) -> float:
    if kind == "low_pass":
        return random.uniform(0.015, 0.03)  # Kepler's: 15 ms
    if kind == "a100":
        return random.uniform(0.08, 0.12)
    if random.random() < 0.4:  # where most real boards are
        return float(random.choice([0.02, 0.1]) * random.uniform(0.96, 1.04))
    return random.uniform(0.015, 0.12)


def _play(curve: np.ndarray, since_s: np.ndarray) -> np.ndarray:
    """Return a curve (every millisecond; its last value stays) at each moment since its beginning."""
    return np.interp(since_s, np.arange(len(curve)) / 1e3, curve)


def _loop(noise: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    """Return `count` values of a noise that is known every millisecond, from a random place on, again and again."""
    steps = np.arange(count) * int(GRID_S * 1e6) // 1000
    return noise[(steps + random.integers(len(noise))) % len(noise)]


def _low_pass(true_w: np.ndarray, constant_s: float) -> np.ndarray:
    """Return power (W, n) after a first-order low-pass that was in balance at the beginning."""
    from scipy.signal import lfilter

    step = -np.expm1(-GRID_S / constant_s)
    filtered, _ = lfilter([step], [1, step - 1], true_w, zi=[(1 - step) * true_w[0]])
    return filtered


def _latest(at_s: np.ndarray, moment_s: np.ndarray) -> np.ndarray:
    """Return the place of the last of `at_s` (rising) that is not after each moment."""
    return np.searchsorted(at_s, moment_s, side="right") - 1


def _rows(
    uuid: str, polls: np.ndarray, *, power_w: np.ndarray | None = None, joules: np.ndarray | None = None
) -> list[SensorSample]:
    """Return a sample for each poll."""
    columns = [itertools.repeat(None) if each is None else each.tolist() for each in (joules, power_w)]
    return list(map(SensorSample, itertools.repeat(uuid), polls[0].tolist(), polls[2].tolist(), *columns))
