"""The measurement of one process: everything that it has collected in a run, and the input of the summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.figures import DeviceEnergy, WarmupResult
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample
from llenergymeasure.domain.quality import Judged, LmEvalMetric
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.metrics.energy import ReportedDevices, RunEnergy, run_energy
from llenergymeasure.metrics.flops import FLOPS_METHOD
from llenergymeasure.metrics.steady_state import Window


class Slice(NamedTuple):
    """Each device's energy in a part of the window, on CLOCK_MONOTONIC."""

    start_s: float
    end_s: float
    devices: list[DeviceEnergy]


class CpuUse(NamedTuple):
    """CPU seconds of the window, and by how many they may be off; `unknown` is the reason where they are None."""

    seconds: float | None = None
    resolution_s: float | None = None
    unknown: str | None = None


NO_CPU_USE = CpuUse()


@dataclass(frozen=True)
class WindowEnergyReport:
    """The meter's report (`source`): its devices and how they were watched, their power over the whole run (`samples`,
    from its start), a second reader's answer (`check`), each phase or, where those of different requests overlap, the
    energy of slices of the window, and why no other source was taken.

    `span` is what the energy of the run's total is of, on CLOCK_MONOTONIC: of devices that several processes share, all
    of their windows together; None is the window of the figures.
    """

    source: str
    devices: Sequence[DeviceEnergy]
    not_used: dict[str, str]
    loaded_idle: IdlePower
    bare_idle: IdlePower | None = None
    span: tuple[float, float] | None = None
    watches: Sequence[DeviceWatch] = ()
    samples: Sequence[PowerSample] = ()
    check: Sequence[DeviceEnergy] = ()
    prefill: Sequence[DeviceEnergy] = ()
    decode: Sequence[DeviceEnergy] = ()
    slices: Sequence[Slice] = ()


@dataclass(frozen=True)
class Measurement:
    """Everything that was collected. `opened_at` (UTC) and `opened_s` are the same moment on two clocks.

    `process_index` is this process's number in a run of `processes`, `metered_by` that of the process which meters
    this one's devices (None: it does so itself). `cpu_wait_share` is the share of the run in which some task of the
    machine waited for a core, `cpu_steal_share` that of the cores' time which a hypervisor gave to other machines.
    `failed` are requests without a whole answer: they are in no figure but their own count. `tokenizer_unavailable` is
    the reason why the model's tokenizer has not looked at all answers of a server. `flops_method` says how
    the backend's operations are counted, `not_known` why a figure is None, by its field in the result. `judged` are the
    answers to a task, None without one; `lm_eval` the metrics of a file of that tool.
    """

    experiment_id: str
    config: ExperimentConfig
    user: UserConfig
    model: ModelFacts
    batches: Sequence[Batch]
    opened_at: datetime
    opened_s: float
    window: Window
    energy: WindowEnergyReport
    peak_memory_mb: float | None
    cpu: CpuUse = NO_CPU_USE
    process_index: int = 0
    processes: int = 1
    metered_by: int | None = None
    cpu_wait_share: float | None = None
    cpu_steal_share: float | None = None
    warmup: WarmupResult | None = None
    warmup_excluded: int = 0
    environment: EnvironmentSnapshot | None = None
    notes: Sequence[str] = ()
    failed: Sequence[FailedRequest] = ()
    tokenizer_unavailable: str | None = None
    flops_method: str = FLOPS_METHOD
    not_known: Mapping[str, str] = field(default_factory=dict)
    judged: Judged | None = None
    lm_eval: Sequence[LmEvalMetric] = ()
    model_kept: bool | None = None
    prompt_mark: int | None = None


def energy_of(measurement: Measurement, devices: Sequence[DeviceEnergy]) -> RunEnergy:
    """The energy of those of `devices` that the run's total is of."""
    reported = ReportedDevices(measurement.model.on_accelerator, measurement.model.device_uuids)
    energy = run_energy(devices, reported, measurement.energy.source, measurement.energy.watches)
    if measurement.model.unmetered is None:
        return energy
    return RunEnergy(None, None, None, energy.source, unknown=measurement.model.unmetered)
