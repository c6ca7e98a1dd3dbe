"""A study's result from its folder."""

from pathlib import Path

from llenergymeasure.domain.study_result import StudyResult
from llenergymeasure.results.study.runs import read_study
from llenergymeasure.results.study.summary import summarise_study


def load_study_result(folder: Path) -> StudyResult:
    """Return what the runs in a study's folder tell; see `StudyResult.from_folder`."""
    return summarise_study(read_study(folder))
