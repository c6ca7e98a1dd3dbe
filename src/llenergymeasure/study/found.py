"""Results in a study's folder that its manifest does not list: a run was ended once its result was saved."""

import os
import time
import warnings
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from labledger.files import unheld
from labledger.notices import notify
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyManifest, StudyRun
from llenergymeasure.errors import PreFlightError
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.persistence import RESULT_FILE, STATE_FOLDER
from llenergymeasure.results.verification import verify

LEFT_BEHIND_S = 60.0
"""A process whose parent was killed keeps what it has and ends, within some 15 s."""
LOOK_EVERY_S = 0.1
TOLD_AFTER_S = 1.0


Found = tuple[Path, ExperimentResult]
"""A result.json, and what is in it."""


def unlisted(folder: Path, manifest: StudyManifest) -> list[Found]:
    """Return the whole results in a study's folder that no run lists."""
    listed = {run.folder for run in manifest.runs}
    paths = [path for path in result_files(folder) if path.parent.name not in listed]
    return [(path, result) for path in paths if is_whole(path) and (result := quiet_result(path)) is not None]


def own_result(run: StudyRun, config_hash: str, among: Iterable[Found]) -> Found | None:
    """Return the result of a run that has begun, though nobody told where it is; None without one.

    It is one of the same configuration that began after the run did.
    """
    for path, result in among:
        if result.measurement_config_hash == config_hash and _is_after(result, run.started_at):
            return path, result
    return None


def _is_after(result: ExperimentResult, moment: datetime | None) -> bool:
    start = result.start_time
    return moment is not None and start is not None and start.utcoffset() is not None and start >= moment


def is_whole(path: Path) -> bool:
    """Return True if a saved result can be read and is as it was saved."""
    found = verify(path)
    return found is not None and found.status != "broken"


def problem_of(folder: Path, run: StudyRun) -> str | None:
    """Return the reason why a run that was done has no whole result any more; None where it has."""
    path = folder / str(run.folder) / RESULT_FILE
    if not os.path.lexists(path):
        return "it is no longer there"
    found = verify(path)
    if found is None or found.status == "broken":
        return "; ".join(found.problems) if found else "it is no result any more"
    result = quiet_result(path)
    if result is None or result.experiment_id != run.experiment_id:
        return f"it is not the result {run.experiment_id} that was saved there"
    return None


def quiet_result(path: Path) -> ExperimentResult | None:
    """Return the result at `path`, without its warnings; None where it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = read_result(path)
    return result if isinstance(result, ExperimentResult) else None


def wait_for_left_behind(folder: Path) -> None:
    """Wait until no process works on a run in `folder` any more: one whose study was killed still keeps what it has.

    Raises:
        PreFlightError: one goes on for `LEFT_BEHIND_S`.
    """
    began_s, is_told = time.monotonic(), False
    while (held := _held(folder)) is not None:
        waited_s = time.monotonic() - began_s
        if waited_s > LEFT_BEHIND_S:
            raise PreFlightError(
                f"{held}: a process that the study left behind still works on it; end it, and try again"
            )
        if waited_s > TOLD_AFTER_S and not is_told:
            notify(f"{held}: a process that the study left behind still works on it; waiting up to {LEFT_BEHIND_S:g} s")
            is_told = True
        time.sleep(LOOK_EVERY_S)


def _held(folder: Path) -> Path | None:
    """Return a run in `.state/` that a process holds; None without one."""
    state = folder / STATE_FOLDER
    try:
        names = sorted(os.listdir(state))
    except OSError:
        return None
    return next((state / name for name in names if _is_held(state / name, folder)), None)


def _is_held(run: Path, folder: Path) -> bool:
    try:
        with unheld(run, within=folder) as is_free:
            return not is_free
    except (FileNotFoundError, NotADirectoryError):
        return False
