"""Run one experiment, from a configuration to its result."""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labledger.console import Progress
from labledger.files import uninterrupted
from labledger.redaction import redactor
from llenergymeasure.backends.kept import Kept
from llenergymeasure.backends.openai.settings import run_keys
from llenergymeasure.backends.protocol import Backend, RunContext
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.domain.requests import Prompt
from llenergymeasure.energy.cpu_time import CpuTime, ThisProcess
from llenergymeasure.energy.idle import IdleWindow, idle_power, watch_idle, why_not
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.phases import Spans, read_energy
from llenergymeasure.energy.sources import Choice, Sources, choose_meter, find_sources
from llenergymeasure.errors import BackendError
from llenergymeasure.metrics.energy import ReportedDevices
from llenergymeasure.metrics.measurement import Measurement
from llenergymeasure.metrics.steady_state import Window, choose_window
from llenergymeasure.metrics.summary import raw_result, summarise
from llenergymeasure.results.journal import Begun, Journal, open_journal
from llenergymeasure.results.persistence import save_raw_result, server_log
from llenergymeasure.run import preflight
from llenergymeasure.run.boards.left import restore_left_boards
from llenergymeasure.run.boards.settings import NOTHING_SET, BoardSettings, set_boards
from llenergymeasure.run.environment import EnvironmentCapture, of_loading
from llenergymeasure.run.measurement_window import MeasurementWindow, run_window
from llenergymeasure.run.peers import ALONE, Group
from llenergymeasure.run.scoring import judged
from llenergymeasure.run.unfinished import keep_unfinished
from llenergymeasure.run.warmup import Warmup, run_warmup
from llenergymeasure.workload.prompts import build_requests, builtin_text

if TYPE_CHECKING:
    from llenergymeasure.run.server_memory import ServerMemory
    from llenergymeasure.run.server_placement import ServerPlacement

CHECKING, MEASURING = "checking", "measuring"
KEPT = "no baseline without the model: it was loaded before, and is kept between runs"
UNSETTLED_PEER = (
    "A process's warm-up did not converge, or it has no full batch, so there is no steady state; figures are of the "
    "whole run."
)


class Finished(NamedTuple):
    """A result, the power of each device over the measurement (none where no sensor was read), and its journal, which
    is closed once the result is saved."""

    result: ExperimentResult
    samples: list[PowerSample]
    journal: Journal


def run(
    config: ExperimentConfig,
    user: UserConfig,
    progress: Progress,
    *,
    output_dir: Path | None = None,
    meter: Meter | None = None,
    group: Group = ALONE,
    kept: Kept | None = None,
    prompt_mark: int | None = None,
) -> Finished:
    """Measure `config` and return the result, saved nowhere; of a `group` of processes, this one's part of it.

    `output_dir` is where it will be saved: it is checked beforehand, and a run that is interrupted or fails
    inside the window keeps what was measured in its `.state/`; the exception then has a note that names the file.
    `meter` takes the place of the one that the configuration names. `kept` has what an earlier run of this process has
    left, and takes what this one leaves. `prompt_mark`: see `ExperimentResult.prompt_mark`.

    Raises:
        PreFlightError: it cannot start, with every reason.
        ConfigError: the dataset or a prompt's length cannot be used.
        MeterError: the energy source cannot be opened.
        BackendError: the model could not be loaded, or generation failed.
        ExperimentError: every warm-up call failed, or another process of the group ended.
    """
    progress.phase(CHECKING)
    restore_left_boards()
    sources = find_sources()
    is_loaded = kept is not None and kept.begin(config)
    checked = preflight.check(config, sources, output_dir, is_loaded=is_loaded)
    config = checked.config
    with set_boards(config, sources, is_owner=group.sets_boards) as boards:
        sources = find_sources() if config.gpu.is_set else sources  # a meter goes by the limit in force
        setup = _set_up(config, user, group, sources, output_dir, progress, kept)
        setup = replace(setup, checked=checked, prompt_mark=prompt_mark, boards=boards)
        setup = setup if meter is None else replace(setup, metering=setup.metering._replace(meter=meter))
        return _run(setup, checked, progress, output_dir)


def _run(setup: "Setup", checked: preflight.Checked, progress: Progress, output_dir: Path | None) -> Finished:
    journal = Journal()
    try:
        with contextlib.closing(setup.backend), setup.metering.meter:
            ready = _prepare(setup, checked.prompts, progress, [checked.note] if checked.note else [])
            journal = open_journal(output_dir, _begun(ready))
            result, samples = _measure(ready, journal, output_dir, progress)
            setup.backend.keep()
    except BaseException as error:
        journal.leave(error)
        raise
    return Finished(result, samples, journal)


def _measure(
    ready: "_Ready", journal: Journal, output_dir: Path | None, progress: Progress
) -> tuple[ExperimentResult, list[PowerSample]]:
    """Run the window and sum up; whatever ends it before, what was measured is kept."""
    setup, measured = ready.setup, MeasurementWindow(cpu=ready.setup.cpu, memory=ready.memory)
    meter, group, share = setup.metering.meter, setup.group, _share(setup.config, setup.group)
    progress.phase(MEASURING)
    try:
        meter.publish_to(journal.energy)
        run_window(measured, setup.backend, meter, journal, progress, share)
        progress.phase("summing up")
        measured.judged = judged(setup.backend, setup.checked, measured)
        window = _window(ready, measured)
        if group.size > 1 and output_dir is not None:  # before it waits for others, who may take long
            alone = _measurement(ready, measured, window, _alone(measured, window))
            with contextlib.suppress(OSError):  # a full disk is reported when it matters
                save_raw_result(raw_result(alone), output_dir)
        spans = _spans(ready, measured, window)
        meter.mark()
        measurement = _measurement(ready, measured, window, spans)
        return summarise(measurement), list(measurement.energy.samples)
    except BaseException as error:
        with contextlib.suppress(KeyboardInterrupt), uninterrupted():  # another one waits until this is kept
            measured.judged = measured.judged or judged(setup.backend, setup.checked, measured)
            window = _window(ready, measured)
            unfinished = _measurement(ready, measured, window, _alone(measured, window))
            if keep_unfinished(unfinished, share, output_dir, error):
                journal.discard()
        raise


@dataclass(frozen=True)
class Setup:
    """The parts of a run, before anything is loaded; `site` is a server's, `checked` the work.

    `cpu` is the CPU time of the processes that run the model, or the reason why it cannot be known.
    """

    experiment_id: str
    config: ExperimentConfig
    user: UserConfig
    group: Group
    backend: Backend
    metering: Choice
    cpu: CpuTime | str
    site: "ServerPlacement | None" = None
    kept: Kept | None = None
    prompt_mark: int | None = None
    checked: preflight.Checked | None = None
    boards: BoardSettings = NOTHING_SET

    @property
    def is_loaded(self) -> bool:
        """True if the model, or the server, is kept from an earlier run."""
        return self.kept is not None and self.kept.is_loaded


def _set_up(
    config: ExperimentConfig,
    user: UserConfig,
    group: Group,
    sources: Sources,
    output_dir: Path | None,
    progress: Progress,
    kept: Kept | None,
) -> Setup:
    experiment_id = group.experiment_id or new_experiment_id(datetime.now(UTC))
    log = server_log(output_dir, experiment_id)
    context = RunContext(builtin_text, progress, log, process_index=group.index, processes=group.size, kept=kept)
    backend = BACKENDS[config.backend].build(config, context)
    if backend.server is None:
        own = ThisProcess()
        cpu = CpuTime(own)
        metering = choose_meter(config.energy, user, sources, cpu=cpu, others_meter=_others_meter(group))
        own.without = metering.meter.pids
        return Setup(experiment_id, config, user, group, backend, metering, cpu, None, kept)
    from llenergymeasure.run.server_placement import ServerPlacement

    site = ServerPlacement(config, backend.server, sources, before=kept.boards if kept and kept.is_loaded else None)
    if kept is not None:
        kept.boards = site.before
    metering = site.choose_meter(user)
    return Setup(experiment_id, config, user, group, backend, metering, site.cpu, site, kept)


def _others_meter(group: Group) -> frozenset[str]:
    """Return the kinds of device that another process of the group meters for this one."""
    processor = {"cpu", "dram"} if group.index else set()
    return frozenset(processor if group.index == group.on_same_gpu[0] else {*processor, "gpu"})


def _check_gpu(group: Group, model: ModelFacts) -> None:
    """Raise if a process of several runs on another GPU than it was given."""
    given, taken = group.gpu, next(iter(model.device_uuids), None)
    if given is not None and given.startswith("GPU-") and taken is not None and taken != given:
        raise BackendError(
            f"process {group.index} was given {given} and runs on {taken}: CUDA was in use before; measure first"
        )


def _share(config: ExperimentConfig, group: Group) -> int:
    """Return how many prompts are in this process's batches: of `size` processes, each has every `size`-th batch."""
    starts = range(group.index * config.batch_size, config.num_prompts, group.size * config.batch_size)
    return sum(min(config.batch_size, config.num_prompts - start) for start in starts)


@dataclass(frozen=True)
class _Ready:
    """All that is known before the window opens."""

    setup: Setup
    model: ModelFacts
    bare: IdleWindow
    loaded: IdleWindow
    warmup: Warmup
    settled: bool
    environment: EnvironmentSnapshot
    notes: list[str]
    memory: "ServerMemory | None" = None


def _prepare(setup: Setup, prompts: list[Prompt], progress: Progress, known: Sequence[str] = ()) -> _Ready:
    config, group, backend, site = setup.config, setup.group, setup.backend, setup.site
    metering, meter = setup.metering, setup.metering.meter
    if meter.is_measurement:
        _import_what_energy_needs()
    environment = EnvironmentCapture(setup.user.record_hostname, () if setup.is_loaded else backend.weight_files())
    environment.start()
    if why := _why_not_bare(setup):
        bare = IdleWindow(skipped=why)
    else:
        bare = _watch_idle("bare", config, meter, progress, False if config.device == "cpu" else None)
    group.wait()  # the machine is idle while any process watches it
    progress.phase(f"loading {config.model}")
    model = backend.load() if site is None else site.placed(backend.load())
    _check_gpu(group, model)
    setup.boards.require(model)
    notes = backend.prepare(build_requests(config, prompts, model.prompt_tokens, setup.prompt_mark))
    snapshot = environment.result(model.revision, model.not_known)
    snapshot = snapshot if setup.kept is None else of_loading(snapshot, setup.kept)
    group.wait()
    loaded = _watch_idle("loaded", config, meter, progress, model.on_accelerator)
    group.wait()
    progress.phase("warming up")
    warmup = run_warmup(
        backend, config.warmup, progress, thermal_wait=meter.is_measurement or bool(metering.delegated_kinds)
    )
    snapshot, unsure = setup.boards.read_back(snapshot)
    converged = warmup.result is not None and warmup.result.converged is True
    has_full_batch = config.num_prompts >= (group.index + 1) * config.batch_size
    settled = group.all_agree(converged and (has_full_batch or group.size == 1))
    unsettled = [UNSETTLED_PEER] if converged and not settled else []
    notes = [*known, *model.remarks, *notes, *warmup.notes, *unsure, *unsettled]
    memory = None if site is None else site.memory(model)
    return _Ready(setup, model, bare, loaded, warmup, settled, snapshot, notes, memory)


def _why_not_bare(setup: Setup) -> str | None:
    """Return why the machine cannot be watched without the model; None where it can."""
    if setup.is_loaded:
        return KEPT
    return None if setup.site is None else setup.site.why_not_bare()


def _import_what_energy_needs() -> None:
    """Import what a measured energy needs when it is summed up and saved: a lack of memory, say, shows before anything
    is measured."""
    for name in ("pyarrow.parquet", "scipy.special"):
        import_module(name)


def _watch_idle(
    name: str, config: ExperimentConfig, meter: Meter, progress: Progress, on_accelerator: bool | None
) -> IdleWindow:
    if why_not(meter, config.baseline, on_accelerator) is None:
        progress.phase(f"watching the idle machine, {name}")
    return watch_idle(meter, config.baseline, on_accelerator)


def _spans(ready: _Ready, measured: MeasurementWindow, window: Window) -> Spans:
    """Return the spans, those of devices that this process meters for others too once the others have ended."""
    group, own = ready.setup.group, (window.start_s, window.end_s)
    alone = _alone(measured, window)
    if group.size == 1 or (group.index and group.index != group.on_same_gpu[0]):
        return alone
    gpu = group.whole_span(*own, group.on_same_gpu) if len(group.on_same_gpu) > 1 else own
    processor = own if group.index else group.whole_span(*own, range(group.size))
    last_s = max(gpu[1], processor[1], alone.recorded[1])
    return Spans(own, {"gpu": gpu, "cpu": processor, "dram": processor}, (measured.opened_s, last_s))


def _alone(measured: MeasurementWindow, window: Window) -> Spans:
    """Return the spans of this process alone."""
    return Spans.alone((window.start_s, window.end_s), measured.opened_s, measured.closed_s)


def _begun(ready: _Ready) -> Begun:
    """Return the facts of the measurement that are known before it begins."""
    nothing = MeasurementWindow()
    window, model = Window("total", nothing.opened_s, nothing.opened_s), ready.model
    return Begun(
        raw=raw_result(_measurement(ready, nothing, window, _alone(nothing, window))),
        share=_share(ready.setup.config, ready.setup.group),
        on_accelerator=model.on_accelerator,
        device_uuids=list(model.device_uuids),
        source=ready.setup.metering.meter.source,
        unmetered=model.unmetered,
        grid_carbon_intensity=ready.setup.user.grid_carbon_intensity,
        datacenter_pue=ready.setup.user.datacenter_pue,
    )


def _measurement(ready: _Ready, measured: MeasurementWindow, window: Window, spans: Spans) -> Measurement:
    """Return everything that was measured, with the energy of the window or, of shared devices, of all windows."""
    setup, group, metering = ready.setup, ready.setup.group, ready.setup.metering
    used = {"gpu"} if ready.model.on_accelerator else {"cpu", "dram"}
    first = group.on_same_gpu[0] if ready.model.on_accelerator else 0
    reported = ReportedDevices(ready.model.on_accelerator, ready.model.device_uuids)
    return Measurement(
        experiment_id=setup.experiment_id,
        config=setup.config,
        user=setup.user,
        model=ready.model,
        batches=measured.batches,
        opened_at=measured.opened_at,
        opened_s=measured.opened_s,
        window=window,
        energy=read_energy(
            metering.meter,
            reported,
            measured.batches,
            spans,
            (idle_power(metering.meter, ready.loaded, reported), idle_power(metering.meter, ready.bare, reported)),
            metering.not_used,
        ),
        peak_memory_mb=measured.peak_memory_mb,
        cpu=measured.cpu_use(window.start_s, window.end_s),
        process_index=group.index,
        processes=group.size,
        metered_by=first if used & metering.delegated_kinds else None,
        **measured.contention_shares(),
        warmup=ready.warmup.result,
        warmup_excluded=ready.warmup.excluded_requests,
        environment=ready.environment,
        notes=redactor(*run_keys(setup.config).values()).hide_in([*ready.notes, *measured.notes]),
        failed=measured.failed,
        tokenizer_unavailable=measured.tokenizer_unavailable,
        not_known=measured.not_known,
        model_kept=None if setup.site is not None and setup.config.launch is None else setup.is_loaded,
        prompt_mark=setup.prompt_mark,
        flops_method=BACKENDS[setup.config.backend].flops_method,
        judged=measured.judged,
        lm_eval=setup.checked.lm_eval if setup.checked is not None else (),
    )


def _window(ready: _Ready, measured: MeasurementWindow) -> Window:
    """Return the window that the figures are of; of an unfinished run, all that finished."""
    batches, opened_s = measured.batches, measured.opened_s
    if measured.closed_s is None:
        return Window("total", opened_s, max((batch.end_s for batch in batches), default=opened_s))
    config, warmup = ready.setup.config, ready.warmup.result if ready.settled else None
    steady_state = BACKENDS[config.backend].steady_state
    closed_s, steady = steady_state(config, batches, measured.failed, opened_s, measured.closed_s)
    return choose_window(config.measurement.window, warmup, steady, opened_s, closed_s)


def new_experiment_id(moment: datetime) -> str:
    """Return the id of a run that begins at `moment`: it sorts by time, and its end is drawn at random."""
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
