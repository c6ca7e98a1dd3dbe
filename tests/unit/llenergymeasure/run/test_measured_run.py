"""A whole run of a small real model on sensors: a replayed trace, or recorded GPUs beside the CPU."""

import itertools

import pytest
from recorded import counter_trace
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure import ExperimentResult, api
from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.power import IdlePower, PowerSample
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.meters.base import NoMeter
from llenergymeasure.energy.meters.replay import Replay
from llenergymeasure.energy.phases import Spans, read_energy
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sources import Choice, find_sources
from llenergymeasure.metrics.energy import ReportedDevices
from llenergymeasure.run import harness

pytestmark = pytest.mark.usefixtures("small_heap")

BASELINE = {"duration_seconds": 1.0}
POWER_W = 100.0
TICK_S, BRACKET_S = 0.002, 0.0001


def trace():
    """A minute and a half of a steady counter with fine ticks, a degree more each half minute."""
    recording = counter_trace(POWER_W, seconds=90.0, tick_s=TICK_S, bracket_s=BRACKET_S)
    recording.add(
        SensorSample("package-0", at_s, at_s, temperature_c=40 + at_s / 30) for at_s in (n / 10 for n in range(900))
    )
    return recording


@pytest.fixture(scope="module")
def replayed():
    """A run whose bounds are narrow enough for its phases."""
    meter = Replay(trace(), kind="cpu", limit_w=POWER_W, gain_share=0.05)
    config = tiny_config(baseline=BASELINE, num_prompts=48, decoder={"ignore_eos": True}, max_output_tokens=24)
    return harness.run(config, UserConfig(), Silent(), meter=meter)


def test_the_total_is_the_counters_and_its_bound_the_sum_of_its_parts(replayed):
    result = replayed.result
    truth_j = POWER_W * result.total_inference_time_sec
    parts = result.energy_uncertainty
    assert abs(result.total_energy_j - truth_j) <= parts.edge_j
    assert parts.gain_j == pytest.approx(0.05 * result.total_energy_j)
    assert result.energy_uncertainty_j == pytest.approx(parts.edge_j + parts.gain_j)
    assert (result.energy_source, result.energy_scope) == ("replay", "cpu")
    assert (result.verdict, result.verdict_reasons) == ("valid", [])


def test_idle_is_measured_bare_and_loaded_with_its_spread_and_subtracted(replayed):
    result = replayed.result
    assert result.idle_power_w == pytest.approx(POWER_W, rel=0.01)
    assert result.baseline_power_w == pytest.approx(POWER_W, rel=0.01)
    assert 0 <= result.idle_power_spread_w < 1
    assert 0 <= result.baseline_power_spread_w < 1
    duration_s = result.total_inference_time_sec
    assert result.energy_adjusted_j == pytest.approx(result.total_energy_j - result.baseline_power_w * duration_s)
    assert result.energy_adjusted_uncertainty_j == pytest.approx(
        result.energy_uncertainty_j + result.baseline_power_spread_w * duration_s
    )


def test_prefill_and_decode_are_parts_of_the_total(replayed):
    result = replayed.result
    assert result.energy_prefill_j > result.energy_prefill_uncertainty_j > 0
    assert result.energy_decode_j > result.energy_decode_uncertainty_j > 0
    assert result.energy_prefill_j + result.energy_decode_j <= result.total_energy_j


def test_mean_and_peak_power_are_those_of_the_counter(replayed):
    assert replayed.result.mean_power_w == pytest.approx(POWER_W, rel=0.01)
    assert replayed.result.peak_power_w == pytest.approx(POWER_W, rel=0.01)


def test_the_temperatures_in_a_result_are_at_most_one_a_second(replayed):
    series = replayed.result.thermal_time_series
    duration_s = replayed.result.total_inference_time_sec
    assert series
    assert all(0 <= at_s <= duration_s and 40 <= degrees <= 43 for at_s, degrees in series)
    assert len({int(at_s) for at_s, _ in series}) == len(series)


def test_a_phase_whose_bound_is_more_than_half_of_it_is_unknown_and_the_result_says_why():
    coarse = counter_trace(POWER_W, seconds=60.0, tick_s=0.1)
    result, *_ = harness.run(
        tiny_config(baseline={"enabled": False}), UserConfig(), Silent(), meter=Replay(coarse, kind="cpu")
    )
    assert (result.energy_prefill_j, result.energy_decode_j) == (None, None)
    for phase in ("prefill", "decode"):
        assert [said for said in result.measurement_warnings if said.startswith(f"The energy of {phase} is unknown: ")]


def test_a_run_that_outlives_its_trace_has_no_energy():
    short = counter_trace(POWER_W, seconds=0.05, tick_s=0.01)
    result, *_ = harness.run(
        tiny_config(baseline={"enabled": False}), UserConfig(), Silent(), meter=Replay(short, kind="cpu")
    )
    assert (result.total_energy_j, result.energy_per_output_token_j) == (None, None)
    assert (result.verdict, "package-0 could not be read" in result.verdict_reasons[0]) == ("invalid", True)


def test_a_trace_that_ended_before_the_window_leaves_no_timeseries(tmp_path, monkeypatch):
    short = counter_trace(POWER_W, seconds=0.05, tick_s=0.01)
    monkeypatch.setattr(harness, "choose_meter", lambda *_, **__: Choice(Replay(short, kind="cpu"), {}))
    config = tiny_config(baseline={"enabled": False})
    result, path = api.measure_and_save(config, UserConfig(), tmp_path / "results", Silent())
    assert result.timeseries is None
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_a_trace_that_ends_inside_of_the_window_leaves_what_there_is(tmp_path):
    spans = Spans.alone((110.0, 120.0), 100.0, 121.0)

    class Ended(NoMeter):
        def samples(self, start_s, end_s):
            return [PowerSample(at_s, cpu_power_w=5.0) for at_s in (0.5, self.last_s)]

    meter, nobody = Ended(), IdlePower(None)
    for meter.last_s, rows in ((9.9, 0), (10.1, 2)):
        batches = [Batch(110.0, 112.0, (), 0, (111.0,), True)]
        report = read_energy(meter, ReportedDevices(on_accelerator=False), batches, spans, (nobody, nobody), {})
        assert len(report.samples) == rows


@pytest.fixture(scope="module")
def saved(tmp_path_factory, boards_in):
    """A CPU's run on a machine with two GPUs: the result as it was returned, and where it was saved."""
    folder = tmp_path_factory.mktemp("boards")
    with pytest.MonkeyPatch.context() as patched:
        gpus = boards_in(folder, patched)
        gpus(gpus.board(120.0, uuid="GPU-a"), gpus.board(380.0, uuid="GPU-b", temperature_c=63.0))
        config = tiny_config(baseline={"duration_seconds": 0.1}, num_prompts=64, max_output_tokens=16)
        return api.measure_and_save(config, UserConfig(), folder / "results", Silent())


def test_gpus_that_the_run_does_not_use_are_reported_apart(saved):
    result, _ = saved
    parts = {device.device: device for device in result.device_energy}
    for name, power_w in (("GPU-a", 120.0), ("GPU-b", 380.0)):
        part = parts.pop(name)
        assert abs(part.energy_j - power_w * result.total_inference_time_sec) <= part.edge_j
        assert (part.kind, part.source) == ("gpu", "nvml_counter")
    assert parts
    assert result.total_energy_j == pytest.approx(sum(part.energy_j for part in parts.values()))
    assert result.energy_scope in ("cpu", "cpu+dram")


def test_the_result_that_is_returned_is_the_one_that_is_saved(saved):
    result, path = saved
    assert result == ExperimentResult.from_json(path)


def test_the_integral_of_the_saved_timeseries_is_the_counter(saved):
    result, path = saved
    table = ExperimentResult.from_json(path).load_timeseries(path).to_pylist()
    for index, (device, degrees) in enumerate(zip(result.device_energy[:2], (45.0, 63.0), strict=True)):
        rows = [row for row in table if row["gpu_index"] == index]
        integral_j = 0.0
        for before, row in itertools.pairwise(rows):
            start_s = max(before["timestamp_s"], 0.0)
            end_s = min(row["timestamp_s"], result.total_inference_time_sec)
            integral_j += row["gpu_power_w"] * max(end_s - start_s, 0.0)
        assert integral_j == pytest.approx(device.energy_j, abs=device.edge_j)
        assert {row["gpu_temperature_c"] for row in rows} == {degrees}


@pytest.mark.skipif(find_sources().rapl.unavailable is None, reason="the CPU has a sensor here")
def test_a_baseline_of_an_estimated_cpu_beside_metered_gpus_is_left_out_for_the_reason_that_holds(saved):
    (said,) = [warning for warning in saved[0].measurement_warnings if "baseline" in warning]
    assert "could not be read" not in said
    assert "estimate" in said
