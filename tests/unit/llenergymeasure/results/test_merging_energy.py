"""The energy of several processes: sums, bounds, powers and verdict, on figures worked out by hand."""

import pytest
from measurements import OPENED_AT, UNION_S, make_part, merged, one_cpu, two_gpus

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.figures import (
    DeviceEnergy,
    EnergyBreakdown,
    EnergyUncertainty,
    MultiGPUMetrics,
)
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample


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


def test_a_verdict_is_as_sure_as_the_least_sure_and_its_reasons_name_their_process():
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
def test_the_least_sure_verdict_wins_in_any_order(words, found):
    for order in (words, words[::-1]):
        parts = [part.model_copy(update={"verdict": word}) for part, word in zip(two_gpus(), order, strict=True)]
        assert merged(*parts).verdict == found


def test_the_energy_of_a_cpu_that_one_process_metered_for_all_counts_once():
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
def test_values_of_all_metering_processes_are_added_and_one_unknown_makes_the_sum_unknown(name):
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


def test_a_gpu_of_unknown_energy_is_among_the_gpus_where_the_first_process_ran_on_it():
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


def test_energy_per_request_and_energy_times_delay_are_of_all_processes():
    result = merged(*two_gpus())
    assert (result.energy_per_request_j, result.energy_delay_product_js) == (90.0 / 8, 90.0 * UNION_S)


def test_emissions_are_those_of_the_metered_energy():
    user = UserConfig(grid_carbon_intensity=400.0, datacenter_pue=1.5)
    expected = 90.0 / 3.6e6 * 0.4 * 1.5
    assert merged(*two_gpus(user=user)).emissions_kg_co2 == pytest.approx(expected)
    assert merged(*one_cpu(user=user)).emissions_kg_co2 == pytest.approx(expected)
    assert merged(*two_gpus()).emissions_kg_co2 is None


def test_an_idle_power_that_one_process_lacks_is_subtracted_from_nothing():
    known = {"energy": {"loaded_idle": IdlePower(5.0, spread_w=1.0, measured_at=OPENED_AT)}}
    result = merged(*two_gpus(first=known))
    assert (result.energy_adjusted_j, result.baseline_power_w) == (None, None)
    assert (result.energy_breakdown.raw_j, result.energy_breakdown.adjusted_j) == (90.0, None)


def test_where_nothing_was_subtracted_no_method_is_named():
    known = {"energy": {"loaded_idle": IdlePower(5.0, spread_w=1.0, measured_at=OPENED_AT)}}
    assert merged(*two_gpus(first=known)).energy_breakdown.baseline_method is None
