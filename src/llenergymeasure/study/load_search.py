"""Load search: the steps of a cell that looks for the highest load which meets a goal."""

import math
from collections.abc import Iterable, Sequence

from llenergymeasure.config.loading import with_fields
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.cells import LoadedStudy
from llenergymeasure.config.study.loading import place_in
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.study.search_steps import found_no_server, goal_of, most_steps, next_load, outcomes

GOAL = ("load", "search", "goal")
SHORT_S, MANY = 10.0, 600
"""Seconds of sending, and requests, in fewer of which an overload may not show."""


def check_goals(study: LoadedStudy) -> None:
    """Make sure that every search of a study has a goal that can be looked up in results.

    Raises:
        ConfigError: one has none: `file:line: problem`, or with the name of the cell that sets it.
    """
    for cell in study.cells:
        if cell.config.load.search is None:
            continue
        try:
            goal_of(cell.config.load.search)
        except ConfigError as error:
            where = place_in(study.files, GOAL, cell.config.load.search.goal) or f"cell {cell.name}"
            raise ConfigError(f"{where}: {error}") from None


def remarks(config: ExperimentConfig) -> list[str]:
    """Return what to know before a search is made: its runs at the most and, where it is so, that they are short."""
    search = config.load.search
    if search is None:
        return []
    low, high = search.between
    found = [
        f"the highest {search.metric} from {low:g} to {high:g} that meets {search.goal}, to {search.tolerance:g} %: up "
        f"to {most_steps(search)} runs a round, and one more for each that fails"
    ]
    if search.metric == "request_rate":
        most = math.inf if config.load.duration_s is None else config.load.duration_s * high
        sent = min(config.num_prompts, most)
        if sent < MANY or sent / high < SHORT_S:
            found.append(
                f"{sent:,.0f} requests are sent in {sent / high:.3g} s at {high:g} requests/s, in which an overload "
                f"may not show: send {max(MANY, SHORT_S * high):,.0f}, with num_prompts and load.duration_s"
            )
    return found


def first_step(config: ExperimentConfig, run: StudyRun) -> StudyRun:
    """Return a planned run as it begins: in a search, what is no step yet is the first, at the least load."""
    search = config.load.search
    return (
        run
        if search is None or run.step is not None
        else run.model_copy(update={"step": 1, "searched": search.between[0]})
    )


def config_of(config: ExperimentConfig, run: StudyRun) -> ExperimentConfig:
    """Return the configuration of one run: its cell's or, in a search, that with the load of its step."""
    search = config.load.search
    if search is None or run.searched is None:
        return config
    load = int(run.searched) if search.metric == "concurrency" else run.searched
    return with_fields(config, {"load": {"search": None, search.metric: load}})


def counts_as_failure(config: ExperimentConfig, run: StudyRun) -> bool:
    """Return True if a failure of this run speaks against its cell, which two in a row give up.

    Above the least load of a search it is a load that misses the goal, but where no server was there.
    """
    search = config.load.search
    return search is None or run.searched is None or run.searched <= search.between[0] or found_no_server(run)


def next_step(config: ExperimentConfig, steps: Sequence[tuple[StudyRun, ExperimentResult | None]]) -> StudyRun | None:
    """Return the run that follows the `steps` that one round's search has made; None where it has ended.

    A step without a result failed: it is tried once more. The same steps give the same next one, also after a resume.
    """
    search = config.load.search
    if search is None or not steps:
        return None
    load = next_load(search, outcomes(search, steps))
    if load is None:
        return None
    last = steps[-1][0]
    return StudyRun(cell=last.cell, round_number=last.round_number, step=(last.step or 0) + 1, searched=load)


def with_one_open_step(runs: Iterable[StudyRun]) -> list[StudyRun]:
    """Return the runs without the steps that have no result and come after such a one in their search: whether they are
    made depends on what comes of it."""
    kept, is_open = list[StudyRun](), set[tuple[int, int]]()
    for run in runs:
        search = (run.cell, run.round_number)
        if run.step is None or run.state == "done" or search not in is_open:
            kept.append(run)
        if run.step is not None and run.state != "done":
            is_open.add(search)
    return kept


def with_next(following: StudyRun | None, later: Sequence[StudyRun]) -> list[StudyRun]:
    """Return the steps of a search from its next one on. `later` were made when a step before them had failed: one at
    the load that is next has its place, and where the search has ended none has."""
    if following is None:
        return []
    made = next((run for run in later if run.searched == following.searched), following)
    return [made.model_copy(update={"step": following.step}), *(run for run in later if run is not made)]
