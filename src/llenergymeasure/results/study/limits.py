"""Limits on cells: whether a cell's true value meets them, misses them, or cannot be told."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from llenergymeasure.results.conditions import COMPARED, Condition
from llenergymeasure.results.config_columns import PREFIX
from llenergymeasure.results.flat import CONFIG_COLUMNS, flat_row
from llenergymeasure.results.study.figures import cell_figure, cell_interval
from llenergymeasure.results.study.observations import Observations, is_energy
from llenergymeasure.results.study.words import figure_words, unit_of

State = Literal["met", "missed", "unsure"]
ORDERED = ("<", "<=", ">", ">=")
RANK: Mapping[State, int] = {"met": 0, "unsure": 1, "missed": 2}


class Judged(NamedTuple):
    """Whether limits are met, and why not, in words."""

    state: State
    note: str = ""


def is_fixed(condition: Condition) -> bool:
    """Return True of a condition on the configuration, which no run can change."""
    return condition.column.startswith(PREFIX) or condition.column in CONFIG_COLUMNS


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
        return Judged("met")
    state: State = "unsure" if any(held) else "missed"
    of = f" in {held.count(True)} of {len(held)} runs" if any(held) else " in no run"
    return Judged(state, f"{written(condition)}{'' if is_fixed(condition) else of}")


def _by_interval(seen: Observations, cell: int, condition: Condition, limit: float) -> Judged:
    figure, text, runs = cell_figure(seen, cell, condition.column), written(condition), len(seen.cells[cell])
    if is_energy(condition.column):
        if not seen.energies_valid[cell]:
            return Judged("unsure", f"{text}: no valid measurement of energy")
        runs = len(seen.measured[cell])
    if figure.mean is None:
        return Judged("unsure", f"{text}: no run has a value")
    if figure.n < runs:
        return Judged("unsure", f"{text}: {runs - figure.n} of {runs} runs have no value")
    shown = figure_words(figure.mean, figure.half_width) + unit_of(condition.column)
    interval = cell_interval(figure)
    if interval is None:
        return Judged("unsure", f"{text}: it is {shown} in one round, and one has no interval")
    holds = [COMPARED[condition.op](end, limit) for end in interval]
    if all(holds):
        return Judged("met")
    return Judged("unsure" if any(holds) else "missed", f"{text}: it is {shown}")
