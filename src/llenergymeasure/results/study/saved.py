"""A study's result on the disk: what its runs found, as a file of its own beside its manifest."""

from pathlib import Path

from labledger.documents import dump_document, sealed
from labledger.files import write_durably
from labledger.notices import notify
from labledger.untrusted_text import reason_of
from llenergymeasure.domain.study_result import StudyResult

STUDY_FILE = "study.json"


def save_study(study: StudyResult, folder: Path) -> None:
    """Write the result into the study's folder, durably. A failure is a notice: the runs tell the same again."""
    path = folder / STUDY_FILE
    try:
        write_durably(path, sealed(dump_document(study)), within=folder)
    except OSError as error:
        notify(
            f"{path} could not be written: {reason_of(error)}; `llem study show {folder}` makes it of the runs again"
        )
