"""A study's result from its folder."""

from pathlib import Path

from llenergymeasure.domain.study_result import StudyResult
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.study.manifest import MANIFEST_FILE
from llenergymeasure.results.study.runs import read_study
from llenergymeasure.results.study.summary import summarise_study


def load_study_result(folder: Path) -> StudyResult:
    """Return what the runs in a study's folder tell; see `StudyResult.from_folder`."""
    try:
        runs = read_study(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{folder}: is no study's folder: it has no {MANIFEST_FILE}") from error
    return summarise_study(runs)
