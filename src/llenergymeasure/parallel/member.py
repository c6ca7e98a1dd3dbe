"""One of several processes: it measures its share and leaves it; the first makes one result of them all."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from labledger.console import Progress
from labledger.files import uninterrupted
from llenergymeasure.config.loading import with_fields
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.config.ranks import Rank
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import ConfigError, ExperimentError
from llenergymeasure.parallel.processes import Processes
from llenergymeasure.results.aggregation import validate_process_completeness
from llenergymeasure.results.merging import combine
from llenergymeasure.results.parts import load_parts, load_samples, save_part
from llenergymeasure.results.persistence import (
    TIMESERIES_FILE,
    save_or_keep,
    state_folder,
    unsaved_folder,
)
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.results.state import discard_run, superseding
from llenergymeasure.results.timeseries import temporary_timeseries
from llenergymeasure.run import harness


class Measured(NamedTuple):
    """The result of all and the path of its result.json; of a process other than 0 its own part, and no path."""

    result: ExperimentResult
    path: Path | None


def measure_share(
    config: ExperimentConfig,
    user: UserConfig,
    output_dir: Path | None,
    progress: Progress,
    rank: Rank,
    experiment_id: str | None = None,
) -> Measured:
    """Measure as process `rank` of a run; process 0 waits for the others and saves one result in `output_dir`.

    Raises:
        ConfigError: `data_parallel` is another number of processes, or there is no `output_dir`.
        ExperimentError: a process ended without a result; what the others measured is kept in `.state/`.
        OSError: this process's part could not be written.
        And what `harness.run` raises.
    """
    if output_dir is None:
        raise ConfigError("a run of several processes needs an output directory: they leave their parts there")
    config = sized(config, rank.size)
    gpu = take_gpu(config.device, rank)
    with closing(Processes(rank, output_dir, gpu=gpu, experiment_id=experiment_id)) as group:
        try:
            part, samples, journal = harness.run(config, user, progress, output_dir=output_dir, group=group)
            journal.close()  # the group holds its folder
        except BaseException:
            if group.index == 0 and not group.all_measure:
                discard_run(group.folder)
            raise
        _leave_part(part, samples, output_dir, group)
        if group.index:
            return Measured(part, None)
        group.wait_for(range(group.size))
        return _put_together(group, output_dir)


def _leave_part(part: ExperimentResult, samples: Sequence[PowerSample], output_dir: Path, group: Processes) -> None:
    """Leave what this process has found, or keep it where unsaved results are kept."""
    try:
        with uninterrupted():
            save_part(part, samples, output_dir)
    except OSError as error:
        reason = f"process {group.index} could not write to {group.folder}: {error.strerror}"
        fallback = unsaved_folder()
        try:
            save_part(part, samples, fallback)
        except OSError as second:
            raise ExperimentError(f"{reason}; nor in {fallback}: {second.strerror}") from error
        kept = state_folder(fallback, group.experiment_id)
        raise ExperimentError(f"{reason}; what it has measured is kept in {kept}") from error


def take_gpu(device: str, rank: Rank) -> str | None:
    """Leave one GPU visible to this process, its own while there are enough; its name, None without one.

    The name is the board's UUID, so that processes that see it under different names know it for one. Sensors are of
    a whole board: all slices of MIG have one name.
    """
    if device == "cpu":
        return None
    nvml, listed = find_sources().nvml, os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as the driver numbers them
        names = [str(board.index) for board in nvml.boards]
    else:
        names = [name.strip() for name in listed.split(",") if name.strip()]
        if nvml.boards and "MIG-" not in listed:  # CUDA's list ends at the first name that it does not know
            known = [not name.isdecimal() or int(name) < len(nvml.boards) for name in names]
            names = names[: known.index(False) if False in known else None] if nvml.notes else names[: len(nvml.boards)]
    if not names:
        return None
    name = os.environ["CUDA_VISIBLE_DEVICES"] = names[rank.index % len(names)]
    if name.startswith("MIG-"):
        return "MIG"
    visible = find_sources().nvml.boards
    return visible[0].uuid if len(visible) == 1 else name


def sized(config: ExperimentConfig, processes: int) -> ExperimentConfig:
    """`config` with so many processes.

    Raises:
        ConfigError: it names another number, or there is too little work for them.
    """
    asked = config.pytorch.data_parallel
    if asked not in (1, processes):
        raise ConfigError(
            f"pytorch.data_parallel: {asked}, and there are {processes} processes: leave it out, or start as many"
        )
    return with_fields(config, {"pytorch": {"data_parallel": processes}})


def _put_together(group: Processes, output_dir: Path) -> Measured:
    raws = load_raw_results(group.folder)
    report = validate_process_completeness(str(group.experiment_id), raws, group.size, output_dir)
    if not report.is_complete:
        raise ExperimentError(
            f"{report.error_message}; what was measured is kept in {group.folder}: llem results recover shows it"
        )
    result = combine(raws, load_parts(group.folder, raws))
    path = None
    try:
        samples = load_samples(group.folder, raws)
        with uninterrupted(), temporary_timeseries(samples) as timeseries, superseding(group.folder):
            path = save_or_keep(result, output_dir, timeseries)
    except KeyboardInterrupt as error:
        if path is not None:
            error.add_note(f"the result was complete and is saved in {path.parent}")
        raise
    return Measured(result.model_copy(update={"timeseries": TIMESERIES_FILE}) if timeseries else result, path)
