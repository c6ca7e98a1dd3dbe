"""Warnings to read with a study's words: its order, what is missing or was left out, drift, disturbed runs."""

from collections.abc import Callable, Sequence

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.metrics import HEADLINE
from llenergymeasure.results.comparison.runs import cut_answers, devices_of, disturbances
from llenergymeasure.results.study.drift import find_drift
from llenergymeasure.results.study.failures import failures
from llenergymeasure.results.study.narrow import OPEN, stop_words
from llenergymeasure.results.study.observations import BLOCKS, Observations

CONSTANT: dict[str, Callable[[ExperimentResult], str | None]] = {
    "devices": lambda result: ", ".join(sorted(devices_of(result))) or None,
    "backend_version": lambda result: result.backend_version,
    "energy_source": lambda result: result.energy_source,
}
"""Fields that are the same in all runs of one cell, unless the machine was changed meanwhile."""


def study_warnings(seen: Observations, metrics: Sequence[str] = HEADLINE) -> list[str]:
    """Return sentences to read with words on these metrics of a study's cells.

    They tell what is missing, why runs failed, how its rule to stop ended it, its order, what was left out, drift of
    the metrics, disturbed, mixed and warm runs.
    """
    blocks = [f"times and joules: cannot tell, for {BLOCKS}; order: alternating would tell"]
    drifts = [drift for metric in metrics if (drift := find_drift(seen, metric)) is not None and drift.matters]
    results = [result for cell in range(len(seen.cells)) for result in seen.results(cell)]
    return [
        *_missing(seen),
        *failures(seen.runs),
        *stop_words(seen),
        *(blocks if seen.is_in_blocks else []),
        *seen.left_out,
        *(drift.sentence(seen.order, len(seen.cells)) for drift in drifts),
        *disturbances(results, explained=True),
        *cut_answers(results),
        *_mixed(seen),
        *_warm_beginnings(seen),
    ]


def _missing(seen: Observations) -> list[str]:
    """Return a sentence on the runs that are still to be made."""
    states = [run.state for run in seen.runs.manifest.runs]
    count = sum(state in OPEN for state in states)
    if not count:
        return []
    made = f"{len(states) - count} of {len(states)} runs are made"
    return [f"{made}, {count} {'is' if count == 1 else 'are'} still to come: this is what there is so far"]


def _warm_beginnings(seen: Observations) -> list[str]:
    """Return a sentence on the runs that began warmer than `gaps.until_c`, with the first of the warnings."""
    runs = seen.runs.manifest.runs
    warm = [(n, run.gap.warning) for n, run in enumerate(runs, 1) if run.gap is not None and run.gap.warning]
    if not warm:
        return []
    count = f"{len(warm)} of {len(runs)} runs began warmer than gaps.until_c asks for"
    return [f"{count}: run {warm[0][0]} {warm[0][1]}{', for one' if len(warm) > 1 else ''}"]


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
