"""The values that a power sensor published, each with its moment, from polls that saw it many times or not at all."""

from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.polls import Changes, Polls
from llenergymeasure.energy.sensor_phase import Grid


class Doubts(NamedTuple):
    """Times, from and to, and the bound in joules on what is taken for them: where values came and went between two
    polls, and where a change that shows no phase may have come. Arrays of one length, in order."""

    start_s: np.ndarray
    end_s: np.ndarray
    bound_j: np.ndarray


class Publications(NamedTuple):
    """Every publication within the polls, in order: its moment, its watts, the earliest and latest that it can have
    come, and True where a poll saw it (else its watts are the mean of those before and after)."""

    moment_s: np.ndarray
    power_w: np.ndarray
    earliest_s: np.ndarray
    latest_s: np.ndarray
    is_seen: np.ndarray
    doubts: Doubts


def publications(polls: Polls, changes: Changes, grid: Grid, max_power_w: float) -> Publications:
    """Return the publications of `grid` with the values that the polls saw; power lies in [0, `max_power_w`]."""
    first = int(np.ceil(grid.number(polls.before_s[:1])[0]))
    last = int(np.floor(grid.number(polls.after_s[-1:])[0]))
    number = np.arange(first, last + 1)
    moment_s = grid.moment_s(number.astype(float))
    changed, kept = _numbers(grid, changes, first, last)
    place = np.searchsorted(changed, number, side="right")
    power_w = np.append(polls.values[0], polls.values[changes.row[kept]])[place]
    slack_s = _slack_s(grid, changes)
    earliest_s, latest_s = moment_s - slack_s, moment_s + slack_s
    at = changed - first
    earliest_s[at] = np.maximum(changes.earliest_s[kept], changes.latest_s[kept] - grid.period_s - slack_s)
    latest_s[at] = changes.latest_s[kept]
    is_seen = np.ones(len(number), dtype=bool)
    unseen = _unseen(polls, grid, first, power_w, is_seen, max_power_w)
    doubts = _in_order(unseen, _moments(polls, changes, grid.lone))
    return Publications(moment_s, power_w, earliest_s, latest_s, is_seen, doubts)


def _numbers(grid: Grid, changes: Changes, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each change's publication, rising, and the rows of the changes that have one of their own.

    Two changes that fall into one period, as where a poll came late, are moved to the free one beside it; where there
    is none, the later stands.
    """
    if first > last:
        return np.array([], dtype=int), np.array([], dtype=int)
    narrow = changes.width_s <= grid.period_s
    nearest = np.rint(grid.number(changes.middle_s))
    number = np.where(narrow, nearest, np.floor(grid.number(changes.latest_s))).astype(int).clip(first, last)
    for row in np.flatnonzero(np.diff(number) < 1) + 1:
        before = number[row - 2] if row > 1 else first - 1
        after = number[row + 1] if row + 1 < len(number) else last + 1
        if number[row - 1] - 1 > before:
            number[row - 1] -= 1
        elif number[row - 1] + 1 < after:
            number[row] = number[row - 1] + 1
    number = np.maximum.accumulate(number)
    kept = np.flatnonzero(np.append(np.diff(number) > 0, True)) if len(number) else np.array([], dtype=int)
    return number[kept], kept


def _slack_s(grid: Grid, changes: Changes) -> float:
    """Return how far from its moment a publication may have come, as the changes show it; half a period where there are
    too few."""
    if grid.coherence is None:
        return grid.period_s / 2
    narrow = changes.width_s <= grid.period_s / 2
    number = np.rint(grid.number(changes.middle_s[narrow]))
    moment_s = grid.moment_s(number)
    most_s = np.maximum(changes.latest_s[narrow] - moment_s, moment_s - changes.earliest_s[narrow])
    return min(float(np.quantile(most_s, 0.95)), grid.period_s / 2)


def _unseen(
    polls: Polls, grid: Grid, first: int, power_w: np.ndarray, is_seen: np.ndarray, max_power_w: float
) -> Doubts:
    """Return the values that no poll saw, having put the mean of their neighbours into `power_w`, and marked them in
    `is_seen`."""
    wide = np.flatnonzero(polls.after_s[1:] - polls.before_s[:-1] > grid.period_s)
    start = np.ceil(grid.number(polls.before_s[wide])).astype(int)
    end = np.floor(grid.number(polls.after_s[wide + 1])).astype(int)
    wide, start, end = (each[end > start] for each in (wide, start, end))
    taken_w = (polls.values[wide] + polls.values[wide + 1]) / 2
    for row in range(len(wide)):
        inside = slice(start[row] - first, end[row] - first)
        power_w[inside] = taken_w[row]
        is_seen[inside] = False
    bound_j = (end - start) * grid.period_s * np.maximum(max_power_w - taken_w, taken_w)
    return Doubts(polls.before_s[wide], polls.after_s[wide + 1], bound_j)


def _moments(polls: Polls, changes: Changes, lone: np.ndarray) -> Doubts:
    """Return the lone changes with what their moments leave open."""
    row = changes.row[lone]
    steps_w = np.abs(polls.values[row] - polls.values[row - 1])
    return Doubts(changes.earliest_s[lone], changes.latest_s[lone], steps_w * changes.width_s[lone])


def _in_order(one: Doubts, other: Doubts) -> Doubts:
    columns = np.concatenate([np.array(one), np.array(other)], axis=1)
    return Doubts(*columns[:, np.argsort(columns[0], kind="stable")])
