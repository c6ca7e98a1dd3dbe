"""The examination of a board: the loads that it gets, and what its sensors are found to be.

The loads in their order: a pause; bursts, which give the period; long steps, which tell how slow the answer is; square
loads of rising frequency, until the response has gone through zero; more of them around that null; and some next to the
sensors' own frequencies and multiples of these, where a part-time sensor sees a slow beat and a full-time one none.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labledger.console import Progress
from llenergymeasure.energy.calibration.bench import Bench, LoadTrace
from llenergymeasure.energy.calibration.counters import VISIBLE, Beat, beat_of_counter
from llenergymeasure.energy.calibration.findings import GOOD_MISFIT, Evidence, Findings, conclude, nothing_found
from llenergymeasure.energy.calibration.publications import period_s, polls, series
from llenergymeasure.energy.calibration.responses import Response, resolvable_hz, response, square
from llenergymeasure.energy.calibration.steps import Steps, crossing_s, plan_bursts, plan_steps, steps, width_s
from llenergymeasure.energy.calibration.windows import Curve, Null, find_null, fit_curve

IDLE_S, BURSTS_S, STEPS_S = 10.0, 24.0, 34.0
STEP_COUNT, STEP_HOLD_S = 9, 1.6
LEAST_SWING = 5.0  # standard deviations of an idle board
FIRST, FIRST_HZ, NEXT, LAST_HZ = 0.4, 12.0, 1.3, 110.0
"""The first frequency, as a share of one over the length of a step's answer and at the most; from one to the next; and
the last, beyond which a load is not as it is asked for."""
FITTED_FROM, PAST_NULL = 6, 1.9
"""The fewest responses that are fitted, and the frequency of the last, in frequencies of the null."""
LOST, LOST_TIMES = 3.0, 3  # standard errors, responses
NEAR = ((0.72, 0.86, 1.16, 1.35), (0.93, 1.07, 0.8, 1.25))
WANTED, MOST_LONGER = 6.0, 4.0
"""Standard errors of a response beside the null, and how much longer a record gets for that."""
GOOD_NULL = 0.01  # its standard error, as a share
BEATS = (0.99, 1.01)
MULTIPLES, BESIDE, MULTIPLE_S = range(2, 11), 0.1, 6.0
"""Loads are also put next to these multiples of a sensor's frequency, off it by that share of it, for so many seconds:
where values are the means of several short windows, or a counter samples faster than it is seen to, it shows there."""
ALL_OF_IT = 0.9  # a power sensor whose window is so much of its period may have several
SCAN_VALUES, NEAR_VALUES, BEAT_VALUES = 120, 200, 240
LEAST_RECORD_S, LONGEST_RECORD_S, LEAST_PERIODS = 6.0, 40.0, 8
EXPECTED_S, EXPECTED_RECORDS = 240.0, 25  # for the time left: near a null a record takes about twice as long
SAME_PERIOD = 0.005


def examine(bench: Bench, progress: Progress) -> Findings:
    """Put loads on the board of `bench` for some minutes, and return what its sensors are found to be."""
    session = _Session(bench, progress)
    idle = polls(session.record("idle", IDLE_S).samples, "power_w").values
    if not len(idle):
        return nothing_found(
            "the driver gives no power", Findings(reasons={"idle_noise_w": "the driver gives no power"})
        )
    found = Findings(idle_w=float(idle.mean()), idle_noise_w=float(idle.std()))
    bursts = session.record("bursts of load", BURSTS_S, plan_bursts(BURSTS_S))
    every_s = period_s(polls(bursts.samples, "power_w"))
    if every_s is None:
        return nothing_found("the moments at which the power changes lie on no grid", found)
    trace = session.record("steps of load", STEPS_S, plan_steps(STEP_COUNT, STEP_HOLD_S))
    published = series(polls(trace.samples, "power_w"), every_s)
    up, down = steps(trace, published, up=True), steps(trace, published, up=False)
    if up is None or down is None or min(up.swing_w, down.swing_w) < LEAST_SWING * float(idle.std()):
        return nothing_found("the load did not raise the power clearly", found)
    sensor = _Sensor(session, every_s, up)
    sensor.scan()
    sensor.look_near()
    counter_period_s = period_s(polls(bursts.samples, "joules"))
    beats = sensor.beats(counter_period_s)
    if not _agrees(sensor.last_period_s, every_s):
        return nothing_found("the period was another one in a later record", found)
    multiples = sensor.multiples(counter_period_s)
    seen = Evidence(every_s, up.swing_w, sensor.curve, sensor.null, beats, multiples)
    return conclude(seen, replace(found, counter_period_s=counter_period_s))


def _agrees(found_s: float | None, every_s: float) -> bool:
    """Return False if a record shows another period; one without a period shows none."""
    return found_s is None or abs(found_s / every_s - 1) <= SAME_PERIOD


class _Session:
    """A bench, and how far the work on it is."""

    def __init__(self, bench: Bench, progress: Progress) -> None:
        self._bench, self._progress = bench, progress
        self._phase = ""
        self._done_s, self._total_s = 0.0, IDLE_S + BURSTS_S + STEPS_S + EXPECTED_S

    def expect(self, seconds: float) -> None:
        """Count on so many seconds more."""
        self._total_s = self._done_s + seconds

    def record(self, phase: str, seconds: float, busy: Sequence[tuple[float, float]] = ()) -> LoadTrace:
        """Record as the bench does, and show how far the work is."""
        if phase != self._phase:
            self._progress.phase(phase)
            self._phase = phase
        self._total_s = max(self._total_s, self._done_s + seconds)
        left_s = self._total_s - self._done_s
        self._progress.update(round(self._done_s), round(self._total_s), f"seconds; about {left_s / 60:.1f} min left")
        trace = self._bench.record(seconds, busy)
        self._done_s += seconds
        return trace


class _Sensor:
    """A power sensor of known period: its responses so far, and what they are taken to mean."""

    def __init__(self, session: _Session, every_s: float, up: Steps) -> None:
        self._session, self._period_s = session, every_s
        self._delay_s, self._settle_s = crossing_s(up, 0.5), crossing_s(up, 0.85) + 0.5
        self._spread_s = width_s(up) + every_s / 8
        self._responses: list[Response] = []
        self.curve: Curve | None = None
        self.null: Null | None = None
        self.last_period_s: float | None = None

    def scan(self) -> None:
        """Raise the frequency of the load until the response has gone through zero, or is lost."""
        hz = min(FIRST / self._spread_s, FIRST_HZ)
        self._session.expect(EXPECTED_RECORDS * self._seconds(hz, SCAN_VALUES))
        while hz < LAST_HZ and not self._is_past_null() and not self._is_lost():
            self._respond(hz, SCAN_VALUES)
            hz *= NEXT
            if len(self._responses) >= FITTED_FROM:
                self._fit()

    def look_near(self) -> None:
        """Measure more around the null that the responses suggest, until it is precise."""
        for shares in NEAR:
            if self.curve is None or self.curve.window_s < 1 / LAST_HZ / PAST_NULL:
                return
            near_hz = 1 / self.curve.window_s
            values = self._values_for(near_hz, self.curve)
            self._session.expect((2 * len(shares) + len(BEATS)) * self._seconds(near_hz, values))
            for share in shares:
                self._respond(near_hz * share, values)
            self._fit()
            self.null = find_null(self._responses, self.curve, 1 / self.curve.window_s)
            if self.null is not None and self.null.error_hz < GOOD_NULL * self.null.frequency_hz:
                return

    def beats(self, counter_period_s: float | None) -> list[Beat]:
        """Put loads next to the sensor's own frequency, and next to that of the counter if it has another one."""
        periods_s = [self._period_s, *self._other_s(counter_period_s)]
        return [
            self._beat(each_s, 1, share - 1, max(2 * LEAST_RECORD_S, BEAT_VALUES * each_s))
            for each_s in periods_s
            for share in BEATS
        ]

    def multiples(self, counter_period_s: float | None) -> list[Beat]:
        """Put loads next to multiples of the counter's own frequency, and of the sensor's if it seems to see all, as
        far as the board follows them."""
        periods_s = [] if counter_period_s is None else [counter_period_s]
        if self.null is not None and self.null.frequency_hz * self._period_s * ALL_OF_IT < 1:
            periods_s = [self._period_s, *self._other_s(counter_period_s)]
        own = [(each_s, times) for each_s in periods_s for times in MULTIPLES if self._follows(times / each_s)]
        self._session.expect(len(own) * (MULTIPLE_S + self._settle_s))
        return [self._beat(each_s, times, BESIDE, MULTIPLE_S) for each_s, times in own]

    def _follows(self, hz: float) -> bool:
        curve = self.curve
        return hz < LAST_HZ and curve is not None and abs(curve.full_time_w(hz)) > VISIBLE * abs(curve.swing_w)

    def _other_s(self, counter_period_s: float | None) -> list[float]:
        """Return the counter's period, if it has one of its own."""
        return [] if counter_period_s is None or _agrees(counter_period_s, self._period_s) else [counter_period_s]

    def _beat(self, own_s: float, times: int, beside: float, seconds: float) -> Beat:
        hz, seconds = (times + beside) / own_s, seconds + self._settle_s
        trace = self._session.record("beats with the sensors' own period", seconds, square(hz, seconds))
        self.last_period_s = period_s(polls(trace.samples, "power_w"))
        power = response(trace, series(polls(trace.samples, "power_w"), self._period_s), self._settle_s)
        counter = beat_of_counter(trace, polls(trace.samples, "joules"), own_s / times, self._settle_s)
        return Beat(power, counter, abs(self.curve.full_time_w(hz)) if self.curve is not None else 0.0, own_s)

    def _respond(self, wanted_hz: float, values: int) -> None:
        hz = resolvable_hz(wanted_hz, self._period_s, values)
        seconds = self._seconds(hz, values)
        trace = self._session.record("square loads", seconds, square(hz, seconds))
        found = response(trace, series(polls(trace.samples, "power_w"), self._period_s), self._settle_s)
        self._responses += [] if found is None else [found]

    def _seconds(self, hz: float, values: int) -> float:
        """Return how long a record has to be to have so many values and some periods of the load."""
        periods_s = LEAST_PERIODS / hz
        return max(LEAST_RECORD_S, periods_s, min(values * self._period_s, LONGEST_RECORD_S)) + self._settle_s

    def _values_for(self, near_hz: float, curve: Curve) -> int:
        """Return how many values make the weakest response around the null stand out."""
        error_w = float(np.median([each.error_w for each in self._responses])) * float(SCAN_VALUES / NEAR_VALUES) ** 0.5
        weakest_w = min(abs(curve.at_w(near_hz * share)) for share in NEAR[0])
        return int(NEAR_VALUES * max(1.0, min((WANTED * error_w / max(weakest_w, 1e-9)) ** 2, MOST_LONGER)))

    def _fit(self) -> None:
        self.curve = fit_curve(self._responses, self._delay_s, 1.3 * self._spread_s + self._period_s)

    def _is_past_null(self) -> bool:
        curve = self.curve
        if curve is None or curve.misfit > GOOD_MISFIT:
            return False
        return self._responses[-1].frequency_hz * curve.window_s > PAST_NULL

    def _is_lost(self) -> bool:
        last = self._responses[-LOST_TIMES:]
        return len(self._responses) > FITTED_FROM and all(abs(each.watts) < LOST * each.error_w for each in last)
