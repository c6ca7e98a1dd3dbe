"""The part of each process of a run, in `.state/{experiment_id}/` until one result is made of them.

A process leaves its raw result, its part (a result of its own, without the raw one), its power over time where it
has any, and last its marker.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labledger.documents import read_document
from labledger.errors import UnreadableFileError
from labledger.files import copy_durably, write_durably
from labledger.regular_files import read_regular
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.results.aggregation import mark_completed
from llenergymeasure.results.persistence import (
    save_raw_result,
    state_folder,
    to_json,
)
from llenergymeasure.results.state import PART_FILE, SAMPLES_FILE, is_regular
from llenergymeasure.results.timeseries import load_timeseries_parquet, temporary_timeseries


def save_part(part: ExperimentResult, samples: Sequence[PowerSample], output_dir: Path) -> None:
    """Leave everything that one process has found, its marker last.

    Raises:
        OSError: it could not be written.
    """
    (raw,) = part.process_results
    folder = state_folder(output_dir, raw.experiment_id)
    save_raw_result(raw, output_dir)
    alone = part.model_copy(update={"process_results": []})
    write_durably(folder / PART_FILE.format(index=raw.process_index), to_json(alone).encode(), within=output_dir)
    with temporary_timeseries(samples) as source:
        if source is not None:
            copy_durably(source, folder / SAMPLES_FILE.format(index=raw.process_index), within=output_dir)
    mark_completed(raw, output_dir)


def load_parts(folder: Path, raws: Sequence[RawProcessResult]) -> list[ExperimentResult]:
    """The parts of `raws`, in their order; none where one is missing.

    Raises:
        UnreadableFileError: one is broken.
        OSError: one cannot be read.
    """
    parts = [part for raw in raws if (part := load_part(folder, raw)) is not None]
    return parts if len(parts) == len(raws) else []


def load_part(folder: Path, raw: RawProcessResult) -> ExperimentResult | None:
    """The part of one process; None where there is none. Raises as `load_parts`."""
    path = folder / PART_FILE.format(index=raw.process_index)
    return read_document(ExperimentResult, read_regular(path), str(path))[0] if is_regular(path) else None


def load_samples(folder: Path, raws: Sequence[RawProcessResult]) -> list[PowerSample]:
    """The power over time of all processes, from the start of the first one's measurement, in order of time.

    Raises:
        OSError: a file cannot be read.
        UnreadableFileError: it is not a timeseries.
    """
    found = []
    for raw in raws:
        path = folder / SAMPLES_FILE.format(index=raw.process_index)
        if is_regular(path):
            late_s = seconds_later(raw, raws)
            found += [replace(row, timestamp_s=row.timestamp_s + late_s) for row in _samples(path)]
    return sorted(found, key=lambda row: row.timestamp_s)


def _samples(path: Path) -> list[PowerSample]:
    try:
        return [PowerSample(**row) for row in load_timeseries_parquet(path).to_pylist()]
    except TypeError as error:
        raise UnreadableFileError(f"{path}: other columns than a timeseries: {error}") from error


def seconds_later(raw: RawProcessResult, raws: Sequence[RawProcessResult]) -> float:
    """Seconds by which a process began to measure later than the first of them."""
    clocks = [each.clock_s for each in raws if each.clock_s is not None]
    return raw.clock_s - min(clocks) if raw.clock_s is not None else 0.0
