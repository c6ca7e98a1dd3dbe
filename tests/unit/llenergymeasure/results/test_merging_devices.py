"""The devices of several processes: whose figures count, and for which GPUs."""

from dataclasses import replace

import pytest
from measurements import LATE_S, UNION_S, batch, cpu_energy, gpu_energy, make_part, merged

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.figures import (
    DeviceEnergy,
    MultiGPUMetrics,
)
from llenergymeasure.domain.power import DeviceWatch, IdlePower


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


def test_an_energy_that_two_processes_metered_stands_beside_the_tokens_that_are_in_dispute():
    disputed = {"is_audited": True, "findings": ("tokenizer_differs",), "disputed_output_tokens": 3}
    one = batch(100.0)
    parts = metered_twice(batches=[replace(one, requests=tuple(replace(each, **disputed) for each in one.requests))])
    assert [part.verdict for part in parts] == ["invalid", "invalid"]
    result = merged(*parts)
    assert result.verdict == "invalid"
    for words in ("output tokens are in dispute", "energy is unknown: several processes metered one GPU"):
        assert any(words in reason for reason in result.verdict_reasons), words


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
