"""The best of a study's cells within limits, and the cells that cannot be told from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from labledger.comparison import Step
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.domain.study_result import Aside, CellStanding, StudyBest
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison.metrics import energy_marks
from llenergymeasure.results.comparison.rows import ENDLESS
from llenergymeasure.results.conditions import Condition, check_column, parse_conditions
from llenergymeasure.results.flat import columns
from llenergymeasure.results.study.figures import cell_figure, is_more_better
from llenergymeasure.results.study.limits import RANK, is_fixed, judge, of_search
from llenergymeasure.results.study.observations import Observations, is_energy, observe
from llenergymeasure.results.study.pairs import Pair, decide, pair
from llenergymeasure.results.study.remarks import study_warnings
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import common_search, search_of
from llenergymeasure.results.study.sentences import best_sentence
from llenergymeasure.results.study.unmet import why_unmet

JOULES, TOKENS = "energy_per_output_token_j", "output_tokens_per_second"
MOST_IN_FULL = 100
"""Of more cells only the pairs with the least mean are looked at; the level is that of all pairs."""


@dataclass(frozen=True)
class Entrants:
    """The cells among which a choice is made.

    `compared` have the metrics and are of a configuration that was asked for; `meet` are those of them that meet the
    limits. `aside` are all others, by their numbers, each with its standing and the reason.
    """

    compared: Sequence[int]
    meet: Sequence[int]
    aside: Mapping[int, tuple[Aside, str]]


def best_cells(
    runs: StudyRuns,
    *,
    minimize: str | None = None,
    maximize: str | None = None,
    where: str | None = None,
    field_prefix: str = "--",
) -> StudyBest:
    """Return the best cell by a metric among those that meet the limits, and where every other cell stands to it.

    The winner is chosen by the data, so its words are held at the level of all pairs of the cells that have the metric
    (Holm over the pairs' paired t): where all are equal, any is called worse in 5 % of studies at most. Conditions on
    the configuration leave cells out of that family, measured limits do not: they are of the same data. An error names
    flags, that is with `field_prefix`, or keywords without one.

    Raises:
        ConfigError: both or an unknown metric are named, or a limit is none.
    """
    if minimize is not None and maximize is not None:
        two = "; --pareto takes two" if field_prefix else ""
        raise ConfigError(f"{field_prefix}minimize and {field_prefix}maximize: one metric decides{two}")
    for option, metric in (("minimize", minimize), ("maximize", maximize)):
        if metric is not None:
            check_metric(metric, f"{field_prefix}{option}")
    if where:
        parse_conditions(where, f"{field_prefix}where")
    seen = observe(runs)
    found = best_of(seen, minimize or maximize, maximize is not None, where or "")
    return found.model_copy(update={"warnings": study_warnings(seen, [found.metric])})


def best_of(seen: Observations, metric: str | None = None, maximize: bool = False, where: str = "") -> StudyBest:
    """Return `best_cells` of observations, without the warnings.

    Without a metric it is the load that all cells search, else least joules a token where any are valid, else most
    tokens/s.
    """
    reason = ""
    if metric is None:
        metric, reason = _default(seen)
        maximize = is_more_better(metric)
    entrants = entered(seen, [metric], parse_conditions(where) if where.strip() else [])
    winner, decisions, is_any_told = _stood(seen, entrants, metric, maximize)
    every = []
    for cell in range(len(seen.cells)):
        figure, name = cell_figure(seen, cell, metric), seen.runs.manifest.cells[cell].name
        place = _aside(entrants, cell) or _beside(decisions.get(cell), maximize)
        shown = {key: getattr(figure, key) for key in ("mean", "half_width", "at_least", "shown")}
        every.append(CellStanding(cell=cell, name=name, **shown, **place))
    found = StudyBest(
        metric=metric,
        maximize=maximize,
        reason=reason,
        where=where.strip(),
        winner=winner,
        cells=every,
        sentence="",
    )
    return found.model_copy(update={"sentence": best_sentence(found, is_any_told)})


def check_metric(name: str, option: str) -> None:
    """Refuse what is no measured number of the flat table.

    Raises:
        ConfigError: it is another column, or none.
    """
    if columns().get(name) not in (int, float):
        check_column(name, option)
        raise ConfigError(f"{option}: {name} holds no measured number")


def entered(seen: Observations, metrics: Sequence[str], conditions: Sequence[Condition]) -> Entrants:
    """Return the cells that have all of the metrics, and which of them meet the conditions."""
    aside: dict[int, tuple[Aside, str]] = {}
    compared, meet = list[int](), list[int]()
    for cell in range(len(seen.cells)):
        asked = [of_search(seen, cell, each) for each in conditions]
        fixed = [each for each in asked if is_fixed(each)]
        measured = [each for each in asked if not is_fixed(each)]
        if lacking := _lacking(seen, cell, metrics):
            aside[cell] = ("no candidate", lacking)
        elif (other := judge(seen, cell, fixed)).state != "met":
            aside[cell] = ("misses", other.note)
        else:
            compared.append(cell)
            state, note = judge(seen, cell, measured)
            if RANK[state] == 0:
                meet.append(cell)
            else:
                aside[cell] = ("misses" if state == "missed" else "limit unsure", note)
    return Entrants(compared, meet, aside)


def all_positive(seen: Observations, cells: Sequence[int], metric: str) -> bool:
    """Return True if every figure is above 0: cells are then compared by ratios, and else by differences."""
    return all(value > 0 for cell in cells for value in seen.values(cell, metric).values())


def _default(seen: Observations) -> tuple[str, str]:
    """Return the metric that decides where none was asked for, and why."""
    if (load := common_search(seen.runs.manifest.cells)) is not None:
        return load, ""
    if any(seen.energies_valid):
        return JOULES, ""
    results = [result for cell in range(len(seen.cells)) for result in seen.results(cell)]
    marks = ", ".join(energy_marks(results)) or "no results"
    reasons = list(dict.fromkeys(reason for result in results for reason in result.verdict_reasons))
    why = f": {clean(reasons[0], SHOWN)}" if reasons else ""
    return TOKENS, f"joules decide nothing: no energy is a valid measurement ({marks}{why})"


def _lacking(seen: Observations, cell: int, metrics: Sequence[str]) -> str:
    """Return why a cell is no candidate; nothing where it has a figure of each metric."""
    if not seen.cells[cell]:
        search = search_of(seen.runs.manifest.cells[cell])
        if search is not None and any(result for steps in seen.runs.steps_of(cell).values() for _, result in steps):
            return f"no load that was tried meets {search.goal}"
        states = Counter(run.state for run in seen.runs.manifest.runs if run.cell == cell)
        return "no result that counts" if states["done"] else f"no result ({', '.join(sorted(states))})"
    for metric in metrics:
        if is_energy(metric) and not seen.energies_valid[cell]:
            return f"no valid measurement of energy ({', '.join(energy_marks(seen.results(cell)))})"
        if not seen.values(cell, metric):
            return f"{metric} is unknown"
        if (unmet := why_unmet(seen.runs, cell, metric)) is not None and (unmet[0].missed or unmet[0].failed):
            return unmet[1]
    return ""


Decisions = dict[int, tuple[Pair, Step]]


def _stood(seen: Observations, entrants: Entrants, metric: str, maximize: bool) -> tuple[int | None, Decisions, bool]:
    """Return the winner, each other cell that meets the limits against it with the decision on the pair, and whether
    any two of them are told apart.

    The winner has the best mean of those that no other is told to be better than: means over different rounds may lie.
    """
    compared, meet = entrants.compared, entrants.meet
    if not meet:
        return None, {}, False
    sign = -1 if maximize else 1
    means = {cell: sign * (cell_figure(seen, cell, metric).mean or 0.0) for cell in meet}
    winner = min(meet, key=means.__getitem__)
    wanted = [*combinations(compared, 2)]
    family = len(compared) * (len(compared) - 1) // 2
    if len(compared) > MOST_IN_FULL:
        wanted = [(winner, cell) for cell in meet if cell != winner]
    is_log = all_positive(seen, compared, metric)
    pairs = [pair(seen, *each, metric, is_log=is_log) for each in wanted]
    decided = {(each.first, each.second): (each, step) for each, step in zip(pairs, decide(pairs, family), strict=True)}
    decided |= {(b, a): (each.turned, step) for (a, b), (each, step) in decided.items()}
    beaten = {b for (a, b), found in decided.items() if a in means and b in means and _is_worse(*found, maximize)}
    if len(pairs) == family:
        winner = min([cell for cell in meet if cell not in beaten] or meet, key=means.__getitem__)
    return winner, {cell: decided[winner, cell] for cell in meet if (winner, cell) in decided}, bool(beaten)


def _is_worse(each: Pair, step: Step, maximize: bool) -> bool:
    """Return True if the second of a pair is told to be worse than the first."""
    none = 1.0 if each.is_log else 0.0
    return step.rejected and each.value is not None and (each.value < none if maximize else each.value > none)


def _aside(entrants: Entrants, cell: int) -> dict[str, Any]:
    if cell not in entrants.aside:
        return {}
    standing, note = entrants.aside[cell]
    return {"standing": standing, "note": note}


def _beside(decision: tuple[Pair, Step] | None, maximize: bool) -> dict[str, Any]:
    """Return where a cell that meets the limits stands to the winner, which has no pair."""
    if decision is None:
        return {"standing": "best"}
    each, step = decision
    standing = "worse" if _is_worse(each, step, maximize) else "equal" if each.is_equal else "cannot tell"
    found: dict[str, Any] = {"standing": standing, "rounds": each.rounds, "note": each.why}
    found["ratio" if each.is_log else "difference"] = each.value
    if each.answers is not None:
        return found | {"p_value": each.answers.p_value}
    if (interval := each.interval(1 - step.alpha)) is not None:
        low, high = interval
        found |= {
            "low": low if low > -ENDLESS else None,
            "high": high if high < ENDLESS else None,
            "level": 1 - step.alpha,
        }
    return found
