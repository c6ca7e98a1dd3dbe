"""The answers of load searches: the highest load that meets the goal, over rounds, and what it costs there."""

from collections.abc import Callable, Sequence

from llenergymeasure.config.servers import LoadSearch
from llenergymeasure.domain.study_result import CellSearch, CellSummary, SearchRound
from llenergymeasure.results.flat import columns
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import goal_of, search_of
from llenergymeasure.results.study.unmet import UNITS, counted, least_words, share_of, tried_rounds, unmet_of
from llenergymeasure.results.study.words import cell_words, figure_words

AT_HIGHEST = ("energy_per_output_token_j", "output_tokens_per_second")
NOTHING = "no load has a result yet"

Summarise = Callable[[int, str], CellSummary]
"""Sums up a metric of a cell over its rounds, of a search at the highest load that meets its goal."""


def study_searches(runs: StudyRuns, summarise: Summarise) -> list[CellSearch]:
    """Return the answer of each cell of a study that searches."""
    cells = [(number, search_of(cell)) for number, cell in enumerate(runs.manifest.cells)]
    return [_cell_search(runs, cell, search, summarise) for cell, search in cells if search is not None]


def _cell_search(runs: StudyRuns, cell: int, search: LoadSearch, summarise: Summarise) -> CellSearch:
    rounds = tried_rounds(runs, cell, search)
    highest = summarise(cell, search.metric)
    metrics = [*AT_HIGHEST, *(name for name in _goal_columns(search) if name not in AT_HIGHEST)]
    at_highest = [summarise(cell, metric) for metric in metrics]
    least, most = search.between
    return CellSearch(
        cell=cell,
        metric=search.metric,
        goal=search.goal,
        least=least,
        most=most,
        tolerance=search.tolerance,
        rounds=rounds,
        highest=highest,
        at_highest=at_highest,
        sentence=_sentence(search, rounds, highest, at_highest[0]),
    )


def _goal_columns(search: LoadSearch) -> list[str]:
    """Return the columns of numbers in the goal, each once."""
    named = dict.fromkeys(each.column for each in goal_of(search))
    return [name for name in named if columns().get(name) in (int, float)]


def _sentence(search: LoadSearch, rounds: Sequence[SearchRound], highest: CellSummary, joules: CellSummary) -> str:
    least, most = (f"{bound:.4g}" for bound in search.between)
    several = UNITS[search.metric][1]
    ended = [each for each in rounds if each.ended]
    missed, failed, is_open = unmet_of(rounds)
    top = [each for each in ended if each.highest_met == search.between[1]]
    if missed and len(missed) == len(rounds):
        return f"even {least_words(search)} misses {search.goal} ({counted(len(missed))}): {missed[-1].miss}"
    if highest.mean is None:
        return f"highest {search.metric} that meets {search.goal}: unknown: {failed[-1].miss if failed else NOTHING}"
    met = [each for each in rounds if each.highest_met is not None]
    parts = [
        f"highest {search.metric} that meets {search.goal}: {_answer(highest)} {several} "
        f"({'the same in ' if highest.half_width == 0 else ''}{counted(len(met))})"
    ]
    if joules.mean is not None:
        parts.append(f"{figure_words(joules.mean, joules.half_width)} J/token there")
    if (step := _coarse_step(met, highest)) is not None:
        parts.append(f"the next load that was tried, {100 * step:.2g} % above it, missed")
    if top:
        parts.append(f"{most} is the upper end, and {share_of(top, rounds)} met it: raise load.search.between")
    if missed:
        parts.append(f"even {least} missed it in {share_of(missed, rounds)}: {missed[-1].miss}")
    if failed:
        parts.append(f"no answer in {share_of(failed, rounds)}: {failed[-1].miss}")
    if is_open:
        parts.append("a search has not ended")
    return "; ".join(parts)


def _answer(highest: CellSummary) -> str:
    return cell_words(highest.metric, highest.mean, highest.half_width, highest.at_least)


def _coarse_step(met: Sequence[SearchRound], highest: CellSummary) -> float | None:
    """Return the mean share by which the load that missed is above the one that met, where that is more than the
    half-width: the search then tells less than its rounds agree in."""
    shares = [each.lowest_missed / each.highest_met - 1 for each in met if each.lowest_missed and each.highest_met]
    if not shares or highest.half_width is None or not highest.mean:
        return None
    share = sum(shares) / len(shares)
    return share if share > highest.half_width / highest.mean else None
