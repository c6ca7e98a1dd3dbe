"""Energy from power sensors against simulated ones, whose energy at every moment is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_sensors import Power, levels, polls, square, wandering

from llenergymeasure.energy.sampled_power import SampledPower, SensorModel, beats, sampled_gain_j
from properties import examples

MOST_W = 500.0
LENGTH_S = 10.0
ROUNDING_W = 0.005  # values are published to 0.01 W

FULL_TIME = SensorModel(0.1, 0.1)
FAST = SensorModel(0.02, 0.02)
AVERAGE = SensorModel(0.1, 1.0)
LOW_PASS = SensorModel(0.015, 0.06, shape="low_pass")
LATE = SensorModel(0.1, 0.1, lag_s=0.08)
PART_TIME = SensorModel(0.1, 0.025)
HALF_TIME = SensorModel(0.02, 0.01)
UNKNOWN = SensorModel(0.1, 0.025, source="assumed")


def true_sensor(model, off, scaled):
    """The sensor of a board, whose period is a little off the model's, and its window if it is `scaled`."""
    factor = 1 + off
    return replace(model, period_s=model.period_s * factor, window_s=model.window_s * (factor if scaled else 1))


def read(power, model, *, off=0.0, scaled=None, **how):
    """The readings of such a board, polled ten times per period or every 5 ms; a window of a whole period is scaled."""
    if scaled is None:
        scaled = model.shape == "boxcar" and not model.is_part_time
    return polls(power, true_sensor(model, off, scaled), **{"poll_s": max(model.period_s / 10, 0.005), **how})


def error_and_bound_j(power, sampled, start_s, end_s, periodic=False):
    found = sampled.window_of("gpu", start_s, end_s, periodic)
    true_j = power.energy_j(end_s) - power.energy_j(start_s)
    return abs(found.energy_j - true_j), found.edge_j + found.coverage_j + ROUNDING_W * (end_s - start_s) + 1e-6


def assert_within_bound(power, sampled, windows, periodic=False):
    for start_s, end_s in windows:
        error_j, bound_j = error_and_bound_j(power, sampled, start_s, end_s, periodic)
        assert error_j <= bound_j, (start_s, end_s)


def windows_in(length_s, seed, count=10):
    """Windows of any length between the first value and the last that tells of them."""
    moments_s = np.random.default_rng(seed).uniform(0.3, length_s - 1.0, (count, 2))
    return np.sort(moments_s, axis=1)


def edges_of(power):
    """Windows from each change of a power to each later one, where an edge's error is greatest."""
    corners_s = (np.flatnonzero(np.diff(power.watts)) + 1) * power.length_s / len(power.watts)
    inside_s = corners_s[(corners_s > 0.3) & (corners_s < power.length_s - 1.0)]
    return [(a, b) for a in inside_s for b in inside_s if a < b]


seeds = st.integers(0, 2**32 - 1)
offs = st.floats(-0.049, 0.049)
watts = st.floats(5.0, MOST_W)
conditions = st.fixed_dictionaries(
    {
        "lost": st.sampled_from([0.0, 0.0, 0.3, 0.8]),
        "noise_w": st.sampled_from([0.0, 0.3]),
        "seed": seeds,
        "scaled": st.booleans(),
    }
)
uneven_sensors = st.builds(
    lambda period_s, values: SensorModel(period_s, period_s * values, source="measured"),
    st.sampled_from([0.05, 0.0988, 0.1]),
    st.floats(1.0, 7.0),
)
whole_sensors = st.one_of(st.sampled_from([FULL_TIME, FAST, AVERAGE, LOW_PASS, LATE]), uneven_sensors)


@examples(60)
@given(whole_sensors, offs, conditions, seeds)
def test_any_window_of_a_random_load_is_within_its_bound(model, off, how, seed):
    power = wandering(LENGTH_S, 5.0, MOST_W, seed)
    sampled = SampledPower(read(power, model, off=off, **how), model, MOST_W)
    assert_within_bound(power, sampled, windows_in(LENGTH_S, seed))


@examples(40)
@given(whole_sensors, offs, st.lists(watts, min_size=4, max_size=10), conditions)
def test_windows_from_step_to_step_are_within_their_bound(model, off, powers_w, how):
    power = levels(LENGTH_S, powers_w)
    sampled = SampledPower(read(power, model, off=off, **how), model, MOST_W)
    assert_within_bound(power, sampled, edges_of(power))


@examples(40)
@given(whole_sensors, offs, watts, watts, st.floats(0.008, 3.0), st.floats(0.05, 0.95), conditions)
def test_any_window_of_a_square_load_is_within_its_bound(model, off, low_w, high_w, period_s, duty, how):
    power = square(LENGTH_S, low_w, high_w, period_s, duty)
    sampled = SampledPower(read(power, model, off=off, **how), model, MOST_W)
    periodic = beats(period_s, sampled.sensor("gpu"))
    assert_within_bound(power, sampled, windows_in(LENGTH_S, how["seed"]), periodic)


@examples(30)
@given(st.sampled_from([PART_TIME, HALF_TIME]), offs, conditions)
def test_what_a_part_time_sensor_misses_of_a_random_load_is_within_its_coverage(model, off, how):
    power = wandering(LENGTH_S, 5.0, MOST_W, how["seed"])
    sampled = SampledPower(read(power, model, off=off, **how), model, MOST_W)
    assert_within_bound(power, sampled, windows_in(LENGTH_S, how["seed"]))


@examples(40)
@given(
    st.sampled_from([PART_TIME, HALF_TIME]),
    st.floats(0.05, 8.0) | st.builds(lambda m, q: m / q, st.integers(1, 12), st.integers(1, 8)),
    st.sampled_from([0.0, 0.002, 0.006, -0.006, 0.012]),
    st.sampled_from([0.03, 0.1, 0.5, 0.9]),
    st.floats(0, 1),
)
def test_a_periodic_load_is_within_the_bound_of_a_part_time_sensor(model, ratio, off, duty, phase):
    period_s = ratio * (1 + off) * model.period_s
    power = square(LENGTH_S, 60.0, 400.0, period_s, duty, phase)
    sampled = SampledPower(read(power, model, noise_w=0.3), model, MOST_W)
    for start_s, end_s in windows_in(LENGTH_S, 1):
        watched_s = min(end_s + 5.0, LENGTH_S) - max(start_s - 5.0, 0.0)
        periodic = beats(period_s, sampled.sensor("gpu"), watched_s)
        assert_within_bound(power, sampled, [(start_s, end_s)], periodic)


@examples(60)
@given(
    whole_sensors,
    st.sampled_from([0.0, 0.012]) | offs,
    st.booleans(),
    st.sampled_from([1, 1, 1 / 2, 1 / 3, 2, 3 / 2]),
    st.sampled_from([0.05, 0.5, 0.9]),
    st.floats(0, 1),
    st.sampled_from([True, None]),
)
def test_a_load_in_step_with_a_sensor_that_is_never_blind_is_within_its_bound(
    model, off, scaled, ratio, duty, phase, periodic
):
    power = square(LENGTH_S, 0.0, MOST_W, ratio * model.period_s * (1 + off), duty, phase)
    sampled = SampledPower(read(power, model, off=off, scaled=scaled, noise_w=0.3), model, MOST_W)
    assert_within_bound(power, sampled, windows_in(LENGTH_S, 1), periodic)


IN_STEP = [
    (SensorModel(0.1, 0.15), 0.0),
    (SensorModel(0.05, 0.14), 0.0),
    (SensorModel(0.0988, 0.3302), 0.0),
    (FULL_TIME, 0.0124),
    (AVERAGE, 0.0124),
    (LOW_PASS, 0.0),
]


@pytest.mark.parametrize("periodic", [True, None])
@pytest.mark.parametrize(("model", "off"), IN_STEP)
def test_what_an_uneven_sensor_makes_of_a_load_in_step_is_within_its_coverage(model, off, periodic):
    windows, most = [(2.0, 29.0)], 0.0
    for phase in np.arange(0, 1, 1 / 8):
        power = square(30.0, 0.0, MOST_W, model.period_s * (1 + off), phase=phase)
        readings = read(power, model, off=off, scaled=False, noise_w=0.3)
        settled = [each for each in readings if each[1] > 1.0]  # no value is left of the time before the load
        sampled = SampledPower(settled, model, MOST_W)
        assert_within_bound(power, sampled, windows, periodic)
        found = sampled.window_of("gpu", *windows[0], periodic)
        error_j, _ = error_and_bound_j(power, sampled, *windows[0], periodic)
        most = max(most, error_j / found.coverage_j)
    assert most > 0.45  # of a load that is at P for half of the time: the coverage is no more than it takes


@given(st.floats(0.1, 12.0))
def test_the_unevenness_is_the_part_of_the_time_that_weighs_more_than_the_mean(values):
    moments = (np.arange(20_000) + 0.5) / 20_000
    weights = np.floor(values + moments) / values  # the values that a moment is in, times their share of it
    assert SensorModel(0.1, 0.1 * values).unevenness == pytest.approx(np.maximum(weights - 1, 0).mean(), abs=2e-4)


@given(st.integers(1, 40), st.sampled_from([0.02, 0.05, 0.1, 0.3]))
def test_a_window_of_whole_periods_weighs_all_moments_alike(periods, period_s):
    assert SensorModel(period_s, periods * period_s).unevenness == 0.0


@given(st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_a_low_pass_weighs_moments_no_more_unevenly_than_it_is_taken_to(period_s, constant_s):
    moments_s = (np.arange(20_000) + 0.5) / 20_000 * period_s
    share = period_s / constant_s
    weights = share * np.exp(-moments_s / constant_s) / -np.expm1(-share)
    found = SensorModel(period_s, constant_s, shape="low_pass").unevenness
    assert found >= np.maximum(weights - 1, 0).mean() - 1e-4


@pytest.mark.parametrize("ratio", [1, 1 / 2, 1 / 3, 1 / 5, 2, 3])
def test_a_load_that_beats_with_the_sensor_breaks_the_bound_of_one_that_does_not(ratio):
    assert beats(ratio * PART_TIME.period_s, PART_TIME)
    power = square(LENGTH_S, 60.0, 400.0, ratio * PART_TIME.period_s, duty=0.2 / max(ratio, 1), phase=0.05)
    sampled = SampledPower(read(power, PART_TIME, noise_w=0.3), PART_TIME, MOST_W)
    windows = windows_in(LENGTH_S, 1)
    assert_within_bound(power, sampled, windows, periodic=True)
    assert_within_bound(power, sampled, windows, periodic=None)
    found = [error_and_bound_j(power, sampled, *window, periodic=False) for window in windows]
    assert any(error_j > bound_j for error_j, bound_j in found)


def test_only_a_sensor_that_does_not_see_everything_has_a_beat():
    assert not beats(0.1, FULL_TIME)
    assert not beats(0.1, AVERAGE)
    assert beats(0.1009, PART_TIME)
    assert not beats(0.1015, PART_TIME)
    assert beats(0.0504, PART_TIME)
    assert beats(0.0331, PART_TIME)
    assert not beats(0.0369, PART_TIME)
    assert beats(0.1015, PART_TIME, watched_s=2.0)
    assert beats(0.015, LOW_PASS)


def test_a_full_time_sensor_whose_period_is_the_models_does_not_mind_a_load_of_that_period():
    power = square(LENGTH_S, 60.0, 400.0, 0.1)
    sampled = SampledPower(read(power, FULL_TIME, noise_w=0.1), FULL_TIME, MOST_W)
    for start_s, end_s in windows_in(LENGTH_S, 1):
        assert sampled.window_of("gpu", start_s, end_s, True).coverage_j <= 1e-3 * MOST_W * (end_s - start_s)
    assert_within_bound(power, sampled, windows_in(LENGTH_S, 1), periodic=True)


@pytest.mark.parametrize("period_s", [0.0955, 0.0999, 0.1012, 0.1045])
def test_the_period_is_found_to_a_thousandth(period_s):
    power = wandering(30.0, 50.0, MOST_W, 3)
    sampled = SampledPower(polls(power, SensorModel(period_s, period_s), seed=3), FULL_TIME, MOST_W)
    assert sampled.sensor("gpu").period_s == pytest.approx(period_s, rel=1e-3)
    assert sampled.sensor("gpu").window_s == sampled.sensor("gpu").period_s
    assert sampled.notes("gpu") == ()


@pytest.mark.parametrize(
    ("model", "period_s"), [(FULL_TIME, 0.02), (FULL_TIME, 0.2), (AVERAGE, 0.05), (AVERAGE, 0.5), (PART_TIME, 0.05)]
)
def test_values_of_another_period_are_taken_as_they_come_and_said(model, period_s):
    power = wandering(60.0, 50.0, MOST_W, 4)
    readings = polls(power, SensorModel(period_s, period_s), noise_w=0.3, poll_s=0.005)
    sampled = SampledPower(readings, model, MOST_W)
    assert sampled.sensor("gpu").period_s == pytest.approx(period_s, rel=1e-3)
    assert (sampled.sensor("gpu").source, sampled.sensor("gpu").is_part_time) == ("assumed", True)
    assert f"every {period_s * 1e3:g} ms, where its model has 100 ms" in sampled.notes("gpu")[0]
    assert_within_bound(power, sampled, windows_in(50.0, 4))


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.25])
def test_the_period_of_an_unknown_board_is_found_without_a_word(period_s):
    power = wandering(60.0, 50.0, MOST_W, 5)
    readings = polls(power, SensorModel(period_s, period_s / 4), noise_w=0.3, poll_s=0.005)
    sampled = SampledPower(readings, UNKNOWN, MOST_W)
    assert sampled.sensor("gpu").period_s == pytest.approx(period_s, rel=1e-3)
    assert sampled.notes("gpu") == ()
    assert_within_bound(power, sampled, windows_in(50.0, 5))


def test_values_that_come_at_any_time_are_bounded_by_all_that_the_board_may_draw():
    power = wandering(LENGTH_S, 50.0, MOST_W, 6)
    moments_s = np.sort(np.random.default_rng(6).uniform(0, LENGTH_S, 900))
    now_w = power.watts[(moments_s / LENGTH_S * len(power.watts)).astype(int)]
    readings = [("gpu", moment_s, moment_s, w) for moment_s, w in zip(moments_s, now_w, strict=True)]
    sampled = SampledPower(readings, FULL_TIME, MOST_W)
    assert "no regular times" in sampled.notes("gpu")[0]
    assert sampled.window_of("gpu", 2.0, 8.0).coverage_j > 6.0 * 400
    assert_within_bound(power, sampled, windows_in(LENGTH_S, 6))


@pytest.mark.parametrize("model", [FULL_TIME, AVERAGE])
def test_a_value_that_stays_for_minutes_is_published_again_and_again(model):
    power = Power(np.concatenate([np.full(400_000, 60.0), np.full(20_000, 300.0), np.full(400_000, 60.0)]))
    sampled = SampledPower(polls(power, true_sensor(model, 0.012, scaled=True)), model, MOST_W)
    assert_within_bound(power, sampled, [(10.0, 190.0), (100.0, 205.0), (190.0, 220.0), (205.0, 400.0)])
    assert sampled.window_of("gpu", 10.0, 400.0).edge_j < 2 * MOST_W * (model.window_s / 8 + 0.05)


def test_a_constant_power_is_known_although_no_value_is_seen_to_change():
    sampled = SampledPower(polls(levels(LENGTH_S, [60.0]), FULL_TIME), FULL_TIME, MOST_W)
    found = sampled.window_of("gpu", 2.0, 8.0)
    assert found.energy_j == pytest.approx(360.0, abs=0.1)
    assert 0 < found.edge_j < MOST_W * 0.1


def test_a_clock_that_drifts_is_followed():
    power = wandering(300.0, 50.0, MOST_W, 7)
    warped = [
        (name, a * (1 + 2e-5) + 0.003 * np.sin(a / 40), b * (1 + 2e-5) + 0.003 * np.sin(a / 40), w)
        for name, a, b, w in polls(power, FULL_TIME, noise_w=0.3)
    ]
    sampled = SampledPower(warped, FULL_TIME, MOST_W)
    assert_within_bound(power, sampled, windows_in(300.0, 7, count=60))


def between(readings, *spans_s):
    return [reading for reading in readings if not any(a < reading[1] < b for a, b in spans_s)]


def test_a_time_without_a_poll_widens_the_bound_of_the_windows_around_it_alone():
    power = wandering(20.0, 50.0, MOST_W, 8)
    readings = polls(power, FULL_TIME)
    sampled = SampledPower(between(readings, (5.0, 5.7), (9.0, 12.0)), FULL_TIME, MOST_W)
    assert_within_bound(power, sampled, windows_in(20.0, 8, count=60))
    assert sampled.window_of("gpu", 4.0, 7.0).edge_j > 0.5 * MOST_W * 0.6
    assert sampled.window_of("gpu", 13.0, 18.0).edge_j < 50
    published_s = sampled.published("gpu").moment_s
    assert not np.any((published_s > 9.2) & (published_s < 11.8))


@pytest.mark.parametrize("every_s", [0.05, 0.15])
def test_readings_that_come_in_batches_are_within_their_bound(every_s):
    power = wandering(20.0, 50.0, MOST_W, 9)
    readings = [each for each in polls(power, FULL_TIME, poll_s=0.001, jitter=0.0) if each[1] % every_s < 0.005]
    assert_within_bound(power, SampledPower(readings, FULL_TIME, MOST_W), windows_in(20.0, 9, count=60))


@pytest.mark.parametrize("poll_s", [0.05, 0.1, 0.3])
def test_polls_that_are_too_slow_are_within_their_bound(poll_s):
    power = wandering(30.0, 50.0, MOST_W, 10)
    readings = polls(power, FULL_TIME, poll_s=poll_s)
    sampled = SampledPower(readings, FULL_TIME, MOST_W)
    assert_within_bound(power, sampled, windows_in(30.0, 10, count=60))


def test_adjoining_windows_add_up():
    sampled = SampledPower(read(wandering(LENGTH_S, 50.0, MOST_W, 11), AVERAGE), AVERAGE, MOST_W)
    parts = sampled.window_of("gpu", 1.0, 3.3).energy_j + sampled.window_of("gpu", 3.3, 8.0).energy_j
    assert parts == pytest.approx(sampled.window_of("gpu", 1.0, 8.0).energy_j)


def test_a_mean_of_a_second_is_narrower_at_idle_than_at_half_power():
    idle, half = (
        SampledPower(read(levels(LENGTH_S, [w]), AVERAGE), AVERAGE, MOST_W).window_of("gpu", 3.0, 6.0).edge_j
        for w in (40.0, 250.0)
    )
    assert idle < 0.5 * half
    assert half < 2 * (MOST_W * 1.0 / 8 + MOST_W * 0.1)


def test_a_board_may_draw_more_than_its_limit():
    sampled = SampledPower(read(levels(LENGTH_S, [468.0]), FULL_TIME), FULL_TIME, 385.0)
    assert sampled.max_power_w("gpu") == pytest.approx(1.15 * 468.0)


def test_a_board_without_a_limit_may_draw_four_times_what_it_was_seen_to():
    sampled = SampledPower(read(levels(LENGTH_S, [100.0]), FULL_TIME), FULL_TIME, None)
    assert sampled.max_power_w("gpu") == pytest.approx(400.0)


def test_each_device_has_its_own_sensor_and_power():
    power = wandering(LENGTH_S, 50.0, 300.0, 12)
    readings = [*read(power, FULL_TIME, name="a"), *read(power, AVERAGE, name="b")]
    sampled = SampledPower(readings, {"a": FULL_TIME, "b": AVERAGE}, {"a": 300.0, "b": None})
    found = sampled.window(2.0, 7.0)
    assert found["a"].energy_j == pytest.approx(found["b"].energy_j, rel=0.1)
    assert found["a"].edge_j < found["b"].edge_j
    assert sampled.sensor("b").window_s == pytest.approx(1.0, rel=0.01)


def test_what_readings_do_not_tell_is_unknown():
    sampled = SampledPower(read(levels(LENGTH_S, [100.0]), FULL_TIME), FULL_TIME, MOST_W)
    assert sampled.window_of("gpu", -1.0, 3.0) == (None, None, None)
    assert sampled.window_of("gpu", 5.0, LENGTH_S + 1) == (None, None, None)
    assert sampled.window_of("other", 1.0, 2.0) == (None, None, None)
    assert SampledPower([], FULL_TIME, MOST_W).window(0.0, 1.0) == {}
    assert SampledPower([("gpu", 0.0, 0.0, 50.0)], FULL_TIME, MOST_W).window(0.0, 1.0)["gpu"] == (None, None, None)


def test_a_mean_of_a_second_is_unknown_until_the_values_after_the_window_came():
    sampled = SampledPower(read(levels(LENGTH_S, [100.0]), AVERAGE), AVERAGE, MOST_W)
    assert sampled.window_of("gpu", 2.0, LENGTH_S - AVERAGE.delay_s + 0.05).energy_j is None
    assert sampled.window_of("gpu", 2.0, LENGTH_S - AVERAGE.delay_s - 0.05).energy_j is not None


def test_a_device_that_gave_nothing_but_zero_is_unknown():
    sampled = SampledPower(read(levels(LENGTH_S, [0.0]), AVERAGE), AVERAGE, None)
    assert sampled.window_of("gpu", 2.0, 5.0) == (None, None, None)


def test_a_few_readings_are_within_their_bound():
    power = wandering(LENGTH_S, 50.0, MOST_W, 13)
    sampled = SampledPower(read(power, FULL_TIME)[::200], FULL_TIME, MOST_W)
    assert_within_bound(power, sampled, windows_in(6.0, 13) + 1.0)


any_readings = st.lists(
    st.tuples(st.just("gpu"), st.floats(0, 20), st.floats(0, 0.2), st.floats(0, 700)).map(
        lambda each: (each[0], each[1], each[1] + each[2], each[3])
    ),
    min_size=1,
    max_size=60,
)
grids_of_polls = st.builds(
    lambda every_s, values_w, off_s: [("gpu", off_s + k * every_s, off_s + k * every_s, w) for k, w in values_w],
    st.sampled_from([0.001, 0.005, 0.01, 0.05, 0.1]),
    st.lists(st.sampled_from([0.0, 60.0, 300.0, 300.01]), min_size=30, max_size=300).map(enumerate).map(list),
    st.floats(0, 1),
)


@examples(100)
@given(
    st.one_of(any_readings, grids_of_polls), st.sampled_from([FULL_TIME, FAST, AVERAGE, LOW_PASS, PART_TIME, UNKNOWN])
)
def test_any_readings_have_finite_figures_or_none(readings, model):
    sampled = SampledPower(readings, model, None)
    first_s, last_s = min(each[1] for each in readings), max(each[2] for each in readings)
    for share in (0.0, 0.3, 1.0):
        for periodic in (None, False):
            found = sampled.window_of("gpu", first_s, first_s + share * (last_s - first_s), periodic)
            assert found == (None, None, None) or all(np.isfinite(found))
            assert found.energy_j is None or min(found) >= -1e-9


def test_a_window_that_ends_before_it_starts_is_refused():
    sampled = SampledPower(read(levels(LENGTH_S, [100.0]), FULL_TIME), FULL_TIME, MOST_W)
    with pytest.raises(ValueError, match="ends before it starts"):
        sampled.window(3.0, 2.0)


def test_readings_may_come_in_any_order():
    readings = read(wandering(LENGTH_S, 50.0, MOST_W, 14), FULL_TIME)
    ordered, reversed_ = (SampledPower(each, FULL_TIME, MOST_W) for each in (readings, readings[::-1]))
    assert ordered.window(2.0, 7.0) == reversed_.window(2.0, 7.0)


def test_the_ticks_are_a_counter_of_the_values():
    power = wandering(LENGTH_S, 50.0, MOST_W, 15)
    sampled = SampledPower(read(power, FULL_TIME), FULL_TIME, MOST_W)
    (ticks,) = sampled.ticks("gpu")
    published = sampled.published("gpu")
    powers_w = np.diff(ticks.energy_j) / np.diff(published.moment_s)
    assert powers_w == pytest.approx(published.power_w[1:])


def test_gain_without_a_calibration_is_a_share_and_watts():
    assert sampled_gain_j(1000.0, 10.0) == pytest.approx(330.0)
    assert sampled_gain_j(1000.0, 10.0, 0.01, 2.0) == pytest.approx(30.0)


@pytest.mark.slow
@pytest.mark.parametrize("model", [FULL_TIME, AVERAGE, FAST])
def test_an_hour_is_within_its_bound(model):
    power = wandering(3600.0, 50.0, MOST_W, 16)
    sampled = SampledPower(read(power, model, off=0.013, noise_w=0.3), model, MOST_W)
    assert_within_bound(power, sampled, windows_in(3600.0, 16, count=1000))
