"""Rounds of load searches that gave no load: even the least one missed the goal, or there is no answer."""

from collections.abc import Sequence
from typing import NamedTuple

from llenergymeasure.config.servers import LoadSearch
from llenergymeasure.domain.study_result import SearchRound
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import Steps, bracket, next_load, outcomes, search_of
from llenergymeasure.results.study.words import load_words

UNITS = {"request_rate": ("request/s", "requests/s"), "concurrency": ("request in flight", "requests in flight")}
"""The unit of each load, of one and of several."""


class Unmet(NamedTuple):
    """The rounds of a search without a load: those that missed even the least one, and those without an answer.

    `is_open` is True where the search of a round has not ended.
    """

    missed: Sequence[SearchRound]
    failed: Sequence[SearchRound]
    is_open: bool


def tried_rounds(runs: StudyRuns, cell: int, search: LoadSearch) -> list[SearchRound]:
    """Return the rounds of a cell's search, as far as a load was tried in them."""
    rounds = [_round(search, number, steps) for number, steps in runs.steps_of(cell).items()]
    return [each for each in rounds if each.tried]


def unmet_of(rounds: Sequence[SearchRound]) -> Unmet:
    """Return those of some rounds that gave no load."""
    without = [each for each in rounds if each.ended and each.highest_met is None]
    missed = [each for each in without if each.lowest_missed is not None]
    failed = [each for each in without if each.lowest_missed is None]
    return Unmet(missed, failed, not all(each.ended for each in rounds))


def why_unmet(runs: StudyRuns, cell: int, metric: str) -> tuple[Unmet, str] | None:
    """Return the rounds that gave no load to a cell that searches this metric, and how many they are, in words.

    None of a cell that searches another or none, and where every round has ended with one.
    """
    search = search_of(runs.manifest.cells[cell])
    if search is None or search.metric != metric:
        return None
    rounds = tried_rounds(runs, cell, search)
    unmet = unmet_of(rounds)
    why = list[str]()
    if unmet.missed:
        why.append(f"missed even {least_words(search)} in {share_of(unmet.missed, rounds)}")
    if unmet.failed:
        why.append(f"no answer in {share_of(unmet.failed, rounds)}")
    if unmet.is_open:
        why.append("a search has not ended")
    return (unmet, "; ".join(why)) if why else None


def least_words(search: LoadSearch) -> str:
    """Return the least load of a search with its unit: `1 request/s`."""
    least = load_words(search.between[0])
    return f"{least} {UNITS[search.metric][least != '1']}"


def counted(rounds: int) -> str:
    """Return `1 round`, `2 rounds`."""
    return f"{rounds} round" if rounds == 1 else f"{rounds} rounds"


def share_of(some: Sequence[SearchRound], every: Sequence[SearchRound]) -> str:
    """Return `3 of 6 rounds`."""
    return f"{len(some)} of {counted(len(every))}"


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
