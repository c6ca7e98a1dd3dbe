"""Estimates of the time that runs take, from what runs of the same configuration took before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Any

from labledger.errors import LabledgerError
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyManifest, StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.study.listing import ListedStudy, listed_studies
from llenergymeasure.results.study.manifest import read_manifest

MAX_RESULTS = 200
"""The most single results that are read for their durations, the latest."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of runs, None where nothing is known; `is_least`: some of them, or further ones, are not in it."""

    seconds: float | None
    is_least: bool = False


def earlier_durations(output: Path, hashes: Iterable[str]) -> dict[str, float]:
    """Return the mean seconds of earlier runs by the hash of their configuration, of those that are known.

    They are those of the studies in `output`, loading included; where there are none, from start to end of the latest
    single results in there.
    """
    wanted, took = set(hashes), dict[str, list[float]]()
    for manifest in _manifests(output):
        for run in manifest.runs:
            key = manifest.cells[run.cell].config_hash
            if key in wanted and run.state == "done" and run.elapsed_s is not None and run.step is None:
                took.setdefault(key, []).append(run.elapsed_s)
    if wanted - took.keys():
        for result in _latest_results(output):
            of_result, seconds = result.measurement_config_hash, result.duration_sec
            if of_result in wanted and of_result is not None and seconds is not None:
                took.setdefault(of_result, []).append(seconds)
    return {key: fsum(each) / len(each) for key, each in took.items()}


def time_of(manifest: StudyManifest, earlier: Mapping[str, float]) -> Estimate:
    """Return the seconds of the runs of a study that are not made yet, with the pauses between them.

    A run takes what those of its cell took, else what that configuration took before, else the mean of the others.
    """
    waiting = [run for run in manifest.runs if run.state in ("waiting", "running", "interrupted")]
    own = _own_durations(manifest)
    known = [_one(manifest, run, own, earlier) for run in waiting]
    others = [seconds for seconds in (*own.values(), *known) if seconds is not None]
    if own:  # the study's own runs tell of the others
        known = [fsum(own.values()) / len(own) if seconds is None else seconds for seconds in known]
    if waiting and not others:
        return Estimate(None)
    pauses = _pause_s(manifest) * (len(waiting) if own else max(len(waiting) - 1, 0))
    is_least = None in known or may_grow(manifest)
    return Estimate(fsum(seconds for seconds in known if seconds is not None) + pauses, is_least)


def may_grow(manifest: StudyManifest) -> bool:
    """Return True if further runs may follow those of a study: of a rule to stop, or of a load search."""
    return manifest.settings.get("stop") is not None or _searches(manifest)


def _one(
    manifest: StudyManifest, run: StudyRun, own: Mapping[int, float], earlier: Mapping[str, float]
) -> float | None:
    return own.get(run.cell, earlier.get(manifest.cells[run.cell].config_hash))


def _own_durations(manifest: StudyManifest) -> dict[int, float]:
    """Return the mean seconds of each cell's finished runs."""
    took: dict[int, list[float]] = {}
    for run in manifest.runs:
        if run.state == "done" and run.elapsed_s is not None:
            took.setdefault(run.cell, []).append(run.elapsed_s)
    return {cell: fsum(each) / len(each) for cell, each in took.items()}


def _pause_s(manifest: StudyManifest) -> float:
    """Return the mean pause between runs: as it was in this study, else as its settings have it."""
    made = [run for run in manifest.runs if run.started_at is not None and run.elapsed_s is not None]
    made.sort(key=lambda run: run.started_at.timestamp() if run.started_at else 0.0)
    pauses = [
        max((after.started_at - before.started_at).total_seconds() - (before.elapsed_s or 0.0), 0.0)
        for before, after in pairwise(made)
        if before.session == after.session and before.started_at and after.started_at
    ]
    if pauses:
        return fsum(pauses) / len(pauses)
    gaps = manifest.settings.get("gaps")
    seconds = gaps.get("experiment_s") if isinstance(gaps, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _searches(manifest: StudyManifest) -> bool:
    """Return True if a cell looks for a load, so that its last run decides whether there is a further one."""

    def searches(config: Mapping[str, Any]) -> bool:
        load = config.get("load")
        return isinstance(load, dict) and load.get("search") is not None

    return any(searches(cell.config) for cell in manifest.cells)


def _manifests(output: Path) -> Iterable[StudyManifest]:
    """Yield the manifests of the studies in a directory; one that cannot be read tells nothing here."""
    try:
        for listed in listed_studies(output):
            if isinstance(listed, ListedStudy):
                yield read_manifest(listed.folder)
    except (ConfigError, LabledgerError, OSError):
        return


def _latest_results(output: Path) -> Iterable[ExperimentResult]:
    try:
        files = list(result_files(output))
    except (LabledgerError, OSError):
        return
    for path in sorted(files, key=lambda path: path.parent.name)[-MAX_RESULTS:]:
        if isinstance(result := read_result(path), ExperimentResult):
            yield result
