"""Gain and offset by an external meter's readings, and what is said of readings that cannot be."""

import re
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labledger.console import Silent
from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.holds import hold_board
from llenergymeasure.energy.calibration.meter_scale import Interval, describe_hold, parse_interval, scales
from llenergymeasure.energy.calibration.stored import Hold, Holds
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.errors import ConfigError

IDLE_S, BUSY_S = 1_800_000_000.0, 1_800_000_070.0
IDLE_W, BUSY_W = 70.0, 400.0


def hold(state, start_s, watts, seconds=60.0, noise_w=0.0, counter=True):
    count = int(seconds * 10)
    noise = np.random.default_rng(1).normal(0, noise_w, count) if noise_w else np.zeros(count)
    return Hold(
        state=state,
        start=datetime.fromtimestamp(start_s, UTC),
        end=datetime.fromtimestamp(start_s + seconds, UTC),
        power_w=(watts + noise).tolist(),
        joules=(watts * 0.1 * np.arange(1, count + 1)).tolist() if counter else [None] * count,
    )


def held(gain=1.0, offset_w=0.0, **more):
    """Return what a sensor reads that a meter finds off by this gain and offset."""
    holds = [
        hold(state, start_s, (watts - offset_w) / gain, **more)
        for state, start_s, watts in (("idle", IDLE_S, IDLE_W), ("busy", BUSY_S, BUSY_W))
    ]
    return Holds(holds_uuid="GPU-1", driver="580.00", field="instant", holds=holds)


def meter(start_s, watts, seconds=50.0, after_s=5.0):
    return Interval(watts * seconds, start_s + after_s, start_s + after_s + seconds)


READINGS = [meter(IDLE_S, IDLE_W), meter(BUSY_S, BUSY_W)]


@given(gain=st.floats(0.6, 1.7), offset_w=st.floats(-30, 30), noise_w=st.floats(0, 8), idle_first=st.booleans())
def test_gain_and_offset_correct_the_sensor_to_the_meter_within_their_bounds(gain, offset_w, noise_w, idle_first):
    power, counter = scales(held(gain, offset_w, noise_w=noise_w), READINGS if idle_first else READINGS[::-1])
    assert counter.gain == pytest.approx(gain, rel=1e-6)
    assert counter.offset_w == pytest.approx(offset_w, abs=1e-3)
    for watts in (IDLE_W, 250.0, BUSY_W):
        corrected_j = power.corrected_j((watts - offset_w) / gain * 10, 10)
        assert abs(corrected_j - watts * 10) <= power.bound_j(corrected_j, 10)


def test_a_board_without_a_counter_gets_the_scale_of_its_power_alone():
    power, counter = scales(held(counter=False), READINGS)
    assert power.gain == pytest.approx(1.0)
    assert counter is None


@pytest.mark.parametrize(
    ("readings", "problem"),
    [
        ([], "two are needed"),
        (READINGS[:1], "^1 interval of the meter: two are needed"),
        ([*READINGS, READINGS[0]], "^3 intervals of the meter: two are needed"),
        ([READINGS[0], READINGS[0]], "overlap"),
        (
            [READINGS[0], meter(BUSY_S + 100, BUSY_W)],
            "not inside of a time in which the board was held: idle from 2027",
        ),
        ([meter(IDLE_S, IDLE_W, 12.0, 1.0), meter(IDLE_S, IDLE_W, 12.0, 30.0)], "one interval of the idle hold"),
        ([READINGS[0], meter(BUSY_S, IDLE_W)], "one interval of the idle hold"),
        ([meter(IDLE_S, IDLE_W + 150), meter(BUSY_S, BUSY_W + 150)], "on the board's own supply"),
        ([meter(IDLE_S, 10 * IDLE_W), meter(BUSY_S, 10 * BUSY_W)], "on the board's own supply"),
    ],
)
def test_readings_that_cannot_be_a_calibration_are_refused_with_what_to_do(readings, problem):
    with pytest.raises(ConfigError, match=problem):
        scales(held(), readings)


@pytest.mark.parametrize(
    "text",
    [
        "3500:1800000005:1800000055",
        "3500:2027-01-15T08:00:05Z:2027-01-15T08:00:55Z",
        "3500:2027-01-15T08:00:05+00:00:2027-01-15T08:00:55+00:00",
        "3.5e3:20270115T080005Z:20270115T080055Z",
    ],
)
def test_an_interval_is_read_with_either_kind_of_time(text):
    assert parse_interval(text) == READINGS[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected JOULES:START:END"),
        ("3500", "expected JOULES:START:END"),
        ("3500:1800000005", "expected JOULES:START:END"),
        ("1:2:3:4", "expected JOULES:START:END"),
        ("x:1800000005:1800000055", "expected JOULES:START:END"),
        ("nan:1800000005:1800000055", "expected JOULES:START:END"),
        ("3500:1800000005:inf", "expected JOULES:START:END"),
        ("3500:yesterday:today", "expected JOULES:START:END"),
        ("-3500:1800000005:1800000055", "draws power"),
        ("3500:1800000055:1800000005", "end is not after its start"),
        ("35:1800000005:1800000006", "too short"),
    ],
)
def test_an_interval_that_is_none_is_refused(text, problem):
    with pytest.raises(ConfigError, match=problem):
        parse_interval(text)


@pytest.mark.parametrize("counter", [True, False])
def test_a_sensor_that_reads_zero_watts_while_idle_gets_no_gain_and_offset(counter):
    holds = [hold("idle", IDLE_S, 0.0, counter=counter), hold("busy", BUSY_S, 330.0, counter=counter)]
    with pytest.raises(ConfigError, match="reads 0 W while the board was held idle"):
        scales(Holds(holds_uuid="GPU-1", driver="580.00", field="instant", holds=holds), READINGS)


@pytest.fixture
def in_zone(monkeypatch):
    def switch(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield switch
    monkeypatch.undo()
    time.tzset()


class Steady:
    """A board whose power never changes, on the clock of this process and `ahead_s`."""

    uuid, limit_w = "GPU-1", None

    def __init__(self, ahead_s):
        self.now_s = time.monotonic() + ahead_s

    def record(self, seconds, busy=()):
        start_s, self.now_s = self.now_s, self.now_s + seconds
        moments_s = np.arange(start_s, self.now_s, 0.1).tolist()
        samples = tuple(SensorSample("GPU-1", each, each, power_w=400.0 if busy else 70.0) for each in moments_s)
        return LoadTrace(start_s, self.now_s, tuple((start_s + a, start_s + b) for a, b in busy), samples)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    ahead_s=st.floats(0, 2e5),
    seconds=st.one_of(st.integers(10, 40), st.floats(10, 40)),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/St_Johns"]),
    is_local=st.booleans(),
)
def test_the_printed_times_of_a_hold_are_taken_in_utc_and_in_local_time(in_zone, ahead_s, seconds, zone, is_local):
    in_zone(zone)
    holds = hold_board(Steady(ahead_s), seconds, Silent())
    printed = [re.search(r"from (\S+) to (\S+)$", describe_hold(each)).groups() for each in holds]
    if is_local:
        printed = [
            [f"{datetime.fromisoformat(each).astimezone():%Y-%m-%dT%H:%M:%S}" for each in pair] for pair in printed
        ]
    given = [parse_interval(f"{joules}:{':'.join(pair)}") for joules, pair in zip((1e3, 6e3), printed, strict=True)]
    assert all(each.end_s - each.start_s >= int(seconds) for each in given)
    readings = [
        Interval(watts * (each.end_s - each.start_s), each.start_s, each.end_s)
        for watts, each in zip((70.0, 400.0), given, strict=True)
    ]
    power, _ = scales(Holds(holds_uuid="GPU-1", driver=None, field="instant", holds=holds), readings)
    assert power.gain == pytest.approx(1.0)


def test_readings_beside_a_sensor_too_noisy_to_tell_an_offset_are_refused():
    with pytest.raises(ConfigError, match="the sensor was not steady in the two intervals: it leaves"):
        scales(held(noise_w=900.0), READINGS)
