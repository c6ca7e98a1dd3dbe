"""The Pareto front of two metrics: which cells no other is told to beat."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from llenergymeasure.domain.study_result import FrontCell, StudyFront
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison.metrics import DEFAULT_MARGIN
from llenergymeasure.results.comparison.rows import ALPHA
from llenergymeasure.results.conditions import parse_conditions
from llenergymeasure.results.study.best import MOST_IN_FULL, Entrants, all_positive, check_metric, entered
from llenergymeasure.results.study.figures import cell_figure, is_more_better
from llenergymeasure.results.study.observations import Observations, observe
from llenergymeasure.results.study.pairs import Pair, pair
from llenergymeasure.results.study.remarks import study_warnings
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.words import MOST_NAMED, cells, named

OPEN = "cannot be excluded"
ASIDE = {
    "off": "told to be off it (up to 5 % in one of the two counts as none)",
    "misses": "beyond the limits",
    "limit unsure": "not told to meet the limits",
    "no candidate": "without the figures",
}


def pareto_front(runs: StudyRuns, metrics: Sequence[str], *, where: str | None = None) -> StudyFront:
    """Return the front of two metrics, and what cannot be excluded from it.

    The front are the cells of which no other has better means. A cell beside it is off only if one of the front is told
    to be better in one metric and, in the other, to be better or at most 5 % worse: by intervals of all pairs of cells
    in both metrics, which hold together at 95 % (Bonferroni). Any other cell cannot be excluded. By the same intervals
    cells of the front are told apart, in one metric at the least.

    Raises:
        ConfigError: there are not two measured metrics, or a limit is none.
    """
    if len(metrics) != 2 or metrics[0] == metrics[1]:
        raise ConfigError("--pareto takes two metrics that differ, as energy_per_output_token_j,ttft_ms_p99")
    for metric in metrics:
        check_metric(metric, "--pareto")
    seen, text = observe(runs), (where or "").strip()
    entrants = entered(seen, metrics, parse_conditions(text) if text else [])
    maximize = [is_more_better(metric) for metric in metrics]
    standings = _standings(seen, entrants, metrics, maximize)
    every = []
    for cell, planned in enumerate(runs.manifest.cells):
        figures = [cell_figure(seen, cell, metric) for metric in metrics]
        shown = {
            "means": [each.mean for each in figures],
            "half_widths": [each.half_width for each in figures],
            "at_least": [each.at_least for each in figures],
        }
        place = standings.get(cell) or dict(zip(("standing", "note"), entrants.aside[cell], strict=True))
        every.append(FrontCell(cell=cell, name=planned.name, **shown, **place))
    found = StudyFront(
        metrics=[*metrics],
        maximize=maximize,
        where=text,
        cells=every,
        sentence="",
        warnings=study_warnings(seen, metrics),
    )
    return found.model_copy(update={"sentence": _sentence(found)})


def _standings(
    seen: Observations, entrants: Entrants, metrics: Sequence[str], maximize: Sequence[bool]
) -> dict[int, dict[str, Any]]:
    """Return where each cell that meets the limits stands to the front."""
    signs = [-1 if more else 1 for more in maximize]
    costs = {
        cell: [
            sign * (cell_figure(seen, cell, metric).mean or 0.0) for metric, sign in zip(metrics, signs, strict=True)
        ]
        for cell in entrants.meet
    }
    beaten = {cell: [other for other in costs if _is_beaten(costs[cell], costs[other])] for cell in costs}
    front = [cell for cell, by in beaten.items() if not by]
    count = len(entrants.compared)
    level = 1 - ALPHA / max(count * (count - 1), 1)  # all pairs, in two metrics
    logs = [all_positive(seen, entrants.compared, metric) for metric in metrics]
    found: dict[int, dict[str, Any]] = {cell: {"standing": "front"} for cell in front}
    for cell, by in beaten.items():
        for other in [each for each in front if each in by]:
            pairs = [pair(seen, other, cell, metric, is_log=log) for metric, log in zip(metrics, logs, strict=True)]
            if _is_off(pairs, maximize, level):
                found[cell] = {"standing": "off", "by": other}
                break
        if by and cell not in found:
            found[cell] = {"standing": OPEN, "by": next(each for each in front if each in by)}
    for one, other in combinations(front if len(front) <= MOST_IN_FULL else (), 2):
        pairs = [pair(seen, one, other, metric, is_log=log) for metric, log in zip(metrics, logs, strict=True)]
        if not any(_is_told(each, level) for each in pairs):
            found[one].setdefault("alike", []).append(other)
            found[other].setdefault("alike", []).append(one)
    return found


def _is_told(each: Pair, level: float) -> bool:
    """Return True if the two are told apart."""
    interval, none = each.interval(level), 1.0 if each.is_log else 0.0
    return interval is not None and not interval[0] <= none <= interval[1]


def _is_beaten(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return True if `other` is at least as good in both, and better in one."""
    return all(b <= a for a, b in zip(one, other, strict=True)) and [*one] != [*other]


def _is_off(pairs: Sequence[Pair], maximize: Sequence[bool], level: float) -> bool:
    """Return True if the second is told to be worse in one metric, and at most 5 % better in the other."""
    least = [_worse_by(each, more, level) for each, more in zip(pairs, maximize, strict=True)]
    return min(least) >= -DEFAULT_MARGIN and max(least) > 0


def _worse_by(each: Pair, more: bool, level: float) -> float:
    """Return by what share the second is worse at the least; of a difference only its sign tells, but of a share."""
    interval = each.interval(level)
    if interval is None:
        return float("-inf")
    low, high = interval
    if not each.is_log:
        least = -high if more else low
        return least if least >= 0 or each.answers is not None else float("-inf")
    return 1 - high if more else low - 1


def _told_apart(front: Sequence[FrontCell]) -> str:
    """Return which cells of the front can be told apart, in one metric at the least."""
    names = {each.cell: each.name for each in front}
    alike = [f"{each.name} from {names[other]}" for each in front for other in each.alike if other > each.cell]
    count = len(front) * (len(front) - 1) // 2
    if len(front) > MOST_IN_FULL:
        return f"pairs of over {MOST_IN_FULL} cells are not looked at"
    if len(alike) in (0, count):
        return "none of them can be told apart" if alike else "they are told apart"
    if len(alike) > MOST_NAMED:
        return f"{len(alike):,} of {count:,} pairs of them cannot be told apart"
    return f"nothing tells {named(alike)}"


def _sentence(front: StudyFront) -> str:
    """Return `front of A and B: cell 1; cell 3: cell 2 cannot be excluded, 3 of 6 cells are off it`."""
    names = {kind: [each.name for each in front.cells if each.standing == kind] for kind in ("front", OPEN, *ASIDE)}
    if not names["front"]:
        aside = named(list(dict.fromkeys(each.note for each in front.cells if each.note)), 3)
        return f"front of {' and '.join(front.metrics)}: no cell can be on it: {aside}"
    parts = [f"front of {' and '.join(front.metrics)}: {named(names['front'])}"]
    if len(names["front"]) > 1:
        parts.append(_told_apart([each for each in front.cells if each.standing == "front"]))
    if names[OPEN]:
        parts.append(f"cannot be excluded: {named(names[OPEN])}")
    total = cells(len(front.cells))
    for kind, words in ASIDE.items():
        if names[kind]:
            parts.append(f"{len(names[kind])} of {total} {words}")
    return "; ".join(parts)
