"""The runs of a study that have no result, and the reasons."""

from collections.abc import Iterator
from typing import NamedTuple

from labledger.untrusted_text import clean
from llenergymeasure.config.study.names import named_cells
from llenergymeasure.domain.study import StudyRun
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import search_of

MOST_LINES = 10
SHOWN_CAUSE = 300
"""Characters of a reason."""


class _Lost(NamedTuple):
    """A cell, and how many of its runs failed, were given up, and are planned."""

    cell: int
    failed: int
    given_up: int
    planned: int


def failures(runs: StudyRuns) -> list[str]:
    """Return a sentence for each reason why runs of a cell failed, with how many did: of several it is the last one's.

    Above the least load of a search a run that fails is an answer, and no failure.
    """
    names = [cell.name for cell in runs.manifest.cells]
    found: dict[str, list[_Lost]] = {}
    for cell in range(len(names)):
        planned = [run for run in runs.manifest.runs if run.cell == cell]
        failed = list(_failed(runs, cell, planned))
        if failed:
            given_up = sum(run.state == "given up" for run in planned)
            cause = clean(failed[-1].error or "no reason is known", SHOWN_CAUSE)
            cause += " (the last of several reasons)" if len({run.error for run in failed}) > 1 else ""
            found.setdefault(cause, []).append(_Lost(cell, len(failed), given_up, len(planned)))
    lines = [_line(cause, of_cells, names) for cause, of_cells in found.items()]
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"runs failed for {more} further reasons"]


def _failed(runs: StudyRuns, cell: int, planned: list[StudyRun]) -> Iterator[StudyRun]:
    search = search_of(runs.manifest.cells[cell])
    for run in planned:
        is_answer = search is not None and run.searched is not None and run.searched > search.between[0]
        if run.state == "failed" and not is_answer:
            yield run


def _line(cause: str, lost: list[_Lost], names: list[str]) -> str:
    failed, given_up, planned = (sum(each[column] for each in lost) for column in (1, 2, 3))
    rest = f", and {given_up} were given up" if given_up else ""
    line = f"{failed} of {planned} runs failed{rest}: {cause}"
    cells = [each.cell for each in lost]
    return f"{names[cells[0]]}: {line}" if len(cells) == 1 else f"{line} ({named_cells(cells, names)})"
