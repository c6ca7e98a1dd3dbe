"""Gain and offset by an external meter's readings, and what is said of readings that cannot be."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.energy.calibration.meter_scale import Interval, intervals_in_csv, parse_interval, scales
from llenergymeasure.energy.calibration.stored import Hold, Holds
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
        (READINGS[:1], "two are needed"),
        ([*READINGS, READINGS[0]], "two are needed"),
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


@pytest.fixture
def csv(tmp_path):
    def written(*lines):
        file = tmp_path / "meter.csv"
        file.write_text("\n".join(lines) + "\n")
        return file

    return written


def watts_at(at_s):
    return BUSY_W if at_s >= BUSY_S else IDLE_W


@pytest.mark.parametrize("quantity", ["watts", "joules"])
@pytest.mark.parametrize("is_iso", [True, False])
def test_a_meters_log_of_watts_or_of_joules_gives_the_same_as_its_intervals(csv, quantity, is_iso):
    times_s = np.arange(IDLE_S - 5, BUSY_S + 65, 0.5)
    values = [watts_at(at_s) for at_s in times_s]
    if quantity == "joules":
        values = np.concatenate([[0], np.cumsum(values[:-1]) * 0.5]).tolist()
    moments = [datetime.fromtimestamp(at_s, UTC).isoformat() if is_iso else at_s for at_s in times_s]
    file = csv(f"time,note,{quantity}", *(f"{at},x,{value}" for at, value in zip(moments, values, strict=True)))
    power, _ = scales(held(1.1, -8.0), intervals_in_csv(file, held().holds))
    assert (power.gain, power.offset_w) == (pytest.approx(1.1), pytest.approx(-8.0))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([""], "expected the columns time and joules"),
        (["time,volts", "1,2"], "expected the columns time and joules"),
        (["time,watts", "now,2"], "line 2: time: expected a time"),
        (["time,watts", f"{IDLE_S},much"], "line 2: watts: expected a number"),
        (["time,watts", f"{IDLE_S},nan"], "line 2: watts: expected a number"),
        (["time,watts", f"{IDLE_S}"], "line 2: watts: expected a number"),
        (["time,watts", f"{IDLE_S + 2},1", f"{IDLE_S},1"], "has to rise"),
        (["time,joules", f"{IDLE_S},5", f"{IDLE_S + 2},1"], "has to count up"),
        (["time,watts", f"{IDLE_S},5", f"{IDLE_S + 2},1"], "have to cover 10 s"),
        (["time,watts"], "have to cover 10 s"),
    ],
)
def test_a_log_that_cannot_be_used_is_named_with_the_line_and_the_column(csv, lines, problem):
    file = csv(*lines)
    with pytest.raises(ConfigError, match=problem) as error:
        intervals_in_csv(file, held().holds)
    assert str(file) in str(error.value)


def test_a_log_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        intervals_in_csv(tmp_path / "none.csv", held().holds)
