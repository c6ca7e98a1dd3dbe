"""A study's result: each cell's figures over its rounds, against the best cell and against the first."""

from collections.abc import Iterable

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study_result import CellResult, StudyResult
from llenergymeasure.results.study.best import best_of
from llenergymeasure.results.study.figures import SUMMED_UP, cell_figure
from llenergymeasure.results.study.observations import Observations, observe
from llenergymeasure.results.study.pairs import compare_with_first
from llenergymeasure.results.study.remarks import study_warnings
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.searched import study_searches

VERDICTS = ("valid", "not_measured", "invalid")
"""From the best to the worst; one of a later version is worse than all."""
FAILED = ("failed", "given up")


def summarise_study(runs: StudyRuns) -> StudyResult:
    """Return what a study's runs have found so far."""
    manifest, seen = runs.manifest, observe(runs)
    best = best_of(seen)
    return StudyResult(
        study_name=manifest.study_name,
        cells=manifest.cells,
        runs=manifest.runs,
        summary=[_cell_result(seen, cell) for cell in range(len(manifest.cells))],
        comparisons=compare_with_first(seen),
        searches=study_searches(runs, lambda cell, metric: cell_figure(seen, cell, metric)),
        warnings=study_warnings(seen),
        metric=best.metric,
        standings=best.cells,
        sentence=best.sentence,
    )


def worst_verdict(results: Iterable[ExperimentResult]) -> str | None:
    """Return the worst verdict of results; None of none."""
    found = [str(result.verdict) for result in results]
    return max(found, key=lambda each: VERDICTS.index(each) if each in VERDICTS else len(VERDICTS), default=None)


def _cell_result(seen: Observations, cell: int) -> CellResult:
    results = [result for _, result in seen.runs.of_cell(cell)]
    runs = [pair for steps in seen.runs.steps_of(cell).values() for pair in steps]
    return CellResult(
        cell=cell,
        verdict=worst_verdict(results),
        done=sum(result is not None for _, result in runs),
        failed=sum(run.state in FAILED for run, _ in runs),
        figures=[cell_figure(seen, cell, metric) for metric in SUMMED_UP],
    )
