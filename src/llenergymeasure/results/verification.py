"""Checks of saved results: that each parses, is as it was saved, and has its sidecar."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labledger.documents import OtherKindError, read_document
from labledger.errors import UnreadableFileError
from labledger.regular_files import read_regular
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.persistence import TIMESERIES_FILE, check_integrity
from llenergymeasure.results.timeseries import check_timeseries_parquet

Status = Literal["ok", "unverified", "broken"]


@dataclass(frozen=True)
class Verified:
    """The check of one result.json: `unverified` has no digest to check it by, `broken` has the reasons in `problems`.

    `verdict` is the result's own, None where it cannot be read.
    """

    path: Path
    status: Status
    problems: tuple[str, ...] = ()
    verdict: str | None = None


def verify(path: Path) -> Verified | None:
    """Check that it parses, that its digests hold, and that its sidecar is there and readable.

    None of a file of another kind, which is not a result.
    """
    try:
        content = read_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result, data = read_document(ExperimentResult, content, RESULT)
    except OtherKindError:
        return None
    except UnreadableFileError as error:
        return Verified(path, "broken", tuple(line.removeprefix(f"{RESULT}: ") for line in str(error).splitlines()))
    except OSError as error:
        return Verified(path, "broken", (f"cannot be read: {error.strerror}",))
    try:
        integrity = check_integrity(path, content, data)
    except OSError as error:
        return Verified(path, "broken", (f"{TIMESERIES_FILE} cannot be read: {error.strerror}",), result.verdict)
    problems = [f"it or {TIMESERIES_FILE} was changed after it was saved"] if integrity == "broken" else []
    problems += _sidecar_problems(path, result)
    if problems:
        return Verified(path, "broken", tuple(problems), result.verdict)
    if integrity == "absent":
        return Verified(path, "unverified", ("it has no digest: nothing tells whether it was changed",), result.verdict)
    return Verified(path, "ok", (), result.verdict)


RESULT = "result"


def _sidecar_problems(path: Path, result: ExperimentResult) -> list[str]:
    if result.timeseries is None:
        return []
    sidecar = path.parent / TIMESERIES_FILE
    if not os.path.lexists(sidecar):
        return [f"{TIMESERIES_FILE} is missing"]
    try:
        check_timeseries_parquet(sidecar)
    except OSError as error:
        return [f"{TIMESERIES_FILE}: {error.strerror or error}"]
    return []
