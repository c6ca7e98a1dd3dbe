"""Stretches: what ran of one configuration without a run of the other between and without an hour's pause."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from llenergymeasure.results.comparison.runs import PAUSE_S, Run, Side


class Stretch(NamedTuple):
    """Runs of one side in the same weather: one observation, however many there are.

    Stretches of one side that follow each other (nights) show how far stretches stray. In the mean they count once
    together, for their weather may have drifted: only where the sides change places is it as often on either.
    """

    side: Side
    runs: list[Run]


def find_stretches(runs: Sequence[Run]) -> list[Stretch]:
    """Return the stretches that `runs` of both sides, which are in the order of time, are made of."""
    found: list[Stretch] = []
    for session in sessions(runs):
        for run in session:
            if run is session[0] or found[-1].side != run.side:
                found.append(Stretch(run.side, []))
            found[-1].runs.append(run)
    return found


def sessions(runs: Sequence[Run]) -> list[list[Run]]:
    """Return runs that are in the order of time in parts, each of them without an hour's pause."""
    found: list[list[Run]] = []
    busy_until_s = 0.0
    for run in runs:
        if not found or run.start_s - busy_until_s >= PAUSE_S:
            found.append([])
        found[-1].append(run)
        busy_until_s = max(busy_until_s, run.end_s)
    return found


def always_first(runs: Sequence[Run]) -> Side | None:
    """Return the side that comes first in more sessions of both than the other does, by two or more; else None.

    A machine is cold when a session begins, so what always comes first differs for that alone.
    """
    firsts = [session[0].side for session in sessions(runs) if any(a.side != b.side for a, b in pairwise(session))]
    surplus = firsts.count(0) - firsts.count(1)
    return None if abs(surplus) < 2 else 0 if surplus > 0 else 1
