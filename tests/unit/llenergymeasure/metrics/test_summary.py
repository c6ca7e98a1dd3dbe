"""From what was collected to the result, on figures worked out by hand."""

from dataclasses import replace
from datetime import timedelta

import pytest
from measurements import OPENED_AT, measurement, model_facts, nth_batch

from llenergymeasure.cli.presentation import print_result
from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.figures import DeviceEnergy, MultiGPUMetrics, WarmupResult
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample
from llenergymeasure.metrics.energy import ReportedDevices, run_energy
from llenergymeasure.metrics.steady_state import Window, choose_window, full_batches_span
from llenergymeasure.metrics.summary import summarise

CPU = ReportedDevices(on_accelerator=False)


def cpu(energy_j, **parts):
    return DeviceEnergy(device="package-0", kind="cpu", source="steady", energy_j=energy_j, **parts)


def gpu(energy_j, **parts):
    return DeviceEnergy(device="GPU-1", kind="gpu", source="steady", energy_j=energy_j, **parts)


def test_throughput_and_energy_are_over_the_window():
    result = summarise(measurement([nth_batch(0), nth_batch(1)], devices=[cpu(60.0, edge_j=1.0, gain_j=3.0)]))
    assert (result.input_tokens, result.output_tokens, result.total_tokens) == (40, 12, 52)
    assert result.total_inference_time_sec == 4.0
    assert (result.avg_tokens_per_second, result.output_tokens_per_second) == (13.0, 3.0)
    assert result.requests_per_second == 1.0
    assert (result.total_energy_j, result.energy_per_output_token_j) == (60.0, 5.0)
    assert result.avg_energy_per_token_j == pytest.approx(60 / 52)
    assert (result.energy_per_request_j, result.energy_delay_product_js) == (15.0, 240.0)
    assert result.mean_power_w == 15.0
    assert result.energy_uncertainty_j == 4.0
    assert (result.start_time, result.end_time) == (OPENED_AT, OPENED_AT + timedelta(seconds=4))


def test_the_steady_state_leaves_the_last_partial_batch_out_of_every_figure():
    converged = WarmupResult(converged=True, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)
    batches = [nth_batch(0), nth_batch(1), nth_batch(2, rows=1, full=False)]
    window = choose_window(None, converged, full_batches_span(batches), 100.0, 106.5)
    whole = summarise(measurement(batches))
    steady = summarise(measurement(batches, window=window, warmup=converged))
    assert steady.measurement_methodology == "steady_state"
    assert steady.steady_state_window == (0.0, 4.0)
    assert steady.output_tokens == 12
    assert steady.latency_stats.ttft_ms.n == 4
    assert steady.total_flops < whole.total_flops
    assert len(steady.process_results[0].requests.e2e_ms) == 5


def test_a_window_counts_tokens_by_their_time():
    result = summarise(measurement([nth_batch(0), nth_batch(1)], window=Window("windowed", 100.75, 102.75)))
    assert result.output_tokens == 2 * 3  # two of the first batch's steps, one of the second's
    assert result.input_tokens == 20  # the second prefill ended inside
    assert result.latency_stats.e2e_ms is None  # no request is wholly inside
    assert result.start_time == OPENED_AT + timedelta(seconds=0.75)


def test_cpu_joules_do_not_stand_in_for_a_gpus():
    result = summarise(measurement([nth_batch(0)], devices=[cpu(60.0)], on="cuda:0"))
    assert result.total_energy_j is None
    assert result.energy_per_output_token_j is None
    assert result.device_energy[0].energy_j == 60.0
    assert any("GPU's energy is unknown" in warning for warning in result.measurement_warnings)


def test_a_gpu_runs_energy_is_its_gpus_alone():
    result = summarise(measurement([nth_batch(0)], devices=[cpu(60.0), gpu(10.0), gpu(20.0)], on="cuda:0"))
    assert (result.total_energy_j, result.energy_scope, result.energy_per_device_j) == (30.0, "gpu", [10.0, 20.0])


def test_one_device_that_cannot_be_read_makes_the_sum_unknown_and_names_it():
    found = run_energy([cpu(60.0), cpu(None)], CPU, "steady")
    assert (found.total_j, found.bound_j) == (None, None)
    assert "package-0 could not be read" in found.unknown


def test_memory_counts_where_the_machine_has_that_domain():
    dram = DeviceEnergy(device="dram-0", kind="dram", source="steady", energy_j=5.0)
    found = run_energy([cpu(60.0), dram], CPU, "steady")
    assert (found.total_j, found.scope) == (65.0, "cpu+dram")


def test_a_part_of_the_bound_that_does_not_apply_is_left_out_of_it():
    found = run_energy([cpu(60.0, gain_j=60.0)], CPU, "steady")
    assert (found.uncertainty.edge_j, found.uncertainty.disagreement_j, found.bound_j) == (None, None, 60.0)


def test_the_adjusted_energy_is_less_the_idle_and_may_be_negative():
    def adjusted(idle_w):
        idle = {"loaded_idle": IdlePower(idle_w)}
        return summarise(measurement([nth_batch(0)], devices=[cpu(60.0)], energy=idle)).energy_adjusted_j

    assert (adjusted(10.0), adjusted(50.0)) == (40.0, -40.0)


def test_an_estimate_has_no_power_and_says_that_it_is_one():
    estimate = DeviceEnergy(device="cpu", kind="cpu", source="estimate", energy_j=1.0, gain_j=1.0)
    found = summarise(measurement([nth_batch(0)], devices=[estimate], energy={"source": "estimate"}))
    assert (found.mean_power_w, found.verdict) == (None, "not_measured")
    assert any("estimate from CPU time" in warning for warning in found.measurement_warnings)


def test_the_adjusted_energys_bound_is_widened_by_what_the_idle_power_varies():
    idle = {"loaded_idle": IdlePower(10.0, spread_w=3.0), "bare_idle": IdlePower(8.0, spread_w=0.5)}
    found = summarise(measurement([nth_batch(0)], devices=[cpu(60.0, edge_j=1.0, gain_j=2.0)], energy=idle))
    assert (found.baseline_power_w, found.baseline_power_spread_w) == (10.0, 3.0)
    assert (found.idle_power_w, found.idle_power_spread_w) == (8.0, 0.5)
    assert found.energy_adjusted_uncertainty_j == 3.0 + 2 * 3.0


def test_a_gpu_run_counts_the_gpu_that_ran_and_no_other():
    other = DeviceEnergy(device="GPU-2", kind="gpu", source="steady", energy_j=1000.0)
    ran = model_facts(1)
    found = summarise(measurement([nth_batch(0)], devices=[other, gpu(10.0)], model=ran))
    assert (found.total_energy_j, found.energy_per_device_j) == (10.0, [1000.0, 10.0])


def test_a_gpu_that_ran_and_is_not_metered_leaves_the_energy_unknown():
    ran = model_facts(9)
    found = summarise(measurement([nth_batch(0)], devices=[gpu(10.0)], model=ran))
    assert found.total_energy_j is None
    assert "GPU-9" in found.verdict_reasons[0]


def on_two_gpus(*energies_j):
    """The result of one process on GPU-1 and GPU-2, beside a third that was metered too."""
    devices = [
        DeviceEnergy(device=f"GPU-{number}", kind="gpu", source="steady", energy_j=energy_j)
        for number, energy_j in enumerate([*energies_j, 1000.0], 1)
    ]
    ran = replace(model_facts(device="cuda"), device_uuids=("GPU-1", "GPU-2"), effective={"device": "cuda"})
    gpus = [GpuInfo(index=number - 1, uuid=f"GPU-{number}", name="NVIDIA H200") for number in (1, 2, 3)]
    return summarise(
        measurement([nth_batch(0)], devices=devices, model=ran, environment=EnvironmentSnapshot(gpus=gpus))
    )


def test_one_process_on_several_gpus_has_the_joules_of_each_and_of_all():
    found = on_two_gpus(10.0, 20.0)
    assert (found.total_energy_j, found.energy_per_output_token_j) == (30.0, 5.0)
    assert found.multi_gpu == MultiGPUMetrics(
        num_gpus=2,
        energy_per_gpu_j=[10.0, 20.0],
        gpu_uuids=["GPU-1", "GPU-2"],
        energy_total_j=30.0,
        energy_per_output_token_j=5.0,
    )
    assert found.process_results[0].gpu_id is None


def test_one_of_several_gpus_that_cannot_be_read_is_among_them():
    found = on_two_gpus(10.0, None)
    assert (found.multi_gpu.energy_per_gpu_j, found.multi_gpu.energy_total_j) == ([10.0, None], None)


def test_a_process_on_one_gpu_of_several_or_on_an_unknown_one_has_no_figures_of_several():
    ran = model_facts(1)
    other = DeviceEnergy(device="GPU-2", kind="gpu", source="steady", energy_j=1000.0)
    assert summarise(measurement([nth_batch(0)], devices=[gpu(10.0), other], model=ran)).multi_gpu is None
    unknown = model_facts(device="cuda:0")
    assert summarise(measurement([nth_batch(0)], devices=[gpu(10.0), other], model=unknown)).multi_gpu is None


def test_every_gpu_that_ran_is_named_to_the_reader(capsys):
    print_result(on_two_gpus(10.0, 20.0), None)
    shown = " ".join(capsys.readouterr().out.split())
    assert "cuda (GPU 0, NVIDIA H200; GPU 1, NVIDIA H200)" in shown


def test_counter_and_power_that_disagree_widen_the_bound_and_warn_with_both():
    watch = DeviceWatch("GPU-1", ticks=99, power_integral_j=90.0)
    energy = {"watches": [watch]}
    found = summarise(
        measurement([nth_batch(0)], devices=[gpu(100.0, edge_j=1.0, gain_j=5.0)], on="cuda:0", energy=energy)
    )
    assert found.energy_uncertainty.disagreement_j == 10.0
    assert found.energy_uncertainty_j == 16.0
    (warning,) = (each for each in found.measurement_warnings if "apart" in each)
    assert "100 J" in warning
    assert "90 J" in warning


@pytest.mark.parametrize(("limit_w", "warns"), [(100.0, True), (700.0, False)])
def test_an_idle_device_may_disagree_more(limit_w, warns):
    energy = {"watches": [DeviceWatch("GPU-1", ticks=99, power_integral_j=93.0, limit_w=limit_w)]}
    found = summarise(measurement([nth_batch(0)], devices=[gpu(100.0)], on="cuda:0", energy=energy))
    assert any("apart" in warning for warning in found.measurement_warnings) == warns


def test_phases_are_known_where_their_bound_is_under_half():
    energy = {"prefill": [gpu(10.0, edge_j=3.0, gain_j=2.5)], "decode": [gpu(90.0, edge_j=3.0, gain_j=9.0)]}
    found = summarise(measurement([nth_batch(0)], devices=[gpu(100.0)], on="cuda:0", energy=energy))
    assert (found.energy_prefill_j, found.energy_prefill_uncertainty_j) == (None, None)
    assert (found.energy_decode_j, found.energy_decode_uncertainty_j) == (90.0, 12.0)
    (note,) = (each for each in found.measurement_warnings if "prefill" in each)
    assert "10 ± 5.5 J" in note


@pytest.mark.parametrize(("mixed", "is_known"), [(1, True), (2, False)])
def test_phases_are_unknown_where_the_decode_has_begun_with_the_first_text_of_over_one_percent(mixed, is_known):
    batches = [nth_batch(number) for number in range(100)]
    for number in range(mixed):
        first, *others = batches[number].requests
        batches[number] = replace(batches[number], requests=(replace(first, first_tokens=2), *others))
    batches = [replace(each, requests=each.requests[:1]) for each in batches]
    energy = {"prefill": [gpu(10.0, edge_j=1.0, gain_j=1.0)], "decode": [gpu(90.0, edge_j=1.0, gain_j=9.0)]}
    found = summarise(measurement(batches, devices=[gpu(100.0)], on="cuda:0", energy=energy))
    notes = [each for each in found.measurement_warnings if "tokens of the decode came with the first text" in each]
    assert (found.energy_decode_j is not None, len(notes)) == (is_known, 0 if is_known else 1)


def test_emissions_take_the_grid_and_the_building_and_are_unknown_without_the_grid():
    def emissions(**user):
        return summarise(measurement([nth_batch(0)], devices=[cpu(3.6e6)], user=UserConfig(**user))).emissions_kg_co2

    assert emissions() is None
    assert emissions(grid_carbon_intensity=400.0) == pytest.approx(0.4)
    assert emissions(grid_carbon_intensity=400.0, datacenter_pue=1.5) == pytest.approx(0.6)


def test_peak_power_is_of_the_devices_that_ran_within_the_window():
    samples = [
        PowerSample(at_s, gpu_power_w=power_w, gpu_index=index)
        for at_s, power_w, index in [
            (0.2, 100.0, 0),
            (0.5, 500.0, 0),
            (1.5, 200.0, 0),
            (2.5, 300.0, 0),
            (3.5, 900.0, 0),
            (0.5, 600.0, 1),
            (1.5, 600.0, 1),
        ]
    ]
    energy = {"samples": samples, "watches": [DeviceWatch("GPU-1", index=0, ticks=99)]}
    window = Window("windowed", 101.0, 103.0)
    found = summarise(
        measurement([nth_batch(0), nth_batch(1)], window=window, devices=[gpu(10.0)], on="cuda:0", energy=energy)
    )
    assert found.peak_power_w == 300.0


def test_operations_that_cannot_be_counted_are_unknown_with_the_reason():
    found = summarise(measurement([nth_batch(0)], model=model_facts(shape=None)))
    assert found.total_flops is None
    assert found.process_results[0].compute_metrics.flops_method == "not counted: x"


def test_intervals_are_given_from_thirty_batches_on():
    few = summarise(measurement([nth_batch(number) for number in range(29)]))
    enough = summarise(measurement([nth_batch(number) for number in range(30)]))
    assert few.confidence_intervals == {}
    interval = enough.confidence_intervals["latency_stats.ttft_ms.mean"]
    assert interval.n == 30
    assert interval.low <= enough.latency_stats.ttft_ms.mean <= interval.high


def test_a_short_window_and_few_requests_are_warned_of():
    warnings = " ".join(summarise(measurement([nth_batch(0)])).measurement_warnings)
    assert "under 60 s" in warnings
    assert "under 30" in warnings
    long = " ".join(summarise(measurement([nth_batch(number) for number in range(40)])).measurement_warnings)
    assert "under" not in long


def test_a_warmup_that_did_not_converge_is_warned_of():
    warmup = WarmupResult(converged=False, final_cv=0.3, iterations_completed=20, target_cv=0.05, max_prompts=20)
    assert any(
        "did not converge" in each
        for each in summarise(measurement([nth_batch(0)], warmup=warmup)).measurement_warnings
    )


def test_settings_of_the_gpu_that_ran_are_warned_of_with_the_command_that_fixes_them():
    gpus = [GpuInfo(index=index, uuid=f"GPU-{index}", persistence_mode=False, ecc_enabled=False) for index in (2, 3)]
    on_third = model_facts(3)
    found = summarise(measurement([nth_batch(0)], model=on_third, environment=EnvironmentSnapshot(gpus=gpus)))
    warnings = " ".join(found.measurement_warnings)
    assert "nvidia-smi -i 3 -pm 1" in warnings
    assert "nvidia-smi -i 3 -e 1" in warnings
    assert "nvidia-smi -i 2" not in warnings
    assert found.process_results[0].gpu_id == 3


def test_a_windows_request_rate_counts_every_request_that_ended_in_it():
    batches = [nth_batch(number) for number in range(4)]
    found = summarise(measurement(batches, window=Window("windowed", 101.0, 107.0), devices=[cpu(60.0)]))
    assert found.requests_per_second == 1.0
    assert found.energy_per_request_j == 10.0
    assert found.latency_stats.e2e_ms.n == 4
    assert any("4 requests that lie wholly inside" in warning for warning in found.measurement_warnings)


def test_a_warmup_of_one_latency_is_warned_of_without_a_figure():
    warmup = WarmupResult(converged=False, final_cv=None, iterations_completed=1, target_cv=0.05, max_prompts=20)
    found = summarise(measurement([nth_batch(0)], warmup=warmup))
    assert any("CV unknown after 1 calls" in warning for warning in found.measurement_warnings)


def test_an_unknown_energy_says_why_in_the_verdict():
    found = summarise(measurement([nth_batch(0)], devices=[cpu(60.0)], on="cuda:0", energy={"source": "estimate"}))
    assert found.verdict_reasons == ["energy is unknown: no source reads the GPU"]
    assert not any("estimate" in warning for warning in found.measurement_warnings)


def test_other_work_on_the_machine_is_warned_of_with_its_share():
    busy = summarise(measurement([nth_batch(0)], cpu_wait_share=0.4, cpu_steal_share=0.25)).measurement_warnings
    assert any("waited for a core in 40% of the run" in warning for warning in busy)
    assert any("took 25% of this one's processor time" in warning for warning in busy)
    quiet = summarise(measurement([nth_batch(0)], cpu_wait_share=0.02, cpu_steal_share=0.0)).measurement_warnings
    assert not any("core" in warning or "processor" in warning for warning in quiet)
