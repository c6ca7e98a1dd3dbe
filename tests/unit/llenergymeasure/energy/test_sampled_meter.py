"""The meter of sampled power: what its bound rests on, and what it says of the sensor."""

import pytest
from recorded import ReadAlready, counter_trace
from simulated_sensors import levels, polls, square, wandering

from llenergymeasure.domain.power import IdlePower
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.nvml_power import NvmlPower
from llenergymeasure.energy.phases import Spans, load_periods_s, read_energy
from llenergymeasure.energy.sampler import Outbox
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensors.nvml import Board
from llenergymeasure.metrics.energy import ReportedDevices, run_energy
from llenergymeasure.metrics.verdict import verdict

FULL_TIME, PART_TIME = SensorModel(0.1012, 0.1012), SensorModel(0.1012, 0.0253)
L40S = Board("gpu", 0, "NVIDIA L40S", 350.0, False, ("instant",), False, "580.00")
A100 = Board("gpu", 0, "NVIDIA A100-PCIE-40GB", 250.0, False, ("instant",), False, "535.54")
FAST = SensorModel(0.0152, 0.060, shape="low_pass")
K40 = Board("gpu", 0, "Tesla K40m", 235.0, False, ("draw",), False, "470.10")
LENGTH_S, WINDOW_S = 30.0, (10.0, 20.0)


def metered(board, readings):
    """A closed meter of these readings."""
    meter = NvmlPower([board], 10.0, feed=ReadAlready([SensorSample(*row[:3], power_w=row[3]) for row in readings]))
    with meter:
        pass
    return meter


def true_j(power, start_s, end_s):
    return float(power.energy_j(end_s) - power.energy_j(start_s))


def batches(cycle_s, step_s, count=10):
    """Batches one after the other, of three forward passes each."""
    starts_s = [WINDOW_S[0] + number * cycle_s for number in range(count)]
    return [Batch(s, s + 3 * step_s, (), 1, (s + step_s, s + 2 * step_s, s + 3 * step_s), True) for s in starts_s]


def read(meter, of):
    none = IdlePower(None)
    return read_energy(meter, ReportedDevices(True), of, Spans.alone(WINDOW_S, 0.0, LENGTH_S), (none, none), {})


def test_rows_are_ticks_and_each_power_is_the_mean_since_the_row_before():
    power = wandering(LENGTH_S, 60.0, 300.0, seed=1)
    meter = metered(L40S, polls(power, FULL_TIME))
    first, *rows = meter.samples(*WINDOW_S)
    moments_s = [WINDOW_S[0] + row.timestamp_s for row in (first, *rows)]
    assert first.gpu_power_w is None
    assert moments_s[1] - moments_s[0] == pytest.approx(0.1012, abs=0.012)
    integral_j = sum(r.gpu_power_w * (b - a) for r, a, b in zip(rows, moments_s, moments_s[1:], strict=False))
    (device,) = meter.energy(moments_s[0], moments_s[-1])
    assert integral_j == pytest.approx(device.energy_j, abs=device.edge_j)


def test_a_full_time_sensor_may_miss_what_its_period_is_longer_and_its_energy_is_within_the_edges():
    power = wandering(LENGTH_S, 60.0, 300.0, seed=2)
    (device,) = metered(L40S, polls(power, FULL_TIME)).energy(*WINDOW_S)
    assert device.coverage_j == pytest.approx((1 - 0.1 / 0.1012) * 10.0 * 385.0, rel=0.02)
    assert abs(device.energy_j - true_j(power, *WINDOW_S)) <= device.edge_j
    assert device.gain_j == pytest.approx(0.13 * device.energy_j + 20.0 * 10.0)
    assert device.sensor.period_ms == 100.0  # the table's: boards of one kind have one


@pytest.mark.parametrize(
    ("cycle_s", "step_s", "hides"),
    [(0.1012, 0.017, True), (0.9, 0.0506, True), (2 * 0.1012, 0.019, True), (0.73, 0.0187, False)],
    ids=["a batch per period", "two steps per period", "a batch per two periods", "neither"],
)
def test_a_load_that_beats_with_a_part_time_sensor_may_draw_anything_between_its_values(cycle_s, step_s, hides):
    power = square(LENGTH_S, 80.0, 240.0, 0.73)
    found = read(metered(A100, polls(power, PART_TIME)), batches(cycle_s, step_s))
    (device,) = found.devices
    blind_s = (1 - 0.025 / 0.1012) * 10.0
    range_w = 240.0 if hides else 240.0 - 80.0  # down to 0 W, or between the values
    assert device.coverage_j == pytest.approx(blind_s * range_w, rel=0.02)
    assert abs(device.energy_j - true_j(power, *WINDOW_S)) <= device.edge_j + device.coverage_j


def test_where_no_records_tell_the_period_of_the_load_it_may_beat_with_the_sensor():
    power = square(LENGTH_S, 80.0, 240.0, 0.73)
    (device,) = metered(A100, polls(power, PART_TIME)).energy(*WINDOW_S)
    assert device.coverage_j == pytest.approx((1 - 0.025 / 0.1012) * 10.0 * 240.0, rel=0.02)


def test_what_a_part_time_sensor_missed_makes_the_energy_invalid_with_its_numbers():
    power = square(LENGTH_S, 80.0, 240.0, 0.73)
    meter = metered(A100, polls(power, PART_TIME))
    energy = run_energy(meter.energy(*WINDOW_S), ReportedDevices(True), "nvml_power", meter.watch(*WINDOW_S))
    word, reasons = verdict(energy)
    assert word == "invalid"
    (reason,) = [each for each in reasons if "sees" in each]
    assert reason.startswith("the sensor sees 25 of every 100 ms: what it missed is sure to ±1.81e+03 J, 11")
    assert reason.endswith("% of the energy, over 3%")
    assert energy.bound_j == pytest.approx(sum(device.bound_j for device in energy.devices))


def test_a_time_in_which_power_was_not_read_is_a_gap_though_the_value_stayed_the_same():
    steady = [(*reading[:3], 200.0) for reading in polls(square(LENGTH_S, 200.0, 200.0, 1.0), FULL_TIME)]
    whole = metered(L40S, steady).watch(*WINDOW_S)[0]
    holed = metered(L40S, [each for each in steady if not 14.0 < each[1] < 14.6]).watch(*WINDOW_S)[0]
    assert whole.longest_gap_s < whole.gap_limit_s
    assert holed.longest_gap_s == pytest.approx(0.6, abs=0.15)
    assert holed.longest_gap_s > holed.gap_limit_s


@pytest.mark.parametrize("sensor", [FULL_TIME, PART_TIME, FAST], ids=["full-time", "part-time", "low-pass"])
def test_what_the_sampler_leaves_out_of_repeated_powers_changes_no_energy(sensor):
    power = square(LENGTH_S, 80.0, 240.0, 3.1)
    readings = polls(power, sensor, poll_s=0.005)
    outbox, passed = Outbox(sensor.period_s / 2), []
    for number, (name, before_s, after_s, watts) in enumerate(readings):
        outbox.put([SensorSample(name, before_s, after_s, None, watts)])
        if number % 200 == 199:
            passed += outbox.take()["samples"]
    passed += outbox.take()["samples"]
    board = {FULL_TIME: L40S, PART_TIME: A100, FAST: K40}[sensor]
    (every,), (kept,) = (
        metered(board, rows).energy(*WINDOW_S) for rows in (readings, [(*row[:3], row.power_w) for row in passed])
    )
    assert len(passed) < (0.3 if sensor.period_s > 0.05 else 0.8) * len(readings)
    assert kept.energy_j == pytest.approx(every.energy_j, abs=1e-3 * every.energy_j)
    assert kept.bound_j == pytest.approx(every.bound_j, rel=0.01)


def test_values_that_come_at_another_pace_than_the_models_are_said_to_and_taken_for_an_unknown_sensors():
    power = wandering(LENGTH_S, 60.0, 300.0, seed=3)
    meter = metered(L40S, polls(power, SensorModel(0.06, 0.06)))
    (device,), (watch,) = meter.energy(*WINDOW_S), meter.watch(*WINDOW_S)
    assert device.sensor.source == "assumed"
    assert device.sensor.period_ms == pytest.approx(60.0, rel=0.01)
    assert device.coverage_j > 0
    assert [note for note in watch.notes if "every 60 ms, where its model has 100 ms" in note]


def test_the_periods_of_a_load_are_those_of_its_batches_and_of_its_forward_passes():
    found_s = sorted(load_periods_s(batches(0.73, 0.02)))
    assert (found_s[0], found_s[-1]) == (pytest.approx(0.02), pytest.approx(0.73))
    assert load_periods_s([Batch(0.0, 1.0, (), 1, (1.0,), True)]) == ()


@pytest.mark.parametrize(("window_s", "share"), [(0.1, 0.0), (0.15, 1 / 6)])
def test_power_is_compared_with_a_counter_by_its_edges_and_what_it_weighs_unevenly(window_s, share):
    sensor = SensorModel(0.1, window_s, source="measured")
    powers = polls(levels(LENGTH_S, [300.0]), sensor, noise_w=1.0)
    samples = counter_trace(300.0, seconds=LENGTH_S, tick_s=0.1, device="gpu").samples("gpu")
    samples += [SensorSample(*row[:3], power_w=row[3]) for row in powers]
    feed = ReadAlready(sorted(samples, key=lambda sample: sample.before_s))
    meter = CounterMeter(
        "nvml_counter", [MeteredDevice("gpu", "gpu", 0, 350.0, sensor=sensor)], feed, 0.13, pace_s=0.02
    )
    with meter:
        pass
    (watch,) = meter.watch(*WINDOW_S)
    assert watch.power_integral_j == pytest.approx(3000.0, rel=0.01)
    assert watch.power_integral_bound_j == pytest.approx(share * 10.0 * 385.0, abs=50.0)
