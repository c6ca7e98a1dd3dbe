"""One run, from a configuration to its result."""

import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from labledger.console import Progress
from labledger.host import CpuContention, read_cpu_contention
from llenergymeasure import preflight
from llenergymeasure.backends.protocol import Backend
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.domain.requests import Batch
from llenergymeasure.energy.idle import IdleWindow, idle_power, watch_idle, why_not
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.phases import phase_energy
from llenergymeasure.energy.selection import choose_meter, find_sources
from llenergymeasure.metrics.energy import Headline
from llenergymeasure.metrics.measurement import EnergyReading, Measurement
from llenergymeasure.metrics.summary import raw_result, summarise
from llenergymeasure.metrics.window import Window, choose_window
from llenergymeasure.results.persistence import save_raw_result
from llenergymeasure.snapshot import EnvironmentCapture
from llenergymeasure.warmup import Warmup, run_warmup
from llenergymeasure.workload.prompts import build_requests, builtin_text


class Finished(NamedTuple):
    """A result, and the power of each device over the measurement (none where no sensor was read)."""

    result: ExperimentResult
    samples: list[PowerSample]


def run(
    config: ExperimentConfig,
    user: UserConfig,
    progress: Progress,
    *,
    output_dir: Path | None = None,
    meter: Meter | None = None,
) -> Finished:
    """Measure `config` and return the result, saved nowhere.

    `output_dir` is where it will be saved: it is checked beforehand, and a run that is interrupted or fails
    inside the window keeps what was measured in its `.state/`; the exception then has a note that names the file.
    `meter` takes the place of the one that the configuration names.

    Raises:
        PreFlightError: it cannot start, with every reason.
        ConfigError: the dataset or a prompt's length cannot be used.
        MeterError: the energy source cannot be opened.
        BackendError: the model could not be loaded, or generation failed.
        ExperimentError: every warm-up call failed.
    """
    progress.phase("checking")
    sources = find_sources()
    prompts = preflight.check(config, sources, output_dir)
    chosen, not_used = choose_meter(config.energy, user, sources)
    meter = meter or chosen
    backend = PytorchBackend(config, corpus=builtin_text)
    with contextlib.closing(backend), meter:
        ready = _prepare(config, user, backend, meter, prompts, progress)
        progress.phase("measuring")
        collected = Collected()
        try:
            collect(collected, backend, meter, progress, config.num_prompts)
            progress.phase("summing up")
            measurement = _measurement(ready, collected, meter, not_used)
            return Finished(summarise(measurement), list(measurement.energy.samples))
        except BaseException as error:
            _keep(_measurement(ready, collected, meter, not_used), output_dir, error)
            raise


@dataclass(frozen=True)
class _Ready:
    """What is known before the window opens."""

    config: ExperimentConfig
    user: UserConfig
    model: ModelFacts
    bare: IdleWindow
    loaded: IdleWindow
    warmup: Warmup
    environment: EnvironmentSnapshot
    notes: list[str]


@dataclass
class Collected:
    """What the window has gathered so far, so that whatever ends it loses nothing."""

    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    opened_s: float = field(default_factory=time.monotonic)
    closed_s: float | None = None
    batches: list[Batch] = field(default_factory=list)
    peak_memory_mb: float | None = None
    contention: tuple[CpuContention, CpuContention] | None = None


def _prepare(
    config: ExperimentConfig,
    user: UserConfig,
    backend: Backend,
    meter: Meter,
    prompts: list[str],
    progress: Progress,
) -> _Ready:
    environment = EnvironmentCapture(user.record_hostname, backend.weight_files())
    environment.start()
    bare = _watch_idle("bare", config, meter, progress, False if config.device == "cpu" else None)
    progress.phase(f"loading {config.model}")
    model = backend.load()
    notes = backend.prepare(build_requests(config, prompts, model.prompt_tokens))
    snapshot = environment.result(model.revision)
    loaded = _watch_idle("loaded", config, meter, progress, model.on_accelerator)
    progress.phase("warming up")
    warmup = run_warmup(backend, config.warmup, progress, thermal_wait=meter.is_measurement)
    return _Ready(config, user, model, bare, loaded, warmup, snapshot, [*notes, *warmup.notes])


def _watch_idle(
    name: str, config: ExperimentConfig, meter: Meter, progress: Progress, on_accelerator: bool | None
) -> IdleWindow:
    if why_not(meter, config.baseline, on_accelerator) is None:
        progress.phase(f"watching the idle machine, {name}")
    return watch_idle(meter, config.baseline, on_accelerator)


def collect(collected: Collected, backend: Backend, meter: Meter, progress: Progress, total: int) -> None:
    """Run the window into `collected`: it opens and closes when the device has nothing left to do."""
    backend.synchronize()
    backend.reset_peak_memory()
    meter.mark()
    before = read_cpu_contention()
    collected.opened_at, collected.opened_s = datetime.now(UTC), time.monotonic()
    done = tokens = 0
    for batch in backend.run():
        meter.mark()
        collected.batches.append(batch)
        done += len(batch.requests)
        tokens += sum(request.output_tokens for request in batch.requests)
        progress.update(done, total, f"{tokens / (batch.end_s - collected.opened_s):.0f} output tokens/s")
    backend.synchronize()
    closed_s = time.monotonic()
    meter.mark()
    collected.closed_s = closed_s  # not before the mark: an interrupt here must find the window inside of the marks
    collected.contention = (before, read_cpu_contention())
    collected.peak_memory_mb = backend.peak_memory_mb()


def _measurement(ready: _Ready, collected: Collected, meter: Meter, not_used: dict[str, str]) -> Measurement:
    """Everything that was collected, with the energy of the window that the figures are of."""
    window = _window(ready, collected)
    return Measurement(
        experiment_id=_new_experiment_id(collected.opened_at),
        config=ready.config,
        user=ready.user,
        model=ready.model,
        batches=collected.batches,
        opened_at=collected.opened_at,
        opened_s=collected.opened_s,
        window=window,
        energy=_energy_reading(ready, collected, window, meter, not_used),
        peak_memory_mb=collected.peak_memory_mb,
        **_contention_shares(collected),
        warmup=ready.warmup.result,
        warmup_excluded=ready.warmup.excluded_requests,
        environment=ready.environment,
        notes=ready.notes,
    )


def _energy_reading(
    ready: _Ready, collected: Collected, window: Window, meter: Meter, not_used: dict[str, str]
) -> EnergyReading:
    headline = Headline(ready.model.on_accelerator, ready.model.device_uuid)
    loaded, bare = (idle_power(meter, watched, headline) for watched in (ready.loaded, ready.bare))
    if not collected.batches:
        return EnergyReading(meter.source, [], not_used, loaded, bare)
    span = (window.start_s, window.end_s)
    phases = phase_energy(meter, collected.batches, *span)
    last_s = collected.closed_s if collected.closed_s is not None else window.end_s
    return EnergyReading(
        source=meter.source,
        devices=meter.energy(*span),
        not_used=not_used,
        loaded_idle=loaded,
        bare_idle=bare,
        watches=meter.watch(*span),
        samples=meter.samples(collected.opened_s, last_s),
        check=meter.cross_check(*span),
        prefill=phases.prefill,
        decode=phases.decode,
    )


def _contention_shares(collected: Collected) -> dict[str, float | None]:
    """The share of the run in which tasks waited for a core, and of the cores' time that went to other machines."""
    if collected.contention is None or collected.closed_s is None:
        return {}
    before, after = collected.contention
    duration_s = collected.closed_s - collected.opened_s

    def share(first: float | None, last: float | None, cores: int) -> float | None:
        return None if first is None or last is None else (last - first) / (duration_s * cores)

    return {
        "cpu_wait_share": share(before.waited_s, after.waited_s, 1),
        "cpu_steal_share": share(before.stolen_core_s, after.stolen_core_s, os.cpu_count() or 1),
    }


def _window(ready: _Ready, collected: Collected) -> Window:
    """The window that the figures are of; of an unfinished run, all that finished."""
    if collected.closed_s is None:
        ends = [batch.end_s for batch in collected.batches]
        return Window("total", collected.opened_s, max(ends, default=collected.opened_s))
    return choose_window(
        ready.config.measurement.window,
        ready.warmup.result,
        collected.batches,
        collected.opened_s,
        collected.closed_s,
    )


def _keep(measurement: Measurement, output_dir: Path | None, error: BaseException) -> None:
    """Keep what an unfinished run has measured, and note on `error` where."""
    finished = sum(len(batch.requests) for batch in measurement.batches)
    if not finished:
        return
    if output_dir is None:
        error.add_note(f"{finished} finished requests are lost: no output directory was given")
        return
    try:
        path = save_raw_result(raw_result(measurement), output_dir)
    except OSError as second:
        error.add_note(f"{finished} finished requests could not be kept: {second}")
    else:
        error.add_note(f"{finished} finished requests are kept in {path}")


def _new_experiment_id(moment: datetime) -> str:
    """Sorts by time; the random end keeps runs of one second apart."""
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
