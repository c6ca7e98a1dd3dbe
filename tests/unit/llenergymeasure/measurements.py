"""Measurements, made without measuring: of one process, of each of several, and the one result of them all."""

from datetime import UTC, datetime, timedelta

from tiny import tiny_config

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.model import DecoderShape, ModelFacts
from llenergymeasure.domain.power import DeviceWatch, IdlePower
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.measurement import Measurement, WindowEnergyReport
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.summary import summarise
from llenergymeasure.results.merging import combine

OPENED_AT, OPENED_S = datetime(2026, 11, 20, 12, 0, tzinfo=UTC), 100.0
LATE_S = 0.5
UNION_S = 4.5  # four seconds for each of two processes, the second half a second later
SHAPE = DecoderShape(matmul_parameters=1000, head_parameters=100, layers=1, attention_width=8)
ENVIRONMENT = EnvironmentSnapshot(gpus=[GpuInfo(index=index, uuid=f"GPU-{index}") for index in range(4)])
NO_IDLE = IdlePower(None, unknown="no baseline: nobody looked")


def batch(start_s, *, rows=2, tokens_s=(0.5, 1.0, 2.0), full=True):
    """Requests of ten input tokens each; `tokens_s` is when their tokens came, from the batch's start."""
    times_s = tuple(start_s + each for each in tokens_s)
    requests = tuple(RequestRecord(row, 10, len(times_s), start_s, times_s, "length") for row in range(rows))
    return Batch(start_s, times_s[-1], requests, 10, times_s, full)


def nth_batch(number, **fields):
    """Batch `number`, from 0, of those that follow each other, two seconds each."""
    return batch(OPENED_S + 2 * number, **fields)


def model_facts(gpu=None, *, device=None, shape=SHAPE):
    """A model on GPU number `gpu`, else on `device`, which is the CPU unless it is named."""
    device = device or ("cpu" if gpu is None else "cuda:0")
    return ModelFacts(
        device,
        device,
        "transformers 5, torch 2",
        40.0,
        range(9),
        shape,
        None if shape else "not counted: x",
        device_uuids=() if gpu is None else (f"GPU-{gpu}",),
    )


def measurement(batches=None, *, index=0, late_s=0.0, window=None, on="cpu", devices=(), energy=None, **changes):
    """A measurement that began `late_s` after `OPENED_S`, by default of two batches and alone.

    `energy` are fields of its WindowEnergyReport beside the `devices`, `changes` those of the Measurement.
    """
    opened_s = OPENED_S + late_s
    batches = batches or [batch(opened_s), batch(opened_s + 2.0)]
    report = {"source": "steady", "devices": devices, "not_used": {}, "loaded_idle": NO_IDLE} | (energy or {})
    fields = {
        "experiment_id": "e1",
        "config": tiny_config(),
        "user": UserConfig(),
        "model": model_facts(device=on),
        "opened_at": OPENED_AT + timedelta(seconds=late_s),
        "window": window or Window("total", opened_s, batches[-1].end_s),
        "energy": WindowEnergyReport(**report),
        "peak_memory_mb": 100.0,
        "environment": ENVIRONMENT,
    }
    return Measurement(batches=batches, opened_s=opened_s, process_index=index, **(fields | changes))


def process_measurement(index, *, gpu=None, energy=None, **fields):
    """The measurement of process `index` of two, on GPU number `gpu` or on the CPU."""
    defaults = {"model": model_facts(gpu), "processes": 2, "energy": {"source": "none"} | (energy or {})}
    return measurement(index=index, **(defaults | fields))


def make_part(index, **fields):
    """The part of process `index`; `fields` are those of `process_measurement`."""
    return summarise(process_measurement(index, **fields))


def gpu_energy(number, energy_j, **fields):
    return DeviceEnergy(device=f"GPU-{number}", kind="gpu", source="nvml_counter", energy_j=energy_j, **fields)


def cpu_energy(energy_j, **fields):
    return DeviceEnergy(device="package-0", kind="cpu", source="rapl", energy_j=energy_j, **fields)


def two_gpus(first_j=60.0, second_j=30.0, first=None, second=None, **both):
    """The parts of two processes, each on a GPU of its own."""
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
    """The parts of two processes on a CPU whose counters the first reads, over the windows of both."""
    energy = {"span": (100.0, 104.5), "watches": [DeviceWatch("package-0", ticks=99)]} | (first or {})
    return [
        make_part(0, devices=[cpu_energy(energy_j, edge_j=0.5, gain_j=4.5)], energy=energy, **both),
        make_part(1, late_s=LATE_S, metered_by=0, **both),
    ]


def merged(*parts):
    """The one result of `parts`, as the first process makes it."""
    alone = [part.model_copy(update={"process_results": []}) for part in parts]
    return combine([part.process_results[0] for part in parts], alone)
