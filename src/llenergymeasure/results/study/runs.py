"""The stored runs of a study, cell by cell and round by round."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyManifest, StudyRun
from llenergymeasure.results.catalog import read_result
from llenergymeasure.results.persistence import RESULT_FILE
from llenergymeasure.results.study.manifest import manifest_of
from llenergymeasure.results.study.search_steps import Steps, bracket, outcomes, search_of


@dataclass(frozen=True)
class StudyRuns:
    """A study's manifest, and the result of each of its runs, None where there is none, in the manifest's order."""

    manifest: StudyManifest
    results: Sequence[ExperimentResult | None]

    def of_cell(self, cell: int) -> list[tuple[int, ExperimentResult]]:
        """Return the results of one cell, each with its round.

        Of a load search it is one a round: that at the highest load which met the goal; none of a round without.
        """
        if (search := search_of(self.manifest.cells[cell])) is not None:
            found = ((number, bracket(outcomes(search, steps)).met) for number, steps in self.steps_of(cell).items())
            return [(number, met.result) for number, met in found if met is not None and met.result is not None]
        pairs = zip(self.manifest.runs, self.results, strict=True)
        return [(run.round_number, result) for run, result in pairs if run.cell == cell and result is not None]

    def steps_of(self, cell: int) -> dict[int, Steps]:
        """Return the runs of one cell by their round, each with its result."""
        found: dict[int, list[tuple[StudyRun, ExperimentResult | None]]] = {}
        for run, result in zip(self.manifest.runs, self.results, strict=True):
            if run.cell == cell:
                found.setdefault(run.round_number, []).append((run, result))
        return {number: found[number] for number in sorted(found)}


def search_bound(runs: StudyRuns, cell: int, metric: str) -> Literal["", "at least", "at most"]:
    """Return the side on which a cell's searched load is bounded: `at least` where a round missed at no load that it
    tried, else `at most` where one met at none; nothing where all did both, or the cell does not search this metric.
    """
    search = search_of(runs.manifest.cells[cell])
    if search is None or search.metric != metric:
        return ""
    found = [bracket(outcomes(search, steps)) for steps in runs.steps_of(cell).values()]
    if any(met is not None and missed is None for met, missed in found):
        return "at least"
    return "at most" if any(met is None and missed is not None for met, missed in found) else ""


def read_study(folder: Path) -> StudyRuns:
    """Return the runs of the study in a folder.

    Raises:
        ConfigError: it is no study's folder.
        UnreadableFileError: its manifest is none.
        OSError: its manifest cannot be read.
    """
    manifest = manifest_of(folder)
    found = [None if run.folder is None else read_result(folder / run.folder / RESULT_FILE) for run in manifest.runs]
    return StudyRuns(manifest, [each if isinstance(each, ExperimentResult) else None for each in found])
