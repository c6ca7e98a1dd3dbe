"""What one of several processes does: measure its share, leave it; the first makes one result of them all."""

import os
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from labledger.console import Progress
from labledger.files import uninterrupted
from llenergymeasure import harness
from llenergymeasure.config.loading import merge
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.config.ranks import Rank
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.energy.selection import find_sources
from llenergymeasure.errors import ConfigError, ExperimentError
from llenergymeasure.parallel.processes import Processes
from llenergymeasure.results.aggregation import load_raw_results, validate_process_completeness
from llenergymeasure.results.parts import combine, discard_run, load_parts, load_samples, save_part
from llenergymeasure.results.persistence import TIMESERIES_FILE, UnsavedResultError, save_or_keep
from llenergymeasure.results.timeseries import temporary_timeseries


class Measured(NamedTuple):
    """Of process 0 the result of all and the path of its result.json; of another its own part, and no path."""

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
        ConfigError: `data_parallel` says another number of processes, or there is no `output_dir`.
        ExperimentError: a process ended without a result; what the others measured is kept in `.state/`.
        OSError: this process's part could not be written.
        And what `harness.run` raises.
    """
    if output_dir is None:
        raise ConfigError("a run of several processes needs an output directory: they leave their parts there")
    config = _of_size(config, rank.size)
    shares_gpu = take_gpu(config.device, rank)
    with closing(Processes(rank, output_dir, shares_gpu=shares_gpu, experiment_id=experiment_id)) as group:
        try:
            part, samples = harness.run(config, user, progress, output_dir=output_dir, group=group)
        except BaseException:
            if group.index == 0 and not group.all_measure:
                discard_run(group.folder)
            raise
        with uninterrupted():
            save_part(part, samples, output_dir)
        return Measured(part, None) if group.index else _put_together(group, output_dir)


def take_gpu(device: str, rank: Rank) -> bool:
    """Leave one GPU visible to this process, its own while there are enough; whether several processes share one."""
    if device == "cpu":
        return False
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        names = [board.uuid for board in find_sources().nvml.boards]
    else:
        names = [name.strip() for name in listed.split(",") if name.strip()]
    if names:
        os.environ["CUDA_VISIBLE_DEVICES"] = names[rank.index % len(names)]
    return bool(names) and rank.size > len(names)


def _of_size(config: ExperimentConfig, processes: int) -> ExperimentConfig:
    asked = config.pytorch.data_parallel
    if asked not in (1, processes):
        raise ConfigError(
            f"pytorch.data_parallel: {asked}, and there are {processes} processes: leave it out, or start as many"
        )
    fields = merge(config.model_dump(exclude_unset=True), {"pytorch": {"data_parallel": processes}})
    try:
        return ExperimentConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _put_together(group: Processes, output_dir: Path) -> Measured:
    raws = load_raw_results(group.folder)
    report = validate_process_completeness(str(group.experiment_id), raws, group.size, output_dir)
    if not report.is_complete:
        raise ExperimentError(
            f"{report.error_message}; what was measured is kept in {group.folder}: llem results recover shows it"
        )
    result = combine(raws, load_parts(group.folder, raws))
    with uninterrupted(), temporary_timeseries(load_samples(group.folder, raws)) as timeseries:
        try:
            path = save_or_keep(result, output_dir, timeseries)
        except UnsavedResultError as error:
            if error.kept_at is not None:
                discard_run(group.folder)
            raise
        discard_run(group.folder)
    return Measured(result.model_copy(update={"timeseries": TIMESERIES_FILE}) if timeseries else result, path)
