"""When a study has seen enough: the cells whose intervals are still wide."""

from llenergymeasure.results.study.figures import cell_figure
from llenergymeasure.results.study.observations import observe
from llenergymeasure.results.study.runs import StudyRuns

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
    """
    seen = observe(runs)
    found = []
    for cell in range(len(seen.cells)):
        figure = cell_figure(seen, cell, metric)
        if figure.mean is None and len(runs.of_cell(cell)) >= MAY_BE_UNKNOWN:
            continue
        if figure.mean is None or figure.half_width is None or figure.half_width > half_width * abs(figure.mean):
            found.append(cell)
    return found
