"""The answers of load searches: the highest load that meets the goal, over rounds, and what it costs there."""

from collections.abc import Callable, Sequence

from llenergymeasure.config.servers import LoadSearch
from llenergymeasure.domain.study_result import CellSearch, CellSummary, SearchRound
from llenergymeasure.results.flat import columns
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import Steps, bracket, goal_of, next_load, outcomes, search_of
from llenergymeasure.results.study.words import figure_words

AT_HIGHEST = ("energy_per_output_token_j", "output_tokens_per_second")
UNITS = {"request_rate": ("request/s", "requests/s"), "concurrency": ("request in flight", "requests in flight")}
"""The unit of each load, of one and of several."""
NOTHING = "no load has a result yet"

Summarise = Callable[[int, str], CellSummary]
"""Sums up a metric of a cell over its rounds, of a search at the highest load that meets its goal."""


def study_searches(runs: StudyRuns, summarise: Summarise) -> list[CellSearch]:
    """Return the answer of each cell of a study that searches."""
    cells = [(number, search_of(cell)) for number, cell in enumerate(runs.manifest.cells)]
    return [_cell_search(runs, cell, search, summarise) for cell, search in cells if search is not None]


def _cell_search(runs: StudyRuns, cell: int, search: LoadSearch, summarise: Summarise) -> CellSearch:
    rounds = [_round(search, number, steps) for number, steps in runs.steps_of(cell).items()]
    rounds = [each for each in rounds if each.tried]
    highest = summarise(cell, search.metric)
    if any(_is_open(each) for each in rounds):
        highest = highest.model_copy(update={"half_width": None})
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


def _round(search: LoadSearch, number: int, steps: Steps) -> SearchRound:
    tried = [each for each in outcomes(search, steps) if each.miss is not None]
    met, missed = bracket(tried)
    is_known = missed is not None and (met is not None or missed.result is not None)
    return SearchRound(
        round_number=number,
        tried=len(tried),
        ended=next_load(search, outcomes(search, steps)) is None,
        highest_met=None if met is None else met.load,
        lowest_missed=missed.load if missed is not None and is_known else None,
        miss="" if missed is None else str(missed.miss),
        experiment_id=None if met is None or met.result is None else met.result.experiment_id,
    )


def _is_open(found: SearchRound) -> bool:
    """Return True if a round only bounds the answer: the least load missed, or none that was tried has."""
    return found.highest_met is None or found.lowest_missed is None


def _goal_columns(search: LoadSearch) -> list[str]:
    """Return the columns of numbers in the goal, each once."""
    named = dict.fromkeys(each.column for each in goal_of(search))
    return [name for name in named if columns().get(name) in (int, float)]


def _sentence(search: LoadSearch, rounds: Sequence[SearchRound], highest: CellSummary, joules: CellSummary) -> str:
    least, most = (f"{bound:.4g}" for bound in search.between)
    one, several = UNITS[search.metric]
    ended = [each for each in rounds if each.ended]
    missed = [each for each in ended if each.highest_met is None and each.lowest_missed is not None]
    failed = [each for each in ended if each.highest_met is None and each.lowest_missed is None]
    top = [each for each in ended if each.highest_met == search.between[1]]
    if missed and len(missed) == len(rounds):
        unit = one if least == "1" else several
        return f"even {least} {unit} misses {search.goal} ({_counted(len(missed))}): {missed[-1].miss}"
    if highest.mean is None:
        return f"highest {search.metric} that meets {search.goal}: unknown: {failed[-1].miss if failed else NOTHING}"
    met = [each for each in rounds if each.highest_met is not None]
    at_least = "at least " if top else ""
    parts = [
        f"highest {search.metric} that meets {search.goal}: {at_least}{_answer(highest)} {several} "
        f"({'the same in ' if highest.half_width == 0 else ''}{_counted(len(met))})"
    ]
    if joules.mean is not None:
        parts.append(f"{figure_words(joules.mean, joules.half_width)} J/token there")
    if (step := _coarse_step(met, highest)) is not None:
        parts.append(f"the next load that was tried, {100 * step:.2g} % above it, missed")
    if top:
        parts.append(f"{most} is the upper end, and {_of(top, rounds)} met it: raise load.search.between")
    if missed:
        parts.append(f"even {least} missed it in {_of(missed, rounds)}: {missed[-1].miss}")
    if failed:
        parts.append(f"no answer in {_of(failed, rounds)}: {failed[-1].miss}")
    if len(ended) < len(rounds):
        parts.append("a search has not ended")
    return "; ".join(parts)


def _answer(highest: CellSummary) -> str:
    mean, half = highest.mean or 0.0, highest.half_width
    return figure_words(mean, half) if half else f"{mean:.4g}"


def _coarse_step(met: Sequence[SearchRound], highest: CellSummary) -> float | None:
    """Return the mean share by which the load that missed is above the one that met, where that is more than the
    half-width: the search then tells less than its rounds agree in."""
    shares = [each.lowest_missed / each.highest_met - 1 for each in met if each.lowest_missed and each.highest_met]
    if not shares or highest.half_width is None or not highest.mean:
        return None
    share = sum(shares) / len(shares)
    return share if share > highest.half_width / highest.mean else None


def _counted(rounds: int) -> str:
    return f"{rounds} round" if rounds == 1 else f"{rounds} rounds"


def _of(some: Sequence[SearchRound], every: Sequence[SearchRound]) -> str:
    return f"{len(some)} of {_counted(len(every))}"
