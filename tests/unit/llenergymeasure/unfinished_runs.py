"""The files of a run that has no result yet: parts, power over time, journals."""

import contextlib
from datetime import UTC, datetime

from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, Timestamps
from llenergymeasure.domain.power import EnergySoFar, PowerSample
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.process_metrics import inference_metrics
from llenergymeasure.results.aggregation import expect_processes
from llenergymeasure.results.journal import Begun, open_journal
from llenergymeasure.results.parts import save_part
from llenergymeasure.results.persistence import state_folder

RUN = "20261121-100000-0123abcd"
OPENED_AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
OPENED_S = 1000.0
POWER_W = 300.0


def power_samples(index, *moments_s):
    """The power of GPU number `index` at these moments."""
    return [PowerSample(at_s, gpu_power_w=100.0 + index, gpu_temperature_c=50.0, gpu_index=index) for at_s in moments_s]


def leave_parts(folder, parts, samples=((), ()), expected=True):
    """Leave `parts` as their processes do; the folder of the run."""
    if expected:
        expect_processes("e1", len(parts), folder)
    for part, own in zip(parts, samples, strict=True):
        save_part(part, own, folder)
    return state_folder(folder, "e1")


def begun(**changes):
    """The first line of the journal of a process on one GPU, of a hundred requests."""
    nothing = RawProcessResult(
        experiment_id=RUN,
        process_index=0,
        gpu_id=0,
        config_name=None,
        model_name="a-model",
        timestamps=Timestamps.from_times(OPENED_AT, OPENED_AT),
        inference_metrics=inference_metrics(0, 0, 0.0, []),
        energy_metrics=EnergyMetrics(total_energy_j=None, duration_sec=0.0),
        compute_metrics=ComputeMetrics(flops_total=0.0, model_memory_mb=68.0, flops_method="analytic"),
    )
    fields = {"raw": nothing, "share": 100, "on_accelerator": True, "device_uuids": ["GPU-a"], "source": "nvml_counter"}
    return Begun(**{**fields, **changes})


@contextlib.contextmanager
def writing(folder, begins_with=None):
    """A journal in `folder`, closed at the end of the block."""
    with contextlib.closing(open_journal(folder, begins_with or begun())) as journal:
        yield journal


def answer(index, start_s, end_s, tokens=4):
    """A batch of one request, whose tokens came evenly between these moments of the measurement."""
    times_s = tuple(start_s + (end_s - start_s) * (token + 1) / tokens for token in range(tokens))
    record = RequestRecord(index, 10 + index, tokens, OPENED_S + start_s, tuple(OPENED_S + t for t in times_s), "stop")
    return Batch(OPENED_S + start_s, OPENED_S + end_s, (record,), 10 + index, record.token_times_s, False)


def joules(at_s, device="GPU-a", kind="gpu", power_w=POWER_W):
    """A counter that began at 5 J two seconds before the measurement."""
    return EnergySoFar(device, kind, "nvml_counter", OPENED_S + at_s, 5.0 + power_w * (at_s + 2.0))


def leave_journal(folder, *entries, **changes):
    """The path of the journal of a process that was killed after it had written these entries."""
    with writing(folder, begun(**changes)) as journal:
        journal.energy([joules(-0.1)])
        journal.opened(OPENED_AT, OPENED_S)
        for entry in entries:
            journal.energy(entry) if isinstance(entry, list) else journal.take(entry)
    return journal.path
