"""Limits on cells: whether a cell's true value meets them, misses them, or cannot be told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from labledger.intervals import mean_interval
from llenergymeasure.results.comparison.metrics import COUNTS
from llenergymeasure.results.conditions import COMPARED, Condition
from llenergymeasure.results.config_columns import PREFIX
from llenergymeasure.results.flat import CONFIG_COLUMNS, flat_row
from llenergymeasure.results.study.figures import LEVEL, cell_figure, cell_interval
from llenergymeasure.results.study.observations import Observations, is_energy
from llenergymeasure.results.study.search_steps import search_of
from llenergymeasure.results.study.unmet import Unmet, why_unmet
from llenergymeasure.results.study.words import cell_words, unit_of

State = Literal["met", "missed", "unsure"]
ORDERED = ("<", "<=", ">", ">=")
RANK: Mapping[State, int] = {"met": 0, "unsure": 1, "missed": 2}


class Judged(NamedTuple):
    """The state of a cell's limits, and the reason in words where they are not met."""

    state: State
    note: str = ""


def is_fixed(condition: Condition) -> bool:
    """Return True of a condition on the configuration, which no run can change."""
    return condition.column.startswith(PREFIX) or condition.column in CONFIG_COLUMNS


def of_search(seen: Observations, cell: int, condition: Condition) -> Condition:
    """Return a condition on the load of a configuration as one on the load that a cell has found, where it searches."""
    search = search_of(seen.runs.manifest.cells[cell])
    if search is None or condition.column != f"{PREFIX}load.{search.metric}":
        return condition
    return replace(condition, column=search.metric)


def judge(seen: Observations, cell: int, conditions: Sequence[Condition]) -> Judged:
    """Return whether a cell, which has results, meets all of the conditions; the worst of them decides, with its note.

    A number is within a limit where the whole of the cell's interval is (95 %, Student's t over rounds; joules with
    what their sensors leave open), and beyond it where none of it is. Other conditions are met where every run meets
    them, and missed where none does.
    """
    found = [_judged(seen, cell, condition) for condition in conditions]
    return max(found, key=lambda each: RANK[each.state], default=Judged("met"))


def written(condition: Condition) -> str:
    """Return a condition as it may be written."""
    value = "" if condition.value is None else f" {condition.value}"
    return f"{condition.column} {condition.op}{value}"


def _judged(seen: Observations, cell: int, condition: Condition) -> Judged:
    if condition.op in ORDERED and isinstance(condition.value, int | float) and not is_fixed(condition):
        return _by_interval(seen, cell, condition, float(condition.value))
    held = [condition.holds(flat_row(result, names=(condition.column,))) for result in seen.results(cell)]
    if all(held):
        unmet = why_unmet(seen.runs, cell, condition.column)
        return Judged("met") if unmet is None else Judged("unsure", f"{written(condition)}: {unmet[1]}")
    state: State = "unsure" if any(held) else "missed"
    of = f" in {held.count(True)} of {len(held)} runs" if any(held) else " in no run"
    return Judged(state, f"{written(condition)}{'' if is_fixed(condition) else of}")


def _by_interval(seen: Observations, cell: int, condition: Condition, limit: float) -> Judged:
    figure, text, runs = cell_figure(seen, cell, condition.column), written(condition), len(seen.cells[cell])
    if seen.is_in_blocks and condition.column not in COUNTS:
        return Judged("unsure", f"{text}: with order: blocks the weather of a cell's one time is in it")
    if is_energy(condition.column):
        if not seen.energies_valid[cell]:
            return Judged("unsure", f"{text}: no valid measurement of energy")
        runs = len(seen.measured[cell])
    if figure.mean is None:
        return Judged("unsure", f"{text}: no run has a value")
    if figure.n < runs:
        return Judged("unsure", f"{text}: {runs - figure.n} of {runs} runs have no value")
    if (unmet := why_unmet(seen.runs, cell, condition.column)) is not None:
        ends = _with_unmet(seen, cell, condition.column, unmet[0], is_endless=figure.at_least)
        return _within(ends, condition, limit, f"{text}: {unmet[1]}")
    words = cell_words(figure.metric, figure.mean, figure.half_width, figure.at_least)
    shown = figure.shown or words + unit_of(condition.column)
    interval = cell_interval(figure)
    if interval is None:
        why = "in one round, and one has no interval" if figure.n < 2 else "without an interval"
        return Judged("unsure", f"{text}: it is {shown} {why}")
    return _within(interval, condition, limit, f"{text}: it is {shown}")


def _within(interval: tuple[float, float], condition: Condition, limit: float, note: str) -> Judged:
    holds = [COMPARED[condition.op](end, limit) for end in interval]
    if all(holds):
        return Judged("met")
    return Judged("unsure" if any(holds) else "missed", note)


def _with_unmet(seen: Observations, cell: int, metric: str, unmet: Unmet, *, is_endless: bool) -> tuple[float, float]:
    """Return the interval of a searched load of which rounds lie below its least one: they are anything down to 0.

    A round without an answer may be any load, and leaves any for the mean.
    """
    search, met = search_of(seen.runs.manifest.cells[cell]), [*seen.values(cell, metric).values()]
    if search is None or unmet.failed or unmet.is_open:
        return 0.0, math.inf
    ends = [mean_interval([*met, *[below] * len(unmet.missed)], level=LEVEL) for below in (0.0, search.between[0])]
    high = math.inf if is_endless else max(each.high for each in ends)
    return max(min(each.low for each in ends), 0.0), high
