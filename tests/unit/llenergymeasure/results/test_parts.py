"""One result of the parts of several processes, on figures worked out by hand; and how the parts are kept."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import OPENED_AT, batch, cpu_energy, gpu_energy, make_part, merged
from tiny import tiny_config

from labledger.files import joined_directory
from llenergymeasure import ExperimentResult
from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.domain.figures import (
    DeviceEnergy,
    EnergyBreakdown,
    EnergyMetrics,
    EnergyUncertainty,
    MultiGPUMetrics,
    ThermalThrottleInfo,
    WarmupResult,
)
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample
from llenergymeasure.metrics.latency import latency_intervals_of, served
from llenergymeasure.metrics.window import Window
from llenergymeasure.results.aggregation import expect_processes, is_marked, load_raw_results
from llenergymeasure.results.merging import combine, discard_run, load_parts, load_samples, save_part
from llenergymeasure.results.persistence import state_folder
from llenergymeasure.results.recovery import aggregate, find_leftovers
from properties import examples

LATE_S = 0.5
UNION_S = 4.5  # four seconds each, the second process half a second later
SETTLED = WarmupResult(converged=True, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)


def two_gpus(first_j=60.0, second_j=30.0, first=None, second=None, **both):
    """Two processes, each on a GPU of its own."""
    return [
        make_part(0, gpu=0, devices=[gpu_energy(0, first_j, edge_j=0.5, gain_j=3.0)], **(both | (first or {}))),
        make_part(
            1,
            gpu=1,
            devices=[gpu_energy(1, second_j, edge_j=0.25, gain_j=1.5)],
            **({"late_s": LATE_S} | both | (second or {})),
        ),
    ]


def one_cpu(energy_j=90.0, first=None, **both):
    """Two processes on a CPU whose counters the first reads, over the windows of both."""
    energy = {"span": (100.0, 104.5), "watches": [DeviceWatch("package-0", ticks=99)]} | (first or {})
    return [
        make_part(0, devices=[cpu_energy(energy_j, edge_j=0.5, gain_j=4.5)], energy=energy, **both),
        make_part(1, late_s=LATE_S, metered_by=0, **both),
    ]


def test_the_energy_of_two_gpus_is_their_sum_with_each_beside_it():
    result = merged(*two_gpus())
    assert result.total_energy_j == 90.0
    assert [(device.device, device.energy_j) for device in result.device_energy] == [("GPU-0", 60.0), ("GPU-1", 30.0)]
    assert result.energy_per_device_j == [60.0, 30.0]
    assert result.multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[60.0, 30.0],
        gpu_uuids=["GPU-0", "GPU-1"],
        energy_total_j=90.0,
        energy_per_output_token_j=90.0 / 24,
    )
    assert (result.energy_source, result.energy_scope) == ("nvml_counter", "gpu")


def test_the_bounds_of_two_gpus_are_added_part_by_part():
    watches = [
        {"energy": {"watches": [DeviceWatch(f"GPU-{number}", ticks=99, power_integral_j=integral_j)]}}
        for number, integral_j in enumerate((58.0, 31.0))
    ]
    result = merged(*two_gpus(first=watches[0], second=watches[1]))
    assert result.energy_uncertainty == EnergyUncertainty(edge_j=0.75, disagreement_j=3.0, gain_j=4.5)
    assert result.energy_uncertainty_j == 8.25
    without = merged(*two_gpus())
    assert without.energy_uncertainty == EnergyUncertainty(edge_j=0.75, disagreement_j=None, gain_j=4.5)


def test_mean_power_is_over_the_union_of_the_windows_and_the_peak_of_several_meters_is_unknown():
    samples = [PowerSample(at_s, gpu_power_w=20.0, gpu_index=0) for at_s in (0.5, 1.5, 2.5)]
    watched = {"energy": {"samples": samples, "watches": [DeviceWatch("GPU-0", index=0, ticks=99)]}}
    first, second = two_gpus(first=watched)
    assert first.peak_power_w == 20.0
    result = merged(first, second)
    assert result.total_inference_time_sec == UNION_S
    assert (result.mean_power_w, result.peak_power_w) == (20.0, None)
    assert merged(first).peak_power_w == 20.0


def test_an_estimate_has_no_mean_power():
    def estimated(index):
        devices = [DeviceEnergy(device="cpu", kind="cpu", source="estimate", energy_j=5.0, gain_j=5.0)]
        return make_part(index, devices=devices)

    result = merged(estimated(0), estimated(1))
    assert (result.total_energy_j, result.mean_power_w, result.verdict) == (10.0, None, "not_measured")
    assert (result.energy_uncertainty_j, result.energy_per_device_j) == (10.0, None)
    assert result.verdict_reasons == ["energy is an estimate (source: estimate)"]


def test_a_verdict_is_as_sure_as_the_least_sure_and_its_reasons_say_whose_they_are():
    gap = DeviceWatch("GPU-1", ticks=99, longest_gap_s=0.8, gap_limit_s=0.3)
    result = merged(*two_gpus(second={"energy": {"watches": [gap]}}))
    assert result.verdict == "invalid"
    assert result.verdict_reasons == ["process 1: GPU-1 was not seen for 800 ms, over 3 ticks (300 ms)"]
    assert (merged(*two_gpus()).verdict, merged(*two_gpus()).verdict_reasons) == ("valid", [])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("valid", "not_measured"), "not_measured"),
        (("not_measured", "invalid"), "invalid"),
        (("valid", "invalid"), "invalid"),
        (("valid", "valid"), "valid"),
        ((None, None), None),
    ],
)
def test_the_least_sure_word_wins_whoever_says_it(words, found):
    for order in (words, words[::-1]):
        parts = [part.model_copy(update={"verdict": word}) for part, word in zip(two_gpus(), order, strict=True)]
        assert merged(*parts).verdict == found


def test_the_energy_of_a_cpu_that_one_metered_for_all_is_that_processs_alone():
    first, second = one_cpu()
    result = merged(first, second)
    assert (result.total_energy_j, result.mean_power_w) == (90.0, 90.0 / UNION_S)
    assert (result.energy_uncertainty_j, result.energy_uncertainty) == (5.0, first.energy_uncertainty)
    assert [(device.device, device.energy_j) for device in result.device_energy] == [("package-0", 90.0)]
    assert (result.energy_source, result.energy_scope, result.multi_gpu) == ("rapl", "cpu", None)
    assert (result.verdict, result.verdict_reasons) == ("valid", [])
    assert result.energy_per_output_token_j == 90.0 / 24
    assert result.process_results[1].metered_by == 0


def test_of_a_cpu_that_one_metered_for_all_the_idle_power_is_subtracted_once():
    idle = {"loaded_idle": IdlePower(10.0, spread_w=1.0, measured_at=OPENED_AT), "bare_idle": IdlePower(8.0, 0.5)}
    result = merged(*one_cpu(first=idle))
    assert (result.baseline_power_w, result.idle_power_w) == (10.0, 8.0)
    assert result.energy_adjusted_j == 90.0 - 10.0 * UNION_S
    assert result.energy_adjusted_uncertainty_j == 5.0 + 1.0 * UNION_S
    assert result.energy_breakdown == EnergyBreakdown(
        raw_j=90.0,
        adjusted_j=45.0,
        baseline_power_w=10.0,
        baseline_method="loaded idle, before the warm-up",
        baseline_timestamp=OPENED_AT,
    )


@pytest.mark.parametrize(
    "name",
    [
        "energy_adjusted_j",
        "energy_adjusted_uncertainty_j",
        "energy_uncertainty_j",
        "baseline_power_w",
        "baseline_power_spread_w",
        "idle_power_w",
        "idle_power_spread_w",
        "zeus_energy_j",
        "energy_prefill_j",
        "energy_prefill_uncertainty_j",
        "energy_decode_j",
        "energy_decode_uncertainty_j",
    ],
)
def test_of_what_each_metering_process_has_the_sum_counts_and_one_unknown_makes_it_unknown(name):
    first, second = two_gpus()
    first, second = first.model_copy(update={name: 2.0}), second.model_copy(update={name: 3.0})
    unknown = second.model_copy(update={name: None})
    assert getattr(merged(first, second), name) == 5.0
    assert getattr(merged(first, unknown), name) is None
    assert getattr(merged(unknown, first), name) is None
    others = [part.model_copy(update={name: value}) for part, value in zip(one_cpu(), (2.0, None), strict=True)]
    assert getattr(merged(*others), name) == 2.0


def test_bounds_that_one_metering_process_lacks_are_unknown():
    first, second = two_gpus()
    lacking = second.model_copy(update={"energy_uncertainty": None})
    assert merged(first, lacking).energy_uncertainty is None
    assert merged(lacking, first).energy_uncertainty is None


@pytest.mark.parametrize("energies_j", [(60.0, None), (None, 30.0)])
def test_one_unknown_energy_makes_everything_that_rests_on_it_unknown_and_not_0(energies_j):
    idle = {"energy": {"loaded_idle": IdlePower(5.0, spread_w=1.0)}, "user": UserConfig(grid_carbon_intensity=400.0)}
    result = merged(*two_gpus(*energies_j, **idle))
    for name in (
        "total_energy_j",
        "energy_uncertainty_j",
        "energy_uncertainty",
        "avg_energy_per_token_j",
        "energy_per_output_token_j",
        "energy_per_request_j",
        "energy_delay_product_js",
        "energy_per_device_j",
        "energy_breakdown",
        "energy_adjusted_j",
        "energy_adjusted_uncertainty_j",
        "mean_power_w",
        "emissions_kg_co2",
    ):
        assert getattr(result, name) is None, name
    number = energies_j.index(None)
    assert result.verdict == "invalid"
    assert result.verdict_reasons == [f"process {number}: energy is unknown: GPU-{number} could not be read throughout"]


def test_a_gpu_of_unknown_energy_is_among_the_gpus():
    assert merged(*two_gpus(second_j=None)).multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[60.0, None],
        gpu_uuids=["GPU-0", "GPU-1"],
        energy_total_j=None,
        energy_per_output_token_j=None,
    )


def test_a_gpu_of_unknown_energy_is_among_the_gpus_where_it_is_the_first_processs():
    assert merged(*two_gpus(first_j=None)).multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[None, 30.0],
        gpu_uuids=["GPU-0", "GPU-1"],
        energy_total_j=None,
        energy_per_output_token_j=None,
    )


def test_a_cpu_that_its_metering_process_could_not_read_is_unknown_whatever_the_others_say():
    result = merged(*one_cpu(energy_j=None))
    assert (result.total_energy_j, result.mean_power_w, result.verdict) == (None, None, "invalid")


def test_tokens_memory_and_operations_are_sums_and_rates_are_over_the_union():
    parts = two_gpus()
    result = merged(*parts)
    assert (result.total_tokens, result.input_tokens, result.output_tokens) == (104, 80, 24)
    assert (result.peak_memory_mb, result.model_memory_mb) == (200.0, 80.0)
    assert result.total_flops == sum(part.total_flops for part in parts) > 0
    assert result.output_tokens_per_second == 24 / UNION_S
    assert result.requests_per_second == 8 / UNION_S
    assert (result.start_time, result.end_time) == (OPENED_AT, OPENED_AT + timedelta(seconds=UNION_S))
    assert result.latency_stats.e2e_ms.n == 8


def test_energy_a_request_and_energy_times_delay_are_of_all_processes():
    result = merged(*two_gpus())
    assert (result.energy_per_request_j, result.energy_delay_product_js) == (90.0 / 8, 90.0 * UNION_S)


def test_emissions_are_those_of_the_metered_energy():
    user = UserConfig(grid_carbon_intensity=400.0, datacenter_pue=1.5)
    expected = 90.0 / 3.6e6 * 0.4 * 1.5
    assert merged(*two_gpus(user=user)).emissions_kg_co2 == pytest.approx(expected)
    assert merged(*one_cpu(user=user)).emissions_kg_co2 == pytest.approx(expected)
    assert merged(*two_gpus()).emissions_kg_co2 is None


def steady(late_s, start_s, end_s):
    """A window within a measurement that began `late_s` after 100 s on the clock."""
    return {"late_s": late_s, "window": Window("steady_state", 100 + late_s + start_s, 100 + late_s + end_s)}


@pytest.mark.parametrize(
    ("first", "second", "window_s"),
    [
        (steady(0.0, 1.0, 3.0), steady(LATE_S, 1.0, 3.0), (1.0, 3.5)),
        (steady(LATE_S, 1.0, 3.0), steady(0.0, 1.0, 3.0), (1.0, 3.5)),
        (steady(0.0, 0.0, 4.0), steady(LATE_S, 1.0, 2.0), (0.0, 4.0)),
        (steady(0.0, 2.0, 3.0), steady(LATE_S, 1.0, 2.0), (1.5, 3.0)),
    ],
    ids=["the second later", "the first later", "one within the other", "the second's first"],
)
def test_steady_states_are_put_together_on_the_clock_of_the_process_that_began_first(first, second, window_s):
    result = merged(*two_gpus(first=first, second=second))
    assert result.steady_state_window == window_s
    assert result.measurement_methodology == "steady_state"
    assert result.total_inference_time_sec == window_s[1] - window_s[0]


@pytest.mark.parametrize("word", ["steady_state", "windowed"])
@pytest.mark.parametrize("whose", ["first", "second"])
def test_figures_that_are_partly_of_a_whole_run_are_not_said_to_be_of_a_part_of_it(whose, word):
    result = merged(*two_gpus(late_s=0.0, **{whose: {"window": Window(word, 101.0, 103.0)}}))
    assert (result.measurement_methodology, result.steady_state_window) == ("total", None)
    assert [text for text in result.measurement_warnings if "kind of window" in text] == [
        "The processes' figures are not of the same kind of window; see process_results."
    ]


@pytest.mark.parametrize("word", ["total", "steady_state", "windowed"])
def test_figures_that_are_all_of_one_kind_of_window_are_said_to_be_of_it(word):
    result = merged(*two_gpus(late_s=0.0, window=Window(word, 101.0, 103.0)))
    assert result.measurement_methodology == word
    assert not any("kind of window" in text for text in result.measurement_warnings)


def test_throttling_of_any_process_is_that_of_the_run():
    found = [
        ThermalThrottleInfo(detected=True, throttled_s=1.0, share=0.25, reasons=["sw_thermal"]),
        ThermalThrottleInfo(detected=True, throttled_s=2.0, share=0.5, reasons=["hw_thermal", "sw_thermal"]),
    ]
    watches = [{"sw_thermal": 0.25}, {"hw_thermal": 0.5, "sw_thermal": 0.125}]
    parts = two_gpus(
        **{
            name: {"energy": {"watches": [DeviceWatch(f"GPU-{number}", ticks=99, throttled=watches[number])]}}
            for number, name in enumerate(("first", "second"))
        }
    )
    assert [part.thermal_throttle for part in parts] == found
    assert merged(*parts).thermal_throttle == ThermalThrottleInfo(
        detected=True, throttled_s=2.0, share=0.5, reasons=["hw_thermal", "sw_thermal"]
    )


def test_one_process_that_was_throttled_beside_a_cool_one_is_a_run_that_was():
    cool = {"energy": {"watches": [DeviceWatch("GPU-0", ticks=99, temperatures_c=((0.0, 50.0),))]}}
    hot = {"energy": {"watches": [DeviceWatch("GPU-1", ticks=99, throttled={"sw_thermal": 0.25})]}}
    assert merged(*two_gpus(first=cool, second=hot)).thermal_throttle == ThermalThrottleInfo(
        detected=True, throttled_s=1.0, share=0.25, reasons=["sw_thermal"]
    )
    assert merged(*two_gpus(first=cool)).thermal_throttle == ThermalThrottleInfo(
        detected=False, throttled_s=0.0, share=0.0, reasons=[]
    )
    assert merged(*two_gpus()).thermal_throttle is None


@pytest.mark.parametrize("late_s", [LATE_S, -LATE_S], ids=["the second later", "the first later"])
def test_the_temperatures_are_the_hottest_of_any_process_on_the_clock_of_the_one_that_began_first(late_s):
    watched = [
        {"energy": {"watches": [DeviceWatch(f"GPU-{number}", ticks=99, temperatures_c=looks)]}}
        for number, looks in enumerate([((0.25, 50.0), (1.25, 56.0)), ((0.25, 60.0), (1.25, 55.0), (2.25, 61.0))])
    ]
    result = merged(*two_gpus(first=watched[0], second={"late_s": late_s} | watched[1]))
    of_first, of_second = max(-late_s, 0.0), max(late_s, 0.0)
    assert result.thermal_time_series == [(0.25 + of_second, 60.0), (1.25 + of_first, 56.0), (2.25 + of_second, 61.0)]


def test_without_a_temperature_there_is_no_series():
    assert merged(*two_gpus()).thermal_time_series is None


def test_what_all_processes_warn_of_is_said_once_and_what_some_do_with_their_number():
    failed = WarmupResult(converged=False, final_cv=0.3, iterations_completed=20, target_cv=0.05, max_prompts=20)
    parts = two_gpus(warmup=failed, second={"notes": ["3 prompts were cut."]})
    warnings = merged(*parts).measurement_warnings
    assert len([text for text in warnings if "did not converge" in text]) == 1
    assert not any("did not converge" in text for text in warnings if text.startswith("process"))
    assert "process 1: 3 prompts were cut." in warnings
    assert "3 prompts were cut." not in warnings


def test_whether_a_run_is_small_is_judged_by_all_processes_together():
    small = merged(*two_gpus()).measurement_warnings
    assert [text for text in small if "under" in text] == [
        "The window is 4.5 s, under 60 s: its figures are less sure; send more prompts.",
        "8 requests are in the window, under 30: percentiles say little; send more prompts.",
    ]
    long = [[batch(from_s + 4 * n, tokens_s=(1.0, 4.0)) for n in range(8)] for from_s in (100.0, 132.0)]
    enough = merged(*two_gpus(first={"batches": long[0]}, second={"batches": long[1], "late_s": 0.0}))
    assert not any("under" in text for text in enough.measurement_warnings)


def thirty_batches(first, second):
    """Two processes with so many batches each, no two of which last as long."""

    def batches(count, from_s):
        return [batch(from_s + 2 * n, tokens_s=(0.5 + n / 100, 1.0 + n / 70, 1.2 + n / 50)) for n in range(count)]

    return two_gpus(first={"batches": batches(first, 100.0)}, second={"batches": batches(second, 100.0), "late_s": 0.0})


def test_intervals_are_given_from_thirty_batches_of_all_processes_on():
    enough, few = merged(*thirty_batches(15, 15)), merged(*thirty_batches(15, 14))
    assert few.confidence_intervals == {}
    assert set(enough.confidence_intervals) == {
        f"latency_stats.{name}.mean" for name in ("ttft_ms", "tpot_ms", "e2e_ms")
    }
    interval = enough.confidence_intervals["latency_stats.e2e_ms.mean"]
    assert interval.n == 30
    assert interval.low < enough.latency_stats.e2e_ms.mean < interval.high


def test_intervals_are_drawn_with_the_seed_of_the_configuration():
    parts = thirty_batches(15, 15)
    requests = [request for part in parts for request in served(part.process_results[0])]
    assert merged(*parts).confidence_intervals == latency_intervals_of(requests, tiny_config().random_seed)
    assert merged(*parts).confidence_intervals != latency_intervals_of(requests, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "other"),
        ("backend_version", "transformers 6"),
        ("effective_config", {"model": "gpt2"}),
        ("token_count_source", "server"),
        ("energy_source", "rapl"),
        ("energy_scope", "cpu"),
        ("sources_not_used", {"zeus": "not asked"}),
        ("environment_snapshot", EnvironmentSnapshot(os="Linux")),
        ("docker_image_digest", "sha256:1"),
        ("warmup_result", SETTLED),
    ],
)
def test_the_configuration_and_the_machine_are_the_first_processs(name, value):
    first, second = two_gpus()
    assert getattr(merged(first.model_copy(update={name: value}), second), name) == value
    assert getattr(merged(first, second.model_copy(update={name: value})), name) == getattr(first, name) != value


def test_a_run_is_named_and_hashed_as_its_processes_are_and_warm_ups_are_counted_together():
    result = merged(*two_gpus(warmup_excluded=6))
    assert (result.experiment_id, result.measurement_config_hash) == (
        "e1",
        compute_measurement_config_hash(tiny_config()),
    )
    assert result.warmup_excluded_samples == 12
    assert [raw.process_index for raw in result.process_results] == [0, 1]


def test_an_idle_power_that_one_process_lacks_is_subtracted_from_nothing():
    known = {"energy": {"loaded_idle": IdlePower(5.0, spread_w=1.0, measured_at=OPENED_AT)}}
    result = merged(*two_gpus(first=known))
    assert (result.energy_adjusted_j, result.baseline_power_w) == (None, None)
    assert (result.energy_breakdown.raw_j, result.energy_breakdown.adjusted_j) == (90.0, None)


def test_where_nothing_was_subtracted_no_method_is_named():
    known = {"energy": {"loaded_idle": IdlePower(5.0, spread_w=1.0, measured_at=OPENED_AT)}}
    assert merged(*two_gpus(first=known)).energy_breakdown.baseline_method is None


def metered_twice(**fields):
    """Two processes on one GPU, each of which has metered it."""
    idle = {"loaded_idle": IdlePower(5.0, spread_w=1.0), "bare_idle": IdlePower(4.0, spread_w=0.5)}
    known = {"energy": idle, "user": UserConfig(grid_carbon_intensity=400.0)} | fields
    return [make_part(index, gpu=0, devices=[gpu_energy(0, 60.0, edge_j=0.5)], **known) for index in (0, 1)]


RESTS_ON_THE_TOTAL = [
    "energy_uncertainty",
    "energy_uncertainty_j",
    "energy_adjusted_j",
    "energy_adjusted_uncertainty_j",
    "energy_breakdown",
    "energy_scope",
    "emissions_kg_co2",
    "mean_power_w",
]


@pytest.mark.parametrize("name", RESTS_ON_THE_TOTAL)
def test_of_a_gpu_that_two_processes_metered_nothing_is_claimed(name):
    parts = metered_twice()
    assert all(getattr(part, name) is not None for part in parts)
    result = merged(*parts)
    assert result.total_energy_j is None
    assert getattr(result, name) is None


@pytest.mark.parametrize(
    "name", ["zeus_energy_j", "energy_prefill_j", "energy_decode_j", "baseline_power_w", "idle_power_w"]
)
def test_no_figure_counts_a_gpu_twice_that_two_processes_metered(name):
    zeus = DeviceEnergy(device="GPU-0", kind="gpu", source="zeus", energy_j=59.0)
    phases = {
        "prefill": [gpu_energy(0, 20.0, edge_j=0.5, gain_j=1.0)],
        "decode": [gpu_energy(0, 40.0, edge_j=0.5, gain_j=1.0)],
    }
    idle = {"loaded_idle": IdlePower(5.0, spread_w=1.0), "bare_idle": IdlePower(4.0, spread_w=0.5)}
    parts = metered_twice(energy={"check": [zeus], **phases, **idle})
    assert getattr(parts[0], name) is not None
    assert getattr(merged(*parts), name) in (None, getattr(parts[0], name))


def test_the_energy_of_a_gpu_that_two_processes_metered_is_not_valid():
    parts = metered_twice()
    assert [part.verdict for part in parts] == ["valid", "valid"]
    result = merged(*parts)
    assert (result.verdict, result.verdict_reasons) == (
        "invalid",
        ["energy is unknown: several processes metered one GPU"],
    )


@pytest.mark.parametrize("gpus", [(0, 1), (0, None), (None, 0)])
def test_the_energy_of_a_process_is_unknown_where_the_one_that_metered_for_it_ran_on_something_else(gpus):
    devices = [gpu_energy(0, 60.0, edge_j=0.5), cpu_energy(40.0, edge_j=0.25)]
    energy = {
        "watches": [DeviceWatch(device.device, ticks=99) for device in devices],
        "loaded_idle": IdlePower(5.0, spread_w=1.0),
    }
    user = UserConfig(grid_carbon_intensity=400.0)
    first = make_part(0, gpu=gpus[0], devices=devices, energy=energy, user=user)
    assert (first.verdict, first.total_energy_j is None) == ("valid", False)
    assert None not in [getattr(first, name) for name in RESTS_ON_THE_TOTAL]
    result = merged(first, make_part(1, gpu=gpus[1], metered_by=0, user=user))
    assert (result.verdict, result.total_energy_j) == ("invalid", None)
    assert [name for name in RESTS_ON_THE_TOTAL if getattr(result, name) is not None] == []


def test_an_unknown_energy_that_was_not_measured_stays_so_with_its_reason():
    parts = [make_part(index, gpu=index) for index in (0, 1)]
    result = merged(*parts)
    assert (result.total_energy_j, result.verdict) == (None, "not_measured")
    assert result.verdict_reasons == parts[0].verdict_reasons == parts[1].verdict_reasons != []
    assert (result.device_energy, result.multi_gpu) == ([], None)


def test_of_boards_that_both_processes_see_each_is_what_the_one_says_that_ran_on_it():
    seen = [[gpu_energy(0, 60.0), gpu_energy(1, 20.0)], [gpu_energy(0, 50.0), gpu_energy(1, 30.0)]]
    result = merged(*(make_part(index, gpu=index, devices=devices) for index, devices in enumerate(seen)))
    assert [(device.device, device.energy_j) for device in result.device_energy] == [("GPU-0", 60.0), ("GPU-1", 30.0)]
    assert result.total_energy_j == 90.0
    assert result.energy_per_device_j == [60.0, 30.0]
    assert result.multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[60.0, 30.0],
        gpu_uuids=["GPU-0", "GPU-1"],
        energy_total_j=90.0,
        energy_per_output_token_j=90.0 / 24,
    )


def test_processes_that_share_one_of_two_boards_that_are_metered_did_not_run_on_several():
    devices = [gpu_energy(0, 60.0), gpu_energy(1, 30.0)]
    result = merged(make_part(0, gpu=0, devices=devices), make_part(1, gpu=0, metered_by=0))
    assert (result.total_energy_j, result.multi_gpu) == (60.0, None)


def test_a_board_that_nobody_ran_on_is_what_the_first_says_that_saw_it():
    seen = [[gpu_energy(0, 60.0), gpu_energy(2, 20.0)], [gpu_energy(1, 30.0), gpu_energy(2, 25.0)]]
    result = merged(*(make_part(index, gpu=index, devices=devices) for index, devices in enumerate(seen)))
    assert {device.device: device.energy_j for device in result.device_energy} == {
        "GPU-0": 60.0,
        "GPU-2": 20.0,
        "GPU-1": 30.0,
    }


def test_the_gpus_of_a_run_are_those_that_its_processes_ran_on():
    others = gpu_energy(2, 20.0)
    result = merged(*(make_part(index, gpu=index, devices=[gpu_energy(index, 30.0), others]) for index in (0, 1)))
    assert (result.multi_gpu.energy_total_j, result.multi_gpu.energy_per_gpu_j) == (60.0, [30.0, 30.0])


def test_gpus_beside_a_run_on_an_estimated_cpu_are_reported_once_and_it_did_not_run_on_them():
    estimate = DeviceEnergy(device="cpu", kind="cpu", source="estimate", energy_j=5.0, gain_j=5.0)
    gpus = [gpu_energy(0, 60.0), gpu_energy(1, 30.0)]
    result = merged(*(make_part(index, devices=[*gpus, estimate]) for index in (0, 1)))
    assert [device.device for device in result.device_energy] == ["GPU-0", "GPU-1", "cpu", "cpu"]
    assert (result.energy_per_device_j, result.total_energy_j, result.multi_gpu) == ([60.0, 30.0], 10.0, None)


def four_on_two_gpus(**first):
    """Four processes on two GPUs; the first on each has metered it for both."""
    devices = [[gpu_energy(0, 60.0, edge_j=0.5)], [gpu_energy(1, 30.0, edge_j=0.25)], [], []]
    return [
        make_part(
            index,
            gpu=index % 2,
            devices=devices[index],
            late_s=index * LATE_S / 3,
            metered_by=None if index < 2 else index % 2,
            processes=4,
            **(first if index < 2 else {}),
        )
        for index in range(4)
    ]


def test_of_four_processes_on_two_gpus_each_gpu_counts_once():
    span = {"span": (100.0, 105.0), "loaded_idle": IdlePower(2.0, spread_w=1.0)}
    parts = four_on_two_gpus(energy=span, user=UserConfig(grid_carbon_intensity=400.0))
    result = merged(*parts)
    assert (result.total_energy_j, result.energy_uncertainty_j, result.verdict) == (90.0, 0.75, "valid")
    assert result.mean_power_w == 90.0 / UNION_S
    assert result.energy_adjusted_j == sum(part.energy_adjusted_j for part in parts[:2])
    assert result.emissions_kg_co2 == pytest.approx(90.0 / 3.6e6 * 0.4)
    assert [(device.device, device.energy_j) for device in result.device_energy] == [("GPU-0", 60.0), ("GPU-1", 30.0)]
    assert result.multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[60.0, 30.0],
        gpu_uuids=["GPU-0", "GPU-1"],
        energy_total_j=90.0,
        energy_per_output_token_j=90.0 / 48,
    )
    assert [raw.metered_by for raw in result.process_results] == [None, None, 0, 1]


# Kept in .state/


def rows(index, *moments_s):
    return [PowerSample(at_s, gpu_power_w=100.0 + index, gpu_temperature_c=50.0, gpu_index=index) for at_s in moments_s]


def left(folder, parts, samples=((), ()), expected=True):
    """Leave `parts` as their processes do; the folder of the run."""
    if expected:
        expect_processes("e1", len(parts), folder)
    for part, own in zip(parts, samples, strict=True):
        save_part(part, own, folder)
    return state_folder(folder, "e1")


def test_a_part_is_kept_whole_without_its_raw_result_and_marked_last(tmp_path):
    parts = two_gpus()
    run = left(tmp_path, parts, (rows(0, 1.0), ()), expected=False)
    assert sorted(path.name for path in run.iterdir()) == [
        ".completed_0",
        ".completed_1",
        "part_0.json",
        "part_1.json",
        "process_0.json",
        "process_1.json",
        "timeseries_0.parquet",
    ]
    raws = load_raw_results(run)
    assert raws == [part.process_results[0] for part in parts]
    assert load_parts(run, raws) == [part.model_copy(update={"process_results": []}) for part in parts]
    assert combine(raws, load_parts(run, raws)) == merged(*parts)


@pytest.mark.parametrize("file", ["process_0.json", "part_0.json", "timeseries_0.parquet"])
def test_a_part_that_could_not_be_kept_is_not_marked(tmp_path, file):
    (state_folder(tmp_path, "e1") / file).mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        save_part(two_gpus()[0], rows(0, 1.0), tmp_path)
    assert not is_marked(state_folder(tmp_path, "e1"), 0)


def test_parts_come_in_the_order_of_the_raw_results_and_all_or_none(tmp_path):
    parts = two_gpus()
    run = left(tmp_path, parts)
    raws = load_raw_results(run)
    assert [part.total_energy_j for part in load_parts(run, raws[::-1])] == [30.0, 60.0]
    (run / "part_1.json").unlink()
    assert load_parts(run, raws) == []


@pytest.mark.parametrize(
    ("late_s", "moments_s"),
    [(LATE_S, [(0, 1.0), (1, 1.5), (0, 2.0), (1, 2.5)]), (-LATE_S, [(1, 1.0), (0, 1.5), (1, 2.0), (0, 2.5)])],
    ids=["the second later", "the first later"],
)
def test_the_power_over_time_is_on_the_clock_of_the_process_that_began_first(tmp_path, late_s, moments_s):
    run = left(tmp_path, two_gpus(second={"late_s": late_s}), (rows(0, 1.0, 2.0), rows(1, 1.0, 2.0)))
    found = load_samples(run, load_raw_results(run))
    assert [(row.gpu_index, row.timestamp_s) for row in found] == moments_s
    assert {(row.gpu_index, row.gpu_power_w, row.gpu_temperature_c) for row in found} == {
        (0, 100.0, 50.0),
        (1, 101.0, 50.0),
    }


def test_a_process_without_power_over_time_adds_no_row(tmp_path):
    run = left(tmp_path, two_gpus(), ((), rows(1, 1.0)))
    assert [row.gpu_index for row in load_samples(run, load_raw_results(run))] == [1]


def test_a_run_that_is_discarded_takes_the_state_folder_with_it_unless_another_is_in_there(tmp_path):
    run = left(tmp_path, two_gpus())
    other = state_folder(tmp_path, "e2")
    other.mkdir()
    discard_run(run)
    assert list((tmp_path / ".state").iterdir()) == [other]
    discard_run(other)
    assert list(tmp_path.iterdir()) == []
    discard_run(other)


def test_a_recovered_run_is_what_its_processes_would_have_made(tmp_path):
    parts = two_gpus()
    left(tmp_path, parts, (rows(0, 1.0, 2.0), rows(1, 1.0)))
    (leftover,) = find_leftovers(tmp_path)
    path = aggregate(leftover, tmp_path)
    found = ExperimentResult.from_json(path)
    assert found == merged(*parts).model_copy(update={"timeseries": "timeseries.parquet"})
    table = found.load_timeseries(path).to_pylist()
    assert [(row["gpu_index"], row["timestamp_s"]) for row in table] == [(0, 1.0), (1, 1.5), (0, 2.0)]
    assert not (tmp_path / ".state").exists()


BROKEN = {
    "missing": None,
    "empty": "",
    "cut": '{"schema_version": "3.0", "total_ene',
    "no object": "[]",
    "of another shape": '{"schema_version": "3.0", "total_energy_j": "much"}',
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_recovered_run_without_all_of_its_parts_says_so_and_keeps_what_the_others_knew(tmp_path, index, content):
    parts = two_gpus()
    run = left(tmp_path, parts, (rows(0, 1.0), rows(1, 1.0)))
    part = run / f"part_{index}.json"
    if content is None:
        part.unlink()
    else:
        part.write_text(content)
    (leftover,) = find_leftovers(tmp_path)
    with pytest.warns(UserWarning, match=f"process {index}: its part is "):
        path = aggregate(leftover, tmp_path)
    found, other = ExperimentResult.from_json(path), parts[1 - index]
    assert (found.total_energy_j, found.output_tokens, found.latency_stats.e2e_ms.n) == (90.0, 24, 8)
    assert found.measurement_config_hash == other.measurement_config_hash
    assert found.effective_config == other.effective_config
    assert set(other.measurement_warnings) <= set(found.measurement_warnings)
    assert (found.energy_uncertainty_j, found.verdict) == (None, "invalid")
    assert found.verdict_reasons[0].startswith(f"process {index}: its part is ")
    assert (found.multi_gpu.energy_per_gpu_j, found.multi_gpu.gpu_uuids) == ([60.0, 30.0], None)
    assert [row["timestamp_s"] for row in found.load_timeseries(path).to_pylist()] == [1.0, 1.5]
    assert not run.exists()


def test_a_run_whose_processes_live_is_not_recovered(tmp_path):
    run = left(tmp_path, two_gpus())
    (leftover,) = find_leftovers(tmp_path)
    with joined_directory(run):
        assert aggregate(leftover, tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [".state"]
    assert aggregate(leftover, tmp_path) is not None
    assert aggregate(leftover, tmp_path) is None


FIGURES = st.none() | st.floats(-1e6, 1e6)
BOUNDS = st.none() | st.builds(EnergyUncertainty, edge_j=FIGURES, disagreement_j=FIGURES, gain_j=FIGURES)
WINDOWS = st.none() | st.tuples(st.floats(0, 10), st.floats(10, 20))
UNSURE = {
    **dict.fromkeys(
        [
            *("mean_power_w", "peak_power_w", "baseline_power_w", "baseline_power_spread_w"),
            *("idle_power_w", "idle_power_spread_w", "energy_adjusted_j", "energy_adjusted_uncertainty_j"),
            *("energy_uncertainty_j", "zeus_energy_j", "energy_prefill_j", "energy_decode_j"),
        ],
        FIGURES,
    ),
    "energy_uncertainty": BOUNDS,
    "energy_breakdown": st.none()
    | st.builds(EnergyBreakdown, raw_j=FIGURES, baseline_method=st.none() | st.just("idle")),
    "energy_per_device_j": st.none() | st.lists(st.floats(0, 1e6), max_size=2),
    "energy_scope": st.sampled_from([None, "gpu", "cpu"]),
    "steady_state_window": WINDOWS,
    "verdict": st.sampled_from([None, "valid", "invalid", "not_measured"]),
    "verdict_reasons": st.lists(st.sampled_from("ab"), max_size=2),
    "thermal_throttle": st.none()
    | st.builds(ThermalThrottleInfo, detected=st.none() | st.booleans(), throttled_s=FIGURES, share=FIGURES),
    "thermal_time_series": st.none() | st.lists(st.tuples(st.floats(-10, 10), st.floats(20, 90)), max_size=3),
    "warmup_excluded_samples": st.none() | st.integers(0, 9),
}


@st.composite
def mixed_parts(draw):
    """One to three processes, any of whose figures are unknown; the devices of all may be the first one's to meter."""
    shared, parts = draw(st.booleans()), []
    for index in range(draw(st.integers(1, 3))):
        late_s = draw(st.sampled_from([0.0, 0.25, -0.25, 9.0]))
        devices = [gpu_energy(index, draw(FIGURES))]
        gpu = 0 if shared else index
        part = make_part(index, gpu=gpu, late_s=late_s, devices=devices, metered_by=0 if shared and index else None)
        total_j = draw(FIGURES)
        known = draw(st.booleans())
        energy = EnergyMetrics(total_energy_j=total_j, duration_sec=4.0, emissions_kg_co2=draw(FIGURES))
        (raw,) = part.process_results
        raw = raw.model_copy(
            update={"energy_metrics": energy if known else None, **({} if draw(st.booleans()) else {"clock_s": None})}
        )
        drawn = {name: draw(strategy) for name, strategy in UNSURE.items()}
        parts.append(part.model_copy(update={"total_energy_j": total_j, "process_results": [raw], **drawn}))
    return parts


@examples(60)
@given(mixed_parts())
def test_any_mix_of_unknown_figures_makes_a_result_that_is_loaded_as_it_was_saved(parts):
    result = merged(*parts)
    raws = [part.process_results[0] for part in parts if part.process_results[0].metered_by is None]
    energies_j = [raw.energy_metrics.total_energy_j if raw.energy_metrics else None for raw in raws]
    assert result.total_energy_j == (None if None in energies_j else sum(energies_j))
    with tempfile.TemporaryDirectory() as folder:
        run = left(Path(folder), parts, [()] * len(parts))
        kept = load_raw_results(run)
        assert combine(kept, load_parts(run, kept)) == result
        assert ExperimentResult.from_json(result.save(Path(folder))) == result
