"""No field of a result is lost: each is set by a run of one process and by one of two, or the reason stands here."""

from dataclasses import replace

from measurements import (
    ENVIRONMENT,
    OPENED_AT,
    batch,
    cpu_energy,
    gpu_energy,
    make_part,
    merged,
    model_facts,
    process_measurement,
)
from tiny import tiny_config

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.figures import DeviceEnergy, PowerSensor, UsedCalibration, WarmupResult
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample
from llenergymeasure.domain.quality import Judged, LmEvalMetric
from llenergymeasure.domain.requests import FailedRequest
from llenergymeasure.metrics.measurement import CpuUse
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.summary import summarise

SAVED = "named when the result is saved with its sidecar"
NOT_SET_BY_ONE_PROCESS = {"timeseries": SAVED}
NOT_SET_BY_TWO_PROCESSES = {
    "timeseries": SAVED,
    "client_lateness_ms": "only requests to a server are due at a time, and one process measures a server",
    "prompt_mark": "only prompts of a server have one",
}
DIFFERENT_OF_ONE_THAT_IS_MERGED = {
    "aggregation": "it says how",
    "latency_stats": "a process's result keeps no gaps between tokens, so ITL is unknown",
    "client_lateness_ms": "nor how late each request was",
    "prompt_mark": "only prompts of a server have one, and one process measures a server",
    "multi_gpu": "a process on several GPUs names none as its own",
    "measurement_warnings": "whether a run is small is said of all processes together, last",
}
SETTLED = WarmupResult(converged=True, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)
SENSOR = PowerSensor(period_ms=100.0, window_ms=25.0, shape="boxcar", source="measured")
CALIBRATION = UsedCalibration(measured_at=OPENED_AT, used=["sensor"])
IN_A_CONTAINER = ENVIRONMENT.model_copy(update={"image_digest": "sha256:1"})


def with_everything(index, **changes):
    """The part of a process on a GPU of its own, of which everything is known that can be."""
    name = f"GPU-{index}"
    batches = [batch(100.0 + 2 * number, tokens_s=(0.5, 1.0 + number / 64, 1.5 + number / 32)) for number in range(30)]
    phases = {
        "prefill": [gpu_energy(index, 20.0, edge_j=0.5, gain_j=1.0)],
        "decode": [gpu_energy(index, 40.0, edge_j=0.5, gain_j=1.0)],
    }
    energy = {
        "loaded_idle": IdlePower(0.5, spread_w=0.1, measured_at=OPENED_AT),
        "bare_idle": IdlePower(0.4, 0.1),
        "watches": [DeviceWatch(name, index=index, ticks=99, temperatures_c=((0.0, 50.0),), longest_gap_s=9.0)],
        "samples": [PowerSample(at_s, gpu_power_w=20.0, gpu_index=index) for at_s in (0.5, 1.5, 2.5)],
        "check": [DeviceEnergy(device=name, kind="gpu", source="zeus", energy_j=59.0)],
        **phases,
    }
    sampled = {"coverage_j": 2.0, "sensor": SENSOR, "calibration": CALIBRATION}
    fields = {
        "batches": batches,
        "window": Window("steady_state", 100.0, batches[-1].end_s),
        "gpu": index,
        "devices": [gpu_energy(index, 60.0, edge_j=0.5, gain_j=3.0, **sampled)],
        "energy": energy,
        "user": UserConfig(grid_carbon_intensity=400.0),
        "failed": [FailedRequest(9, 101.0, 102.0, "stalled", "no byte for 10 s")],
        "warmup": SETTLED,
        "warmup_excluded": 3,
        "environment": IN_A_CONTAINER,
        "notes": ["3 prompts were cut."],
        "cpu": CpuUse(12.5, 0.02),
        "not_known": {"model_memory_mb": "the server does not tell"},
        "config": tiny_config(quality={"task": "sums.jsonl", "lm_eval": "given.json"}),
        "judged": Judged("r."[index] + ".r"[index], "digest"),
        "model_kept": True,
        "lm_eval": [LmEvalMetric(task="sums", metric="acc", value=0.5)],
    }
    one = process_measurement(index, **(fields | changes))
    reading = replace(one.energy, not_used={"rapl": "not asked for"})
    return summarise(replace(one, energy=reading))


def late():
    batches = [batch(100.0)]
    requests = tuple(replace(request, lateness_s=0.01) for request in batches[0].requests)
    return make_part(0, batches=[replace(batches[0], requests=requests)], prompt_mark=7)


def audited(index=0):
    one = batch(100.0)
    audit = {"counted_by": "server", "is_audited": True, "findings": ("cached",), "cached_input_tokens": 9}
    return make_part(index, batches=[replace(one, requests=tuple(replace(each, **audit) for each in one.requests))])


def on_two_gpus():
    one = process_measurement(0, gpu=0, devices=[gpu_energy(number, 60.0) for number in (0, 1)])
    return summarise(replace(one, model=replace(model_facts(0), device_uuids=("GPU-0", "GPU-1"))))


def on_one_cpu():
    """Two processes; the first metered for both."""
    energy = {
        "span": (100.0, 104.0),
        "watches": [DeviceWatch("package-0", ticks=99)],
        "samples": [PowerSample(at_s, cpu_power_w=20.0) for at_s in (0.5, 1.5, 2.5)],
    }
    return [make_part(0, devices=[cpu_energy(90.0, edge_j=0.5)], energy=energy), make_part(1, metered_by=0)]


def never_set(results):
    """Fields that hold nothing in any of the results."""
    return {
        name
        for name in ExperimentResult.model_fields
        if all(getattr(result, name) in (None, [], {}) for result in results)
    }


def test_each_field_is_set_by_a_run_of_one_process_or_stands_here_with_the_reason():
    assert never_set([with_everything(0), late(), audited(), on_two_gpus()]) == set(NOT_SET_BY_ONE_PROCESS)


def test_each_field_is_set_by_a_run_of_two_processes_or_stands_here_with_the_reason():
    results = [merged(with_everything(0), with_everything(1)), merged(*on_one_cpu()), merged(audited(0), audited(1))]
    assert never_set(results) == set(NOT_SET_BY_TWO_PROCESSES)


def test_one_process_that_is_merged_alone_keeps_every_figure_or_the_reason_stands_here():
    parts = [
        with_everything(0),
        make_part(0),
        make_part(0, devices=[cpu_energy(90.0)]),
        late(),
        audited(),
        on_two_gpus(),
    ]
    differing = {
        name
        for part in parts
        for name in ExperimentResult.model_fields
        if getattr(merged(part), name) != getattr(part, name)
    }
    assert differing == set(DIFFERENT_OF_ONE_THAT_IS_MERGED)


def test_how_prefill_and_decode_were_told_apart_is_said_of_two_processes_too():
    first, second = with_everything(0), with_everything(1)
    assert first.phase_energy_method == "windows of the counter"
    assert merged(first, second).phase_energy_method == "windows of the counter"
    regression = second.model_copy(update={"phase_energy_method": "regression over 40 slices of time"})
    methods = "windows of the counter; regression over 40 slices of time"
    assert merged(first, regression).phase_energy_method == methods
    unknown = dict.fromkeys(("energy_prefill_j", "energy_decode_j", "phase_energy_method"))
    assert merged(first, second.model_copy(update=unknown)).phase_energy_method is None
