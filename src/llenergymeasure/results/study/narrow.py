"""The rule to stop: the cells whose intervals are still wide, and how it ended a study."""

import math

from pydantic import ValidationError

from llenergymeasure.config.study.names import named_cells
from llenergymeasure.config.study.sections import StopSection
from llenergymeasure.domain.study_result import CellSummary
from llenergymeasure.results.comparison.evidence import MIN_ROUNDS
from llenergymeasure.results.study.figures import cell_figure
from llenergymeasure.results.study.observations import Observations, observe
from llenergymeasure.results.study.runs import StudyRuns

OPEN = ("waiting", "running", "interrupted")
"""States of runs that are still to be made."""
MAY_BE_UNKNOWN = 3
"""Results of a cell; where so many have no figure, further ones would have none either, as joules without a source."""


def wide_cells(runs: StudyRuns, metric: str, half_width: float) -> list[int]:
    """Return the cells, from 0, whose interval of a metric is too wide, or unknown.

    It is Student's t over rounds at 95 %, and too wide where its half is over `half_width` (0.03: 3 %) of the mean.
    Whoever looks after each round and stops when the interval is narrow keeps the level only nearly, for a spread that
    is small by chance stops early: Chow and Robbins (1965), "On the asymptotic theory of fixed-width sequential
    confidence intervals for the mean". Stopped at 3 % and at 20 rounds at the latest, the intervals of one cell held
    the mean in 90 to 95 % of simulated studies from three rounds on (the fewest at a spread of 5 %), in 93 to 95 % from
    six on; of six cells, the widest of which decides, in 95 % (spreads of 1 to 10 %, 20,000 intervals each).

    Two equal figures show no spread: what is told in steps is equal by chance.
    """
    return [*_wide(observe(runs), metric, half_width)]


def _wide(seen: Observations, metric: str, half_width: float) -> dict[int, CellSummary]:
    """Return the figures of the cells that are wide, by their numbers."""
    found = {}
    for cell in range(len(seen.cells)):
        figure = cell_figure(seen, cell, metric)
        if figure.mean is None and len(seen.runs.of_cell(cell)) >= MAY_BE_UNKNOWN:
            continue
        if figure.at_least:  # what was met at the upper end of a search is met there again
            continue
        half, is_alike = figure.half_width, figure.half_width == 0 and figure.n < MIN_ROUNDS
        if figure.mean is None or half is None or is_alike or half > half_width * abs(figure.mean):
            found[cell] = figure
    return found


def stop_words(seen: Observations) -> list[str]:
    """Return a sentence on how the rule to stop has ended a study; nothing without one, or of one that goes on."""
    runs, written = seen.runs.manifest.runs, seen.runs.manifest.settings.get("stop")
    if written is None or any(run.state in OPEN for run in runs):
        return []
    try:
        stop = StopSection.model_validate(written)
    except ValidationError:  # of another version
        return []
    cells = range(len(seen.cells))
    rounds = max((len({run.round_number for run in runs if run.cell == cell}) for cell in cells), default=0)
    wide = _wide(seen, stop.metric, stop.half_width)
    asked, after = f"{100 * stop.half_width:.3g} %", f"{rounds} round{'s' * (rounds != 1)}"
    unknown = [cell for cell in cells if cell not in wide and not seen.values(cell, stop.metric)]
    if len(unknown) == len(cells):
        return [f"stop: ended after {after}: no figure of {stop.metric} in any result: it does not go on"]
    names = [cell.name for cell in seen.runs.manifest.cells]
    lacking = f"; without a figure: {named_cells(unknown, names)}" if unknown else ""
    if not wide:
        return [f"stop: interval narrow enough after {after}: {stop.metric} is known to {asked} in each cell{lacking}"]
    if rounds >= stop.max_repeats:
        return [
            f"stop: max_repeats reached: after {after} {stop.metric} is {_widest(wide, names)}, not {asked}{lacking}"
        ]
    given_up = [cell for cell in wide if any(run.cell == cell and run.state != "done" for run in runs)]
    if len(given_up) < len(wide):
        return []
    return [f"stop: ended after {after}: {stop.metric} is not known to {asked} where runs failed{lacking}"]


def _widest(wide: dict[int, CellSummary], names: list[str]) -> str:
    """Return how well the metric of the worst of cells is known, and which one that is."""

    def share(cell: int) -> float:
        figure = wide[cell]
        return figure.half_width / abs(figure.mean) if figure.mean and figure.half_width is not None else math.inf

    cell = max(wide, key=share)
    known = "without an interval" if share(cell) == math.inf else f"± {100 * share(cell):.2g} %"
    return f"{known} in the widest cell, {names[cell]}"
