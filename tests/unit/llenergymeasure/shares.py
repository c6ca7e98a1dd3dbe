"""What each of several processes has measured, made without measuring."""

from datetime import UTC, datetime, timedelta

from tiny import tiny_config

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.model import DecoderShape, ModelFacts
from llenergymeasure.domain.power import IdlePower
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.measurement import Measurement, WindowEnergyReport
from llenergymeasure.metrics.summary import summarise
from llenergymeasure.metrics.window import Window
from llenergymeasure.results.merging import combine

OPENED_AT, OPENED_S = datetime(2026, 11, 20, 12, 0, tzinfo=UTC), 100.0
SHAPE = DecoderShape(matmul_parameters=1000, head_parameters=100, layers=1, attention_width=8)
ENVIRONMENT = EnvironmentSnapshot(gpus=[GpuInfo(index=index, uuid=f"GPU-{index}") for index in range(4)])
NO_IDLE = IdlePower(None, unknown="no baseline: nobody looked")


def batch(start_s, *, rows=2, tokens_s=(0.5, 1.0, 2.0), full=True):
    """Requests of ten input tokens each; `tokens_s` is when their tokens came, from the batch's start."""
    times_s = tuple(start_s + each for each in tokens_s)
    requests = tuple(RequestRecord(row, 10, len(times_s), start_s, times_s, "length") for row in range(rows))
    return Batch(start_s, times_s[-1], requests, 10, times_s, full)


def model_facts(gpu=None):
    """A model on GPU number `gpu`, or on the CPU."""
    device, uuids = ("cpu", ()) if gpu is None else ("cuda:0", (f"GPU-{gpu}",))
    return ModelFacts(
        device,
        device,
        "transformers 5, torch 2",
        40.0,
        range(9),
        SHAPE,
        None,
        device_uuids=uuids,
    )


def measurement(index, *, late_s=0.0, batches=None, window=None, gpu=None, devices=(), energy=None, **changes):
    """Process `index`, which began `late_s` after the first; on GPU number `gpu`, or on the CPU."""
    opened_s = OPENED_S + late_s
    batches = batches or [batch(opened_s), batch(opened_s + 2.0)]
    fields = {
        "experiment_id": "e1",
        "config": tiny_config(),
        "user": UserConfig(),
        "opened_at": OPENED_AT + timedelta(seconds=late_s),
        "window": window or Window("total", opened_s, batches[-1].end_s),
        "energy": WindowEnergyReport("none", devices, {}, **({"loaded_idle": NO_IDLE} | (energy or {}))),
        "peak_memory_mb": 100.0,
        "processes": 2,
        "environment": ENVIRONMENT,
    }
    return Measurement(
        model=model_facts(gpu),
        batches=batches,
        opened_s=opened_s,
        process_index=index,
        **(fields | changes),
    )


def share(index, **fields):
    """The part of a process; `fields` are those of `measurement`."""
    return summarise(measurement(index, **fields))


def gpu_energy(number, energy_j, **parts):
    return DeviceEnergy(device=f"GPU-{number}", kind="gpu", source="nvml_counter", energy_j=energy_j, **parts)


def cpu_energy(energy_j, **parts):
    return DeviceEnergy(device="package-0", kind="cpu", source="rapl", energy_j=energy_j, **parts)


def together(*parts):
    """The one result of `parts`, as the first process makes it."""
    alone = [part.model_copy(update={"process_results": []}) for part in parts]
    return combine([part.process_results[0] for part in parts], alone)
