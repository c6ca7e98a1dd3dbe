"""The log of an external meter: the joules of each hold, and what is said of a log that cannot be used."""

import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llenergymeasure.energy.calibration.holds import CLOCK_S, LEAD_S
from llenergymeasure.energy.calibration.meter_log import MAX_BYTES, intervals_in_csv
from llenergymeasure.energy.calibration.meter_scale import scales
from llenergymeasure.energy.calibration.stored import Hold, Holds
from llenergymeasure.errors import ConfigError

IDLE_S, BUSY_S, HELD_S = 1_800_000_000.3, 1_800_000_077.1, 61.0
IDLE_W, BUSY_W = 70.0, 400.0
GAIN, OFFSET_W = 1.1, -8.0


def hold(state, start_s, watts, seconds=HELD_S):
    start = datetime.fromtimestamp(start_s, UTC)
    watts = (np.zeros(round(seconds * 10)) + watts - OFFSET_W) / GAIN
    return Hold(state=state, start=start, end=start + timedelta(seconds=seconds), power_w=watts.tolist())


def held(idle_w=IDLE_W):
    holds = [hold("idle", IDLE_S, idle_w), hold("busy", BUSY_S, BUSY_W)]
    return Holds(holds_uuid="GPU-1", driver="580.00", field="instant", holds=holds)


def joules_at(moments_s):
    """Return what a board has drawn that is idle until the load begins, and again once it has ended."""
    began_s, ended_s = BUSY_S - LEAD_S, BUSY_S + HELD_S + CLOCK_S
    busy_s = np.clip(moments_s, began_s, ended_s) - began_s
    return IDLE_W * (moments_s - IDLE_S) + (BUSY_W - IDLE_W) * busy_s


def log(every_s=1.0, quantity="joules", ahead_s=0.0, first_s=IDLE_S - 30.0):
    """Return times and values of a meter's log whose clock is `ahead_s` ahead."""
    times_s = np.arange(first_s, BUSY_S + 90, every_s)
    joules = joules_at(times_s)
    if quantity == "watts":
        joules = np.diff(joules, append=joules[-1]) / every_s
    return times_s + ahead_s, joules


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meter")

    def written(times, values, quantity="joules"):
        rows = (f"{at},x,{value}" for at, value in zip(times, values, strict=True))
        return lines(f"time,note,{quantity}", *rows)

    def lines(*text):
        file = folder / "meter.csv"
        file.write_text("\n".join(text) + "\n")
        return file

    written.lines = lines
    return written


def scale(file, holds=None):
    holds = held() if holds is None else holds
    return scales(holds, intervals_in_csv(file, holds.holds))[0]


def refused(file):
    """Return why a log is refused; None where it is not."""
    try:
        scale(file)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("quantity", ["watts", "joules"])
@pytest.mark.parametrize("is_iso", [True, False])
def test_a_meters_log_of_watts_or_of_joules_gives_gain_and_offset(csv, quantity, is_iso):
    times_s, values = log(0.5, quantity)
    moments = [datetime.fromtimestamp(at_s, UTC).isoformat() if is_iso else at_s for at_s in times_s]
    power = scale(csv(moments, values, quantity))
    assert (power.gain, power.offset_w) == (pytest.approx(GAIN), pytest.approx(OFFSET_W))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    ahead_s=st.floats(-40, 40),
    every_s=st.floats(0.2, 10),
    quantity=st.sampled_from(["watts", "joules"]),
    phase_s=st.floats(0, 12),
)
def test_a_meters_clock_that_is_off_is_refused_or_changes_no_joule_beyond_the_bound(
    csv, ahead_s, every_s, quantity, phase_s
):
    file = csv(*log(every_s, quantity, ahead_s, IDLE_S - 60 + phase_s), quantity)
    if (problem := refused(file)) is not None:
        assert "clock" in problem
        assert abs(ahead_s) > CLOCK_S - 0.1
        return
    power = scale(file)
    for watts in (IDLE_W, 250.0, BUSY_W):
        corrected_j = power.corrected_j((watts - OFFSET_W) / GAIN * 10, 10)
        assert abs(corrected_j - watts * 10) <= power.bound_j(corrected_j, 10)


@pytest.mark.parametrize("ahead_s", [-14.0, -8.0, 8.0, 14.0])
def test_the_error_says_by_how_much_the_meters_clock_is_off(csv, ahead_s):
    with pytest.raises(ConfigError, match=r"add [+-]\d+\.\d s to its times") as error:
        scale(csv(*log(0.25, ahead_s=ahead_s)))
    assert ("ahead" if ahead_s > 0 else "behind") in str(error.value)
    added_s = float(str(error.value).rpartition("add ")[2].split()[0])
    assert added_s == pytest.approx(-ahead_s, abs=0.3)


def test_a_log_of_few_rows_that_reads_a_part_of_another_time_is_refused(csv):
    file = csv(*log(10.0, ahead_s=-13.1, first_s=IDLE_S - 65))
    with pytest.raises(ConfigError, match=r"held busy, the meter's power was not steady: .* clock is off"):
        scale(file)


def test_a_log_without_rows_between_the_holds_is_refused_for_its_clock_cannot_be_told(csv):
    times_s, joules = log()
    within = (times_s < IDLE_S + HELD_S) | (times_s > BUSY_S)
    with pytest.raises(ConfigError, match=r"rows are 17.0 s apart .* also between the two holds"):
        scale(csv(times_s[within], joules[within]))


def test_power_that_wanders_by_the_sensor_too_is_no_reason_to_refuse(csv):
    times_s, joules = log()
    cooling_w = 30 * np.exp(-np.maximum(times_s - IDLE_S, 0) / 10) * (times_s < BUSY_S - LEAD_S)
    own = 30 * np.exp(-np.arange(610) / 100)
    file = csv(times_s, joules + np.cumsum(cooling_w))
    with pytest.raises(ConfigError, match="not steady"):
        scale(file)
    assert scale(file, held(IDLE_W + own)).gain == pytest.approx(GAIN, rel=0.02)


def test_a_count_that_begins_anew_outside_of_the_holds_is_no_reason_to_refuse(csv):
    times_s, joules = log()
    for reset_s in (IDLE_S - 5, BUSY_S - 12, BUSY_S + HELD_S + 3):
        power = scale(csv(times_s, np.where(times_s > reset_s, joules - joules.max(), joules)))
        assert power.gain == pytest.approx(GAIN)
    with pytest.raises(ConfigError, match="has to count up"):
        scale(csv(times_s, np.where(times_s > BUSY_S + 30, joules - joules.max(), joules)))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([""], "expected the columns time and joules"),
        (["time,volts", "1,2"], "expected the columns time and joules"),
        (["time,watts", "now,2"], "line 2: time: expected a time, found now"),
        (["time,watts", f"{IDLE_S + 1},much"], "line 2: watts: expected a number, found much"),
        (["note,time,watts", f'"a\nb",{IDLE_S + 1},nan'], "line 3: watts: expected a number"),
        (["time,watts", "", f"{IDLE_S + 1}"], "line 3: watts: expected a number, found nothing"),
        (["time,watts", f"{IDLE_S + 2},1", f"{IDLE_S + 1},1"], "has to rise"),
        (["time,watts", f"{IDLE_S + 1},5", f"{IDLE_S + 2},1"], "have to cover 10 s"),
        (["time,watts"], "have to cover 10 s of it: are the meter's clock and time zone right"),
        (["time,watts", "1" * 200_000], "cannot be read: field larger than field limit"),
    ],
)
def test_a_log_that_cannot_be_used_is_named_with_the_line_and_the_column(csv, lines, problem):
    file = csv.lines(*lines)
    with pytest.raises(ConfigError, match=problem) as error:
        scale(file)
    assert str(file) in str(error.value)


def test_what_is_no_file_or_is_too_large_is_named_and_never_read(tmp_path):
    pipe, holes = tmp_path / "pipe", tmp_path / "holes.csv"
    os.mkfifo(pipe)
    holes.write_text("time,joules\n")
    os.truncate(holes, MAX_BYTES + 1)
    found = {
        tmp_path / "none.csv": "cannot be read: No such file",
        tmp_path: "is a directory",
        pipe: "is a named pipe",
        holes: r"has 200\.0 MB, and at most 200\.0 MB are read",
        "/dev/zero": "is a device",
    }
    for path, problem in found.items():
        with pytest.raises(ConfigError, match=problem):
            scale(type(tmp_path)(path))


def test_a_log_behind_a_link_is_read(csv, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(csv(*log()))
    assert scale(link).gain == pytest.approx(GAIN)
