"""A study's result: each cell's figures over its rounds, and every cell against the first."""

from collections.abc import Callable, Iterable, Sequence

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study_result import CellResult, StudyResult
from llenergymeasure.results.comparison.metrics import HEADLINE
from llenergymeasure.results.comparison.runs import devices_of, disturbances
from llenergymeasure.results.study.best import best_of
from llenergymeasure.results.study.drift import find_drift
from llenergymeasure.results.study.figures import SUMMED_UP, cell_figure
from llenergymeasure.results.study.observations import BLOCKS, Observations, observe
from llenergymeasure.results.study.pairs import compare_with_first
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.searched import study_searches

VERDICTS = ("valid", "not_measured", "invalid")
"""From the best to the worst; one of a later version is worse than all."""
FAILED = ("failed", "given up")
CONSTANT: dict[str, Callable[[ExperimentResult], str | None]] = {
    "devices": lambda result: ", ".join(sorted(devices_of(result))) or None,
    "backend_version": lambda result: result.backend_version,
    "energy_source": lambda result: result.energy_source,
}
"""What is the same in all runs of one cell, unless the machine was changed meanwhile."""


def summarise_study(runs: StudyRuns) -> StudyResult:
    """Return what a study's runs have found so far."""
    manifest, seen = runs.manifest, observe(runs)
    return StudyResult(
        study_name=manifest.study_name,
        cells=manifest.cells,
        runs=manifest.runs,
        summary=[_cell_result(seen, cell) for cell in range(len(manifest.cells))],
        comparisons=compare_with_first(seen),
        searches=study_searches(runs, lambda cell, metric: cell_figure(seen, cell, metric)),
        warnings=study_warnings(seen),
        sentence=best_of(seen).sentence,
    )


def study_warnings(seen: Observations) -> list[str]:
    """Return sentences to read with a study: its order, what was left out, drift, disturbed, mixed and warm runs."""
    blocks = [f"times and joules: cannot tell, for {BLOCKS}; order: alternating would tell"]
    drifts = [drift for metric in HEADLINE if (drift := find_drift(seen, metric)) is not None and drift.matters]
    results = [result for cell in range(len(seen.cells)) for result in seen.results(cell)]
    return [
        *(blocks if seen.is_in_blocks else []),
        *seen.left_out,
        *(drift.sentence(seen.order, len(seen.cells)) for drift in drifts),
        *disturbances(results),
        *_mixed(seen),
        *_warm_beginnings(seen),
    ]


def _warm_beginnings(seen: Observations) -> list[str]:
    """Return a sentence on the runs that began warmer than `gaps.until_c`, with the first of the warnings."""
    runs = seen.runs.manifest.runs
    warm = [(n, run.gap.warning) for n, run in enumerate(runs, 1) if run.gap is not None and run.gap.warning]
    if not warm:
        return []
    count = f"{len(warm)} of {len(runs)} runs began warmer than gaps.until_c asks for"
    return [f"{count}: run {warm[0][0]} {warm[0][1]}{', for one' if len(warm) > 1 else ''}"]


def worst_verdict(results: Iterable[ExperimentResult]) -> str | None:
    """Return the worst verdict of results; None of none."""
    found = [str(result.verdict) for result in results]
    return max(found, key=lambda each: VERDICTS.index(each) if each in VERDICTS else len(VERDICTS), default=None)


def _cell_result(seen: Observations, cell: int) -> CellResult:
    results = [result for _, result in seen.runs.of_cell(cell)]
    states = [run.state for run in seen.runs.manifest.runs if run.cell == cell]
    return CellResult(
        cell=cell,
        verdict=worst_verdict(results),
        done=len(results),
        failed=sum(state in FAILED for state in states),
        figures=[cell_figure(seen, cell, metric) for metric in SUMMED_UP],
    )


def _mixed(seen: Observations) -> list[str]:
    """Return a sentence on each thing that is not the same in all runs of one cell."""
    found = []
    for name, of in CONSTANT.items():
        apart = [values for cell in range(len(seen.cells)) if len(values := _values(seen.results(cell), of)) > 1]
        if apart:
            every = sorted(set().union(*apart))
            found.append(f"{name}: not the same in all runs of {_cells(len(apart))}: {', '.join(every)}")
    return found


def _values(results: Sequence[ExperimentResult], of: Callable[[ExperimentResult], str | None]) -> set[str]:
    return {value for result in results if (value := of(result)) is not None}


def _cells(count: int) -> str:
    return "one cell" if count == 1 else f"{count} cells"
